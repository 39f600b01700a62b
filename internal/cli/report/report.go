// Package report is the command report: it sums up logs.
package report

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/forecast"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/cli/policies"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/report"
	"tlswatch/pkg/report/view"
)

type options struct {
	input.FilterFlags
	policies.Flags
	format    string
	section   string
	top       int
	bySubnet  string
	anonymize bool
	captures  []string
	whatIf    string
}

// New returns the command.
func New() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "report PATH...",
		Short: "When, who, what and how often: all about logs in one pass",
		Example: `  tlswatch report --policy ELBSecurityPolicy-TLS13-1-2-2021-06 conn_log_*.log.gz
  tlswatch report --since 2h --failed --policy live s3://my-logs/AWSLogs/123456789012/`,
		Long: `report reads connection logs once and shows the time they cover, the statuses,
protocols, cipher suites, key exchanges, listeners and load balancers, failures
over time, the clients that fail and what they negotiated, client certificates
that failed or soon end, handshake latencies, and lines that are no log entries.

` + input.PathHelp + `

Counts are exact up to ` + text.Count(report.MaxKeys) + ` clients (or other keys) of a list. Beyond,
memory stays the same, and a list is marked as approximate with its error.

With --policy, it says why negotiations failed and what to do about it; with
--what-if, how many connections and clients another policy would break or save,
of which 'tlswatch whatif' tells more; with --captures, it looks in packet
captures for what those clients offered.

Formats: table for people; html, one page with charts that needs no network;
json, which docs/report.md describes; csv, one list chosen by --section.

` + policies.FileHelp,
		Args: command.Needs(input.Paths),
		RunE: command.Runs(func(cmd *cobra.Command, paths []string) error {
			return o.run(cmd.Context(), paths, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	command.AddFormat(cmd, &o.format, "table", "json", "csv", "html")
	f.StringVar(&o.section, "section", "", "list to write as csv: "+strings.Join(report.Sections(), ", "))
	f.IntVar(&o.top, "top", topOfFormat, "rows of clients, negotiations and certificates; 0 for all (default 10 in a table, 500 in html, all otherwise)")
	f.Lookup("top").DefValue = "0" // which help does not show
	f.StringVar(&o.bySubnet, "by-subnet", "", "group clients by so many leading bits of IPv4, and after a comma of IPv6: 24 or 24,56")
	f.BoolVar(&o.anonymize, "anonymize", false, "replace client addresses and certificate subjects by hashes, the same within one report")
	f.StringVar(&o.whatIf, "what-if", "", "sum up what this security policy would do to the connections; --policy says what they have now")
	command.CompleteFlag(cmd, "what-if", policies.Complete(&o.File, 0))
	command.CompleteWith(cmd, "section", report.Sections()...)
	f.StringArrayVar(&o.captures, "captures", nil, "packet capture with handshakes of the same clients and time: what they offered is shown for lines that failed or have no protocol; repeat for several")
	o.FilterFlags.Register(cmd)
	o.Flags.Register(cmd)
	return cmd
}

const (
	pageTop = 500 // rows of a list of clients, negotiations or certificates

	topOfFormat = math.MinInt // what --top is by default
)

// Settings of the garbage collector. It has little to do, for lines cost no
// allocations, so it may come often; what a report keeps is bounded.
const (
	gcPercent   = 10
	memoryLimit = 44 << 20
)

func (o *options) run(ctx context.Context, paths []string, stdin io.Reader, stdout, stderr io.Writer) error {
	options, err := o.check()
	if err != nil {
		return command.Usage(err)
	}
	f, err := o.Parse(time.Now().UTC())
	if err != nil {
		return err
	}
	judge, err := o.Load(ctx)
	if err != nil {
		return err
	}
	whatIf, err := o.newWhatIf(ctx)
	if err != nil {
		return err
	}
	options.ByListener, options.Heat = judge != nil, o.format == "html"
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryLimit))
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	var joined *captured
	var captureErr error // what came before the fault counts
	if len(o.captures) > 0 {
		if joined, captureErr = readCaptured(ctx, o.captures); captureErr != nil {
			captureErr = fmt.Errorf("--captures: %w", captureErr)
			if joined.handshakes == 0 && ctx.Err() == nil {
				return captureErr
			}
		}
	}
	in := input.New(paths, stdin, console.NewProgress(stderr, "log"))
	in.Apply(f)
	collector := report.New(options)
	workers := make([]*report.Worker, in.Workers)
	for i := range workers {
		workers[i] = collector.Worker()
	}
	if whatIf != nil {
		whatIf.folds = forecast.NewObservations(in.Workers, maxObserved)
	}
	err = in.Scan(ctx, func(worker int, e *connlog.Entry) {
		workers[worker].Add(e)
		if joined != nil {
			joined.line(e)
		}
		if whatIf != nil {
			whatIf.folds[worker].Add(e)
		}
	})
	for _, w := range workers {
		w.Close()
	}
	if err != nil && !errors.As(err, new(*input.ReadError)) {
		return in.Finish(ctx, err)
	}
	if judge != nil {
		collector.Diagnose(judge.Policy, judge.Why)
	}
	top := o.top
	switch {
	case top < 0 && o.format == "table":
		top = console.TableRows
	case top < 0 && o.format == "html":
		top = pageTop
	}
	result := collector.Result(in.Source(ctx.Err() != nil), max(top, 0))
	if joined != nil {
		joined.addTo(result, collector, judge, max(top, 0))
	}
	if whatIf != nil {
		result.WhatIf = whatIf.summary()
	}
	writeErr := o.write(result, stdout)
	if joined != nil {
		command.WriteRemarks(stderr, joined.remarks())
	}
	command.WriteRemarks(stderr, judge.Remarks())
	if ctx.Err() == nil {
		f.WarnNothing(stderr)
	}
	return cmp.Or(writeErr, in.Finish(ctx, err), captureErr)
}

