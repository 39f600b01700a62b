// Package input reads the logs that a command is given: files, directories,
// standard input and objects in S3, and of them the lines that pass filters.
package input

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
)

// Logs are the logs that a command reads: files, directories, standard input
// and what lies under s3:// prefixes, in any mix. They are read once, by each
// or scan.
type Logs struct {
	paths    []string
	stdin    io.Reader
	progress *console.Progress
	filter   *Filter
	Workers  int // readers at the same time
	s3       cloud.Buckets

	mu   sync.Mutex // guards what follows
	seen totals
}

// totals is what was met while reading.
type totals struct {
	objects   int            // read, to their end or not
	skipped   map[string]int // no connection logs, by what they are instead
	outside   int            // of another time or load balancer than asked for
	bytes     int64          // of text
	lines     int
	malformed int
	sample    []malformedLine // the first of the malformed lines, in the order of the inputs
	failed    []*logError     // in the order of the inputs
}

// Malformed returns how many lines were no log entries.
func (in *Logs) Malformed() int { return in.seen.malformed }

// Skipped counts what was passed over, by what it is.
func (in *Logs) Skipped() map[string]int { return in.seen.skipped }

// A malformedLine is a line that is no log entry.
type malformedLine struct {
	log *Log
	err *connlog.ParseError
}

// maxMalformed bounds how many malformed lines are shown.
const maxMalformed = 1000

// A Log is one log.
type Log struct {
	Name   string // as messages have it: a path, or s3://BUCKET/KEY
	Size   int64  // bytes as stored; 0 if not known
	index  int    // in the order of the arguments, then of names
	remote bool   // worth being opened ahead
	open   func(context.Context) (io.ReadCloser, error)
}

// large reports whether the log may be worth two cores.
func (i *Log) large() bool { return i.Size > largeLog || i.Size == 0 }

// loadBalancer returns what the name tells, or "".
func (i *Log) loadBalancer() string {
	key, err := connlog.ParseObjectKey(filepath.ToSlash(i.Name))
	if err != nil {
		return ""
	}
	return key.LoadBalancer
}

// A logError is why a log, or a listing of them, was not read to its end.
type logError struct {
	name   string
	index  int
	opened bool
	lines  int // that were read before, and count
	err    error
}

func (e *logError) Error() string {
	message := text.Printable(e.name) + ": " + e.err.Error()
	if _, refused := errors.AsType[*connlog.FormatError](e.err); e.lines > 0 && !refused {
		message += " (the lines before are counted: " + text.Count(e.lines) + ")"
	}
	return message
}

func (e *logError) Unwrap() error { return e.err }

// A ReadError names the logs that were not read to their end.
type ReadError struct {
	failed []*logError
	logs   int // of so many
}

func (e *ReadError) Error() string {
	const most = 10
	if e.logs == 1 {
		return e.failed[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s logs could not be read to the end; the others are reported:", text.Count(len(e.failed)), text.Count(e.logs))
	for i, f := range e.failed {
		if i == most {
			fmt.Fprintf(&b, "\n  and %d more", len(e.failed)-most)
			break
		}
		b.WriteString("\n  " + f.Error())
	}
	return b.String()
}

// New returns the inputs that arguments name. The progress may be nil.
func New(paths []string, stdin io.Reader, p *console.Progress) *Logs {
	return &Logs{
		paths:    paths,
		stdin:    stdin,
		progress: p,
		Workers:  min(runtime.GOMAXPROCS(0), 16),
		seen:     totals{skipped: make(map[string]int)},
	}
}

// Apply restricts what is read to what the filter lets pass. each leaves out
// whole logs, as far as names tell; scan lines as well.
func (in *Logs) Apply(f *Filter) { in.filter = f }

// check finds wrong arguments before anything is read.
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

// Each calls work for every log, from several goroutines with a worker number
// and a reader of their own. What work returns, or wraps, from its reader is
// noted, and the others are read all the same; the error of each then is an
// *ReadError. It ends early with ctx.
func (in *Logs) Each(ctx context.Context, work func(worker int, i *Log, r *connlog.Reader) error) error {
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
			var alone, among *connlog.Reader // made when needed
			for o := range queue {
				// The last large logs use the cores that are idle by then.
				if spare := int(busy.Add(1)) <= in.Workers/2; spare && o.last && o.large() {
					if alone == nil {
						alone = connlog.NewReader(nil, connlog.Pipelined)
					}
					in.readOne(ctx, n, o, alone, work)
					alone.Reset(nil)
				} else {
					if among == nil {
						among = connlog.NewReader(nil)
					}
					in.readOne(ctx, n, o, among, work)
				}
				busy.Add(-1)
			}
		})
	}
	workers.Wait()
	return in.result(ctx)
}

