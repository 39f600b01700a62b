// Package policyflags has the flags by which commands choose security policies: by
// name, from a data file, or those of live listeners. It judges failures by them.
package policyflags

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/policyfile"
	"tlswatch/pkg/secpolicy"
)

// policiesEnv is the environment variable for a data file of security policies.
const policiesEnv = "TLSWATCH_POLICIES"

// A File is the flag for a data file of security policies.
type File struct{ file string }

const FileHelp = `The security policies are built in. 'tlswatch policy update' saves newer ones,
which all commands then use. --policy-file or $TLSWATCH_POLICIES names another
file.`

// AddFlag adds the flag to a command and those below it.
func (d *File) AddFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&d.file, "policy-file", "", "`FILE` of security policies, from 'tlswatch policy update'")
	command.Renamed(cmd, "policies", "policy-file")
}

// Path returns the path of the data file, and whether it must exist.
func (d *File) Path() (path string, must bool, err error) {
	if path := cmp.Or(d.file, os.Getenv(policiesEnv)); path != "" {
		return path, true, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", false, err
	}
	return filepath.Join(dir, "tlswatch", "policies.json"), false, nil
}

// Load returns the security policies. Waiting for the file, which may be a named pipe,
// ends with ctx.
func (d *File) Load(ctx context.Context) (*secpolicy.Set, error) {
	path, must, err := d.Path()
	if err != nil {
		return secpolicy.Builtin(), nil // no home directory, so no file
	}
	f, err := command.OpenFile(ctx, path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return secpolicy.Builtin(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	return policyfile.Read(path, f)
}

// Lookup finds a policy by its name, in any case and with or without
// "ELBSecurityPolicy-". An unknown name is wrong usage.
func Lookup(set *secpolicy.Set, name string) (*secpolicy.Policy, error) {
	policy, err := set.Lookup(name)
	if err == nil {
		return policy, nil
	}
	var names []string
	for _, p := range set.Policies() {
		if strings.EqualFold(p.Name, name) || strings.EqualFold(p.Name, secpolicy.Prefix+name) {
			return set.Lookup(p.Name)
		}
		names = append(names, short(p.Name))
	}
	return nil, command.Usagef("%w%s", err, command.Suggestion(short(name), names))
}

// short returns the name of a policy without what all have in common.
func short(name string) string { return strings.TrimPrefix(name, secpolicy.Prefix) }

// Complete completes policy names, with or without "ELBSecurityPolicy-", in up to n arguments, or with n = 0 in a flag.
func Complete(d *File, n int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
		set, err := d.Load(cmd.Context())
		if err != nil || len(args) >= n && n > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, p := range set.Policies() {
			if name := short(p.Name); text != "" && strings.HasPrefix(name, text) {
				names = append(names, name)
			} else {
				names = append(names, p.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// ParseCertificates parses the values of --certificate.
func ParseCertificates(values []string) (secpolicy.KeyKinds, error) {
	list, err := command.ParseList("certificate", values, secpolicy.ParseKeyKind)
	var set secpolicy.KeyKinds
	for _, c := range list {
		set |= c
	}
	return set, err
}
