//go:build unix

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "job" { // started by the test itself
		main()
		return
	}
	os.Exit(m.Run())
}

// All programs run on little data, and all jobs count the same lines.
func TestRun(t *testing.T) {
	if _, err := exec.LookPath("gzip"); err != nil {
		t.Skip("SKIPPED: gzip is not on PATH")
	}
	b := bench{rounds: 1, scale: 0.0005, dir: t.TempDir(), build: t.TempDir()}
	text, _, err := b.run()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{wholeJob, wholePipelined, smallAll, "allocations per line"} {
		if !strings.Contains(text, "| "+name) {
			t.Errorf("no row for %s:\n%s", name, text)
		}
	}
	jobs, counting := make(map[string]int), 0
	for _, name := range b.names {
		if jobs[name]++; jobs[name] > 1 {
			t.Errorf("two rows are called %s", name)
		}
		output := strings.Fields(b.results[name][0].output)
		want := ""
		switch {
		case name == wholeJob+": 0.1 MB" || name == wholePipelined+": 0.1 MB":
			want = "675 "
		case name == wholeJob+": 0.5 MB" || name == wholePipelined+": 0.5 MB":
			want = "3378 "
		case name == smallOne || name == smallAll:
			want = "5600"
		}
		if want == "" {
			continue
		}
		counting++
		if !strings.HasPrefix(strings.Join(output, " "), want) {
			t.Errorf("%s: %q, want %s", name, output, want)
		}
	}
	if counting != 6 {
		t.Errorf("%d jobs count lines, want 6", counting)
	}
}

func TestVerdicts(t *testing.T) {
	d := &data{medium: file{label: "200 MB"}, large: file{label: "1 GB"}}
	run := func(whole, yardstick time.Duration) (string, bool) {
		b := bench{build: t.TempDir(), results: map[string][]result{
			wholeJob + ": 200 MB":        {{cpu: whole}, {cpu: 2 * whole}, {cpu: whole}},
			klauspostGunzip + ": 200 MB": {{cpu: yardstick}},
		}}
		var out strings.Builder
		missed := b.writeTargets(&out, d)
		line, _, _ := strings.Cut(out.String()[strings.Index(out.String(), "| whole job / klauspost"):], "\n")
		return line, missed
	}
	for _, test := range []struct {
		whole   time.Duration
		verdict string
		missed  bool
	}{{64, "met", false}, {70, "within a tenth", false}, {72, "**missed**", true}} {
		if line, missed := run(test.whole, 100); missed != test.missed || !strings.HasSuffix(line, "| "+test.verdict+" |") {
			t.Errorf("%d: %s, missed %v", test.whole, line, missed)
		}
	}
}
