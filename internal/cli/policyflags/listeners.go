package policyflags

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/policyfile"
	"tlswatch/pkg/config"
	"tlswatch/pkg/secpolicy"
)

// ParseListeners reads the policies of listeners: POLICY, or 443=POLICY,8443=POLICY. It
// returns their full names. Its errors are about usage.
func ParseListeners(set *secpolicy.Set, value string) (secpolicy.ListenerPolicies, error) {
	policies, err := config.ParseListenerPolicies(value)
	if err != nil {
		return nil, command.Usagef("--policy: %w", err)
	}
	for _, port := range slices.Sorted(maps.Keys(policies)) {
		p, err := Lookup(set, policies[port])
		if err != nil {
			return nil, fmt.Errorf("--policy: %w", err)
		}
		policies[port] = p.Name
	}
	return policies, nil
}

// CheckSetting checks the function's setting for the policies of listeners, which the
// environment or the template calls name. The function needs full names. Errors are
// about usage.
func CheckSetting(set *secpolicy.Set, name, value string) error {
	policies, err := config.ParseListenerPolicies(value)
	if err != nil {
		return command.Usagef("%s: %w", name, err)
	}
	if path := os.Getenv("POLICY_FILE"); path != "" { // the function reads it, and does without if it cannot
		set, _ = policyfile.LoadOr(path)
	}
	for _, port := range slices.Sorted(maps.Keys(policies)) {
		switch p, err := Lookup(set, policies[port]); {
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		case p.Name != policies[port]:
			return command.Usagef("%s: the function needs the full name %s, not %q", name, p.Name, policies[port])
		}
	}
	return nil
}
