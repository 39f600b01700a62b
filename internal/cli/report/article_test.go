package report_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/cli"
	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/report"
)

const articlePage = "docs/from-the-article.md"

// articlePipelines returns the pipelines of the page, in the article's order.
func articlePipelines(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile(clitest.Path(articlePage))
	if err != nil {
		t.Fatal(err)
	}
	log, _, _ := strings.Cut(string(page), "## The policy")
	pipelines := regexp.MustCompile(`(?m)^zcat .*$`).FindAllString(log, -1)
	if len(pipelines) != 4 {
		t.Fatalf("%d pipelines on the page", len(pipelines))
	}
	return pipelines
}

// articleLogs writes logs and returns their directory and lines.
func articleLogs(t *testing.T, change func(string) string) (dir string, lines []string) {
	t.Helper()
	dir = t.TempDir()
	for i := range 5 {
		var text strings.Builder
		err := connlogtest.Write(&text, connlogtest.Options{Seed: uint64(i), Lines: 3000, Start: clitest.Day.Add(time.Duration(i) * 5 * time.Minute), Fields: []int{15, 12, 11}[i%3]})
		if err != nil {
			t.Fatal(err)
		}
		log := change(text.String())
		lines = append(lines, strings.Split(strings.TrimSuffix(log, "\n"), "\n")...)
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write([]byte(log))
		z.Close()
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("log%d.log.gz", i)), packed.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir, lines
}

// shell runs a command of the page in a directory.
func shell(t *testing.T, dir, command string) string {
	t.Helper()
	cmd := exec.Command("bash", "-c", command)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return string(out)
}

// articleReport is what report --format json says of the logs.
func articleReport(t *testing.T, dir string) (r report.Result) {
	t.Helper()
	status, stdout, stderr := clitest.Run(t.Context(), cli.New(), "report", "--format", "json", dir)
	if status != command.ExitOK {
		t.Fatal(stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// countedLines are the lines that "uniq -c" prints, in an order of their own.
func countedLines(text string) []string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	slices.Sort(lines)
	return lines
}

func needGawk(t *testing.T) {
	if _, err := exec.LookPath("gawk"); err != nil {
		t.Skip("SKIPPED: gawk is not on PATH: the article's pipelines were not compared with report")
	}
}

// Each of the article's pipelines counts what report does, on logs without
// spaces in subjects.
func TestArticlePipelines(t *testing.T) {
	needGawk(t)
	subject := regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	dir, lines := articleLogs(t, func(s string) string {
		return subject.ReplaceAllStringFunc(s, func(s string) string { return strings.ReplaceAll(s, " ", "_") })
	})
	r := articleReport(t, dir)
	if int(r.Connections) != len(lines) || r.Failed == 0 {
		t.Fatalf("%d connections of %d lines", r.Connections, len(lines))
	}
	var status, clients, negotiations []string
	for _, x := range r.ByStatus {
		status = append(status, fmt.Sprint(x.Count, " ", x.Status))
	}
	for _, x := range r.FailedClients {
		clients = append(clients, fmt.Sprint(x.Failed, " ", x.Client))
	}
	for _, x := range r.FailedNegotiations {
		if x.Cipher != "-" {
			negotiations = append(negotiations, fmt.Sprint(x.Count, " ", x.Client, " ", x.Protocol, " ", x.Cipher, " ", x.Status))
		}
	}
	const minute = "2006-01-02T15:04"
	times := r.First.Format(minute) + "\n" + r.Last.Format(minute) + "\n"
	pipelines := articlePipelines(t)
	if got := shell(t, dir, pipelines[0]); got != times {
		t.Errorf("%s\nprints %q, report says %q", pipelines[0], got, times)
	}
	for i, ours := range [][]string{status, clients, negotiations} {
		slices.Sort(ours)
		theirs := countedLines(shell(t, dir, pipelines[i+1]))
		if len(theirs) < 4 {
			t.Errorf("%s\nprints %q only", pipelines[i+1], theirs)
		}
		if d := gocmp.Diff(theirs, ours); d != "" {
			t.Errorf("%s\n-gawk +report\n%s", pipelines[i+1], d)
		}
	}
}

// On logs with spaces in subjects gawk is wrong, and report is right: it counts
// what an independent reading of the fields does.
func TestArticleWrong(t *testing.T) {
	dir, lines := articleLogs(t, func(s string) string { return s })
	r := articleReport(t, dir)
	want := make(map[string]int)
	failed := make(map[string]int)
	for _, line := range lines {
		f := connlogtest.Reference(line)
		want[cmp.Or(f[10], "-")]++
		if strings.HasPrefix(f[10], "Failed:") {
			failed[f[1]]++
		}
	}
	got := make(map[string]int)
	for _, x := range r.ByStatus {
		got[x.Status] = int(x.Count)
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("status: -reference +report\n%s", d)
	}
	got = make(map[string]int)
	for _, x := range r.FailedClients {
		got[x.Client] = int(x.Failed)
	}
	if d := gocmp.Diff(failed, got); d != "" {
		t.Errorf("clients: -reference +report\n%s", d)
	}
	needGawk(t)
	pipelines := articlePipelines(t)
	if out := shell(t, dir, pipelines[1]); strings.Contains(out, "ClientCertExpired") || want["Failed:ClientCertExpired"] == 0 {
		t.Errorf("gawk is right:\n%s", out)
	}
}

// The sessions on the page are what the commands print.
func TestArticleSessions(t *testing.T) {
	page, err := os.ReadFile(clitest.Path(articlePage))
	if err != nil {
		t.Fatal(err)
	}
	sessions := regexp.MustCompile("(?s)```console\n\\$ ([^\n]*)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(sessions) < 2 {
		t.Fatal("no sessions on the page")
	}
	for _, s := range sessions {
		command, want := s[1], s[2]
		var got string
		_, absent := exec.LookPath("gawk")
		if args, ok := strings.CutPrefix(command, "tlswatch "); ok {
			logs, err := filepath.Glob(clitest.Path("events/sample/*.log.gz"))
			if err != nil {
				t.Fatal(err)
			}
			_, got, _ = clitest.Run(t.Context(), cli.New(), append(strings.Fields(strings.TrimSuffix(args, " *.log.gz")), logs...)...)
		} else if absent == nil {
			got = shell(t, clitest.Path("events/sample"), command)
		} else {
			t.Log("SKIPPED: gawk is not on PATH: what the page shows of it was not compared")
			continue
		}
		if d := gocmp.Diff(want, got); d != "" {
			t.Errorf("%s\n-page +printed\n%s", command, d)
		}
	}
}
