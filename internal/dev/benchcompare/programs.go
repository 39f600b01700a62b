//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Names of programs. ": " and the file they read follows.
const (
	klauspostGunzip = "gunzip, klauspost/compress"
	inflateGunzip   = "gunzip, pkg/inflate"
	igzip           = "igzip -dc"
	gawkPipeline    = "zcat, gawk, sort, uniq, sort"
	wholeJob        = "whole job"
	wholePipelined  = "whole job, pipelined"
	reportJob       = "tlswatch report"
	uniformJob      = "whole job: 1 GB of 50 k clients"
	uniqueJob       = "whole job: 5 M clients"
	blankJob        = "whole job: 1 GB of line feeds"
	smallOne        = "small objects, 1 core"
	smallAll        = "small objects, all cores"
	startup         = "spawn to ready"
	helloJob        = "tlswatch hello"
	tsharkJob       = "tshark -Y"
)

// pipeline is the pipeline of docs/from-the-article.md that counts by status, with
// the given awk.
func pipeline(awk, path string) []string {
	return []string{"bash", "-c", fmt.Sprintf(`set -o pipefail; zcat '%s' | %s '{print $11}' | sort | uniq -c | sort -r`, path, awk)}
}

// programs returns the programs to measure, and those that cannot run here.
func (b *bench) programs(d *data) (list []program, skipped []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	add := func(name string, file file, argv ...string) {
		if file.label != "" {
			name += ": " + file.label
		}
		list = append(list, program{name: name, argv: argv, keep: argv[0] == self})
	}
	needs := func(name string) bool {
		if _, err := exec.LookPath(name); err != nil {
			skipped = append(skipped, name+", which is not on PATH")
			return false
		}
		return true
	}
	m := d.medium
	add(klauspostGunzip, m, self, "job", "klauspost", m.path)
	add(inflateGunzip, m, self, "job", "inflate", m.path)
	add(wholeJob, m, self, "job", "whole", m.path)
	add(wholePipelined, m, self, "job", "pipelined", m.path)
	add("gunzip, compress/gzip", m, self, "job", "standard", m.path)
	add("gzip -dc", m, "gzip", "-dc", m.path)
	if needs("igzip") {
		add(igzip, m, "igzip", "-dc", m.path)
	}
	if needs("pigz") {
		add("pigz -dc", m, "pigz", "-dc", m.path)
	}
	add("Scanner, strings.Fields, maps", m, self, "job", "naive", m.path)
	gawk := needs("gawk")
	if gawk {
		add(gawkPipeline, m, pipeline("gawk", m.path)...)
	}
	if needs("mawk") {
		add("zcat, mawk, sort, uniq, sort", m, pipeline("mawk", m.path)...)
	}
	l := d.large
	add(klauspostGunzip, l, self, "job", "klauspost", l.path)
	add(wholeJob, l, self, "job", "whole", l.path)
	add(wholePipelined, l, self, "job", "pipelined", l.path)
	if tlswatch, err := b.find("tlswatch"); err == nil {
		add(reportJob, l, tlswatch, "report", "--format", "json", l.path)
		if gawk {
			add(gawkPipeline, l, pipeline("gawk", l.path)...)
		}
		traffic, err := b.traffic()
		if err != nil {
			return nil, nil, err
		}
		list = append(list, program{name: helloJob, argv: []string{tlswatch, "hello", "--format", "json", traffic}})
		if needs("tshark") {
			list = append(list, program{name: tsharkJob, once: true, argv: []string{"tshark", "-n", "-r", traffic, "-Y", "tls.handshake.type==1", "-T", "fields",
				"-e", "tls.handshake.version", "-e", "tls.handshake.extensions.supported_version", "-e", "tls.handshake.ciphersuite", "-e", "tls.handshake.extensions_server_name"}})
		}
	} else {
		skipped = append(skipped, "tlswatch report and hello: "+err.Error())
	}
	add(uniformJob, file{}, self, "job", "whole", d.uniform.path)
	add(uniqueJob, file{}, self, "job", "whole", d.unique.path)
	add(blankJob, file{}, self, "job", "whole", d.blank.path)
	list = append(list,
		program{name: smallOne, argv: []string{self, "job", "small", d.small}, keep: true, env: []string{"GOMAXPROCS=1"}},
		program{name: smallAll, argv: []string{self, "job", "small", d.small}, keep: true})
	if bootstrap, err := b.find("bootstrap"); err == nil {
		add(startup, file{}, startup, bootstrap)
	} else {
		skipped = append(skipped, "the function's start: "+err.Error())
	}
	return list, skipped, nil
}