func (in *Logs) readOne(ctx context.Context, worker int, o *opening, r *connlog.Reader, work func(int, *Log, *connlog.Reader) error) {
	body, err := o.take(ctx)
	if o.release != nil {
		defer o.release()
	}
	if err == nil {
		defer body.Close()
		r.Reset(&progressReader{body, in.progress})
		err = work(worker, o.Log, r)
		in.progress.Add(1, 0)
	}
	if ctx.Err() != nil && err != nil {
		err = nil // interrupted, which is not the log's fault
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if body != nil {
		in.seen.objects++
		in.seen.bytes += r.Bytes()
		in.seen.lines += r.Lines()
	}
	if err != nil {
		failed := &logError{name: o.Name, index: o.index, err: err}
		if body != nil {
			failed.opened, failed.lines = true, r.Lines()
		}
		in.seen.failed = append(in.seen.failed, failed)
	}
}

// result is the error that reading ends with.
func (in *Logs) result(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	slices.SortFunc(in.seen.failed, func(a, b *logError) int { return cmp.Compare(a.index, b.index) })
	in.seen.sortSample()
	switch {
	case ctx.Err() != nil:
		return nil // said by finish
	case len(in.seen.failed) > 0:
		logs := in.seen.objects
		for _, f := range in.seen.failed {
			if !f.opened {
				logs++
			}
		}
		return &ReadError{in.seen.failed, logs}
	case in.seen.objects == 0 && in.seen.outside == 0:
		err := fmt.Errorf("no log files (.log.gz or .log) in %s", strings.Join(in.paths, ", "))
		for _, what := range slices.Sorted(maps.Keys(in.seen.skipped)) {
			err = fmt.Errorf("%w\n  %s passed over: %s", err, text.Count(in.seen.skipped[what]), what)
		}
		return err
	}
	return nil
}

// Finish is what a command returns after it has written its result: the error
// of reading, or that it was interrupted.
func (in *Logs) Finish(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return command.Interrupted("interrupted; the result is partial")
	}
	return err
}

// Scan calls add for each entry that passes the filter, from several
// goroutines, which worker tells apart. The load balancer of lines that do not
// name theirs is that of the log's name. Malformed lines are counted and noted;
// a log that has no others is none.
func (in *Logs) Scan(ctx context.Context, add func(worker int, e *connlog.Entry)) error {
	return in.Each(ctx, func(worker int, i *Log, r *connlog.Reader) error {
		loadBalancer := i.loadBalancer()
		malformed := 0
		var sample []malformedLine
		defer func() { in.noteMalformed(malformed, sample) }()
		var e connlog.Entry
		for n := 0; ; n++ {
			switch err := r.Read(&e).(type) {
			case nil:
				if e.LoadBalancer == "" {
					e.LoadBalancer = loadBalancer
				}
				if in.filter.Match(&e) {
					add(worker, &e)
				}
			case *connlog.ParseError:
				if malformed++; malformed <= maxMalformed {
					sample = append(sample, malformedLine{i, err})
				}
			default:
				if err == io.EOF {
					if 0 < malformed && malformed == n {
						return &connlog.FormatError{Format: "text without a line that is a log entry"}
					}
					return nil
				}
				return err
			}
			if n%4096 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
	})
}

func (in *Logs) noteMalformed(n int, sample []malformedLine) {
	if n == 0 {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.seen.malformed += n
	if in.seen.sample = append(in.seen.sample, sample...); len(in.seen.sample) > 4*maxMalformed {
		in.seen.sortSample()
	}
}

func (t *totals) sortSample() {
	slices.SortFunc(t.sample, func(a, b malformedLine) int {
		return cmp.Or(cmp.Compare(a.log.index, b.log.index), cmp.Compare(a.err.Line, b.err.Line))
	})
	t.sample = slices.Clip(t.sample[:min(len(t.sample), maxMalformed)])
}

// Bounds of what is under way.
const (
	listAhead = 10_000        // logs that are listed and not opened
	openAhead = cloud.MaxOpen // objects that are opened and not read to their end

	largeLog = 4 << 20 // bytes as stored, from which on a log may have two goroutines

	// listPatience is how long a large log waits for the next to be listed: a
	// directory or a page of S3 has it by then.
	listPatience = 20 * time.Millisecond
)

// An opening is a log on its way to a worker.
type opening struct {
	*Log
	last    bool // no other was listed by then; told of large logs only
	body    io.ReadCloser
	err     error
	release func() // lets another of S3 be opened; nil if the worker is to open the log
}

// take returns the content of the log.
func (o *opening) take(ctx context.Context) (io.ReadCloser, error) {
	switch {
	case o.release != nil:
		return o.body, o.err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return o.open(ctx)
}

// feed hands the logs to the workers: those of S3, which it opens ahead of them,
// as they are there, so that one that S3 is slow with holds up none; others in
// their order.
func (in *Logs) feed(ctx context.Context, queue chan<- *opening) {
	var ahead sync.WaitGroup
	defer func() {
		ahead.Wait()
		close(queue)
	}()
	listed := make(chan *Log, listAhead)
	go func() {
		defer close(listed)
		in.list(ctx, func(i *Log) bool {
			select {
			case listed <- i:
				in.progress.Expect(1, i.Size)
				return true
			case <-ctx.Done():
				return false
			}
		})
		in.progress.Complete()
	}()
	slots := make(chan struct{}, openAhead)
	for i, ok := <-listed; ok; {
		o := &opening{Log: i}
		var next *Log
		if i.large() { // so it matters whether it is the last
			select {
			case next, ok = <-listed:
			case <-time.After(listPatience):
			}
			o.last = next == nil
		}
		if i.remote {
			slots <- struct{}{}
			o.release = func() { <-slots }
			ahead.Go(func() {
				o.body, o.err = o.open(ctx)
				queue <- o
			})
		} else {
			queue <- o
		}
		if i = next; i == nil && ok {
			i, ok = <-listed
		}
	}
}

// list calls yield for each log, in order, until it returns false.
func (in *Logs) list(ctx context.Context, yield func(*Log) bool) {
	index := 0
	next := func(i *Log) bool {
		i.index = index
		index++
		return yield(i)
	}
	for _, path := range in.paths {
		var err error
		switch {
		case ctx.Err() != nil:
			return
		case path == command.StdinPath:
			next(&Log{Name: "standard input", open: func(ctx context.Context) (io.ReadCloser, error) { return interruptible(ctx, in.stdin), nil }})
		case strings.HasPrefix(path, cloud.S3Scheme):
			err = in.listS3(ctx, path, next)
		default:
			err = in.listFiles(ctx, path, next)
		}
		if err != nil && ctx.Err() == nil {
			in.mu.Lock()
			in.seen.failed = append(in.seen.failed, &logError{name: path, index: index, err: err})
			in.mu.Unlock()
			index++
		}
	}
}

// listFiles yields a file, or those in a directory that are named like logs.
func (in *Logs) listFiles(ctx context.Context, path string, yield func(*Log) bool) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		yield(fileInput(path, info))
		return nil
	}
	root := path + string(filepath.Separator) // follows a symbolic link
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && name == root:
			return withoutPath(err)
		case err != nil: // an unreadable folder in it: the others are read
			yield(&Log{Name: name, open: func(context.Context) (io.ReadCloser, error) { return nil, withoutPath(err) }})
			return nil
		case d.IsDir():
			return nil
		}
		info, err := os.Stat(name) // of what a symbolic link points to
		switch {
		case err == nil && !info.Mode().IsRegular():
			in.skip(notFile)
			return nil
		case !in.wanted(name):
			return nil
		case err != nil:
			info = nil // said when it is opened
		}
		if !yield(fileInput(name, info)) {
			return filepath.SkipAll
		}
		return nil
	})
}

