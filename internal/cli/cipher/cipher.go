// Package cipher is the command cipher: it explains the names and strength of cipher
// suites.
package cipher

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/text"
	"tlswatch/pkg/tlsname"
)

// New returns the command.
func New() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "cipher NAME...",
		Short: "Show the names and the strength of a cipher suite",
		Long: `cipher shows, for each NAME in the given order, its number, its IANA, OpenSSL,
GnuTLS and Go names, the protocols that can negotiate it, and its strength with
the reasons. Connection logs and security policies use OpenSSL names; packet
captures and RFCs use IANA names.

NAME is any of these names, a former name, or a number such as 0xC02F, c02f or
C0,2F, in upper or lower case. Unknown names are listed at the end, with exit
status 1.`,
		Example: `  tlswatch cipher ECDHE-RSA-AES256-SHA
  tlswatch cipher --format json 0xc02f TLS_RSA_WITH_AES_128_CBC_SHA`,
		Args:              command.Needs("NAME: a cipher suite by any of its names"),
		ValidArgsFunction: command.CompleteSuites,
		RunE: command.Runs(func(cmd *cobra.Command, names []string) error {
			answers, unknown := answerCiphers(names)
			var err error
			if format == "json" {
				err = command.WriteJSON(cmd.OutOrStdout(), answers)
			} else {
				err = writeCiphers(cmd.OutOrStdout(), answers)
			}
			if err != nil {
				return err
			}
			return unknown
		}),
	}
	command.AddFormat(cmd, &format, "table", "json")
	return cmd
}

// answer describes a cipher suite. Names that it does not have are empty.
type answer struct {
	Query          string   `json:"query"` // as it was asked
	Hex            string   `json:"hex"`
	IANA           string   `json:"iana"`
	OpenSSL        string   `json:"openssl"`
	GnuTLS         string   `json:"gnutls"`
	Go             string   `json:"go"`
	Protocols      []string `json:"protocols"` // oldest first
	KeyExchange    string   `json:"keyExchange"`
	Authentication string   `json:"authentication"`
	Encryption     string   `json:"encryption"`
	KeyBits        int      `json:"keyBits"`
	MAC            string   `json:"mac"`
	ForwardSecrecy bool     `json:"forwardSecrecy"`
	Strength       string   `json:"strength"` // strong, weak, insecure or unrated
	Reasons        []string `json:"reasons"`  // the graver ones first

	suite tlsname.Suite
}

// answerCiphers describes the known suites, and returns an error that lists the
// unknown names.
func answerCiphers(names []string) (answers []answer, unknown error) {
	answers = []answer{}
	var missing []string
	for _, name := range names {
		s, err := tlsname.ParseSuite(name)
		if err != nil || !s.Known() && !s.IsGREASE() {
			missing = append(missing, strconv.Quote(name)+command.Suggestion(name, command.SuiteNames()))
			continue
		}
		a := answer{
			Query: name, Hex: s.Hex(), IANA: s.IANA(), OpenSSL: s.OpenSSL(), GnuTLS: s.GnuTLS(), Go: s.Go(), Protocols: []string{},
			KeyExchange: s.KeyExchange(), Authentication: s.Authentication(), Encryption: s.Encryption(), KeyBits: s.KeyBits(), MAC: s.MAC(),
			ForwardSecrecy: s.ForwardSecrecy(), Strength: s.Strength().String(), Reasons: []string{}, suite: s,
		}
		for _, v := range s.Versions() {
			a.Protocols = append(a.Protocols, v.String())
		}
		for _, r := range s.Reasons() {
			a.Reasons = append(a.Reasons, r.String())
		}
		answers = append(answers, a)
	}
	if missing != nil {
		unknown = fmt.Errorf("unknown cipher suite: %s", strings.Join(missing, ", "))
	}
	return answers, unknown
}

// writeCiphers prints each suite on several lines: five names side by side are too
// wide to read.
func writeCiphers(w io.Writer, answers []answer) error {
	b := console.NewWriter(w)
	for i, a := range answers {
		if i > 0 {
			fmt.Fprintln(b)
		}
		fmt.Fprintln(b, a.Query)
		t := text.Table{Columns: "lw"}
		t.Add("number", a.Hex)
		for _, row := range [][2]string{{"IANA", a.IANA}, {"OpenSSL", a.OpenSSL}, {"GnuTLS", a.GnuTLS}, {"Go", a.Go}} {
			t.Add(row[0], cmp.Or(row[1], "-"))
		}
		switch {
		case a.suite.IsGREASE():
			t.Add("meaning", "none: clients send it to check that servers ignore unknown values (RFC 8701)")
		case a.suite.IsSignalling():
			t.Add("meaning", "not a cipher suite: a signal from the client to the server")
		default:
			t.Add("protocols", strings.Join(a.Protocols, " "))
			t.Add("key exchange", a.KeyExchange+", authenticated by "+a.Authentication)
			encryption := fmt.Sprintf("%s, %d-bit key", a.Encryption, a.KeyBits)
			if !a.suite.AEAD() {
				encryption += ", integrity by " + a.MAC
			}
			t.Add("encryption", encryption)
			t.Add("strength", a.Strength)
			for _, r := range a.suite.Reasons() {
				t.Add("", r.String()+": "+r.Text())
			}
		}
		b.Table(&t)
	}
	return b.Flush()
}
