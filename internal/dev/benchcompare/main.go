//go:build unix

// Command benchcompare measures tlswatch and other programs on the same files:
// decompressors alone, the zcat and awk pipelines that it replaces, and the obvious
// program in Go. It prints the results, their ratios and whether the project's
// targets are met, and exits with 1 if one is missed by more than a tenth.
//
// Every measurement is a process of its own. The programs take turns, round by
// round, so that a slow minute affects all of them, and the median counts. CPU time
// is preferred to wall time, which other load on the machine affects more.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"tlswatch/internal/dev/docpart"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "job" {
		if err := runJob(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, "benchcompare:", err)
			os.Exit(1)
		}
		return
	}
	var b bench
	flag.IntVar(&b.rounds, "rounds", 5, "how often every program runs; fewer than 5 give poor medians")
	flag.StringVar(&b.dir, "dir", "build/bench", "directory of the data, which is created if missing")
	flag.StringVar(&b.build, "build", "build", "directory of the built programs")
	flag.Float64Var(&b.scale, "scale", 1, "size of the data, as a share of the 200 MB and 1 GB of the targets")
	doc := flag.String("write", "", "document to write the tables into, between <!-- bench --> and <!-- /bench -->")
	flag.Parse()
	text, missed, err := b.run()
	if err == nil && *doc != "" {
		err = docpart.Write(*doc, "bench", text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchcompare:", err)
		os.Exit(1)
	}
	fmt.Print(text)
	if missed {
		os.Exit(1)
	}
}

// A bench is one comparison of all programs.
type bench struct {
	rounds     int
	scale      float64
	dir, build string

	names   []string
	results map[string][]result
}

// A result is what one process used.
type result struct {
	cpu, wall time.Duration
	rss       int64 // peak, in bytes
	output    string
}

// A program is one of the programs that take turns.
type program struct {
	name string
	argv []string
	env  []string
	keep bool // keep its output
	once bool // it takes so long that one round must do
}

func (b *bench) run() (text string, missed bool, err error) {
	if b.rounds < 1 {
		return "", false, fmt.Errorf("-rounds %d: must be at least 1", b.rounds)
	}
	// On Linux, the peak memory of a process includes its parent's at the fork. So
	// this process stays small and makes the data in another one.
	if err := b.makeData(); err != nil {
		return "", false, err
	}
	data, err := b.data()
	if err != nil {
		return "", false, err
	}
	programs, skipped, err := b.programs(data)
	if err != nil {
		return "", false, err
	}
	b.results = make(map[string][]result)
	for _, p := range programs {
		b.names = append(b.names, p.name)
	}
	for round := range b.rounds {
		for _, p := range programs {
			if p.once && round > 0 {
				continue
			}
			fmt.Fprintf(os.Stderr, "\r\033[Kround %d of %d: %s", round+1, b.rounds, p.name)
			r, err := measure(p)
			if err != nil {
				return "", false, fmt.Errorf("%s: %w", p.name, err)
			}
			b.results[p.name] = append(b.results[p.name], r)
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	var out strings.Builder
	fmt.Fprintf(&out, "%s, %s, %d cores, %s, Go %s; %d rounds, medians.\n\n",
		time.Now().UTC().Format(time.DateOnly), processor(), runtime.NumCPU(), kernel(), strings.TrimPrefix(runtime.Version(), "go"), b.rounds)
	b.writeResults(&out, data)
	missed = b.writeTargets(&out, data)
	for _, s := range skipped {
		fmt.Fprintf(&out, "\nNot run: %s.\n", s)
	}
	return out.String(), missed, nil
}

func (b *bench) makeData() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.Command(self, "job", "data", b.dir, fmt.Sprint(b.scale))
	c.Stderr = os.Stderr
	return c.Run()
}

// measure runs a program.
func measure(p program) (result, error) {
	if len(p.argv) > 0 && p.argv[0] == startup {
		return measureStart(p.argv[1])
	}
	c := exec.Command(p.argv[0], p.argv[1:]...)
	c.Env = append(os.Environ(), p.env...)
	var stdout, stderr strings.Builder
	c.Stderr = &stderr
	if p.keep {
		c.Stdout = &stdout
	}
	start := time.Now()
	err := c.Run()
	wall := time.Since(start)
	if err != nil {
		return result{}, fmt.Errorf("%w: %s", err, stderr.String())
	}
	peak := int64(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	if runtime.GOOS != "darwin" { // other systems report KB
		peak <<= 10
	}
	return result{
		cpu: c.ProcessState.UserTime() + c.ProcessState.SystemTime(), wall: wall,
		rss: peak, output: stdout.String(),
	}, nil
}

// median returns the median of f over the results of a program, and false if the
// program did not run.
func (b *bench) median(name string, f func(result) float64) (float64, bool) {
	var values []float64
	for _, r := range b.results[name] {
		values = append(values, f(r))
	}
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2, true
}

func cpu(r result) float64  { return r.cpu.Seconds() }
func wall(r result) float64 { return r.wall.Seconds() }
func rss(r result) float64  { return float64(r.rss) / 1e6 }

func (b *bench) writeResults(out *strings.Builder, data *data) {
	fmt.Fprintf(out, "| program | CPU s | CPU, klauspost = 1 | wall s | peak MB |\n|---|---|---|---|---|\n")
	for _, name := range b.names {
		c, _ := b.median(name, cpu)
		w, _ := b.median(name, wall)
		m, _ := b.median(name, rss)
		ratio := ""
		if _, file, ok := strings.Cut(name, ": "); ok {
			if yardstick, ok := b.median(klauspostGunzip+": "+file, cpu); ok {
				ratio = fmt.Sprintf("%.2f", c/yardstick)
			}
		}
		fmt.Fprintf(out, "| %s | %.3f | %s | %.3f | %.1f |\n", name, c, ratio, w, m)
	}
}

// processor returns the processor's name on Linux, elsewhere its architecture.
func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.SplitSeq(string(info), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(release))
}

// find returns the path of a program that "make build" made.
func (b *bench) find(name string) (string, error) {
	path, err := filepath.Abs(filepath.Join(b.build, name))
	if err != nil {
		return "", err
	}
	_, err = os.Stat(path)
	return path, err
}
