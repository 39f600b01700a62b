// Package input reads the logs that a command is given: files, directories, standard
// input and objects in S3. Filters restrict which lines count.
package input

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"tlswatch/internal/cli/archive"
	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/report"
)

// Logs are the logs that a command reads: files, directories, standard input
// and objects under s3:// prefixes, in any mix. Each or Scan reads them, once.
type Logs struct {
	paths    []string
	stdin    io.Reader
	progress *console.Progress
	filter   *Filter
	access   bool // reads access logs instead
	Workers  int  // readers at the same time
	s3       cloud.Buckets

	mu   sync.Mutex // guards what follows
	seen totals
}

// totals counts what was read.
type totals struct {
	objects   int            // read, to their end or not
	skipped   map[string]int // not connection logs, by what they are
	outside   int            // of another time or load balancer than the filter's
	bytes     int64          // of text
	lines     int
	malformed int
	ignored   report.Counts   // connections of addresses that the user ignores
	sample    []malformedLine // the first of the malformed lines, in the order of the inputs
	failed    []*logError     // in the order of the inputs
}

// Skipped returns how many files and objects were skipped, by what they are.
func (in *Logs) Skipped() map[string]int { return in.seen.skipped }

// WriteLeftOut says what was left out of the logs.
func (in *Logs) WriteLeftOut(stderr io.Writer) {
	t := &in.seen
	if t.malformed > 0 {
		command.Complain(stderr, "%s skipped", text.Counted(t.malformed, "invalid line", "invalid lines"))
	}
	if n := t.ignored.Connections; n > 0 {
		command.Complain(stderr, "%s of ignored addresses left out", text.Plural(n, "connection"))
	}
	for _, what := range slices.Sorted(maps.Keys(t.skipped)) {
		command.Complain(stderr, "%s skipped: %s", text.Counted(t.skipped[what], "file or object", "files or objects"), what)
	}
}

// A malformedLine is a line that is not a log entry.
type malformedLine struct {
	log *Log
	err *connlog.ParseError
}

// maxMalformed is the largest number of malformed lines to show.
const maxMalformed = 1000

// A Log is one log.
type Log struct {
	Name   string // as messages have it: a path, or s3://BUCKET/KEY
	Size   int64  // bytes as stored; 0 if not known
	index  int    // in the order of the arguments, then of names
	remote bool   // opened ahead of time
	open   func(context.Context) (io.ReadCloser, error)
}

// large reports whether two cores may be worthwhile.
func (i *Log) large() bool { return i.Size > largeLog || i.Size == 0 }

// loadBalancer returns the load balancer in the log's name, or "".
func (i *Log) loadBalancer() string {
	key, err := logkey.Parse(filepath.ToSlash(i.Name))
	if err != nil {
		return ""
	}
	return key.LoadBalancer
}

// New returns the logs at paths. The progress may be nil.
func New(paths []string, stdin io.Reader, p *console.Progress) *Logs {
	return &Logs{
		paths:    paths,
		stdin:    stdin,
		progress: p,
		Workers:  min(runtime.GOMAXPROCS(0), 16),
		seen:     totals{skipped: make(map[string]int)},
	}
}

// NewAccessLogs returns the access logs at paths.
func NewAccessLogs(paths []string, p *console.Progress) *Logs {
	in := New(paths, nil, p)
	in.access = true
	return in
}

// Apply sets a filter. Each leaves out logs whose names show that no line can pass,
// and Scan also leaves out lines.
func (in *Logs) Apply(f *Filter) { in.filter = f }