// notFile is what is passed over in a directory, beside what has another name.
const notFile = "no regular file"

// withoutPath returns an error without the name, which is said anyway.
func withoutPath(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

func fileInput(path string, info fs.FileInfo) *Log {
	i := &Log{Name: path, open: func(context.Context) (io.ReadCloser, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, withoutPath(err)
		}
		return f, nil
	}}
	if info != nil && info.Mode().IsRegular() {
		i.Size = info.Size()
	}
	return i
}

// wanted reports whether what was found under a name is to be read. What is
// passed over is counted.
func (in *Logs) wanted(name string) bool {
	key, err := connlog.ParseObjectKey(filepath.ToSlash(name))
	if ke, ok := errors.AsType[*connlog.KeyError](err); ok {
		other := ke.Reason == connlog.NotELBLog || ke.Reason == connlog.NotKeyForm
		if other && (strings.HasSuffix(name, ".log.gz") || strings.HasSuffix(name, ".log")) {
			return true // a log under a name of somebody's own
		}
		in.skip(ke.Reason)
		return false
	}
	if !in.filter.MatchObject(key) {
		in.mu.Lock()
		in.seen.outside++
		in.mu.Unlock()
		return false
	}
	return true
}

// skip counts what is passed over, by what it is.
func (in *Logs) skip(what string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.seen.skipped[what]++
}

// interruptible reads r in another goroutine, so that a read that waits for
// input does not outlast ctx.
func interruptible(ctx context.Context, r io.Reader) io.ReadCloser {
	in, out := io.Pipe()
	context.AfterFunc(ctx, func() { out.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.CopyBuffer(out, struct{ io.Reader }{r}, make([]byte, 1<<16))
		out.CloseWithError(err)
	}()
	return in
}

// A progressReader counts what is read of a log.
type progressReader struct {
	io.ReadCloser
	progress *console.Progress
}

func (r *progressReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.progress.Add(0, int64(n))
	return n, err
}
