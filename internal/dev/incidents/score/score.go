// Package score compares the story of a log with the truth about it.
package score

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tlswatch/internal/dev/incidents/world"
	"tlswatch/pkg/incident"
)

// Marks are the marks of one story. A mark that does not apply is absent.
type Marks struct {
	Seed    uint64
	visible int // incidents that kind marks: those that an oracle has no doubt about, and all of hard kinds

	// kind is one mark per such incident: 1 for the right kind, 0.5 for "not known", 0 for a
	// wrong one or none, -2 for one that is certain and wrong.
	kind []float64

	// wrong counts what is certain and wrong, on invisible incidents and on such that
	// did not happen too.
	wrong int

	shape     []float64 // 1 if right
	contains  []float64 // 1 if the bracket contains the truth
	narrow    []float64 // 1 if it is at most 1.5 times as wide as an oracle's
	precision []float64 // of the clients that worked before, by client
	recall    []float64

	// stories counts incidents about customers that did not happen.
	stories int

	noiseRecall    []float64 // share of the scanners' failures called noise or a scan, if nothing else happens
	customersNoise []float64 // share of failing customers that are called noise

	accepts  []float64 // 1 if the policy accepts all that were hit, if any good one does
	keeps    []float64 // 1 if nobody who works now would break, and nothing in use goes
	smallest []float64 // 1 if no good policy allows less
	newly    []float64 // how many more suites and groups it allows than the smallest good one

	why []string // what is not right, for people
}

