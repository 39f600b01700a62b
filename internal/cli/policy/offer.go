package policy

import (
	"cmp"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// offerFlags describe a client.
type offerFlags struct {
	flag         string // that gives all of it, or ""
	protocols    []string
	ciphers      []string
	groups       []string
	certificates []string
}

func (o *offerFlags) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.protocols, "protocol", nil, command.ProtocolUsage+"; one that the client offers; repeatable")
	f.StringArrayVar(&o.ciphers, "cipher", nil, command.CipherUsage+"; one that the client offers; repeatable")
	f.StringArrayVar(&o.groups, "group", nil, "key-exchange `GROUP` that the client offers, such as secp256r1; repeatable (a hint; give all or none)")
	f.StringArrayVar(&o.certificates, "certificate", nil, command.CertificateUsage+" (default: whichever the client needs)")
	command.CompleteWith(cmd, "protocol", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
	command.CompleteFlag(cmd, "cipher", command.CompleteSuites)
	command.CompleteWith(cmd, "certificate", "rsa", "ecdsa")
}

// offer reads the flags. Errors are about usage.
func (o *offerFlags) offer() (secpolicy.Offer, error) {
	var offer secpolicy.Offer
	var err error
	if offer.Certificates, err = policyflags.ParseCertificates(o.certificates); err != nil {
		return offer, err
	}
	if offer.Versions, err = command.ParseList(cmp.Or(o.flag, "protocol"), o.protocols, tlsname.ParseVersion); err != nil {
		return offer, err
	}
	if offer.Suites, err = command.ParseList(cmp.Or(o.flag, "cipher"), o.ciphers, tlsname.ParseSuite); err != nil {
		return offer, err
	}
	offer.Groups, err = command.ParseList("group", o.groups, tlsname.ParseGroup)
	return offer, err
}
