package input

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
)

// A tally counts the entries by client.
type tally struct {
	mu      sync.Mutex
	clients map[string]int
}

func scanTally(ctx context.Context, in *Logs) (map[string]int, error) {
	t := tally{clients: make(map[string]int)}
	err := in.Scan(ctx, func(_ int, e *connlog.Entry) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.clients[e.Client.String()]++
	})
	return t.clients, err
}

// Files, directories, standard input and S3 in one run: each once, what is no
// log passed over, malformed lines noted by file and line.
func TestInputsMixed(t *testing.T) {
	b := clitest.NewBucket(t)
	b.Fill(t, 3)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.log":                fmt.Sprintf(clitest.SuccessLine, "192.0.2.1") + "broken\n" + fmt.Sprintf(clitest.SuccessLine, "192.0.2.1"),
		"sub/deep/b.log.gz":    clitest.Gzip(fmt.Sprintf(clitest.SuccessLine, "192.0.2.2")) + clitest.Gzip("also broken\n"),
		"sub/README.md":        "nothing",
		"sub/access.log.other": "nothing",
		"sub/123456789012_elasticloadbalancing_us-east-2_app.a.1_20261123T1000Z_192.0.2.1_x.log.gz": "an access log",
		"named-otherwise": fmt.Sprintf(clitest.SuccessLine, "192.0.2.3"),
	} {
		name = filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(name), 0o777)
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"linked.log": "named-otherwise", "dangling.txt": "nowhere", "sub/dir.log": "deep"} {
		if err := os.Symlink(filepath.Join(filepath.Dir(filepath.Join(dir, link)), target), filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "link") // to a directory that is named in full
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	in := New([]string{link, filepath.Join(dir, "named-otherwise"), "-", "s3://" + clitest.BucketName}, strings.NewReader(fmt.Sprintf(clitest.SuccessLine, "192.0.2.4")), nil)
	got, err := scanTally(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"192.0.2.1": 2, "192.0.2.2": 1, "192.0.2.3": 2, "192.0.2.4": 1, "203.0.0.0": 2, "203.0.0.1": 2, "203.0.0.2": 2}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if s := in.seen; s.objects != 8 || s.lines != 14 || s.malformed != 2 || s.skipped[logkey.AccessLog] != 1 || s.skipped[logkey.OtherObject] != 4 || s.skipped[NotFile] != 1 {
		t.Errorf("seen %+v", s)
	}
	var sample []string
	for _, m := range in.seen.sample {
		rel, _ := filepath.Rel(link, m.log.Name)
		sample = append(sample, fmt.Sprint(rel, ":", m.err.Line))
	}
	if want := []string{"a.log:2", "sub/deep/b.log.gz:2"}; !slices.Equal(sample, want) {
		t.Errorf("malformed lines %q, want %q", sample, want)
	}
}

// Each file of an archive is a log of its own, by the rules for a directory.
func TestInputsArchive(t *testing.T) {
	whole, err := os.ReadFile("testdata/three.tar")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		archive   []byte
		logs      int
		entries   int
		malformed int
		err       string
	}{
		{whole, 3, 12, 0, ""},
		{[]byte(clitest.Gzip(string(whole))), 3, 12, 0, ""},
		{whole[:2100], 2, 8, 0, ".tar: tar archive: unexpected EOF"}, // in the header of the third log
		{bytes.Replace(whole, []byte("Z 203."), []byte("Z x03."), 1), 3, 11, 1, ""},
	} {
		name := filepath.Join(t.TempDir(), "logs.tar")
		if err := os.WriteFile(name, test.archive, 0o666); err != nil {
			t.Fatal(err)
		}
		in := New([]string{name}, nil, nil)
		clients, err := scanTally(t.Context(), in)
		entries := 0
		for _, n := range clients {
			entries += n
		}
		s := in.Source(false)
		if s.Objects != test.logs || entries != test.entries || s.MalformedLines != test.malformed || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%d logs, %d entries, %d malformed, error %v; want %d, %d, %d, %s", s.Objects, entries, s.MalformedLines, err, test.logs, test.entries, test.malformed, test.err)
		}
		if s.MalformedLines > 0 && s.Malformed[0].Object != name+"/conn_log_1.log" {
			t.Errorf("the line is in %s", s.Malformed[0].Object)
		}
	}
}