// check finds invalid arguments before anything is read.
func (in *Logs) check() error {
	dashes := 0
	for _, path := range in.paths {
		switch {
		case path == command.StdinPath:
			if dashes++; dashes > 1 {
				return command.Usagef("standard input (-) can be read only once")
			}
		case strings.HasPrefix(path, cloud.S3Scheme):
			if _, _, err := cloud.ParseS3(path); err != nil {
				return command.Usage(err)
			}
		default:
			if _, err := os.Stat(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// Each calls work for every log, from several goroutines, each with its own worker
// number and reader. An error of work does not keep it from reading the other logs; it
// then returns a *ReadError. It ends early when ctx does.
func (in *Logs) Each(ctx context.Context, work func(worker int, i *Log, r *connlog.Reader) error) error {
	type readers struct{ alone, among *connlog.Reader } // made when needed
	own := make([]readers, in.Workers)
	return in.each(ctx, func(worker int, spare bool, log *Log, body io.Reader) (volume, error) {
		r := &own[worker].among
		var options []connlog.Option
		if spare {
			r, options = &own[worker].alone, []connlog.Option{connlog.ReadAhead}
			defer func() { (*r).Reset(nil) }()
		}
		if *r == nil {
			*r = connlog.NewReader(nil, options...)
		}
		(*r).Reset(body)
		if log.loadBalancer() != "" {
			(*r).IgnoreLoadBalancer()
		}
		err := work(worker, log, *r)
		return volume{(*r).Lines(), (*r).Bytes()}, err
	})
}

// EachBody is as Each, for logs that read reads. It returns the lines and bytes of text.
func (in *Logs) EachBody(ctx context.Context, read func(body io.Reader) (lines int, bytes int64, err error)) error {
	return in.each(ctx, func(_ int, _ bool, _ *Log, body io.Reader) (volume, error) {
		lines, bytes, err := read(body)
		return volume{lines, bytes}, err
	})
}

// A volume is how much was read.
type volume struct {
	lines int
	bytes int64 // of text
}

// A reading reads a log that is open. There is a spare core if spare is set.
type reading func(worker int, spare bool, log *Log, body io.Reader) (volume, error)

// each calls read for every log, from several goroutines.
func (in *Logs) each(ctx context.Context, read reading) error {
	if err := in.check(); err != nil {
		return err
	}
	in.progress.Start(0, 0)
	defer in.progress.End()
	queue := make(chan *opening)
	go in.feed(ctx, queue)
	var workers sync.WaitGroup
	var busy atomic.Int32
	for n := range in.Workers {
		workers.Go(func() {
			for o := range queue {
				// The last large logs use the cores that are idle.
				spare := int(busy.Add(1)) <= in.Workers/2 && o.last && o.large()
				in.readOne(ctx, n, spare, o, read)
				busy.Add(-1)
			}
		})
	}
	workers.Wait()
	return in.result(ctx)
}

// readOne reads a log, or the logs in an archive.
func (in *Logs) readOne(ctx context.Context, worker int, spare bool, o *opening, read reading) {
	body, err := o.take(ctx)
	if o.release != nil {
		defer o.release()
	}
	if err != nil {
		in.fail(ctx, &logError{name: o.Name, index: o.index, err: err})
		return
	}
	defer body.Close()
	err = archive.Each(&logReader{body, ctx, in.progress}, func(f archive.File) error {
		log := o.Log
		if f.Name != "" {
			log = &Log{Name: o.Name + "/" + f.Name, index: o.index}
			if !in.reads(log.Name) {
				return nil
			}
		}
		v, err := read(worker, spare, log, f)
		in.mu.Lock()
		in.seen.objects++
		in.seen.bytes += v.bytes
		in.seen.lines += v.lines
		in.mu.Unlock()
		if err != nil {
			in.fail(ctx, &logError{name: log.Name, index: log.index, err: err, opened: true, lines: v.lines})
		}
		return ctx.Err()
	})
	if err != nil {
		in.fail(ctx, &logError{name: o.Name, index: o.index, err: err})
	}
	in.progress.Add(1, 0)
}

// fail notes that a log cannot be read, unless that is because ctx ended.
func (in *Logs) fail(ctx context.Context, failed *logError) {
	if ctx.Err() != nil {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.seen.failed = append(in.seen.failed, failed)
}

// ErrNoLogs means that nothing at the paths looks like a log, of the filter's time.
var ErrNoLogs = errors.New("no log files (.log.gz or .log)")

// result returns the error of reading.
func (in *Logs) result(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	slices.SortFunc(in.seen.failed, func(a, b *logError) int { return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.name, b.name)) })
	in.seen.sortSample()
	switch {
	case ctx.Err() != nil:
		return nil // Finish reports it
	case len(in.seen.failed) > 0:
		logs := in.seen.objects
		for _, f := range in.seen.failed {
			if !f.opened {
				logs++
			}
		}
		return &ReadError{in.seen.failed, logs}
	case in.seen.objects == 0 && in.seen.outside == 0:
		err := fmt.Errorf("%w in %s", ErrNoLogs, strings.Join(in.paths, ", "))
		if in.filter != nil && in.filter.covered != (Span{}) {
			err = fmt.Errorf("%w for the days of --since and --until: the logs there %s", err, in.filter.whyTime())
		}
		for _, what := range slices.Sorted(maps.Keys(in.seen.skipped)) {
			err = fmt.Errorf("%w\n  %s skipped: %s", err, text.Counted(in.seen.skipped[what], "file or object", "files or objects"), what)
		}
		return err
	}
	return nil
}

// Finish returns the error of a command that has written its result: the error of
// reading, or that it was interrupted.
func (in *Logs) Finish(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return command.Interrupted("interrupted; the result is partial")
	}
	return err
}

// Scan calls add for each entry that passes the filter, from several goroutines with a
// worker number each. Entries without a load balancer get the one in the log's name.
// Malformed lines are counted. A log with no other lines is an error.
func (in *Logs) Scan(ctx context.Context, add func(worker int, e *connlog.Entry)) error {
	return in.ScanAll(ctx, func(worker int, e *connlog.Entry, passes bool) {
		if passes {
			add(worker, e)
		}
	})
}

// ScanAll is Scan with all entries of the logs that are read, whether they pass or
// not.
func (in *Logs) ScanAll(ctx context.Context, add func(worker int, e *connlog.Entry, passes bool)) error {
	return in.Each(ctx, func(worker int, i *Log, r *connlog.Reader) error {
		loadBalancer := i.loadBalancer()
		malformed := 0
		var sample []malformedLine
		var covered Span
		var ignored report.Counts
		defer func() {
			in.note(malformed, sample, ignored)
			in.filter.cover(covered)
		}()
		var e connlog.Entry
		for n := 0; ; n++ {
			switch err := r.Read(&e).(type) {
			case nil:
				if e.LoadBalancer == "" {
					e.LoadBalancer = loadBalancer
				}
				if in.filter != nil {
					covered.extend(e.Time)
				}
				passes := in.filter.Match(&e)
				if passes && in.filter.Ignores(&e) {
					passes = false
					ignored.Connections++
					if e.Failed() {
						ignored.Failed++
					}
				}
				add(worker, &e, passes)
			case *connlog.ParseError:
				if malformed++; malformed <= maxMalformed {
					sample = append(sample, malformedLine{i, err})
				}
			default:
				if err == io.EOF {
					if 0 < malformed && malformed == n {
						return &connlog.FormatError{Format: "text without a single log entry"}
					}
					return nil
				}
				return err
			}
		}
	})
}

// note counts lines of a log that add did not get.
func (in *Logs) note(malformed int, sample []malformedLine, ignored report.Counts) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.seen.malformed += malformed
	in.seen.ignored.Connections += ignored.Connections
	in.seen.ignored.Failed += ignored.Failed
	if in.seen.sample = append(in.seen.sample, sample...); len(in.seen.sample) > 4*maxMalformed {
		in.seen.sortSample()
	}
}

func (t *totals) sortSample() {
	slices.SortFunc(t.sample, func(a, b malformedLine) int {
		return cmp.Or(cmp.Compare(a.log.index, b.log.index), cmp.Compare(a.log.Name, b.log.Name), cmp.Compare(a.err.Line, b.err.Line))
	})
	t.sample = slices.Clip(t.sample[:min(len(t.sample), maxMalformed)])
}
