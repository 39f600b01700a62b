package local

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/functiontest"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/metric"
)

// runJSON runs "tlswatch local --format json" and returns what it prints.
func runJSON(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"local", "--format", "json", "--bootstrap", clitest.Function(t)}, args...)
	if status := clitest.RunIO(t.Context(), New(), args, strings.NewReader(""), &stdout, &stderr); status != command.ExitOK {
		t.Fatalf("exit status %d: %s", status, &stderr)
	}
	if stderr.Len() > 0 {
		t.Errorf("standard error: %s", &stderr)
	}
	var r result
	d := json.NewDecoder(&stdout)
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// sampleLogs returns the lines of the sample logs by load balancer.
func sampleLogs(t *testing.T) map[string][]string {
	t.Helper()
	logs := make(map[string][]string)
	files, err := filepath.Glob(clitest.Path("events/sample/conn_log*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".gz") {
			z, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if data, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		key, err := logkey.Parse(filepath.Base(name))
		if err != nil {
			t.Fatal(err)
		}
		logs[key.LoadBalancer] = append(logs[key.LoadBalancer], strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")...)
	}
	return logs
}

// What local publishes of the samples equals an independent count of their
// lines: nothing is lost or doubled on the way through the function.
func TestLocalEqualsReference(t *testing.T) {
	r := runJSON(t, clitest.Path("events/sample"))
	var logs []connlogtest.Object
	for lb, lines := range sampleLogs(t) {
		logs = append(logs, connlogtest.Object{LoadBalancer: lb, Lines: lines})
	}
	got := resultSums(r)
	functiontest.WantSums(t, functiontest.Reference(logs...), got)
	if n := got[metric.ObjectsProcessed].Sum; n != 4 {
		t.Errorf("ObjectsProcessed is %v", n)
	}
	for _, name := range metric.AboutProcessor() {
		if _, ok := got[name]; !ok && name != metric.ClientsOverBudget { // of which there are none
			t.Errorf("%s is missing", name)
		}
	}
	if len(r.Invocations) != 4 || len(r.Alerts) != 1 || r.API["s3:ListObjectsV2"] != 4 || r.API["sns:Publish"] != 1 {
		t.Errorf("%d invocations, %d alerts, calls %v", len(r.Invocations), len(r.Alerts), r.API)
	}
	for _, i := range r.Invocations {
		if i.Error != "" || i.Objects != 1 || i.DurationMS <= 0 || i.RequestID == "" {
			t.Errorf("invocation %+v", i)
		}
	}
	for _, m := range r.Metrics {
		if age := time.Since(m.Timestamp); age < -time.Minute || age > 20*time.Minute {
			t.Errorf("%s is stamped %v", m.Name, m.Timestamp)
		}
	}
}

// The same with gawk as the judge, told to honour quotes.
func TestLocalEqualsGawk(t *testing.T) {
	gawk, err := exec.LookPath("gawk")
	if err != nil {
		t.Skip("SKIPPED: gawk is not on PATH: sums were not compared with it")
	}
	sums := resultSums(runJSON(t, clitest.Path("events/sample")))
	for lb, lines := range sampleLogs(t) {
		const program = `
			BEGIN { FPAT = "\"([^\"\\\\]|\\\\.)*\"|[^ ]+" }
			$11 == "-" && $5 == "-" { plain++; next }
			{ n++; proto[$5]++; suite[$5 " Cipher=" $6]++ }
			$11 ~ /^Failed:/ { failed++; sub(/^Failed:/, "", $11); reason[$11]++; badsuite[$5 " Cipher=" $6]++ }
			END {
				if (plain) print "PlaintextConnections LoadBalancer=" LB "\t" plain
				if (n) print "Connections LoadBalancer=" LB "\t" n
				if (n) print "FailedNegotiations LoadBalancer=" LB "\t" failed + 0
				for (p in proto) print "Connections LoadBalancer=" LB " Protocol=" p "\t" proto[p]
				for (s in suite) print "Connections LoadBalancer=" LB " Protocol=" s "\t" suite[s]
				for (s in suite) print "FailedNegotiations LoadBalancer=" LB " Protocol=" s "\t" badsuite[s] + 0
				for (r in reason) print "FailedNegotiations LoadBalancer=" LB " Reason=" r "\t" reason[r]
			}`
		cmd := exec.Command(gawk, "-v", "LB="+lb, program)
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		compared := 0
		for line := range strings.Lines(string(out)) {
			name, count, _ := strings.Cut(strings.TrimSpace(line), "\t")
			name = strings.ReplaceAll(name, "=-", "=none")
			want, err := strconv.ParseFloat(count, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got := sums[name].Sum; got != want {
				t.Errorf("%s: published %v, gawk counts %v", name, got, want)
			}
			compared++
		}
		if compared == 0 {
			t.Errorf("gawk printed nothing for %s", lb)
		}
	}
}

// With --keep the stand-ins stay until Ctrl-C, and take objects from clients.
func TestLocalKeep(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr awstest.Buffer
	ended := make(chan int)
	go func() {
		ended <- clitest.RunIO(ctx, New(), []string{"local", "--keep", "-v", "--bootstrap", clitest.Function(t), clitest.Path("events/sample")}, strings.NewReader(""), &stdout, &stderr)
	}()
	until := func(what string, ok func() bool) {
		t.Helper()
		for start := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
			if time.Since(start) > 30*time.Second {
				t.Fatalf("%s: not seen in\n%s\n%s", what, &stdout, &stderr)
			}
		}
	}
	until("addresses", func() bool { return strings.Contains(stderr.String(), "list-metrics --namespace tlswatch\n") })
	env := make(map[string]string)
	for _, m := range regexp.MustCompile(`export (\w+)=(\S+)`).FindAllStringSubmatch(stderr.String(), -1) {
		env[m[1]] = m[2]
	}
	cfg, err := awsconfig.LoadDefaultConfig(t.Context(), awsconfig.WithRegion(env["AWS_REGION"]), awsconfig.WithBaseEndpoint(env["AWS_ENDPOINT_URL_S3"]),
		awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], "")))
	if err != nil {
		t.Fatal(err)
	}
	key := "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/23/conn_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20261123T1005Z_192.0.2.1_kept.log"
	if _, err := s3.NewFromConfig(cfg).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(logBucket), Key: aws.String(key), Body: strings.NewReader("x\n")}); err != nil {
		t.Fatal(err)
	}
	until("the new object", func() bool {
		return regexp.MustCompile(`"message":"processed".*192\.0\.2\.1_kept\.log`).MatchString(stderr.String())
	})
	until("its invocation", func() bool { return strings.Count(stdout.String(), "INVOCATIONS") == 2 })
	cancel()
	if status := <-ended; status != command.ExitOK {
		t.Errorf("exit status %d: %s", status, &stderr)
	}
}

