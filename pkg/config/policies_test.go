package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// FuzzListenerPolicies checks that accepted text parses to the same value after it
// is formatted, and that every name in it can be a policy's.
func FuzzListenerPolicies(f *testing.F) {
	for _, seed := range []string{
		"", "ELBSecurityPolicy-2016-08", "443=ELBSecurityPolicy-2016-08", "443=A,8443=B, C", "0=A", "65535=A", "65536=A", "443=A,443=B", "443=A,", "=A", "443=", "443=A=B", "443=A B",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		policies, err := ParseListenerPolicies(text)
		if err != nil {
			if policies != nil {
				t.Errorf("%q: both %v and %v", text, policies, err)
			}
			return
		}
		var items []string
		for port, name := range policies {
			if !policyName.MatchString(name) {
				t.Errorf("%q has a policy %q", text, name)
			}
			if port == 0 {
				items = append(items, name)
			} else {
				items = append(items, fmt.Sprintf("%d=%s", port, name))
			}
		}
		slices.Sort(items)
		again, err := ParseListenerPolicies(strings.Join(items, ","))
		if err != nil || !maps.Equal(again, policies) {
			t.Errorf("%q: got %v, formatted %v, %v", text, policies, again, err)
		}
		if got, want := strings.Count(text, ",")+1, len(policies); text != "" && got != want {
			t.Errorf("%q: %d of %d are left", text, want, got)
		}
	})
}