// check returns what the flags ask for.
func (o *options) check() (options report.Options, err error) {
	switch {
	case o.format == "csv" && !slices.Contains(report.Sections(), o.section):
		return options, fmt.Errorf("--format csv needs --section, one of %s", strings.Join(report.Sections(), ", "))
	case o.format != "csv" && o.section != "":
		return options, errors.New("--section is for --format csv")
	case o.section == "captured-offers" && len(o.captures) == 0:
		return options, errors.New("--section captured-offers needs --captures")
	case slices.Contains(o.captures, command.StdinPath):
		return options, errors.New("--captures takes files, not standard input")
	case o.section == "diagnoses" && o.Policy == "":
		return options, errors.New("--section diagnoses needs --policy")
	case o.section == "what-if" && o.whatIf == "":
		return options, errors.New("--section what-if needs --what-if")
	case o.top < 0 && o.top != topOfFormat:
		return options, fmt.Errorf("--top %d: want 0 or more", o.top)
	}
	if o.bySubnet != "" {
		v4, v6, ok := strings.Cut(o.bySubnet, ",")
		if !ok {
			v6 = "64" // what a household or host usually has
		}
		a, err4 := strconv.Atoi(v4)
		b, err6 := strconv.Atoi(v6)
		if err4 != nil || err6 != nil || a < 1 || a > 32 || b < 1 || b > 128 {
			return options, fmt.Errorf("--by-subnet %s: want 1 to 32 bits of IPv4, and after a comma 1 to 128 of IPv6", o.bySubnet)
		}
		options.IPv4Prefix, options.IPv6Prefix = a, b
	}
	if o.anonymize {
		options.AnonymizeKey = make([]byte, 32)
		rand.Read(options.AnonymizeKey) // which never fails
	}
	return options, nil
}

func (o *options) write(r *report.Result, stdout io.Writer) error {
	w := bufio.NewWriterSize(stdout, 1<<16)
	var err error
	switch o.format {
	case "json":
		err = r.WriteJSON(w)
	case "csv":
		err = r.WriteCSV(w, o.section)
	case "html":
		err = view.WriteHTML(w, r)
	default:
		err = view.WriteText(w, r, console.Screen(stdout))
	}
	return cmp.Or(err, w.Flush())
}
