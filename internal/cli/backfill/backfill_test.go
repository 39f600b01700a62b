package backfill

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the machine may have no data on zones

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/deployed"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/dev/functiontest"
	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/metric"
)

// putHistory fills the bucket with n recent log objects, and others between
// them; it returns the keys of the former.
func putHistory(t *testing.T, c *clitest.Cloud, n int) (keys []string) {
	t.Helper()
	now := time.Now().UTC().Truncate(logkey.Period)
	put := func(key string, end time.Time) string {
		t.Helper()
		if _, err := c.S3.Put(clitest.BucketName, key, clitest.TinyLog(end.Add(-time.Minute))); err != nil {
			t.Fatal(err)
		}
		return key
	}
	for i := range n {
		end := now.Add(-time.Duration(1+i%60) * logkey.Period)
		keys = append(keys, put(clitest.LogKey(end, i), end))
		if i%10 == 0 {
			put(strings.Replace(clitest.LogKey(end, i), "conn_log_", "", 1), end) // an access log
		}
		if i%20 == 0 {
			old := now.Add(-15*24*time.Hour - time.Duration(i)*time.Hour)
			put(clitest.LogKey(old, i), old)
		}
	}
	put("AWSLogs/123456789012/ELBConnectionLogTestFile", now)
	put("notes, \"and\" more+.txt", now)
	for i := range 3 {
		end := now.Add(-8 * time.Hour)
		put(clitest.LogKey(end, i), end)
	}
	return keys
}

func backfill(t *testing.T, ctx context.Context, wantStatus int, args ...string) (r result, stderr string) {
	t.Helper()
	args = append([]string{"backfill", "--format", "json"}, args...)
	status, stdout, stderr := clitest.Run(ctx, New(), args...)
	if status != wantStatus {
		t.Fatalf("exit status %d, want %d: %s\n%s", status, wantStatus, stderr, stdout)
	}
	clitest.Decode(t, stdout, &r)
	if r.Selected != r.Done+r.Failed+r.Remaining && r.Manifest == "" {
		t.Errorf("%+v does not add up", r)
	}
	return r, stderr
}

// sent counts how often each key was sent to the function.
func sentKeys(t *testing.T, c *clitest.Cloud) map[string]int {
	t.Helper()
	sent := make(map[string]int)
	for _, i := range c.Lambda.Invocations() {
		var objects []struct{ Bucket, Key, ETag string }
		if err := json.Unmarshal(i.Payload, &objects); err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.Bucket != clitest.BucketName || len(o.ETag) != 32 {
				t.Errorf("sent as %+v", o)
			}
			sent[o.Key]++
		}
	}
	return sent
}

