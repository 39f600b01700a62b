// Package whatif is the command whatif: it predicts what a change of security policy
// would do.
package whatif

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/forecast"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
	"tlswatch/pkg/whatif"
)

type options struct {
	input.FilterFlags
	change forecast.Change
	format string
	top    int
	limit  string // of --fail-if-breaking
}

// New returns the command.
func New() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "whatif --to POLICY [--policy POLICY] PATH...",
		Short: "Predict which clients a policy change breaks or fixes",
		Long: `whatif reads connection logs and predicts what another security policy would do
to their connections. Those that succeeded keep working or will break. Those
that failed are fixed or still fail. Some are likely to work, with a risk that
is named. If the log does not show enough, the outcome is unknown. It lists the
clients that will break; csv and json list every client with its class and the
reason. Several --to compare policies.

--policy names the policy that the listeners had: POLICY, 443=POLICY,8443=POLICY
by port, or live to ask AWS which policies they have now. It makes the
prediction more certain. A load balancer chooses the highest protocol and then
the first cipher suite in its own order that the client has too, so the client
has nothing that the policy prefers to what was negotiated. Where the log shows
that a listener had another policy for some time, that time is named, and what
was negotiated then is judged without --policy.

Filters choose which connections are counted. What a log proves about listeners
and clients comes from all lines.

All classes but "likely to work" and "unknown" are certain; docs/policies.md
says what that rests on. --fail-if-breaking sets the exit status for scripts.

` + input.PathHelp + `

` + policyflags.FileHelp,
		Example: `  tlswatch whatif --policy ELBSecurityPolicy-2016-08 --to ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09 conn_log_*.log.gz
  tlswatch whatif --to TLS13-1-2-2021-06 --policy 443=TLS13-1-2-Ext2-2021-06 --format csv s3://my-logs/AWSLogs/123456789012/
  tlswatch whatif --policy live --to TLS13-1-2-Res-2021-06 --fail-if-breaking 1% conn_log_*.log.gz`,
		Args: command.Needs(input.Paths),
		RunE: command.Runs(func(cmd *cobra.Command, paths []string) error {
			return o.run(cmd.Context(), paths, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.change.To, "to", nil, command.ToUsage+"; repeatable")
	f.StringArrayVar(&o.change.Certificates, "certificate", nil, forecast.CertificateUsage)
	f.StringArrayVar(&o.change.ClientCertificates, "client-certificates", nil, "PEM `FILE` of the certificates that clients present, with their issuers: shows how they are signed; repeatable")
	f.StringVar(&o.limit, "fail-if-breaking", "", "exit with status 3 if at least `N` clients, or P% of all, will break")
	command.AddFormat(cmd, &o.format, "table", "json", "csv")
	f.IntVar(&o.top, "top", 20, command.TopUsage)
	o.change.Flags.Register(cmd, "makes the prediction more certain")
	command.Renamed(cmd, "from", "policy")
	o.FilterFlags.Register(cmd)
	command.AddRequesterPays(cmd)
	command.Require(cmd, "to")
	command.CompleteFlag(cmd, "to", policyflags.Complete(&o.change.File, 0))
	command.CompleteWith(cmd, "certificate", "rsa", "ecdsa")
	return cmd
}

func (o *options) run(ctx context.Context, paths []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if o.top < 0 {
		return command.Usagef("--top must be 0 or more, not %d", o.top)
	}
	filter, err := o.Filter(time.Now().UTC())
	if err != nil {
		return err
	}
	limit, err := parseLimit(o.limit)
	if err != nil {
		return err
	}
	if o.change.To = command.Split(strings.Join(o.change.To, ",")); len(o.change.To) == 0 {
		return command.Usagef("--to needs the name of a policy")
	}
	if err := o.change.Prepare(ctx, time.Now()); err != nil {
		return err
	}
	in := input.New(paths, stdin, console.NewProgress(stderr, "log"))
	in.Apply(filter)
	log := o.change.NewLog(in.Workers, forecast.MaxRows)
	readErr := in.ScanAll(ctx, log.Add)
	if readErr != nil && !errors.As(readErr, new(*input.ReadError)) {
		return in.Finish(ctx, readErr)
	}
	in.WriteLeftOut(stderr)
	list := o.change.Answer(log)
	err = o.write(stdout, list)
	if ctx.Err() == nil {
		filter.WarnNothing(stderr)
	}
	return cmp.Or(err, in.Finish(ctx, readErr), limit.check(list))
}

// write prints the forecasts, one for each new policy.
func (o *options) write(stdout io.Writer, list []forecast.Forecast) error {
	switch {
	case o.format == "csv":
		return forecast.WriteCSV(stdout, list)
	case o.format == "json" && len(list) == 1:
		return command.WriteJSON(stdout, list[0])
	case o.format == "json":
		return command.WriteJSON(stdout, list)
	}
	w := console.NewWriter(stdout)
	if len(list) > 1 {
		w.Table(forecast.Compare(list))
		fmt.Fprintln(w)
	}
	for i := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		writeForecast(w, &list[i], o.top)
	}
	return w.Flush()
}