func TestInputsWrong(t *testing.T) {
	dir := t.TempDir()
	cut := filepath.Join(dir, "cut.log.gz")
	if err := os.WriteFile(cut, []byte(clitest.Gzip(strings.Repeat(fmt.Sprintf(clitest.SuccessLine, "192.0.2.1"), 1000))[:150]), 0o666); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "good.log")
	if err := os.WriteFile(good, fmt.Appendf(nil, clitest.SuccessLine, "192.0.2.2"), 0o666); err != nil {
		t.Fatal(err)
	}
	empty, other, broken := t.TempDir(), t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "notes.txt"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(broken, "lost.log")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		paths []string
		says  []string
		lines int // that count all the same
	}{
		{[]string{"nowhere.log", good}, []string{"nowhere.log", "no such file"}, 0},
		{[]string{"-", "-"}, []string{"only once"}, 0},
		{[]string{"s3://UPPER/x"}, []string{`the bucket's name in "s3://UPPER/x" must have lower-case letters, digits, hyphens and periods only`, "must be s3://BUCKET/PREFIX"}, 0},
		{[]string{"s3://ab/x"}, []string{`the bucket's name in "s3://ab/x" has 2 characters; AWS allows 3 to 63`, "must be s3://BUCKET/PREFIX"}, 0},
		{[]string{empty}, []string{"no log files", empty}, 0},
		{[]string{other}, []string{"no log files", "1 file or object skipped: " + logkey.OtherObject}, 0},
		{[]string{broken, good}, []string{"1 of 2 logs", "lost.log: no such file"}, 1},
		{[]string{cut, good}, []string{"1 of 2 logs", "the others were", cut + ": gzip data is cut or corrupt"}, 1},
		{[]string{cut}, []string{cut + ": gzip data is cut or corrupt"}, 0},
	} {
		got, err := scanTally(t.Context(), New(test.paths, nil, nil))
		if err == nil {
			t.Errorf("%q: no error", test.paths)
			continue
		}
		for _, text := range test.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%q: %v does not say %q", test.paths, err, text)
			}
		}
		if got["192.0.2.2"] != test.lines {
			t.Errorf("%q: %d lines of the good log", test.paths, got["192.0.2.2"])
		}
	}
}

// 5,000 objects under throttling, lost connections and cut bodies count once
// each, and nothing waits for anything else.
func TestInputsS3Faults(t *testing.T) {
	b := clitest.NewBucket(t)
	b.Fill(t, 5000)
	slow := wire.Refuse(503, "SlowDown")
	b.S3.SetFaults(func(op string, n int) wire.Fault {
		switch {
		case op == "s3:ListObjectsV2":
			if n == 2 {
				return slow
			}
		case n >= 1000 && n < 1004: // a while in which S3 wants less
			return slow
		case n%1000 == 500:
			return wire.Fault{Kind: wire.FaultReplyCut}
		case n == 2000:
			return wire.Fault{Kind: wire.FaultReset}
		}
		return wire.Fault{}
	})
	in := New([]string{"s3://" + clitest.BucketName}, nil, nil)
	got, err := scanTally(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 5000 {
		t.Errorf("%d clients", len(got))
	}
	for client, n := range got {
		if n != 2 {
			t.Errorf("%s counts %d times", client, n)
		}
	}
	if in.seen.objects != 5000 || in.seen.lines != 10_000 || in.seen.bytes == 0 {
		t.Errorf("seen %+v", in.seen)
	}
	if pages := b.Calls.Counts()["s3:ListObjectsV2"]; pages != 6 {
		t.Errorf("%d requests for 5 pages and a refusal", pages)
	}
}

// Objects that S3 is slow with hold up no others, as long as one can be opened.
func TestInputsS3Ahead(t *testing.T) {
	b := clitest.NewBucket(t)
	const objects = 100
	b.Fill(t, objects)
	all := make(chan struct{})
	b.S3.SetFaults(func(op string, n int) wire.Fault {
		switch {
		case op != "s3:GetObject":
		case n < openAhead: // all but one of those under way
			select {
			case <-all:
			case <-time.After(20 * time.Second):
				t.Errorf("request %d was held until the others were made, which they were not", n)
			}
		case n == objects:
			close(all)
		}
		return wire.Fault{}
	})
	got, err := scanTally(t.Context(), New([]string{"s3://" + clitest.BucketName}, nil, nil))
	if err != nil || len(got) != objects {
		t.Errorf("%d clients of %d, error %v", len(got), objects, err)
	}
}

// One object that cannot be read is named; the others are there.
func TestInputsS3OneFails(t *testing.T) {
	b := clitest.NewBucket(t)
	keys := b.Fill(t, 40)
	bad := keys[17]
	proxy := clitest.NewProxy(t, b, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, bad) {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
		return true
	})
	t.Setenv("AWS_ENDPOINT_URL_S3", proxy)
	got, err := scanTally(t.Context(), New([]string{"s3://" + clitest.BucketName + "/AWSLogs/"}, nil, nil))
	if err == nil || !strings.Contains(err.Error(), "1 of 40 logs") || !strings.Contains(err.Error(), "s3://"+clitest.BucketName+"/"+bad+": access denied") {
		t.Errorf("error %v", err)
	}
	if len(got) != 39 {
		t.Errorf("%d logs are counted", len(got))
	}
	if _, err = scanTally(t.Context(), New([]string{"s3://no-such-bucket"}, nil, nil)); err == nil || !strings.Contains(err.Error(), `s3://no-such-bucket: list: there is no bucket "no-such-bucket"`) {
		t.Errorf("no bucket: %v", err)
	}
}

