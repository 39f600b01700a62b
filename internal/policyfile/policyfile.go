// Package policyfile opens data files of security policies.
package policyfile

import (
	"fmt"
	"io"
	"os"

	"tlswatch/pkg/secpolicy"
)

// Read reads the data file of that name from r, as [secpolicy.Load] does.
func Read(name string, r io.Reader) (*secpolicy.Set, error) {
	set, err := secpolicy.Load(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return set, nil
}

func load(name string) (*secpolicy.Set, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(name, f)
}

// LoadOr reads the data file. Without a name, or with an error if it cannot read
// the file, it returns the built-in policies, so that a function need not stop.
func LoadOr(name string) (*secpolicy.Set, error) {
	if name == "" {
		return secpolicy.Builtin(), nil
	}
	set, err := load(name)
	if err != nil {
		return secpolicy.Builtin(), err
	}
	return set, nil
}