// 300 objects among others are all done once, over an interruption half-way,
// throttling and lost replies.
func TestBackfillResumed(t *testing.T) {
	c := clitest.NewCloud(t)
	keys := putHistory(t, c, 300)
	state := filepath.Join(t.TempDir(), "state")
	args := []string{"s3://" + clitest.BucketName + "/AWSLogs", "--since", "7h", "--function", clitest.FunctionName, "--state", state, "--concurrency", "2"}

	r, _ := backfill(t, t.Context(), command.ExitOK, append(args, "--dry-run")...)
	if r.Selected != 300 || r.Remaining != 300 || r.Partial || len(c.Lambda.Invocations()) != 0 {
		t.Errorf("dry run: %+v", r)
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("a dry run writes the state file")
	}

	ctx, cancel := context.WithCancel(t.Context())
	started := c.Calls.Counts()["lambda:Invoke"]
	c.API.SetFaults(func(_ string, n int) wire.Fault {
		switch n - started {
		case 4, 5:
			return wire.Refuse(429, "TooManyRequestsException")
		case 15:
			cancel()
		}
		return wire.Fault{}
	})
	r, stderr := backfill(t, ctx, command.ExitInterrupted, args...)
	if !r.Partial || r.Done < 100 || r.Done > 200 || r.Remaining == 0 || r.Failed != 0 || r.Throttled != 2 {
		t.Errorf("interrupted: %+v", r)
	}
	if !strings.Contains(stderr, "the same command continues from here") {
		t.Errorf("standard error: %s", stderr)
	}
	half := r.Done
	data, err := os.ReadFile(state)
	if err != nil || strings.Count(string(data), "\n") != half+1 {
		t.Errorf("the state file has %d lines for %d objects, %v", strings.Count(string(data), "\n"), half, err)
	}
	if err := os.WriteFile(state, append(data, `{"key":"cut o`...), 0o666); err != nil { // the machine went down
		t.Fatal(err)
	}

	c.API.SetFaults(nil)
	r, _ = backfill(t, t.Context(), command.ExitOK, args...)
	if r.Partial || r.AlreadyDone != half || r.Done != 300-half || r.Remaining != 0 {
		t.Errorf("resumed: %+v", r)
	}
	sent := sentKeys(t, c)
	for _, key := range keys {
		if sent[key] != 1 {
			t.Errorf("%s was sent %d times", key, sent[key])
		}
		delete(sent, key)
	}
	if len(sent) > 0 {
		t.Errorf("sent as well: %v", sent)
	}
	sums := functiontest.Sums(c.Stack)
	if got := sums["Connections LoadBalancer="+clitest.LoadBalancer].Sum; got != 300 {
		t.Errorf("%v connections published", got)
	}
	if got := sums[metric.ObjectsProcessed].Sum; got != 300 {
		t.Errorf("%v objects processed", got)
	}

	r, _ = backfill(t, t.Context(), command.ExitOK, args...)
	if r.AlreadyDone != 300 || r.Selected != 0 {
		t.Errorf("once more: %+v", r)
	}
	want := []passedOver{{logkey.AccessLog, 30}, {logkey.TestFile, 1}}
	if d := gocmp.Diff(want, r.NotLogs); d != "" || r.Listed != 300+3+31 || r.OutsideTime != 3 || r.TooOld != 0 {
		t.Errorf("counted: %+v", r)
	}
	r, _ = backfill(t, t.Context(), command.ExitOK, "s3://"+clitest.BucketName, "--since", "60d", "--until", "1d", "--dry-run")
	if r.TooOld != 15 || r.Selected != 0 || r.OldestEnd == nil || time.Since(*r.OldestEnd) < 26*24*time.Hour || r.NotLogs[1].Count != 1 {
		t.Errorf("too old: %+v", r)
	}
	status, stdout, _ := clitest.Run(t.Context(), New(), "backfill", "s3://"+clitest.BucketName, "--since", "60d", "--function", clitest.FunctionName, "--state", state, "--dry-run")
	for _, want := range []string{"DRY RUN", "300  done by an earlier run\n", "15  not sent: ended more than two weeks ago (the oldest 20", " 30  skipped: access log of an Application", "  3  to send, "} {
		if status != command.ExitOK || !strings.Contains(stdout, want) {
			t.Errorf("exit status %d, no %q in the table\n%s", status, want, stdout)
		}
	}
}

// The table has times in the zone of the flags, JSON in UTC.
func TestResultZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	since := time.Date(2026, 11, 20, 23, 0, 0, 0, time.UTC)
	r := result{OutsideTime: 1, Since: since, Until: since.Add(time.Hour), TooOld: 1, OldestEnd: &since}
	for format, want := range map[string][]string{
		"table": {"ended before 2026-11-21 00:00:00 CET (UTC+01:00) or after 2026-11-21 01:00:00 CET (UTC+01:00)", "(the oldest 2026-11-21 00:00:00 CET (UTC+01:00))"},
		"json":  {`"since": "2026-11-20T23:00:00Z"`, `"oldestEnd": "2026-11-20T23:00:00Z"`},
	} {
		var b strings.Builder
		if err := r.write(&b, format, berlin); err != nil {
			t.Fatal(err)
		}
		plain := strings.Join(strings.Fields(b.String()), " ") // lines wrap
		for _, text := range want {
			if !strings.Contains(plain, text) {
				t.Errorf("no %q in\n%s", text, &b)
			}
		}
	}
}

