package secpolicy

import (
	"slices"
	"strings"
	"testing"
)

func TestRoles(t *testing.T) {
	got := make(map[Role][]string)
	for _, p := range Builtin().Policies() {
		for _, r := range p.Roles() {
			got[r] = append(got[r], strings.TrimPrefix(p.Name, Prefix))
			if r.Text() == "" || r.String() != string(r) {
				t.Errorf("%s: %q", r, r.Text())
			}
		}
	}
	for role, want := range map[Role][]string{
		ConsoleDefault:     {"TLS13-1-2-Res-PQ-2025-09"},
		APIDefault:         {"2016-08"},
		Recommended:        {"TLS13-1-2-Res-PQ-2025-09", "TLS13-1-2-Res-FIPS-PQ-2025-09"},
		RecommendedRFC9151: {"TLS13-1-2-RFC9151-INTEROP4-FIPS-2023-07"},
	} {
		if !slices.Equal(got[role], want) {
			t.Errorf("%s: %q, want %q", role, got[role], want)
		}
	}
}

func TestTargets(t *testing.T) {
	for name, want := range map[string]string{
		"TLS13-1-2-2021-06":              "TLS13-1-0-2021-06",
		"TLS13-1-2-Res-PQ-2025-09":       "TLS13-1-0-2021-06?",
		"TLS13-1-3-FIPS-2023-04":         "TLS13-1-0-FIPS-2023-04",
		"TLS13-1-2-Res-FIPS-PQ-2025-09":  "TLS13-1-0-FIPS-2023-04?",
		"TLS13-1-3-RFC9151-FIPS-2023-07": "TLS13-1-2-RFC9151-INTEROP4-FIPS-2023-07",
		"FS-1-2-Res-2020-10":             "2016-08",
		"2016-08":                        "2016-08",
	} {
		got, confirmed := lookup(t, name).Targets()
		if !confirmed {
			got += "?"
		}
		if got != Prefix+want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if _, err := Lookup(strings.TrimSuffix(got, "?")); err != nil {
			t.Error(err)
		}
	}
}
