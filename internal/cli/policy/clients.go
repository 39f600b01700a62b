package policy

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsclient"
)

// A clientsJSON says what a policy negotiates with known programs.
type clientsJSON struct {
	Policy  string       `json:"policy"`
	Caveat  string       `json:"caveat"`
	Clients []clientJSON `json:"clients"`
}

// A clientJSON is what a policy negotiates with a program. There are two of a program
// for which the kind of certificate makes a difference.
type clientJSON struct {
	Client      string   `json:"client"` // software, version and platform
	Software    string   `json:"software"`
	Version     string   `json:"version"`
	Platform    string   `json:"platform"`
	Kind        string   `json:"kind"`     // browser, system, library, mail, crawler
	Released    int      `json:"released"` // year
	JA4         string   `json:"ja4"`
	Certificate string   `json:"certificate"` // RSA or ECDSA; any if it makes no difference
	Outcome     string   `json:"outcome"`     // accepted, refused, may-fail, unknown
	Protocol    string   `json:"protocol"`
	Cipher      string   `json:"cipher"`
	KeyExchange string   `json:"keyExchange"` // a hint, from s2n-tls
	Reason      string   `json:"reason"`
	Hints       []string `json:"hints"`

	note string // for the table: the cipher, or why not
}

func (p *flags) newClients() *cobra.Command {
	var certificates []string
	var format string
	cmd := &cobra.Command{
		Use:   "clients POLICY",
		Short: "Show what a policy negotiates with known software",
		Long: `clients shows for browsers, libraries, operating systems, mail programs and
crawlers, by version, whether a security policy refuses them, or which protocol,
cipher suite and key exchange it negotiates. Those that it refuses come first.

A program is taken in its default settings: an administrator or a developer can
have changed them. If the kind of the listener's certificate makes a difference,
a program has a line for each kind; --certificate says which kind it is. The key
exchange is a hint from s2n-tls, AWS's TLS library.`,
		Example: `  tlswatch policy clients ELBSecurityPolicy-TLS13-1-2-2021-06
  tlswatch policy clients TLS13-1-2-Res-PQ-2025-09 --certificate rsa --format csv`,
		Args:              command.Takes("POLICY: a security policy, see 'tlswatch policy list'"),
		ValidArgsFunction: policyflags.Complete(&p.file, 1),
		RunE: command.Runs(func(cmd *cobra.Command, args []string) error {
			kinds, err := policyflags.ParseCertificates(certificates)
			if err != nil {
				return err
			}
			set, err := p.file.Load(cmd.Context())
			if err != nil {
				return err
			}
			policy, err := policyflags.Lookup(set, args[0])
			if err != nil {
				return err
			}
			if kinds == secpolicy.RSA|secpolicy.ECDSA {
				kinds = 0 // both kinds, one by one
			}
			result := newClientsJSON(policy, kinds)
			switch format {
			case "json":
				return command.WriteJSON(cmd.OutOrStdout(), result)
			case "csv":
				return writeClientsCSV(cmd.OutOrStdout(), result.Clients)
			}
			w := console.NewWriter(cmd.OutOrStdout())
			writeClients(w, result)
			return w.Flush()
		}),
	}
	cmd.Flags().StringArrayVar(&certificates, "certificate", nil, command.CertificateUsage+" (default: both, one by one)")
	command.CompleteWith(cmd, "certificate", "rsa", "ecdsa")
	command.AddFormat(cmd, &format, "table", "json", "csv")
	return cmd
}

func newClientsJSON(policy *secpolicy.Policy, kinds secpolicy.KeyKinds) clientsJSON {
	result := clientsJSON{Policy: policy.Name, Caveat: policy.Caveat()}
	clients := tlsclient.Clients()
	for i := range clients {
		c := &clients[i]
		for _, n := range tlsclient.Negotiate(policy, c, kinds) {
			row := clientJSON{
				Client: c.String(), Software: c.Software, Version: c.Version, Platform: c.Platform, Kind: c.Kind.String(), Released: c.Released, JA4: c.JA4, Certificate: certificateName(n.Certificates), Outcome: string(n.Outcome),
				Reason: n.Verdict.Reason, Hints: append([]string{}, n.Verdict.Hints...), note: clientNote(&n),
			}
			if n.Verdict.Accepted {
				row.Protocol, row.Cipher = n.Verdict.Version().String(), n.Verdict.Suite.String()
				if n.Group != 0 {
					row.KeyExchange = n.Group.String()
				}
			}
			result.Clients = append(result.Clients, row)
		}
	}
	order := []string{string(tlsclient.Refused), string(tlsclient.Unknown), string(tlsclient.MayFail), string(tlsclient.Accepted)}
	slices.SortStableFunc(result.Clients, func(a, b clientJSON) int {
		return cmp.Compare(slices.Index(order, a.Outcome), slices.Index(order, b.Outcome))
	})
	return result
}

// clientNote returns the cipher that is negotiated, or in a few words why none is.
func clientNote(n *tlsclient.Negotiation) string {
	v := &n.Verdict
	switch v.Code {
	case secpolicy.Accepted:
		return strings.Join(append([]string{v.Suite.String()}, v.Hints...), "; ")
	case secpolicy.ProtocolNotInPolicy:
		return "the policy lacks " + n.Client.Offer.Versions[0].String()
	case secpolicy.CipherNotInPolicy:
		return "the policy lacks its cipher suites"
	case secpolicy.CipherNotInProtocol:
		return "the policy lacks its cipher suites for " + v.Version().String()
	case secpolicy.CertificateDoesNotFit:
		return "needs a certificate of the other kind"
	}
	return v.Reason
}

// certificateName names the kind of certificate that something is true of.
func certificateName(kinds secpolicy.KeyKinds) string {
	if kinds == 0 {
		return "any"
	}
	return kinds.String()
}

func writeClientsCSV(w io.Writer, clients []clientJSON) error {
	out := csv.NewWriter(w)
	out.Write([]string{"client", "kind", "released", "certificate", "outcome", "protocol", "cipher", "keyExchange", "reason", "ja4"})
	for _, c := range clients {
		out.Write([]string{c.Client, c.Kind, strconv.Itoa(c.Released), c.Certificate, c.Outcome, c.Protocol, c.Cipher, c.KeyExchange, c.Reason, c.JA4})
	}
	out.Flush()
	return out.Error()
}

func writeClients(w *console.Writer, result clientsJSON) {
	fmt.Fprintln(w, result.Policy)
	if result.Caveat != "" {
		fmt.Fprintf(w, "not confirmed: %s\n", result.Caveat)
	}
	fmt.Fprintln(w)
	t := text.Table{Columns: "lllllw"}
	t.Add("client", "certificate", "outcome", "protocol", "key exchange", "cipher, or why not")
	for _, c := range result.Clients {
		t.Add(c.Client, c.Certificate, c.Outcome, orDash(c.Protocol), orDash(c.KeyExchange), c.note)
	}
	w.Table(&t)
	fmt.Fprintf(w, "\n  %d programs in their default settings. Those in use may differ.\n", len(tlsclient.Clients()))
}

func orDash(s string) string { return cmp.Or(s, "-") }