// Objects that fail are told from those beside them, and only they are sent by
// the next run.
func TestBackfillFailures(t *testing.T) {
	c := clitest.NewCloud(t)
	keys := putHistory(t, c, 25)
	bad := keys[7]
	good, err := c.S3.Get(clitest.BucketName, bad)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.S3.Put(clitest.BucketName, bad, []byte("\x1f\x8b\x08\x00")); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	args := []string{"s3://" + clitest.BucketName + "/AWSLogs/123456789012/elasticloadbalancing/us-east-1", "--since", "7h", "--function", clitest.FunctionName, "--state", state}
	r, stderr := backfill(t, t.Context(), command.ExitFailed, args...)
	if r.Done != 24 || r.Failed != 1 || len(r.Failures) != 1 || r.Failures[0].Key != bad || !strings.Contains(r.Failures[0].Reason, "gzip") || !strings.Contains(stderr, "1 of 25 objects failed") {
		t.Errorf("%+v: %s", r, stderr)
	}
	if _, err := c.S3.Put(clitest.BucketName, bad, good); err != nil {
		t.Fatal(err)
	}
	// A connection that breaks is no reason to give up.
	c.API.SetFaults(wire.Fault{Kind: wire.FaultReset}.Once("lambda:Invoke", c.Calls.Counts()["lambda:Invoke"]+2))
	r, _ = backfill(t, t.Context(), command.ExitOK, args...)
	if r.Done != 1 || r.AlreadyDone != 24 {
		t.Errorf("after the repair: %+v", r)
	}
	sent := sentKeys(t, c)
	for _, key := range keys {
		want := 1
		if key == bad {
			want = 2
		}
		if sent[key] != want {
			t.Errorf("%s was sent %d times", key, sent[key])
		}
	}

	// Ctrl-C before the work, in the check and in the listing.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if status, stdout, _ := clitest.Run(ctx, New(), append([]string{"backfill"}, args...)...); status != command.ExitInterrupted || stdout != "" {
		t.Errorf("Ctrl-C in the check: exit status %d, %s", status, stdout)
	}
	if r, _ := backfill(t, ctx, command.ExitInterrupted, append(args, "--function", "", "--dry-run")...); !r.Partial || r.Listed != 0 {
		t.Errorf("Ctrl-C in the listing: %+v", r)
	}

	// What holds for all objects ends the run.
	c.API.SetFaults(func(_ string, n int) wire.Fault { return wire.Refuse(403, "AccessDeniedException") })
	status, stdout, stderr := clitest.Run(t.Context(), New(), append([]string{"backfill"}, args...)...)
	if status != command.ExitFailed || stdout != "" || !strings.Contains(stderr, "AccessDenied") {
		t.Errorf("without permission: exit status %d, %s%s", status, stdout, stderr)
	}
	c.API.SetFaults(nil)
	status, _, stderr = clitest.Run(t.Context(), New(), "backfill", "s3://no-such-bucket", "--function", clitest.FunctionName)
	if status != command.ExitFailed || !strings.Contains(stderr, `s3://no-such-bucket/: list: there is no bucket "no-such-bucket"`) {
		t.Errorf("no such bucket: exit status %d, %s", status, stderr)
	}
	status, _, stderr = clitest.Run(t.Context(), New(), "backfill", "s3://another-bucket", "--function", clitest.FunctionName, "--state", state)
	if status != command.ExitFailed || !strings.Contains(stderr, "is the state file of s3://"+clitest.BucketName) {
		t.Errorf("another bucket's state: exit status %d, %s", status, stderr)
	}
	notes := filepath.Join(t.TempDir(), "notes")
	for _, text := range []string{"notes", "{}\n", "{\"state\":\"x\"}\n"} {
		if err := os.WriteFile(notes, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		status, _, stderr = clitest.Run(t.Context(), New(), "backfill", "s3://"+clitest.BucketName, "--function", clitest.FunctionName, "--state", notes)
		if data, _ := os.ReadFile(notes); status != command.ExitFailed || !strings.Contains(stderr, "is not a state file") || string(data) != text {
			t.Errorf("no state file: exit status %d, %s, now %q", status, stderr, data)
		}
	}
}

// What an invocation that died has claimed is held back, until a time that is said.
func TestBackfillClaimed(t *testing.T) {
	c := clitest.NewCloud(t)
	putHistory(t, c, 1)
	args := []string{"s3://" + clitest.BucketName + "/AWSLogs", "--since", "7h", "--function", clitest.FunctionName}
	c.CloudWatch.SetFaults(func(string, int) wire.Fault { return wire.Refuse(500, "InternalFailure") }) // so it may have accepted
	r, stderr := backfill(t, t.Context(), command.ExitFailed, args...)
	if r.Failed != 1 || r.RetryAfter != nil || !strings.HasSuffix(stderr, ": 1 of 1 objects failed\n") {
		t.Errorf("without a reply: %+v, %s", r, stderr)
	}
	c.CloudWatch.SetFaults(nil)
	r, stderr = backfill(t, t.Context(), command.ExitFailed, args...)
	if r.Failed != 1 || r.RetryAfter == nil || !strings.Contains(stderr, "if that died, run the same command again after "+r.RetryAfter.Format(time.RFC3339)+"\n") {
		t.Fatalf("claimed: %+v, %s", r, stderr)
	}
	const timeout = 20 * time.Second // of the function; the time is rounded up to a second
	if wait := time.Until(*r.RetryAfter); wait < timeout+ledger.Skew-10*time.Second || wait > timeout+ledger.Skew+time.Second {
		t.Errorf("retry after %v", wait)
	}
}

