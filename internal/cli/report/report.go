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
	"tlswatch/internal/cli/input"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/report"
	"tlswatch/pkg/report/view"
)

type options struct {
	input.FilterFlags
	policyflags.Flags
	format    string
	section   string
	top       int
	bySubnet  string
	anonymize bool
	expiring  string
	captures  []string
	access    []string
	to        string
	compare   string
}

// New returns the command.
func New() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "report PATH...",
		Short: "Summarize TLS failures in logs",
		Example: `  tlswatch report --policy ELBSecurityPolicy-TLS13-1-2-2021-06 conn_log_*.log.gz
  tlswatch report --since 2h --failed --policy live s3://my-logs/AWSLogs/123456789012/`,
		Long: `report reads connection logs once and summarizes them: the time they cover;
statuses, protocols, cipher suites, key exchanges, listeners and load balancers;
failures over time; the clients that fail and what they negotiated; client
certificates that failed or will soon expire; handshake latencies; and invalid
lines.

` + input.PathHelp + `

Counts are exact for up to ` + text.Count(report.MaxKeys) + ` clients, or other keys, in each list. Above
that, rare keys are dropped to limit memory, and the list is marked as
approximate with its largest error.

--policy explains why negotiations failed and what to do about it. --to shows
how many connections and clients another policy would break or fix; 'tlswatch
whatif' has the details. --captures shows what failing clients offered, from
packet captures.

Formats: table, for people; html, one page with charts that works offline;
markdown, for a ticket or a chat; json, described in docs/report.md; csv, one
list, chosen by --section.

` + policyflags.FileHelp,
		Args: command.Needs(input.Paths),
		RunE: command.Runs(func(cmd *cobra.Command, paths []string) error {
			return o.run(cmd.Context(), paths, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	command.AddFormat(cmd, &o.format, "table", "json", "csv", "html", "markdown")
	f.StringVar(&o.section, "section", "", "`LIST` to write as csv: "+strings.Join(report.Sections(), ", "))
	f.IntVar(&o.top, "top", topOfFormat, command.TopUsage+" (default 10 in a table or markdown, 500 in html, all otherwise)")
	f.Lookup("top").DefValue = "0" // which help does not show
	f.StringVar(&o.bySubnet, "by-subnet", "", "group clients by the first `BITS` of their addresses: 24 for IPv4, or 24,56 for IPv4 and IPv6")
	f.BoolVar(&o.anonymize, "anonymize", false, "replace client addresses and certificate subjects with hashes that are the same throughout a report")
	f.StringVar(&o.expiring, "expiring", strconv.Itoa(report.CertificateDays)+"d", "list client certificates that expire within this `DURATION` of the last line, such as 90d")
	f.StringVar(&o.to, "to", "", command.ToUsage+"; adds what it would break or fix")
	command.Renamed(cmd, "what-if", "to")
	f.StringVar(&o.compare, "compare", "", "compare with the same span this `DURATION` earlier, such as 1h, 1d or 7d")
	command.CompleteFlag(cmd, "to", policyflags.Complete(&o.File, 0))
	command.CompleteWith(cmd, "section", report.Sections()...)
	f.StringArrayVar(&o.captures, "captures", nil, "packet capture `FILE` of the same clients and time: adds what they offered when they failed; repeatable")
	f.StringArrayVar(&o.access, "access-logs", nil, "access logs of the same load balancers and time, as `PATH`: adds hosts, user agents and target groups of clients that fail or use weak TLS; repeatable")
	o.FilterFlags.Register(cmd)
	command.AddRequesterPays(cmd)
	o.Flags.Register(cmd, "explains why negotiations failed")
	return cmd
}

const (
	pageTop = 500 // rows of a list of clients, negotiations or certificates

	topOfFormat = math.MinInt // default of --top: depends on --format
)

// Settings of the garbage collector. Lines need no allocations and a report's memory is
// bounded, so frequent collections cost little.
const (
	gcPercent   = 10
	memoryLimit = 44 << 20
)

func (o *options) run(ctx context.Context, paths []string, stdin io.Reader, stdout, stderr io.Writer) error {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryLimit))
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	a, err := o.prepare(ctx, paths)
	if err != nil {
		return err
	}
	in := input.New(paths, stdin, console.NewProgress(stderr, "log"))
	in.Apply(a.filter)
	err = a.read(ctx, in)
	if err != nil && !errors.As(err, new(*input.ReadError)) {
		return in.Finish(ctx, err)
	}
	source := in.Source(ctx.Err() != nil)
	if a.access != nil && ctx.Err() == nil {
		filter, filterErr := o.AnyOutcome().Filter(time.Now().UTC())
		a.accessErr = cmp.Or(filterErr, a.access.read(ctx, input.New(paths, nil, console.NewProgress(stderr, "log")), filter, a.collector.Client, stderr))
	}
	var failing report.Failing
	if o.compare != "" {
		failing = a.collector.Failing()
	}
	r := a.result(source, o.rows())
	r.Zone = o.Zone()
	if o.compare != "" && ctx.Err() == nil {
		a.compareErr = o.addEarlier(ctx, a, r, failing, paths, console.NewProgress(stderr, "log"))
	}
	if flag := o.ByOutcome(); flag != "" {
		r.OmitStory(flag)
	}
	writeErr := o.write(r, stdout)
	if a.captured != nil {
		command.WriteRemarks(stderr, a.captured.remarks())
	}
	command.WriteRemarks(stderr, a.judge.Remarks())
	if a.access != nil {
		command.WriteRemarks(stderr, a.access.remarks())
	}
	if ctx.Err() == nil {
		a.filter.WarnNothing(stderr)
	}
	return cmp.Or(writeErr, in.Finish(ctx, err), a.captureErr, a.accessErr, a.compareErr)
}