// A target is a limit that the project sets itself.
type target struct {
	what  string
	least bool // the figure must be at least the limit, not at most
	limit float64
	unit  string
	value func() (float64, bool)
}

func (b *bench) ratio(a, c string, f func(result) float64) func() (float64, bool) {
	return func() (float64, bool) {
		x, ok1 := b.median(a, f)
		y, ok2 := b.median(c, f)
		return x / y, ok1 && ok2
	}
}

func (b *bench) targets(d *data) []target {
	m, l := ": "+d.medium.label, ": "+d.large.label
	peak := func(name string) func() (float64, bool) {
		return func() (float64, bool) { return b.median(name, rss) }
	}
	return []target{
		{"whole job / klauspost gunzip alone, CPU", false, 0.65, "", b.ratio(wholeJob+m, klauspostGunzip+m, cpu)},
		{"whole job / igzip alone, CPU", false, 2.2, "", b.ratio(wholeJob+m, igzip+m, cpu)},
		{"pipeline of gawk / whole job, CPU", true, 4, "", b.ratio(gawkPipeline+m, wholeJob+m, cpu)},
		{"pipeline of gawk / tlswatch report, CPU", true, 4, "", b.ratio(gawkPipeline+l, reportJob+l, cpu)},
		{"pipelined / klauspost gunzip alone, wall time", false, 0.5, "", b.ratio(wholePipelined+l, klauspostGunzip+l, wall)},
		{"line feeds / a log of the same size, CPU", false, 0.3, "", b.ratio(blankJob, wholeJob+l, cpu)},
		{"peak memory of the whole job, 50 k clients", false, 16, "MB", peak(uniformJob)},
		{"peak memory of the whole job, 5 M clients", false, 32, "MB", peak(uniqueJob)},
		{"peak memory of tlswatch report", false, 64 << 20 / 1e6, "MB", peak(reportJob + l)},
		{"tshark -Y / tlswatch hello, CPU", true, 5, "", b.ratio(tsharkJob, helloJob, cpu)},
		{"peak memory of tlswatch hello", false, 128 << 20 / 1e6, "MB", peak(helloJob)},
		{"allocations per line", false, 0.001, "", func() (float64, bool) { return b.median(wholeJob+l, allocations) }},
		{"small objects, one core / all, wall time", true, 1.8, "", b.ratio(smallOne, smallAll, wall)},
		{"function, spawn to ready", false, 7, "ms", func() (float64, bool) {
			seconds, ok := b.median(startup, wall)
			return seconds * 1000, ok
		}},
		{"function, zip for arm64", false, 4.5, "MB", func() (float64, bool) {
			path, err := b.find("processor-arm64.zip")
			if err != nil {
				return 0, false
			}
			info, err := os.Stat(path)
			if err != nil {
				return 0, false
			}
			return float64(info.Size()) / 1e6, true
		}},
	}
}

// allocations returns the allocations per line that the job "whole" prints.
func allocations(r result) float64 {
	var n [3]float64
	for i, s := range strings.Fields(r.output) {
		n[i], _ = strconv.ParseFloat(s, 64)
	}
	return n[2] / n[0]
}

// writeTargets writes the table of targets and reports whether one is missed by more
// than a tenth.
func (b *bench) writeTargets(out *strings.Builder, d *data) (missed bool) {
	fmt.Fprintf(out, "\n| target | limit | measured | |\n|---|---|---|---|\n")
	for _, t := range b.targets(d) {
		bound := "at most"
		if t.least {
			bound = "at least"
		}
		v, ok := t.value()
		if !ok {
			fmt.Fprintf(out, "| %s | %s %.3g %s | | not measured |\n", t.what, bound, t.limit, t.unit)
			continue
		}
		excess := v / t.limit
		if t.least {
			excess = t.limit / v
		}
		verdict := "met"
		switch {
		case excess > 1.1:
			verdict = "**missed**"
			missed = true
		case excess > 1:
			verdict = "within a tenth"
		}
		fmt.Fprintf(out, "| %s | %s %.3g %s | %.3g | %s |\n", t.what, bound, t.limit, t.unit, v, verdict)
	}
	return missed
}