func TestBackfillManifest(t *testing.T) {
	stack := awstest.Start(t, localaws.Options{}, clitest.BucketName)
	end := time.Now().UTC().Truncate(logkey.Period).Add(-time.Hour)
	later := strings.Replace(clitest.LogKey(end.Add(logkey.Period), 1), "AWSLogs", "odd, \"prefix\" of+50% ü/AWSLogs", 1)
	for _, key := range []string{clitest.LogKey(end, 2), later, clitest.LogKey(end, 1), clitest.LogKey(end.Add(-20*24*time.Hour), 1), "notes.txt"} {
		if _, err := stack.S3.Put(clitest.BucketName, key, clitest.TinyLog(end)); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "manifest.csv")
	args := []string{"s3://" + clitest.BucketName, "--since", "30d", "--manifest", file}
	r, _ := backfill(t, t.Context(), command.ExitOK, args...)
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := clitest.BucketName + "," + clitest.LogKey(end, 1) + "\n" +
		clitest.BucketName + "," + clitest.LogKey(end, 2) + "\n" +
		clitest.BucketName + ",odd%2C%20%22prefix%22%20of%2B50%25%20%C3%BC/" + clitest.LogKey(end.Add(logkey.Period), 1) + "\n"
	if d := gocmp.Diff(want, string(got)); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if r.Selected != 3 || r.TooOld != 1 || r.Manifest != file || !strings.Contains(strings.Join(r.NextSteps, "\n"), "create-job") {
		t.Errorf("%+v", r)
	}
	status, stdout, stderr := clitest.Run(t.Context(), New(), append([]string{"backfill", "--function", "tlswatch-ProcessorFunction-1A2B3C"}, args...)...)
	if status != command.ExitOK || !strings.Contains(stdout, "  3  written to "+file) || !strings.Contains(stdout, "--function-name tlswatch-ProcessorFunction-1A2B3C --query FunctionArn") {
		t.Errorf("exit status %d: %s\n%s", status, stderr, stdout)
	}
	files, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	// S3 takes no empty manifest.
	none := file + ".none"
	r, _ = backfill(t, t.Context(), command.ExitOK, "s3://"+clitest.BucketName+"/nothing", "--manifest", none)
	if _, err := os.Stat(none); err == nil || r.Manifest != "" {
		t.Errorf("an empty manifest: %+v", r)
	}
}

// A dry run calls no Lambda, and finds a bucket in whatever Region S3 says,
// configured or not.
func TestBackfillRegion(t *testing.T) {
	b := clitest.NewBucket(t)
	end := time.Now().UTC().Truncate(logkey.Period)
	b.Put(t, clitest.LogKey(end, 1), string(clitest.TinyLog(end)))
	t.Setenv("AWS_ENDPOINT_URL_S3", clitest.NewProxy(t, b, clitest.Elsewhere("eu-central-1")))
	t.Setenv("AWS_ENDPOINT_URL_LAMBDA", clitest.NewProxy(t, b, func(_ http.ResponseWriter, r *http.Request) bool {
		t.Errorf("Lambda is called: %s %s", r.Method, r.URL)
		return false
	}))
	for _, region := range []string{"us-east-1", ""} {
		t.Setenv("AWS_REGION", region)
		t.Setenv("AWS_DEFAULT_REGION", region)
		r, stderr := backfill(t, t.Context(), command.ExitOK, "s3://"+clitest.BucketName, "--function", "f", "--dry-run")
		if r.Listed != 1 || r.Selected != 1 || stderr != "" {
			t.Errorf("Region %q: %+v, %s", region, r, stderr)
		}
	}
	status, _, stderr := clitest.Run(t.Context(), New(), "backfill", "s3://"+clitest.BucketName, "--function", "f")
	if status != command.ExitUsage || !strings.Contains(stderr, "no AWS Region: use --region, or set AWS_REGION") {
		t.Errorf("no Region for Lambda: exit status %d, %s", status, stderr)
	}
}

