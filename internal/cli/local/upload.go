package local

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/metric"
)

// uploads are the log objects for the S3 stand-in.
type uploads struct {
	objects []*upload
	skipped []string // files in directories that are not logs by their names, with why
}

// An upload is a file with the key that it gets in S3.
type upload struct {
	file   string
	key    string
	body   []byte
	broken error // why it cannot be read to its end

	format             string // see connlog.Reader.Format
	entries, malformed int
	minutes            map[int64]int // entries by the minute since 1970
	first, last        time.Time     // of the entries up to now; zero if there are none
	shifted            time.Duration // added to the times
}

// readUploads reads files, and in directories those that other commands read too.
func readUploads(ctx context.Context, paths []string) (*uploads, error) {
	var u uploads
	for _, path := range paths {
		if path == "-" || strings.HasPrefix(path, "s3://") {
			return nil, command.Usagef("%s: local takes only files and directories", path)
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			if err := u.read(ctx, path); err != nil {
				return nil, err
			}
			continue
		}
		root := path + string(filepath.Separator) // follows a symbolic link
		err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			reason := input.Skips(name)
			if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
				reason = input.NotFile
			}
			if reason != "" {
				u.skipped = append(u.skipped, name+": "+reason)
				return nil
			}
			return u.read(ctx, name)
		})
		if err != nil {
			return nil, err
		}
	}
	if len(u.objects) == 0 {
		return nil, fmt.Errorf("no log files (.log.gz or .log) in %s", strings.Join(paths, ", "))
	}
	return &u, nil
}

// maxUpload is the largest file, in bytes. The stand-in for S3 keeps objects in memory.
const maxUpload = 1 << 30

func (u *uploads) read(ctx context.Context, file string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", file)
	}
	if info.Size() > maxUpload {
		return fmt.Errorf("%s: %d bytes exceed the limit of the stand-in for S3, %d; split the file", file, info.Size(), maxUpload)
	}
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	o := &upload{file: file, body: body}
	loadBalancers, err := o.scan(ctx)
	if err != nil {
		return err
	}
	last := o.last
	if last.IsZero() {
		last = info.ModTime().UTC()
	}
	loadBalancer := ""
	if len(loadBalancers) > 0 {
		loadBalancer = loadBalancers[0]
	}
	var named bool
	o.key, named = objectKey(file, loadBalancer, last)
	if !named && len(loadBalancers) > 1 {
		return fmt.Errorf("%s has lines from several load balancers (%s, ...); split it into a file for each", file, strings.Join(loadBalancers[:2], ", "))
	}
	for i := 1; slices.ContainsFunc(u.objects, func(p *upload) bool { return p.key == o.key }); i++ {
		o.key = fmt.Sprintf("%d/%s", i, strings.TrimPrefix(o.key, fmt.Sprintf("%d/", i-1)))
	}
	u.objects = append(u.objects, o)
	return nil
}

