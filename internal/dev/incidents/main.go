// Command incidents measures how well package incident tells the story of logs whose
// truth is known, beside simpler ways. Package world makes the logs.
//
// Limits and rules are tuned on some seeds, and reported on others.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"tlswatch/internal/dev/incidents/score"
	"tlswatch/internal/dev/incidents/world"
	"tlswatch/pkg/incident"
)

const (
	tuning    = 0      // first seed to tune on
	reporting = 20_000 // first seed to report on: no rule was tuned on it or later ones; seeds from 10,000 were
)

type options struct {
	write, kind string
	truth       string
	seed        uint64
	count       int
	quiet       int
	tune        bool
	short       bool
}

func main() {
	var o options
	flag.StringVar(&o.write, "write", "", "write the logs of one seed, and truth.json, into this `directory`; needs -kind")
	flag.StringVar(&o.truth, "score", "", "mark the JSON report in standard input by this `truth.json`")
	flag.StringVar(&o.kind, "kind", "", "only this `kind` of incident: "+strings.Join(world.Kinds(), ", "))
	flag.Uint64Var(&o.seed, "seed", tuning, "`seed` of the logs to write")
	flag.IntVar(&o.count, "seeds", 60, "`number` of seeds of each kind")
	flag.IntVar(&o.quiet, "quiet", 500, "`number` of quiet seeds")
	flag.BoolVar(&o.tune, "tune", false, "package incident alone, on the seeds that rules may be tuned on")
	flag.BoolVar(&o.short, "short", false, "like -tune, on a few seeds, with one miss allowed in each column of each kind")
	flag.Parse()
	if flag.NArg() > 0 || o.write != "" && o.kind == "" {
		flag.Usage()
		os.Exit(2)
	}
	run := o.measure
	switch {
	case o.write != "":
		run = o.writeWorld
	case o.truth != "":
		run = func(out io.Writer) error { return o.score(os.Stdin, out) }
	}
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "incidents:", err)
		os.Exit(1)
	}
}

// measure prints the marks of all systems, and where package incident fails.
func (o *options) measure(out io.Writer) error {
	kinds := world.Kinds()
	if o.kind != "" {
		kinds = []string{o.kind}
	}
	list := []system{packageIncident}
	if o.short {
		o.tune, o.count, o.quiet = true, 4, 20
	}
	if !o.tune {
		others, err := simpler(seeds{tuning, 300})
		if err != nil {
			return err
		}
		list = append(list, others...)
	}
	all, err := measure(list, kinds, func(kind string) seeds {
		s := seeds{reporting, o.count}
		if o.tune {
			s.first = tuning
		}
		if kind == world.Quiet {
			s.count = o.quiet
		}
		return s
	})
	if err != nil {
		return err
	}
	var failed error
	for i, s := range list {
		score.Write(out, s.name, all[i])
		if !s.bound {
			continue
		}
		score.WriteFailures(out, all[i])
		fmt.Fprintln(out)
		if missed := score.Missed(all[i], o.short); len(missed) > 0 {
			failed = errors.New("bounds that are not met:\n  " + strings.Join(missed, "\n  "))
		}
	}
	fmt.Fprint(out, score.Legend)
	return failed
}

// score marks the story of a report.
func (o *options) score(in io.Reader, out io.Writer) error {
	text, err := os.ReadFile(o.truth)
	if err != nil {
		return err
	}
	var truth world.Truth
	if err := json.Unmarshal(text, &truth); err != nil {
		return fmt.Errorf("%s: %w", o.truth, err)
	}
	var report struct{ Story *incident.Story }
	if err := json.NewDecoder(in).Decode(&report); err != nil {
		return fmt.Errorf("the report: %w", err)
	}
	if report.Story == nil {
		return errors.New("the report has no story")
	}
	marks := []*score.Summary{{Kind: truth.Kind, Marks: []*score.Marks{score.Score(&truth, report.Story)}}}
	score.Write(out, fmt.Sprintf("%s, seed %d", truth.Kind, truth.Seed), marks)
	score.WriteFailures(out, marks)
	fmt.Fprintf(out, "\n%s", score.Legend)
	return nil
}

// writeWorld writes one seed's logs, compressed, and the truth beside them.
func (o *options) writeWorld(out io.Writer) error {
	w, err := world.Generate(o.kind, o.seed)
	if err != nil {
		return err
	}
	for _, l := range w.Logs {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(l.Text) // a Buffer does not fail
		z.Close()
		if err := writeFile(filepath.Join(o.write, l.Key+".gz"), b.Bytes()); err != nil {
			return err
		}
	}
	truth, err := json.MarshalIndent(w.Truth, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(o.write, "truth.json")
	fmt.Fprintf(out, "%d logs, and the truth about them in %s\n", len(w.Logs), name)
	return writeFile(name, append(truth, '\n'))
}

func writeFile(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}