// A limit is the value of --fail-if-breaking.
type limit struct {
	text       string // "" without the flag
	clients    uint64
	percentage float64
}

func parseLimit(text string) (l limit, err error) {
	l.text = text
	if number, ok := strings.CutSuffix(text, "%"); ok {
		if l.percentage, err = strconv.ParseFloat(number, 64); err == nil && 0 <= l.percentage && l.percentage <= 100 {
			return l, nil
		}
	} else if l.clients, err = strconv.ParseUint(text, 10, 64); err == nil || text == "" {
		return l, nil
	}
	return l, command.Usagef("--fail-if-breaking must be a number of clients or a percentage such as 0.5%%, not %q", text)
}

// check returns an error if too many clients will break under one of the policies.
func (l limit) check(list []forecast.Forecast) error {
	for i := range list {
		if f := &list[i]; l.text != "" && f.TooMany(l.clients, l.percentage) {
			return command.TooMany(fmt.Sprintf("%s of %s will break under %s (--fail-if-breaking %s)",
				text.Count(f.Clients.Breaks), text.Plural(f.All(), "client"), f.To, l.text))
		}
	}
	return nil
}

// writeForecast prints a forecast as text.
func writeForecast(w *console.Writer, r *forecast.Forecast, top int) {
	fmt.Fprintf(w, "From %s\nto   %s\n\n", r.From, r.To)
	t := text.Table{Columns: "lrr"}
	t.Add("", "connections", "clients")
	for _, row := range r.Rows() {
		t.Add(row.Class.Text(), text.Count(row.Connections), text.Count(row.Clients))
	}
	w.Table(&t)

	if len(r.Breaking) > 0 {
		fmt.Fprintf(w, "\nWILL BREAK\n")
		reasons := slices.Clone(r.Breaking)
		if top > 0 {
			reasons = reasons[:min(top, len(reasons))]
		}
		shown := len(reasons)
		slices.SortStableFunc(reasons, func(a, b forecast.Breaking) int { return cmp.Compare(a.Reason, b.Reason) })
		for len(reasons) > 0 {
			reason := reasons[0].Reason
			fmt.Fprintf(w, "\n  %s\n\n", reason)
			t := text.Table{Columns: "rlll"}
			t.Add("connections", "client", "protocol", "cipher")
			var seen []string
			software := text.Table{Columns: "lw"}
			for ; len(reasons) > 0 && reasons[0].Reason == reason; reasons = reasons[1:] {
				b := reasons[0]
				t.Add(text.Count(b.Connections), b.Client, cmp.Or(b.Protocol, "-"), cmp.Or(b.Cipher, "-"))
				if what := b.Protocol + " " + b.Cipher; !strings.HasPrefix(b.Software, "unknown") && !slices.Contains(seen, what+b.Software) {
					seen = append(seen, what+b.Software)
					software.Add(what, b.Software)
				}
			}
			w.Table(&t)
			if software.Len() > 0 {
				fmt.Fprintln(w)
				w.Table(&software)
			}
		}
		if more := len(r.Breaking) - shown; more > 0 {
			fmt.Fprintf(w, "\n  and %s more; --top 0 shows all\n", text.Count(more))
		}
	}
	writeReasons(w, "LIKELY TO WORK", r.Risks)
	writeReasons(w, "UNKNOWN", r.Undecided)
	if len(r.Notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "  %s\n", note)
	}
}

func writeReasons(w *console.Writer, title string, list []whatif.Reason) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n\n", title)
	t := text.Table{Columns: "rw"}
	t.Add("connections", "why")
	for _, r := range list {
		t.Add(text.Count(r.Connections), r.Reason)
	}
	w.Table(&t)
}