// scan records the times of the entries and returns the load balancers in them.
func (o *upload) scan(ctx context.Context) (loadBalancers []string, err error) {
	r := connlog.NewReader(bytes.NewReader(o.body))
	o.minutes = make(map[int64]int)
	defer func() { o.format = r.Format() }()
	now := time.Now()
	var e connlog.Entry
	for {
		err := r.Read(&e)
		switch {
		case err == io.EOF:
			return loadBalancers, nil
		case errors.As(err, new(*connlog.ParseError)):
			o.malformed++
			continue
		case err != nil:
			o.broken = err
			return loadBalancers, nil
		}
		o.entries++
		o.minutes[e.Time.Unix()/60]++
		if !e.Time.After(now) {
			if o.first.IsZero() || e.Time.Before(o.first) {
				o.first = e.Time
			}
			if e.Time.After(o.last) {
				o.last = e.Time
			}
		}
		if e.LoadBalancer != "" && !slices.Contains(loadBalancers, e.LoadBalancer) {
			loadBalancers = append(loadBalancers, e.LoadBalancer)
		}
		if o.entries%10_000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// untimely counts the entries that are too old or too new for CloudWatch.
func (o *upload) untimely(now time.Time) (n int) {
	for minute, entries := range o.minutes {
		if at := time.Unix(minute*60, 0).Add(o.shifted); at.Before(now.Add(-metric.MaxAge)) || at.After(now.Add(metric.MaxAhead)) {
			n += entries
		}
	}
	return n
}

// deliveryPath is where Elastic Load Balancing puts logs, from AWSLogs on.
var deliveryPath = regexp.MustCompile(`(?:^|/)(AWSLogs/.*)$`)

// objectKey returns the key for a file, and whether the file's name has the form of a
// log object, and so stays. Any other file becomes a connection log of a made-up node.
func objectKey(file, loadBalancer string, last time.Time) (key string, named bool) {
	path := filepath.ToSlash(file)
	if m := deliveryPath.FindStringSubmatch(path); m != nil {
		return m[1], true
	}
	base := filepath.Base(file)
	parts, err := logkey.Parse(base)
	if err == nil {
		return deliveryDir(parts) + base, true
	}
	if ke, ok := errors.AsType[*logkey.Error](err); ok && ke.Reason != logkey.OtherObject {
		return base, true
	}
	hash := fnv.New64a()
	io.WriteString(hash, path)
	for _, lb := range []string{loadBalancer, fmt.Sprintf("app/local/%016x", hash.Sum64())} {
		end := last.Truncate(logkey.Period).Add(logkey.Period)
		base := fmt.Sprintf("conn_log_123456789012_elasticloadbalancing_us-east-1_%s_%s_192.0.2.1_%08x.log",
			strings.ReplaceAll(lb, "/", "."), end.Format(keyTime), uint32(hash.Sum64()))
		if strings.HasPrefix(lb, "net/") {
			base = strings.Replace(strings.TrimPrefix(base, "conn_log_"), "_192.0.2.1_", "_", 1)
		}
		if parts, err = logkey.Parse(base); err == nil {
			return deliveryDir(parts) + base, false
		}
	}
	panic(err) // the second name is always valid
}

func deliveryDir(k logkey.Key) string {
	return fmt.Sprintf("AWSLogs/%s/elasticloadbalancing/%s/%s/", k.Account, k.Region, k.PeriodEnd.Format(input.KeyDate))
}

const (
	keyTime = "20060102T1504Z" // period end, in the base name
	minute  = "2006-01-02T15:04"
)

// together is the largest distance of logs that shift by the same time, so that they
// keep their distance. It is less than the two weeks that CloudWatch accepts.
const together = 12 * 24 * time.Hour

// shift moves the times of the logs by whole periods, so that the newest line is between
// a minute and a period and a minute old. Logs that are far apart shift separately.
func (u *uploads) shift(ctx context.Context, now time.Time) error {
	order := slices.Clone(u.objects)
	slices.SortStableFunc(order, func(a, b *upload) int { return b.last.Compare(a.last) })
	var newest time.Time
	var by time.Duration
	for _, o := range order {
		if o.last.IsZero() || o.broken != nil {
			continue // no times to shift, or not readable
		}
		if newest.IsZero() || newest.Sub(o.last) > together {
			newest = o.last
			by = floor(now.Add(-time.Minute).Sub(newest), logkey.Period)
		}
		if err := o.shift(ctx, by); err != nil {
			return fmt.Errorf("%s: %w", o.file, err)
		}
	}
	return nil
}

func floor(d, unit time.Duration) time.Duration {
	f := d.Truncate(unit)
	if f > d {
		f -= unit
	}
	return f
}

// shift moves all times in the object and its key. It changes only their digits down to
// the minute.
func (o *upload) shift(ctx context.Context, by time.Duration) error {
	var body bytes.Buffer
	in, out := io.Reader(bytes.NewReader(o.body)), io.Writer(&body)
	finish := func() error { return nil }
	if bytes.HasPrefix(o.body, []byte{0x1f, 0x8b}) {
		unpack, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		pack := gzip.NewWriter(out)
		in, out, finish = unpack, pack, pack.Close
	}
	lines := bufio.NewReaderSize(in, connlog.MaxLineBytes+2)
	var p connlog.Parser
	var e connlog.Entry
	other := o.format != "" && o.format != connlog.FormatConnectionLog
	for n := 0; ; n++ {
		line, err := lines.ReadSlice('\n') // a part of it, if it is longer than any entry
		if other {
			shiftAll(anyTime, line, by)
		} else if p.Parse(bytes.TrimRight(line, "\r\n"), &e) == nil {
			shiftAll(times, line, by)
		}
		if _, err := out.Write(line); err != nil {
			return err
		}
		if err == io.EOF {
			break
		}
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		if n%10_000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := finish(); err != nil {
		return err
	}
	o.body, o.shifted, o.key = body.Bytes(), by, shiftKey(o.key, by)
	return nil
}

// times matches the times of a line: its own, and the validity of a client certificate.
var times = regexp.MustCompile(`^"?\d{4}-\d\d-\d\dT\d\d:\d\d|NotBefore=\d{4}-\d\d-\d\dT\d\d:\d\d|NotAfter=\d{4}-\d\d-\d\dT\d\d:\d\d`)

// anyTime matches times anywhere in a line.
var anyTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d`)

// shiftAll moves the times of a line in place.
func shiftAll(times *regexp.Regexp, line []byte, by time.Duration) {
	for _, at := range times.FindAllIndex(line, -1) {
		digits := line[at[1]-len(minute) : at[1]]
		if t, err := time.Parse(minute, string(digits)); err == nil {
			copy(digits, t.Add(by).Format(minute))
		}
	}
}

// shiftKey moves the period end and the date of delivery in a key.
func shiftKey(key string, by time.Duration) string {
	parts, err := logkey.Parse(key)
	if err != nil {
		return key
	}
	end, _ := parts.Ends()
	end = end.Add(by)
	dir, base := key[:strings.LastIndexByte(key, '/')+1], key[strings.LastIndexByte(key, '/')+1:]
	base = strings.Replace(base, parts.PeriodEnd.Format(keyTime), end.Format(keyTime), 1)
	if n := len(dir) - len(input.KeyDate) - 1; n > 0 {
		if _, err := time.Parse(input.KeyDate, dir[n:len(dir)-1]); err == nil {
			dir = dir[:n] + end.Format(input.KeyDate) + "/"
		}
	}
	return dir + base
}

// describe prints what is uploaded.
func (u *uploads) describe(w *console.Writer, bucket string) {
	fmt.Fprintf(w, "LOG OBJECTS in s3://%s\n\n", bucket)
	t := text.Table{Columns: "rrlw"}
	t.Add("entries", "invalid", "times (UTC)", "file")
	for _, o := range u.objects {
		when := "no entries"
		if o.entries > 0 {
			first, last := o.first.Add(o.shifted), o.last.Add(o.shifted)
			when = first.Format("2006-01-02 15:04") + " to " + last.Format("15:04")
			if last.Sub(first) >= 24*time.Hour {
				when = first.Format("2006-01-02 15:04") + " to " + last.Format("2006-01-02 15:04")
			}
			if o.shifted != 0 {
				when += ", shifted by " + days(o.shifted)
			}
		}
		if o.broken != nil {
			when = "unchanged: " + o.broken.Error()
		}
		t.Add(strconv.Itoa(o.entries), strconv.Itoa(o.malformed), when, o.file)
	}
	w.Table(&t)
	for _, o := range u.objects {
		if n := o.untimely(time.Now()); n > 0 {
			fmt.Fprintf(w, "  CloudWatch refuses %d of the entries in %s: they are older than two weeks, or in the future\n", n, text.Printable(o.file))
		}
	}
	for _, file := range u.skipped {
		fmt.Fprintf(w, "  skipped: %s\n", text.Printable(file))
	}
}

// days formats a long duration.
func days(d time.Duration) string {
	sign := "+"
	if d < 0 {
		sign, d = "-", -d
	}
	return fmt.Sprintf("%s%dd %s", sign, d/(24*time.Hour), strings.TrimSuffix((d%(24*time.Hour)).String(), "0s"))
}
