package policy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
	"tlswatch/pkg/secpolicy"
)

func (p *flags) newList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the security policies",
		Example: `  tlswatch policy list
  tlswatch policy list --format json`,
		Args: command.AtMost(0),
		RunE: p.runs(func(set *secpolicy.Set, _ []string) (any, func(*console.Writer), error) {
			list := []policyflags.PolicyJSON{}
			for i := range set.Policies() {
				list = append(list, policyflags.Describe(&set.Policies()[i]))
			}
			return list, func(w *console.Writer) {
				t := text.Table{Columns: "llrlllw"}
				t.Add("policy", "protocols", "ciphers", "forward secrecy", "post-quantum", "FIPS", "remarks")
				for _, p := range set.Policies() {
					t.Add(p.Name, policyflags.ProtocolSpan(&p), strconv.Itoa(len(p.Ciphers)), yesOrDash(p.ForwardSecrecy), yesOrDash(p.PostQuantum), yesOrDash(p.FIPS), policyflags.Remarks(&p))
				}
				w.Table(&t)
				fmt.Fprintf(w, "\n  As of %s. 'tlswatch policy update' gets newer data from AWS.\n", set.Retrieved)
			}, nil
		}),
	}
}

func yesOrDash(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

func (p *flags) newShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME",
		Example: `  tlswatch policy show ELBSecurityPolicy-TLS13-1-2-2021-06
  tlswatch policy show FS-1-2-Res-2020-10 --format json`,
		Short:             "Show one security policy",
		Long:              "show shows the protocols, cipher suites and weaknesses of a policy. NAME may omit the prefix \"" + secpolicy.Prefix + "\".",
		Args:              command.Takes("NAME: a security policy, see 'tlswatch policy list'"),
		ValidArgsFunction: policyflags.Complete(&p.file, 1),
		RunE: p.runs(func(set *secpolicy.Set, args []string) (any, func(*console.Writer), error) {
			policy, err := policyflags.Lookup(set, args[0])
			if err != nil {
				return nil, nil, err
			}
			return policyflags.Describe(policy), func(w *console.Writer) {
				writePolicy(w, policy)
				policyflags.WriteDefaults(w, set)
			}, nil
		}),
	}
}

func writePolicy(w *console.Writer, p *secpolicy.Policy) {
	fmt.Fprintln(w, p.Name)
	t := text.Table{Columns: "lw"}
	t.Add("protocols", strings.Join(command.Names(p.Protocols), " "))
	t.Add("forward secrecy", yesNo(p.ForwardSecrecy, "with every cipher suite", "not with every cipher suite"))
	t.Add("post-quantum", yesNo(p.PostQuantum, "hybrid key exchange in TLS 1.3", "no"))
	t.Add("FIPS", yesNo(p.FIPS, "yes", "no"))
	for i, role := range p.Roles() {
		t.Add(firstOf(i, "role"), role.Text())
	}
	t.Add("to targets", policyflags.TargetsText(p))
	if p.Legacy {
		t.Add("legacy", "AWS no longer lists it for Application Load Balancers")
	}
	for i, weakness := range p.Weaknesses() {
		t.Add(firstOf(i, "weaknesses"), weakness.Text())
	}
	confirmed := "protocols, cipher suites and their order"
	if p.Unordered != nil {
		confirmed += ", except for that of " + strings.Join(command.Names(p.Unordered), " and ")
	}
	if caveat := p.Caveat(); caveat != "" {
		confirmed = "not all: " + caveat
	}
	t.Add("confirmed", confirmed)
	for i, note := range p.Notes {
		t.Add(firstOf(i, "notes"), note)
	}
	w.Table(&t)
	fmt.Fprintln(w, "\n  Cipher suites, most preferred first")
	t = text.Table{Columns: "rllll"}
	for i, s := range p.Ciphers {
		iana := s.IANA()
		if iana == s.String() {
			iana = ""
		}
		t.Add(strconv.Itoa(i+1), s.String(), s.Strength().String(), s.Hex(), iana)
	}
	w.Table(&t)
	if len(p.Groups) > 0 {
		fmt.Fprintf(w, "\n  Hints from s2n-tls, AWS's TLS library; AWS does not document them for load balancers%s\n", yesNo(p.PostQuantum, ", except for the hybrid groups", ""))
		t = text.Table{Columns: "lw"}
		t.Add("groups", strings.Join(command.Names(p.Groups), " "))
		names := command.Names(p.SignatureSchemes)
		for i := 0; i < len(names); i += 4 {
			t.Add(firstOf(i, "signatures"), strings.Join(names[i:min(i+4, len(names))], " "))
		}
		w.Table(&t)
	}
}

// firstOf returns the heading for the first line, "" for others.
func firstOf(i int, heading string) string {
	if i > 0 {
		return ""
	}
	return heading
}

func yesNo(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}
