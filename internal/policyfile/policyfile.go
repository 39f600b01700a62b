// Package policyfile opens data files of security policies.
package policyfile

import (
	"fmt"
	"os"

	"tlswatch/pkg/secpolicy"
)

// Load reads the data file of that name, as [secpolicy.Load] does.
func Load(name string) (*secpolicy.Set, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	set, err := secpolicy.Load(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return set, nil
}

// LoadOr reads the data file. Without a name, or with an error if it cannot read
// the file, it returns the built-in policies, so that a function need not stop.
func LoadOr(name string) (*secpolicy.Set, error) {
	if name == "" {
		return secpolicy.Builtin(), nil
	}
	set, err := Load(name)
	if err != nil {
		return secpolicy.Builtin(), err
	}
	return set, nil
}
