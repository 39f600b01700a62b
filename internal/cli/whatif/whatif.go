// Package whatif is the command whatif: it predicts what a change of security policy
// would do.
package whatif

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/forecast"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/secpolicy"
)

type options struct {
	input.FilterFlags
	change forecast.Change
	format string
	top    int
}

// New returns the command.
func New() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "whatif --to POLICY [--policy POLICY] PATH...",
		Short: "Predict which clients a policy change breaks or fixes",
		Long: `whatif reads connection logs and predicts what another security policy would do
to their connections. Those that succeeded keep working or will break. Those
that failed are fixed or still fail. If the log does not show enough, the
outcome is unknown. It lists the clients that will break.

--policy names the policy that the listeners had: POLICY, 443=POLICY,8443=POLICY
by port, or live to ask AWS which policies they have now. It makes the
prediction more certain. A load balancer chooses the highest protocol and then
the first cipher suite in its own order that the client has too, so the client
has nothing that the policy prefers to what was negotiated.

"Keep working" and "will break" are certain; docs/policies.md says what that
rests on.

` + input.PathHelp + `

` + policyflags.FileHelp,
		Example: `  tlswatch whatif --policy ELBSecurityPolicy-2016-08 --to ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09 conn_log_*.log.gz
  tlswatch whatif --to TLS13-1-2-2021-06 --policy 443=TLS13-1-2-Ext2-2021-06 --format json s3://my-logs/AWSLogs/123456789012/`,
		Args: command.Needs(input.Paths),
		RunE: command.Runs(func(cmd *cobra.Command, paths []string) error {
			return o.run(cmd.Context(), paths, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.change.To, "to", "", command.ToUsage)
	f.StringArrayVar(&o.change.Certificates, "certificate", nil, command.CertificateUsage+" (default: those that connections show)")
	command.AddFormat(cmd, &o.format, "table", "json")
	f.IntVar(&o.top, "top", 20, command.TopUsage)
	o.change.Flags.Register(cmd, "makes the prediction more certain")
	command.Renamed(cmd, "from", "policy")
	o.FilterFlags.Register(cmd)
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
	q, caveats, err := o.change.Question(ctx)
	if err != nil {
		return err
	}
	in := input.New(paths, stdin, console.NewProgress(stderr, "log"))
	in.Apply(filter)
	folds := forecast.NewObservations(in.Workers, forecast.MaxObservations)
	readErr := in.Scan(ctx, func(worker int, e *connlog.Entry) { folds[worker].Add(e) })
	if readErr != nil && !errors.As(readErr, new(*input.ReadError)) {
		return in.Finish(ctx, readErr)
	}
	if in.Malformed() > 0 {
		command.Complain(stderr, "%s skipped", text.Counted(in.Malformed(), "invalid line", "invalid lines"))
	}
	if n := in.Ignored().Connections; n > 0 {
		command.Complain(stderr, "%s of ignored addresses left out", text.Plural(n, "connection"))
	}
	for _, what := range slices.Sorted(maps.Keys(in.Skipped())) {
		command.Complain(stderr, "%s skipped: %s", text.Counted(in.Skipped()[what], "file or object", "files or objects"), what)
	}
	result := o.change.Forecast(q, folds, caveats)
	if o.format == "json" {
		err = command.WriteJSON(stdout, result)
	} else {
		b := console.NewWriter(stdout)
		writeForecast(b, &result, o.top)
		err = b.Flush()
	}
	if ctx.Err() == nil {
		filter.WarnNothing(stderr)
	}
	return cmp.Or(err, in.Finish(ctx, readErr))
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
		slices.SortStableFunc(reasons, func(a, b secpolicy.Breaking) int { return cmp.Compare(a.Reason, b.Reason) })
		for len(reasons) > 0 {
			reason := reasons[0].Reason
			fmt.Fprintf(w, "\n  %s\n\n", reason)
			t := text.Table{Columns: "rlll"}
			t.Add("connections", "client", "protocol", "cipher")
			for ; len(reasons) > 0 && reasons[0].Reason == reason; reasons = reasons[1:] {
				b := reasons[0]
				t.Add(text.Count(b.Connections), b.Client, cmp.Or(b.Protocol, "-"), cmp.Or(b.Cipher, "-"))
			}
			w.Table(&t)
		}
		if more := len(r.Breaking) - shown; more > 0 {
			fmt.Fprintf(w, "\n  and %s more; --top 0 shows all\n", text.Count(more))
		}
	}
	if len(r.Undecided) > 0 {
		fmt.Fprintf(w, "\nUNKNOWN\n\n")
		t := text.Table{Columns: "rw"}
		t.Add("connections", "why")
		for _, u := range r.Undecided {
			t.Add(text.Count(u.Connections), u.Reason)
		}
		w.Table(&t)
	}
	if len(r.Notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "  %s\n", note)
	}
}
