package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/report"
)

type reportOptions struct {
	filterFlags
	policyFlags
	format    string
	section   string
	top       int
	bySubnet  string
	anonymize bool
	captures  []string
	whatIf    string
}

func newReport() *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use:   "report PATH...",
		Short: "When, who, what and how often: all about logs in one pass",
		Example: `  tlswatch report --policy ELBSecurityPolicy-TLS13-1-2-2021-06 conn_log_*.log.gz
  tlswatch report --since 2h --failed --policy live s3://my-logs/AWSLogs/123456789012/`,
		Long: `report reads connection logs once and shows the time they cover, the statuses,
protocols, cipher suites, key exchanges, listeners and load balancers, failures
over time, the clients that fail and what they negotiated, client certificates
that failed or soon end, handshake latencies, and lines that are no log entries.

` + pathHelp + `

Counts are exact up to ` + grouped(report.MaxKeys) + ` clients (or other keys) of a list. Beyond,
memory stays the same, and a list is marked as approximate with its error.

With --policy, it says why negotiations failed and what to do about it; with
--what-if, how many connections and clients another policy would break or save,
of which 'tlswatch whatif' tells more; with --captures, it looks in packet
captures for what those clients offered.

Formats: table for people; html, one page with charts that needs no network;
json, which docs/report.md describes; csv, one list chosen by --section.

` + policyDataHelp,
		Args: needs(logPaths),
		RunE: runs(func(cmd *cobra.Command, paths []string) error {
			return o.run(cmd.Context(), paths, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "table", "table, json, csv or html")
	f.StringVar(&o.section, "section", "", "list to write as csv: "+strings.Join(report.Sections(), ", "))
	f.IntVar(&o.top, "top", topOfFormat, "rows of clients, negotiations and certificates; 0 for all (default 10 in a table, 500 in html, all otherwise)")
	f.Lookup("top").DefValue = "0" // which help does not show
	f.StringVar(&o.bySubnet, "by-subnet", "", "group clients by so many leading bits of IPv4, and after a comma of IPv6: 24 or 24,56")
	f.BoolVar(&o.anonymize, "anonymize", false, "replace client addresses and certificate subjects by hashes, the same within one report")
	f.StringVar(&o.whatIf, "what-if", "", "sum up what this security policy would do to the connections; --policy says what they have now")
	completeFlag(cmd, "what-if", completePolicies(&o.data, 0))
	completeFlag(cmd, "format", cobra.FixedCompletions([]string{"table", "json", "csv", "html"}, cobra.ShellCompDirectiveNoFileComp))
	completeFlag(cmd, "section", cobra.FixedCompletions(report.Sections(), cobra.ShellCompDirectiveNoFileComp))
	f.StringArrayVar(&o.captures, "captures", nil, "packet capture with handshakes of the same clients and time: what they offered is shown for lines that failed or have no protocol; repeat for several")
	o.filterFlags.register(cmd)
	o.policyFlags.register(cmd)
	return cmd
}

// logPaths is what commands that read logs want, in short.
const logPaths = "PATH: a log file, a directory, s3://BUCKET/PREFIX, or - for standard input"

// pathHelp says what commands that read logs take.
const pathHelp = `PATH is a log file, gzip-compressed or not, a directory of them (*.log.gz and
*.log), s3://BUCKET/PREFIX, or - for standard input, in any mix. What a directory
or bucket holds beside connection logs is passed over and counted. S3 is read
with the usual AWS credentials, profiles and regions, and needs the permissions
s3:ListBucket and s3:GetObject; with --since or --until, only the folders of those
days are listed. A time is ` + timeForms + `.`

// Rows of a list of clients, negotiations or certificates.
const (
	tableTop = 10
	pageTop  = 500

	topOfFormat = math.MinInt // what --top is by default
)

// Settings of the garbage collector. It has little to do, for lines cost no
// allocations, so it may come often; what a report keeps is bounded.
const (
	gcPercent   = 10
	memoryLimit = 44 << 20
)

func (o *reportOptions) run(ctx context.Context, paths []string, stdin io.Reader, stdout, stderr io.Writer) error {
	options, err := o.check()
	if err != nil {
		return &usageError{err}
	}
	f, err := o.parse(time.Now().UTC())
	if err != nil {
		return err
	}
	judge, err := o.load(ctx)
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
	in := newInputs(paths, stdin, newProgress(stderr, "log"))
	in.apply(f)
	collector := report.New(options)
	workers := make([]*report.Worker, in.workers)
	for i := range workers {
		workers[i] = collector.Worker()
	}
	if whatIf != nil {
		whatIf.folds = newObservations(in.workers, reportObservations)
	}
	err = in.scan(ctx, func(worker int, e *connlog.Entry) {
		workers[worker].Add(e)
		if joined != nil {
			joined.line(e)
		}
		if whatIf != nil {
			whatIf.folds[worker].add(e)
		}
	})
	for _, w := range workers {
		w.Close()
	}
	if err != nil && !errors.As(err, new(*inputsError)) {
		return in.finish(ctx, err)
	}
	if judge != nil {
		collector.Diagnose(judge.policy, judge.why)
	}
	top := o.top
	switch {
	case top < 0 && o.format == "table":
		top = tableTop
	case top < 0 && o.format == "html":
		top = pageTop
	}
	result := collector.Result(in.source(ctx.Err() != nil), max(top, 0))
	if joined != nil {
		joined.addTo(result, collector, judge, max(top, 0))
	}
	if whatIf != nil {
		result.WhatIf = whatIf.summary()
	}
	writeErr := o.write(result, stdout)
	if joined != nil {
		writeRemarks(stderr, joined.remarks())
	}
	writeRemarks(stderr, judge.remarks())
	if ctx.Err() == nil {
		f.warnNothing(stderr)
	}
	return cmp.Or(writeErr, in.finish(ctx, err), captureErr)
}

// check returns what the flags ask for.
func (o *reportOptions) check() (options report.Options, err error) {
	switch {
	case !slices.Contains([]string{"table", "json", "csv", "html"}, o.format):
		return options, fmt.Errorf("--format %s: want table, json, csv or html", o.format)
	case o.format == "csv" && !slices.Contains(report.Sections(), o.section):
		return options, fmt.Errorf("--format csv needs --section, one of %s", strings.Join(report.Sections(), ", "))
	case o.format != "csv" && o.section != "":
		return options, errors.New("--section is for --format csv")
	case o.section == "captured-offers" && len(o.captures) == 0:
		return options, errors.New("--section captured-offers needs --captures")
	case slices.Contains(o.captures, stdinPath):
		return options, errors.New("--captures takes files, not standard input")
	case o.section == "diagnoses" && o.policy == "":
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

func (o *reportOptions) write(r *report.Result, stdout io.Writer) error {
	w := bufio.NewWriterSize(stdout, 1<<16)
	var err error
	switch o.format {
	case "json":
		err = r.WriteJSON(w)
	case "csv":
		err = r.WriteCSV(w, o.section)
	case "html":
		err = r.WriteHTML(w)
	default:
		err = r.WriteText(w, terminalOf(stdout))
	}
	return cmp.Or(err, w.Flush())
}

// source is what the inputs add to a report.
func (in *inputs) source(partial bool) report.Source {
	t := &in.seen
	s := report.Source{Objects: t.objects, OutsideObjects: t.outside, Bytes: t.bytes, Lines: t.lines, MalformedLines: t.malformed, Partial: partial}
	for _, reason := range slices.Sorted(maps.Keys(t.skipped)) {
		s.Skipped = append(s.Skipped, report.SkippedCount{Reason: reason, Count: t.skipped[reason]})
	}
	for _, m := range t.sample {
		e := *m.err
		e.Line = 0 // said apart
		s.Malformed = append(s.Malformed, report.MalformedLine{Object: m.input.name, Line: m.err.Line, Error: e.Error()})
	}
	for _, f := range t.failed {
		s.FailedObjects = append(s.FailedObjects, report.FailedObject{Object: f.name, Error: f.err.Error()})
	}
	return s
}