// A bucket in another region than the configured one is found there, as S3
// tells.
func TestInputsS3Region(t *testing.T) {
	b := clitest.NewBucket(t)
	b.Fill(t, 5)
	var redirects atomic.Int32
	elsewhere := clitest.Elsewhere("eu-central-1")
	t.Setenv("AWS_ENDPOINT_URL_S3", clitest.NewProxy(t, b, func(w http.ResponseWriter, r *http.Request) bool {
		redirected := elsewhere(w, r)
		if redirected {
			redirects.Add(1)
		}
		return redirected
	}))
	got, err := scanTally(t.Context(), New([]string{"s3://" + clitest.BucketName}, nil, nil))
	if err != nil || len(got) != 5 || redirects.Load() != 1 {
		t.Errorf("%d logs after %d redirects, %v", len(got), redirects.Load(), err)
	}
}

// --since and --until keep days from being listed, and objects from being
// opened.
func TestInputsS3Narrowed(t *testing.T) {
	b := clitest.NewBucket(t)
	b.Fill(t, 3*8640/4) // three quarters of a day
	old := clitest.Day.Add(-9 * 24 * time.Hour)
	for i := range 2100 { // days that do not matter
		if _, err := b.S3.Put(clitest.BucketName, clitest.LogKey(old, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	f := FilterFlags{TimeFlags: TimeFlags{Since: "2026-11-23T10:00Z", Until: "2026-11-23T10:05Z"}}
	in := New([]string{"s3://" + clitest.BucketName}, nil, nil)
	narrow, err := f.Filter(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	in.Apply(narrow)
	got, err := scanTally(t.Context(), in)
	if err != nil || len(got) != 30 {
		t.Errorf("%d clients, %v", len(got), err)
	}
	calls := b.Calls.Counts()
	// Four folders down to the region, and the seven pages of the day.
	if calls["s3:ListObjectsV2"] != 4+7 || calls["s3:GetObject"] != 4*30 {
		t.Errorf("calls %v", calls)
	}
	if in.seen.outside != 6480-120 {
		t.Errorf("%d outside", in.seen.outside)
	}
}

// A log is read while others are still being listed.
func TestInputsSlowListing(t *testing.T) {
	b := clitest.NewBucket(t)
	b.Fill(t, 1)
	read := make(chan struct{})
	t.Setenv("AWS_ENDPOINT_URL_S3", clitest.NewProxy(t, b, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("list-type") {
			select {
			case <-read:
			case <-time.After(time.Minute):
				t.Error("standard input is not read before the listing comes")
			}
		}
		return false
	}))
	in := New([]string{"-", "s3://" + clitest.BucketName}, strings.NewReader(fmt.Sprintf(clitest.SuccessLine, "192.0.2.1")), nil)
	var lines atomic.Int32
	err := in.Scan(t.Context(), func(_ int, e *connlog.Entry) {
		if lines.Add(1); e.Client.String() == "192.0.2.1" {
			close(read)
		}
	})
	if err != nil || lines.Load() != 3 {
		t.Errorf("%d lines, %v", lines.Load(), err)
	}
}

// Ctrl-C ends the reading, also of a standard input that brings nothing.
func TestInputsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stdin, feed := io.Pipe()
	defer feed.Close()
	go func() {
		fmt.Fprintf(feed, clitest.SuccessLine, "192.0.2.1")
		io.WriteString(feed, strings.Repeat(" ", 1<<17)+"\n") // so that the first line is handed on
		cancel()
	}()
	in := New([]string{"-"}, stdin, nil)
	got, err := scanTally(ctx, in)
	if err != nil || got["192.0.2.1"] != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if err := in.Finish(ctx, err); err == nil || command.Status(err) != command.ExitInterrupted {
		t.Errorf("finished with %v", err)
	}
}

// If no log is of the days in question, the error says for which days there are logs.
func TestInputsS3OtherDays(t *testing.T) {
	for layout, folders := range map[string]string{
		"plain": "AWSLogs/123456789012/elasticloadbalancing/us-east-1/2026/09/30/ AWSLogs/123456789012/elasticloadbalancing/us-east-1/2026/10/02/ AWSLogs/123456789012/elasticloadbalancing/eu-west-2/2026/11/09/",
		"hive":  "x/AWSLogs/aws-account-id=123456789012/elasticloadbalancing/region=us-east-1/year=2026/month=09/day=30/ x/AWSLogs/aws-account-id=123456789012/elasticloadbalancing/region=us-east-1/year=2026/month=11/day=09/",
		"other": "logs/2026/09/30/ AWSLogs/123456789012/elasticloadbalancing/us-east-1/x/y/z/",
	} {
		b := clitest.NewBucket(t)
		for folder := range strings.FieldsSeq(folders) {
			b.Put(t, folder+"note.txt", "")
		}
		for args, want := range map[string]string{
			"--since 2026-12-01":                    "end at 2026-11-10 00:00:00 UTC, and --since starts at 2026-12-01 00:00:00 UTC",
			"--until 2026-09-01":                    "start at 2026-09-30 00:00:00 UTC, and --until ends at 2026-09-01 00:00:00 UTC",
			"--since 2026-10-15 --until 2026-10-16": "cover 2026-09-30 00:00:00 to 2026-11-10 00:00:00 UTC",
		} {
			f, err := filterOf(t, args)
			if err != nil {
				t.Fatal(err)
			}
			in := New([]string{"s3://" + clitest.BucketName}, nil, nil)
			in.Apply(f)
			_, err = scanTally(t.Context(), in)
			says := "no log files (.log.gz or .log) in s3://" + clitest.BucketName + " for the days of --since and --until: the logs there " + want
			if layout == "other" {
				says = "no log files (.log.gz or .log) in s3://" + clitest.BucketName + "\n"
			}
			if err == nil || !strings.HasPrefix(err.Error()+"\n", says) {
				t.Errorf("%s, %s: %v", layout, args, err)
			}
		}
	}
}

// The same against moto, an independent stand-in for S3.
func TestInputsMoto(t *testing.T) {
	address := awstest.Moto(t, "reading from S3 was not tested against it")
	env := wire.BaseEnv("us-east-1")
	env["AWS_ENDPOINT_URL_S3"] = address
	awstest.Setenv(t, env)
	client := s3.NewFromConfig(awstest.Config(t))
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(clitest.BucketName)}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		end := clitest.Day.Add(time.Duration(i) * logkey.Period)
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(clitest.BucketName), Key: aws.String(clitest.LogKey(end, i)), Body: strings.NewReader(string(clitest.TinyLog(end.Add(-time.Minute))))}); err != nil {
			t.Fatal(err)
		}
	}
	f := FilterFlags{TimeFlags: TimeFlags{Since: "2026-11-23T00:30Z"}}
	narrow, err := f.Filter(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	in := New([]string{"s3://" + clitest.BucketName + "/"}, nil, nil)
	in.Apply(narrow)
	got, err := scanTally(t.Context(), in)
	if err != nil || got["203.0.113.1"] != 13 {
		t.Errorf("%v, %v", got, err)
	}
	// The rest of an object, on condition of its ETag.
	in = New([]string{"s3://" + clitest.BucketName + "/" + clitest.LogKey(clitest.Day, 0)}, nil, nil)
	var cuts atomic.Int32
	t.Setenv("AWS_ENDPOINT_URL_S3", cutting(t, address, &cuts))
	got, err = scanTally(t.Context(), in)
	if err != nil || got["203.0.113.1"] != 1 || cuts.Load() != 1 {
		t.Errorf("cut: %v, %v after %d cuts", got, err, cuts.Load())
	}
}

// cutting is a proxy that cuts the first content in half.
func cutting(t *testing.T, address string, cuts *atomic.Int32) string {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if strings.HasSuffix(r.Request.URL.Path, ".log") && r.StatusCode == http.StatusOK && cuts.Add(1) == 1 {
				r.Body = struct {
					io.Reader
					io.Closer
				}{io.LimitReader(r.Body, r.ContentLength/2), r.Body}
			} else if r.StatusCode == http.StatusPartialContent && r.Request.Header.Get("If-Match") == "" {
				t.Error("the rest is asked for without a condition")
			}
			return nil
		},
	}
	server := httptest.NewServer(forward)
	t.Cleanup(server.Close)
	return server.URL
}
