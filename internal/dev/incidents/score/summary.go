package score

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"tlswatch/internal/dev/incidents/world"
)

// A Summary has the marks of many seeds of one kind.
type Summary struct {
	Kind  string
	Marks []*Marks // by seed
}

// A column is a figure of a Summary: the mean of what its seeds have.
type column struct {
	name  string
	of    func(kind string, m *Marks) []float64
	least float64 // that package incident must reach, 0 for no bound
	most  float64 // where less is better; -1 for no bound
	plain bool    // a mean and not a percentage
}

var columns = []column{
	{name: "right", least: 0.9, most: -1, of: right},
	{name: "score", most: -1, of: func(_ string, m *Marks) []float64 { return m.kind }},
	{name: "wrong", most: 0, of: func(_ string, m *Marks) []float64 { return []float64{float64(m.wrong)} }},
	{name: "shape", most: -1, of: func(_ string, m *Marks) []float64 { return m.shape }},
	{name: "onset", least: 0.99, most: -1, of: func(_ string, m *Marks) []float64 { return m.contains }},
	{name: "narrow", least: 0.95, most: -1, of: func(_ string, m *Marks) []float64 { return m.narrow }},
	{name: "precision", most: -1, of: func(_ string, m *Marks) []float64 { return m.precision }},
	{name: "recall", most: -1, of: func(_ string, m *Marks) []float64 { return m.recall }},
	{name: "stories", most: -1, of: func(_ string, m *Marks) []float64 { return []float64{min(1, float64(m.stories))} }},
	{name: "noise", least: 0.9, most: -1, of: func(_ string, m *Marks) []float64 { return m.noiseRecall }},
	{name: "as noise", most: 0.01, of: func(_ string, m *Marks) []float64 { return m.customersNoise }},
	{name: "accepts", least: 1, most: -1, of: func(_ string, m *Marks) []float64 { return m.accepts }},
	{name: "keeps", least: 1, most: -1, of: func(_ string, m *Marks) []float64 { return m.keeps }},
	{name: "smallest", least: 0.9, most: -1, of: func(_ string, m *Marks) []float64 { return m.smallest }},
	{name: "newly", most: -1, plain: true, of: func(_ string, m *Marks) []float64 { return m.newly }},
}

// Legend explains the columns.
const Legend = `Percent of what applies; a dash where nothing does.
seeds, visible: worlds, and incidents in them that an oracle has no doubt about (night,
  small: all). What follows is about those, but for "wrong" and "stories".
right: the right kind of change (night, small, release at once: or "not known"); of
  worlds without an incident: no story about customers.
score: 1 for right, 0.5 for "not known", 0 for wrong, -2 for certain and wrong.
wrong: certain and wrong. shape: step, ramp, spike, flapping, throughout is right.
onset: the bracket contains the truth. narrow: it is at most 1.5 times an oracle's.
precision, recall: of the clients that worked before, by client.
stories: worlds with an incident about customers that did not happen.
noise: failures of scanners called noise or a scan. as noise: failing customers so.
accepts, keeps, smallest: the advised policy accepts all that were hit; loses nobody
  and nothing in use; no such policy allows less. newly: how much more it allows.
`

// right marks the kind of change. In a world without incidents it is right to say
// nothing about customers.
func right(kind string, m *Marks) (list []float64) {
	if kind == world.Quiet || kind == world.HitsNobody {
		return []float64{mark(m.stories == 0)}
	}
	for _, k := range m.kind {
		list = append(list, mark(k >= enough(kind)))
	}
	return list
}

// mean returns the mean of a column, the number of its values and by how much they
// exceed their bound together.
func (s *Summary) mean(c *column) (mean float64, n int) {
	sum := 0.0
	for _, m := range s.Marks {
		for _, x := range c.of(s.Kind, m) {
			sum += x
			n++
		}
	}
	return sum / float64(n), n
}

// Write writes a table of all kinds.
func Write(w io.Writer, system string, all []*Summary) {
	fmt.Fprintf(w, "%s\n\n", strings.ToUpper(system))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "seeds\tvisible\t")
	for _, c := range columns {
		fmt.Fprintf(t, "%s\t", c.name)
	}
	fmt.Fprintln(t, "   kind")
	for _, s := range all {
		visible := 0
		for _, m := range s.Marks {
			visible += m.visible
		}
		fmt.Fprintf(t, "%d\t%d\t", len(s.Marks), visible)
		for i := range columns {
			fmt.Fprintf(t, "%s\t", s.cell(&columns[i]))
		}
		fmt.Fprintf(t, "   %s\n", s.Kind)
	}
	t.Flush()
	fmt.Fprintln(w)
}

func (s *Summary) cell(c *column) string {
	mean, n := s.mean(c)
	switch {
	case n == 0:
		return "-"
	case c.plain:
		return fmt.Sprintf("%.1f", mean)
	}
	percent := math.Floor(1000*mean+1e-6) / 10 // 99.96 is not 100
	return strings.TrimSuffix(fmt.Sprintf("%.1f", percent), ".0")
}

// WriteFailures lists the seeds with something that is not right, by kind, and why.
func WriteFailures(w io.Writer, all []*Summary) {
	for _, s := range all {
		failing := 0
		for _, m := range s.Marks {
			if len(m.why) > 0 {
				failing++
			}
		}
		if failing == 0 {
			continue
		}
		fmt.Fprintf(w, "%s: %d of %d seeds\n", s.Kind, failing, len(s.Marks))
		for _, m := range s.Marks {
			for _, why := range m.why {
				fmt.Fprintf(w, "  %d: %s\n", m.Seed, why)
			}
		}
	}
}

// open are bounds that package incident does not meet, with the reason. A short run
// leaves them out; a whole run does not. None may be added to let a change pass.
var open = []struct{ kind, column, why string }{
	{"NAT crowd", "accepts", "no policy is advised where no single address shows what the programs behind it used"},
	{"long-lived clients", "accepts", "if TLS 1.3 came with the change, clients without RSA-PSS need a policy without TLS 1.3"},
	{"small", "accepts", "as for long-lived clients"},
}

// whyOpen returns why a bound is open, "" if it is not.
func whyOpen(kind, column string) string {
	for _, o := range open {
		if o.kind == kind && o.column == column {
			return o.why
		}
	}
	return ""
}

// Missed returns the bounds that are not met, for people. A few seeds cannot show a
// share: a short run may miss once in each column of each kind, and leaves out the bounds
// that are open.
func Missed(all []*Summary, short bool) (missed []string) {
	for _, s := range all {
		for i := range columns {
			c := &columns[i]
			least, most := c.least, c.most
			if s.Kind == world.Quiet && c.name == "right" {
				least = 0.99
			}
			mean, n := s.mean(c)
			spare := 0.0
			if short {
				spare = 1 / float64(max(n, 1))
			}
			limit := ""
			switch {
			case n == 0:
			case least > 0 && mean < least-spare:
				limit = fmt.Sprintf("at least %.0f", 100*least)
			case most >= 0 && mean > most+spare:
				limit = fmt.Sprintf("at most %.0f", 100*most)
			}
			why := whyOpen(s.Kind, c.name)
			if limit == "" || short && why != "" {
				continue
			}
			text := fmt.Sprintf("%s: %s is %s, and has to be %s", s.Kind, c.name, s.cell(c), limit)
			if why != "" {
				text += ": " + why
			}
			missed = append(missed, text)
		}
	}
	return missed
}