// A listing takes all pages, and only the days it needs where it can.
func TestListObjects(t *testing.T) {
	stack := awstest.Start(t, localaws.Options{}, clitest.BucketName)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	put := func(end, delivered time.Time, n int) string {
		t.Helper()
		key := strings.Replace(clitest.LogKey(end, n), end.Format(input.KeyDate), delivered.Format(input.KeyDate), 1)
		if _, err := stack.S3.Put(clitest.BucketName, key, nil); err != nil {
			t.Fatal(err)
		}
		return key
	}
	midnight := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	late := put(midnight.Add(-logkey.Period), midnight, 1)                    // delivered after midnight
	early := put(midnight.Add(logkey.Period), midnight.Add(-24*time.Hour), 2) // never seen
	last := put(midnight.Add(23*time.Hour), midnight.Add(47*time.Hour), 3)    // a day late
	for i := range 2300 {
		put(now.Add(-time.Hour), now, 10+i)
	}
	for range 3 {
		put(midnight.Add(-5*24*time.Hour), midnight.Add(-5*24*time.Hour), 4)
	}
	list := func(prefix, since, until string) *listing {
		t.Helper()
		o := options{TimeFlags: input.TimeFlags{Since: since, Until: until}, function: "f", concurrency: 1, format: "json"}
		if err := o.check("s3://"+clitest.BucketName+"/"+prefix, now); err != nil {
			t.Fatal(err)
		}
		l, err := listObjects(t.Context(), new(cloud.Buckets), o, nil)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	keysOf := func(l *listing) (keys []string) {
		for _, o := range l.objects {
			keys = append(keys, o.Key)
		}
		return keys
	}
	region := "AWSLogs/123456789012/elasticloadbalancing/us-east-1"
	for prefix, pages := range map[string]int{region + "/": 1, region: 2, "AWSLogs/": 4, "": 5} {
		calls := stack.Calls.Counts()["s3:ListObjectsV2"]
		l := list(prefix, "2026-11-20T23:00Z", "2026-11-21T23:00Z")
		if want := []string{late, early, last}; !slices.Equal(keysOf(l), want) || l.listed != 3 {
			t.Errorf("%s: listed %d, %q", prefix, l.listed, keysOf(l))
		}
		if calls = stack.Calls.Counts()["s3:ListObjectsV2"] - calls; calls != pages {
			t.Errorf("%s: %d pages, want %d", prefix, calls, pages)
		}
	}
	if l := list(region+"/2026/1", "2026-11-20T23:00Z", "2026-11-21T23:00Z"); len(l.objects) != 3 || l.listed != 2304 || l.outside != 2301 {
		t.Errorf("in full: %+v", l)
	}
	calls := stack.Calls.Counts()["s3:ListObjectsV2"]
	if l := list(region+"/", "2h", "now"); len(l.objects) != 2300 {
		t.Errorf("many pages: %d objects of %d", len(l.objects), l.listed)
	}
	if calls = stack.Calls.Counts()["s3:ListObjectsV2"] - calls; calls != 3 {
		t.Errorf("many pages: %d", calls)
	}
	if l := list(region, "2026-11-20T23:00Z", "2026-11-20T23:55Z"); !slices.Equal(keysOf(l), []string{late}) {
		t.Errorf("until is not the last moment taken: %q", keysOf(l))
	}
}

func TestFailedItems(t *testing.T) {
	for _, test := range []struct {
		kind, message string
		want          map[int]string
	}{
		{"Failures", "item 1: a; b; item 3: c", map[int]string{1: "a; b", 3: "c"}},
		{"Failures", "item 1: a; item x: b", map[int]string{1: "a; item x: b"}},
		{"Failures", "item 9: a", nil},
		{"Failures", "other", map[int]string{}},
		{"errorString", "item 1: a", nil},
	} {
		if d := gocmp.Diff(test.want, failedItems(&deployed.FunctionError{Type: test.kind, Message: test.message}, 5)); d != "" {
			t.Errorf("%s: %s", test.message, d)
		}
	}
	if got := shellQuote("a b'c") + " " + shellQuote("a/b.csv"); got != `'a b'\''c' a/b.csv` {
		t.Errorf("quoted: %s", got)
	}
}