// An analysis collects lines, and what a report says about them.
type analysis struct {
	filter     *input.Filter
	collector  *report.Collector
	judge      *policyflags.Judge // nil without --policy
	whatIf     *whatIf            // nil without --what-if
	captured   *captured          // nil without --captures
	captureErr error              // why the captures were not read to their end
	access     *accessLog         // nil without --access-logs
	accessErr  error              // why the access logs were not read to their end
	settings   report.Options
	compareErr error // why the logs of --compare were not read to their end
}

// prepare reads the flags, policies and captures.
func (o *options) prepare(ctx context.Context, paths []string) (*analysis, error) {
	settings, err := o.check(paths)
	if err != nil {
		return nil, command.Usage(err)
	}
	a := new(analysis)
	if a.filter, err = o.Filter(time.Now().UTC()); err != nil {
		return nil, err
	}
	if a.judge, err = o.Judge(ctx); err != nil {
		return nil, err
	}
	if a.whatIf, err = o.newWhatIf(ctx); err != nil {
		return nil, err
	}
	if a.access, err = newAccessLog(o.access, paths); err != nil {
		return nil, err
	}
	settings.ByListener, settings.Heat = a.judge != nil, o.format == "html"
	if a.judge != nil {
		settings.Policies, settings.Policy = a.judge.Set, a.judge.PolicyAt
	}
	a.settings = settings
	a.collector = report.New(settings)
	if len(o.captures) == 0 {
		return a, nil
	}
	if a.captured, err = readCaptured(ctx, o.captures); err != nil {
		a.captureErr = fmt.Errorf("--captures: %w", err)
		if a.captured.handshakes == 0 && ctx.Err() == nil {
			return nil, a.captureErr
		}
	}
	return a, nil
}

// read collects the lines.
func (a *analysis) read(ctx context.Context, in *input.Logs) error {
	workers := make([]*report.Worker, in.Workers)
	for i := range workers {
		workers[i] = a.collector.Worker()
	}
	if a.whatIf != nil {
		a.whatIf.log = a.whatIf.change.NewLog(in.Workers, maxObserved)
	}
	if a.access != nil {
		a.access.start(in.Workers)
	}
	err := in.ScanAll(ctx, func(worker int, e *connlog.Entry, passes bool) {
		if a.whatIf != nil {
			a.whatIf.log.Add(worker, e, passes)
		}
		if !passes {
			return
		}
		workers[worker].Add(e)
		if a.access != nil {
			a.access.line(worker, e)
		}
		if a.captured != nil {
			a.captured.line(e)
		}
	})
	for _, w := range workers {
		w.Close()
	}
	return err
}