func mark(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (m *Marks) because(format string, args ...any) {
	m.why = append(m.why, fmt.Sprintf(format, args...))
}

// Score compares a story with the truth.
func Score(truth *world.Truth, story *incident.Story) *Marks {
	m := &Marks{Seed: truth.Seed}
	told := make([]bool, len(story.Incidents))
	for i := range truth.Incidents {
		in := &truth.Incidents[i]
		if in.Alike[0] == incident.Scan && len(truth.Incidents) > 1 {
			continue // scanners and customers are not told apart then
		}
		n := match(in, story.Incidents, told)
		if n < 0 {
			m.missed(truth, in)
			continue
		}
		told[n] = true
		m.incident(truth, in, &story.Incidents[n])
	}
	for i := range story.Incidents {
		if !told[i] {
			m.invented(truth, &story.Incidents[i])
		}
	}
	m.noise(truth, story)
	return m
}

// match returns the incident of a story that is about in: on the same listener, of the
// right kind if there is such a one, and nearest in time. It returns -1 for none.
func match(in *world.Incident, list []incident.Incident, told []bool) int {
	best, nearest := -1, math.Inf(1)
	for i := range list {
		s := &list[i]
		if told[i] || s.LoadBalancer != in.LoadBalancer && s.LoadBalancer != "" ||
			len(s.Ports) > 0 && !slices.Contains(s.Ports, in.Port) {
			continue
		}
		distance := math.Abs(s.Onset.Until.Sub(in.Start).Seconds())
		if s.Onset.Until.IsZero() {
			distance = 0
		}
		if kindMark(in, s) < 1 {
			distance += 1e6
		}
		if aboutScanners(s) != (in.Alike[0] == incident.Scan) {
			continue
		}
		if distance < nearest {
			best, nearest = i, distance
		}
	}
	return best
}

func aboutScanners(s *incident.Incident) bool {
	return len(s.Causes) > 0 && s.Causes[0].Kind == incident.Scan
}

// missed marks an incident that the story does not tell.
func (m *Marks) missed(truth *world.Truth, in *world.Incident) {
	if !in.Visible && !hard(truth.Kind) {
		return
	}
	m.visible++
	silence := 0.0
	if hard(truth.Kind) {
		silence = 0.5
	}
	m.kind = append(m.kind, silence)
	if silence < enough(truth.Kind) {
		m.because("nothing is said about %s at %s since %s: %d clients that worked, %d failures",
			in.Alike[0], listener(in.LoadBalancer, in.Port), clock(in.Start), len(in.WorkedBefore), in.Failures)
	}
}

// hard reports whether "not known" is as good as the right answer, since the log may
// not show it.
func hard(kind string) bool {
	return slices.Contains([]string{"night", "small", "release at once"}, kind)
}

// enough returns the mark that makes a kind right.
func enough(kind string) float64 {
	if hard(kind) {
		return 0.5
	}
	return 1
}

func (m *Marks) incident(truth *world.Truth, in *world.Incident, s *incident.Incident) {
	k := kindMark(in, s)
	if k < 0 {
		m.wrong++
	}
	if k < 0 || k < enough(truth.Kind) && in.Visible {
		m.because("%s at %s since %s is called %s", in.Alike[0], listener(in.LoadBalancer, in.Port), clock(in.Start), causes(s))
	}
	if in.Visible || hard(truth.Kind) {
		m.visible++
		m.kind = append(m.kind, k)
	}
	if !in.Visible {
		return
	}
	m.shape = append(m.shape, mark(s.Shape == in.Shape))
	if s.Shape != in.Shape {
		m.because("shape %s is called %s", in.Shape, s.Shape)
	}
	switch in.Alike[0] {
	case incident.Scan, incident.Steady:
		return
	}
	m.bracket(in, s)
	m.clients(in, s)
	if len(in.Policies) > 0 {
		m.policy(in, s)
	}
}

// kindMark marks the causes that are the most certain ones.
func kindMark(in *world.Incident, s *incident.Incident) float64 {
	right, wrong, unknown := 0, 0, len(s.Causes) == 0
	for _, c := range s.Causes {
		switch {
		case c.Certainty != s.Causes[0].Certainty:
		case slices.Contains(in.Alike, c.Kind):
			right++
		case c.Kind == incident.Unknown:
			unknown = true
		default:
			wrong++
		}
	}
	switch {
	case wrong > 0 && s.Causes[0].Certainty == incident.Certain:
		return -2
	case right > 0 && wrong == 0 && !unknown:
		return 1
	case right > 0 || unknown && wrong == 0:
		return 0.5
	}
	return 0
}

func causes(s *incident.Incident) string {
	var list []string
	for _, c := range s.Causes {
		list = append(list, fmt.Sprintf("%s (%s)", c.Kind, c.Certainty))
	}
	if list == nil {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

// slack is the resolution below which nobody compares the widths of brackets: the times
// of a Network Load Balancer's log are in seconds.
const slack = time.Second

// bracket marks the onset.
func (m *Marks) bracket(in *world.Incident, s *incident.Incident) {
	contains := !s.Onset.After.After(in.Changed) && !s.Onset.Until.Before(in.Start) && !s.Onset.Until.Before(s.Onset.After)
	width, oracle := s.Onset.Until.Sub(s.Onset.After), max(in.Oracle.Until.Sub(in.Oracle.After), in.Changed.Sub(in.Start), slack)
	if c := s.Certificate; c != nil && in.NotAfter != nil && c.NotAfter.Equal(*in.NotAfter) {
		contains, width = true, 0 // it is known to the second
	}
	narrow := width <= oracle*3/2
	m.contains = append(m.contains, mark(contains))
	m.narrow = append(m.narrow, mark(narrow))
	if !contains || !narrow {
		m.because("onset between %s and %s; it was %s to %s, an oracle says %s to %s", clock(s.Onset.After), clock(s.Onset.Until),
			clock(in.Start), clock(in.Changed), clock(in.Oracle.After), clock(in.Oracle.Until))
	}
}

// clients marks the population that worked before: by client where the story lists
// all, otherwise by number.
func (m *Marks) clients(in *world.Incident, s *incident.Incident) {
	told, truth := float64(s.WorkedBefore.Clients), float64(len(in.WorkedBefore))
	both := min(told, truth)
	if list, all := worked(s); all {
		both = 0
		for _, c := range list {
			if a, err := netip.ParseAddr(c); err == nil && slices.Contains(in.WorkedBefore, a) {
				both++
			}
		}
	}
	precision, recall := 1.0, 1.0
	if told > 0 {
		precision = both / told
	}
	if truth > 0 {
		recall = both / truth
	}
	m.precision = append(m.precision, precision)
	m.recall = append(m.recall, recall)
	if precision < 0.9 || recall < 0.9 {
		m.because("%.0f clients are said to have worked before; %.0f did, %.0f are in both", told, truth, both)
	}
}

// worked returns the clients of a story that worked before, and whether these are all.
func worked(s *incident.Incident) (list []string, all bool) {
	for _, c := range s.Cohorts {
		if c.WorkedBefore == c.Clients {
			list = append(list, c.Examples...)
		} else if c.WorkedBefore > 0 {
			return nil, false
		}
	}
	return list, len(list) == s.WorkedBefore.Clients
}

// policy marks the policy that the story advises.
func (m *Marks) policy(in *world.Incident, s *incident.Incident) {
	n := slices.IndexFunc(s.Remedies, func(r incident.Remedy) bool { return r.Action == incident.SetPolicy })
	if n < 0 {
		if least, _ := smallest(in.Policies); least != nil {
			m.because("no policy is advised; %s would do", least.Name)
			m.accepts = append(m.accepts, 0)
		}
		return
	}
	i := slices.IndexFunc(in.Policies, func(p world.PolicyEffect) bool { return p.Name == s.Remedies[n].Policy })
	if i < 0 {
		m.because("the advised policy %q does not exist", s.Remedies[n].Policy)
		m.accepts, m.keeps, m.smallest = append(m.accepts, 0), append(m.keeps, 0), append(m.smallest, 0)
		return
	}
	p := &in.Policies[i]
	possible := slices.ContainsFunc(in.Policies, func(p world.PolicyEffect) bool { return p.Good() })
	if possible {
		m.accepts = append(m.accepts, mark(p.Fixes == p.Of))
	}
	m.keeps = append(m.keeps, mark(p.Breaks == 0 && len(p.Drops) == 0))
	if !p.Good() && (possible || p.Breaks > 0 || len(p.Drops) > 0) {
		m.because("%s fixes %d of %d programs, breaks %d, drops %v (after %s to %s)", p.Name, p.Fixes, p.Of, p.Breaks, p.Drops, in.Before, in.After)
	}
	// Where TLS 1.3 may go, the smallest policy with it is as good as the smallest without.
	least, size := smallest(slices.DeleteFunc(slices.Clone(in.Policies), func(o world.PolicyEffect) bool { return o.TLS13 != p.TLS13 }))
	if least == nil {
		return
	}
	is := p.Good() && (p.Newly <= least.Newly || p.Size <= size)
	m.smallest = append(m.smallest, mark(is))
	m.newly = append(m.newly, float64(max(0, p.Newly-least.Newly)))
	if !is {
		m.because("%s newly allows %d suites and groups, %s %d (after %s to %s)", p.Name, p.Newly, least.Name, least.Newly, in.Before, in.After)
	}
}

// smallest returns the good policy that newly allows least, nil if there is none, and the
// size of the smallest: what is new is not known where the policy in force is not.
func smallest(list []world.PolicyEffect) (least *world.PolicyEffect, size int) {
	size = math.MaxInt
	for i := range list {
		if p := &list[i]; p.Good() && p.Shown {
			if least == nil || p.Newly < least.Newly {
				least = p
			}
			size = min(size, p.Size)
		}
	}
	return least, size
}

// invented marks an incident that did not happen.
func (m *Marks) invented(truth *world.Truth, s *incident.Incident) {
	if aboutScanners(s) {
		return
	}
	for _, in := range truth.Incidents {
		if in.Alike[0] == incident.Steady && s.WorkedBefore.Clients == 0 && kindMark(&in, s) == 1 {
			return // another part of it
		}
	}
	if len(s.Causes) > 0 && s.Causes[0].Kind == incident.Steady && s.WorkedBefore.Clients == 0 && len(truth.AlwaysFailing) > 0 {
		return
	}
	m.stories++
	m.because("did not happen: %s at %s %v since %s: %d clients that worked, %d failures", causes(s), s.LoadBalancer, s.Ports,
		clock(s.Onset.Until), s.WorkedBefore.Clients, s.WorkedBefore.Failures)
	if len(s.Causes) > 0 && s.Causes[0].Certainty == incident.Certain {
		m.wrong++
	}
}

// noise marks what the story calls noise.
func (m *Marks) noise(truth *world.Truth, story *incident.Story) {
	if truth.Kind == world.Quiet && truth.ScannerFailures > 0 {
		found := story.Noise.Failures
		for i := range story.Incidents {
			if s := &story.Incidents[i]; aboutScanners(s) {
				found += s.NeverWorked.Failures
			}
		}
		recall := min(1, float64(found)/float64(truth.ScannerFailures))
		m.noiseRecall = append(m.noiseRecall, recall)
		if recall < 0.9 {
			m.because("%d of %d failures of scanners are called noise", found, truth.ScannerFailures)
		}
	}
	if n := len(truth.Customers); n > 0 {
		called := min(n, max(0, story.Noise.Clients-len(truth.Scanners)))
		m.customersNoise = append(m.customersNoise, float64(called)/float64(n))
		if called > 0 {
			m.because("%d of %d failing customers are called noise", called, n)
		}
	}
}

func listener(lb string, port uint16) string { return fmt.Sprintf("%s:%d", lb, port) }

func clock(t time.Time) string { return t.Format("15:04:05.0") }