// Shifting keeps logs of one time together and moves each line by whole
// periods, times of certificates included.
func TestShift(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 3, 20, 0, time.UTC)
	line := func(when, from, until string) string {
		return when + ` 203.0.113.1 36280 443 TLSv1.2 X - "CN=a b" NotBefore=` + from + `;NotAfter=` + until + ` 02 Failed:ClientCertExpired`
	}
	dir := t.TempDir()
	files := map[string]string{
		"conn_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20240301T0005Z_192.0.2.1_a.log": line("2024-02-29T23:59:59.999999Z", "2023-02-28T00:00:00Z", "2024-02-28T12:00:00Z") + "\r\nnot an entry 2024-02-29T23:59:59Z\r\n",
		"conn_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20240301T0010Z_192.0.2.1_b.log": line("2024-03-01T00:06:00Z", "-", "-"),
		"conn_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20200101T0010Z_192.0.2.1_c.log": line("2020-01-01T00:06:00Z", "-", "-"),
		"notes.log": line("2024-03-01T00:07:00Z", "-", "-"),
		"empty.log": "",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	u, err := readUploads(t.Context(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.shift(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range u.objects {
		got = append(got, o.key+"\n"+string(o.body))
	}
	slices.Sort(got)
	prefix := "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/23/conn_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20261123"
	want := []string{
		prefix + "T1200Z_192.0.2.1_a.log\n" + line("2026-11-23T11:54:59.999999Z", "2025-11-21T11:55:00Z", "2026-11-21T23:55:00Z") + "\r\nnot an entry 2024-02-29T23:59:59Z\r\n",
		prefix + "T1205Z_192.0.2.1_b.log\n" + line("2026-11-23T12:01:00Z", "-", "-"),
		prefix + "T1205Z_192.0.2.1_c.log\n" + line("2026-11-23T12:01:00Z", "-", "-"),
	}
	if d := gocmp.Diff(want, slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.HasPrefix(s, prefix) })); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if len(got) != len(files) {
		t.Errorf("%d objects: %q", len(got), got)
	}
	if made := strings.Join(got, "\n"); !strings.Contains(made, "_app.local.") || !strings.Contains(made, line("2026-11-23T12:02:00Z", "-", "-")) {
		t.Errorf("the log with a name of its own is not there: %q", got)
	}
}

func TestObjectKey(t *testing.T) {
	last := time.Date(2026, 11, 23, 10, 5, 0, 0, time.UTC)
	for file, want := range map[string]string{
		"x/AWSLogs/1/y/conn_log_1.log.gz":                                 "AWSLogs/1/y/conn_log_1.log.gz",
		"x/ELBConnectionLogTestFile":                                      "ELBConnectionLogTestFile",
		"conn_log_bad.log.gz":                                             "conn_log_bad.log.gz",
		"/a/123456789012_elasticloadbalancing_us-east-2_app.a.1_x.log.gz": "123456789012_elasticloadbalancing_us-east-2_app.a.1_x.log.gz",
	} {
		if got, named := objectKey(file, "", last); got != want || !named {
			t.Errorf("%s: got key %s, want %s", file, got, want)
		}
	}
	for given, want := range map[string]string{"app/a/1": "app/a/1", "app/a_b/1": "app/local/", "": "app/local/"} {
		made, named := objectKey("my.log", given, last)
		key, err := logkey.Parse(made)
		if err != nil {
			t.Fatal(err)
		}
		if named || !strings.HasPrefix(key.LoadBalancer, want) || !key.PeriodEnd.Equal(last.Add(5*time.Minute)) {
			t.Errorf("%s: made-up key is %+v", given, key)
		}
	}
}

// The session in README.md is what make run prints, but for what "..." leaves out
// and the width of columns.
func TestReadmeSession(t *testing.T) {
	readme, err := os.ReadFile(clitest.Path("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, session, ok := strings.Cut(string(readme), "```console\n$ make run\n")
	session, _, ok2 := strings.Cut(session, "```")
	if !ok || !ok2 {
		t.Fatal("README.md has no session")
	}
	makefile, err := os.ReadFile(clitest.Path("Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	policy := regexp.MustCompile(`(?m)^POLICY \?= .*,(ELBSecurityPolicy-[\w-]+)\)$`).FindSubmatch(makefile)
	if policy == nil {
		t.Fatal("the Makefile has no policy for events/sample")
	}
	var stdout, stderr bytes.Buffer
	if status := clitest.RunIO(t.Context(), New(), []string{"local", "--policy", string(policy[1]), "--bootstrap", clitest.Function(t), clitest.Path("events/sample")}, strings.NewReader(""), &stdout, &stderr); status != command.ExitOK {
		t.Fatalf("exit status %d: %s", status, &stderr)
	}
	printed := make(map[string]bool)
	for line := range strings.Lines(stdout.String()) {
		printed[strings.Join(strings.Fields(line), " ")] = true
	}
	for line := range strings.Lines(session) {
		if words := strings.Join(strings.Fields(line), " "); words != "..." && !printed[words] {
			t.Errorf("local does not print %q", words)
		}
	}
}

// resultSums adds the metrics of a result up over time, named as
// connlogtest.Metrics does.
func resultSums(r result) map[string]connlogtest.Sum {
	sums := make(map[string]connlogtest.Sum)
	for _, m := range r.Metrics {
		name := functiontest.MetricName(m.Name, m.Dimensions)
		s := sums[name]
		sums[name] = connlogtest.Sum{Sum: s.Sum + m.Sum, Samples: s.Samples + m.Samples}
	}
	return sums
}