// result returns the report, with a number of rows in each list, 0 for all.
func (a *analysis) result(source report.Source, rows int) *report.Result {
	if a.judge != nil {
		why := a.judge.Why
		if a.captured != nil {
			why = func(f report.Failure) report.Diagnosis { return a.captured.explain(f, a.judge.Why(f)) }
		}
		a.collector.Diagnose(a.judge.Policy, why)
	}
	r := a.collector.Result(source, rows)
	addSoftware(r, a.judge.One())
	if a.captured != nil {
		a.captured.addTo(r, a.collector, a.judge, rows)
	}
	if a.whatIf != nil {
		r.WhatIf = a.whatIf.summary()
	}
	if a.access != nil {
		a.access.addTo(r, rows)
	}
	return r
}

// rows returns the number of rows in each list, 0 for all.
func (o *options) rows() int {
	switch {
	case o.top != topOfFormat:
		return o.top
	case o.format == "table", o.format == "markdown":
		return console.TableRows
	case o.format == "html":
		return pageTop
	}
	return 0
}

// checkSection checks that there is the list to write as csv.
func (o *options) checkSection() error {
	lists := strings.Join(report.Sections(), ", ")
	switch {
	case o.format != "csv" && o.section != "":
		return errors.New("--section is for --format csv")
	case o.format != "csv":
	case o.section == "":
		return fmt.Errorf("--format csv needs --section LIST\nwant one of %s", lists)
	case !slices.Contains(report.Sections(), o.section):
		return fmt.Errorf("there is no --section %s%s\nwant one of %s", o.section, command.Suggestion(o.section, report.Sections()), lists)
	case o.section == "captured-offers" && len(o.captures) == 0:
		return errors.New("--section captured-offers needs --captures")
	case o.section == "client-requests" && len(o.access) == 0:
		return errors.New("--section client-requests needs --access-logs")
	case o.section == "diagnoses" && o.Policy == "":
		return errors.New("--section diagnoses needs --policy")
	case o.section == "differences" && o.compare == "":
		return errors.New("--section differences needs --compare")
	case o.section == "what-if" && o.to == "":
		return errors.New("--section what-if needs --to")
	}
	return nil
}

// check turns the flags into options.
func (o *options) check(paths []string) (options report.Options, err error) {
	if err := o.checkSection(); err != nil {
		return options, err
	}
	switch {
	case slices.Contains(o.captures, command.StdinPath):
		return options, errors.New("--captures takes files, not standard input")
	case o.compare != "" && slices.Contains(paths, command.StdinPath):
		return options, errors.New("--compare reads logs twice, which standard input cannot")
	case o.top < 0 && o.top != topOfFormat:
		return options, fmt.Errorf("--top must be 0 or more, not %d", o.top)
	}
	if _, err := o.offset(); err != nil {
		return options, err
	}
	if options.Expiring, err = input.ParseAge(o.expiring); err != nil || options.Expiring == 0 {
		return options, fmt.Errorf("--expiring must be a duration such as 30d or 12h, not %q", o.expiring)
	}
	options.AllClients = o.section == report.NonPostQuantumSection || o.top == 0
	if o.bySubnet != "" {
		v4, v6, ok := strings.Cut(o.bySubnet, ",")
		if !ok {
			v6 = "64" // what a household or host usually has
		}
		a, err4 := strconv.Atoi(v4)
		b, err6 := strconv.Atoi(v6)
		if err4 != nil || err6 != nil || a < 1 || a > 32 || b < 1 || b > 128 {
			return options, fmt.Errorf("--by-subnet must be 1 to 32 bits for IPv4, and after a comma 1 to 128 for IPv6, not %q", o.bySubnet)
		}
		options.IPv4Prefix, options.IPv6Prefix = a, b
	}
	if o.anonymize {
		options.AnonymizeKey = make([]byte, 32)
		rand.Read(options.AnonymizeKey) // never fails
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
	case "markdown":
		err = view.WriteMarkdown(w, r)
	default:
		err = view.WriteText(w, r, console.Screen(stdout))
	}
	return cmp.Or(err, w.Flush())
}
