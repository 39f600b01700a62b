package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/internal/policyfile"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// policiesEnv names a data file of security policies.
const policiesEnv = "TLSWATCH_POLICIES"

// A policyData is the flag for a data file of security policies.
type policyData struct{ file string }

const policyDataHelp = `Security policies are compiled in. A newer data file is used instead if
--policies or $TLSWATCH_POLICIES names one, or if it is where 'tlswatch policy
update' puts it.`

func (d *policyData) addFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&d.file, "policies", "", "data file of security policies, from 'tlswatch policy update'")
}

// path is the data file that is wanted, and whether it must be there.
func (d *policyData) path() (path string, must bool, err error) {
	if path := cmp.Or(d.file, os.Getenv(policiesEnv)); path != "" {
		return path, true, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", false, err
	}
	return filepath.Join(dir, "tlswatch", "policies.json"), false, nil
}

// load returns the security policies.
func (d *policyData) load() (*secpolicy.Set, error) {
	path, must, err := d.path()
	if err != nil {
		return secpolicy.Builtin(), nil // no home directory, no file in it
	}
	set, err := policyfile.Load(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return secpolicy.Builtin(), nil
	}
	return set, err
}

// lookupPolicy finds a policy by its name, in any case and with or without
// "ELBSecurityPolicy-".
func lookupPolicy(set *secpolicy.Set, name string) (*secpolicy.Policy, error) {
	policy, err := set.Lookup(name)
	if err == nil {
		return policy, nil
	}
	for _, p := range set.Policies() {
		if strings.EqualFold(p.Name, name) || strings.EqualFold(p.Name, secpolicy.Prefix+name) {
			return set.Lookup(p.Name)
		}
	}
	return nil, err
}

// completePolicies is the completion of policy names in arguments, up to n of
// them, or in a flag.
func completePolicies(d *policyData, n int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		set, err := d.load()
		if err != nil || len(args) >= n && n > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, p := range set.Policies() {
			names = append(names, p.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag sets the completion of a flag, which exists.
func completeFlag(cmd *cobra.Command, name string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(name, f); err != nil {
		panic(err)
	}
}

// An offerFlags describes a client by flags.
type offerFlags struct {
	protocols    []string
	ciphers      []string
	groups       []string
	certificates []string
}

func (o *offerFlags) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.protocols, "protocol", nil, "protocol that the client offers, such as TLSv1.2; repeat or separate by commas")
	f.StringArrayVar(&o.ciphers, "cipher", nil, "cipher suite that the client offers, by any name or number; repeat or separate by commas")
	f.StringArrayVar(&o.groups, "group", nil, "key-exchange group that the client offers, such as secp256r1 (a hint, if all are given)")
	f.StringArrayVar(&o.certificates, "certificate", nil, "kind of certificate that the listener has, rsa or ecdsa (default: any that is needed)")
	completeFlag(cmd, "protocol", cobra.FixedCompletions([]string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}, cobra.ShellCompDirectiveNoFileComp))
	completeFlag(cmd, "cipher", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return suiteNames(), cobra.ShellCompDirectiveNoFileComp
	})
	completeFlag(cmd, "certificate", cobra.FixedCompletions([]string{"rsa", "ecdsa"}, cobra.ShellCompDirectiveNoFileComp))
}

// offer reads the flags. Errors are about usage.
func (o *offerFlags) offer() (secpolicy.Offer, error) {
	var offer secpolicy.Offer
	var err error
	if offer.Certificates, err = parseCertificates(o.certificates); err != nil {
		return offer, err
	}
	if offer.Versions, err = parseList("protocol", o.protocols, tlsname.ParseVersion); err != nil {
		return offer, err
	}
	if offer.Suites, err = parseList("cipher", o.ciphers, tlsname.ParseSuite); err != nil {
		return offer, err
	}
	offer.Groups, err = parseList("group", o.groups, tlsname.ParseGroup)
	return offer, err
}

// parseList reads the values of a flag: one each, or several with commas or
// spaces between them.
func parseList[T any](flag string, values []string, parse func(string) (T, error)) ([]T, error) {
	var list []T
	for _, value := range values {
		if v, err := parse(value); err == nil { // "C0,2F" is one
			list = append(list, v)
			continue
		}
		names := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ':' || r == ' ' })
		if len(names) == 0 {
			return nil, &usageError{fmt.Errorf("--%s %q names nothing", flag, value)}
		}
		for _, name := range names {
			v, err := parse(name)
			if err != nil {
				return nil, &usageError{fmt.Errorf("--%s: %w", flag, err)}
			}
			list = append(list, v)
		}
	}
	return list, nil
}

func parseCertificates(values []string) (secpolicy.Certificates, error) {
	list, err := parseList("certificate", values, secpolicy.ParseCertificates)
	var set secpolicy.Certificates
	for _, c := range list {
		set |= c
	}
	return set, err
}
