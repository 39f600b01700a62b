// Package baseline has simpler ways to find an incident in a log, and toys, to compare
// package incident with.
package baseline

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/incident"
	"tlswatch/pkg/secpolicy"
)

// A Detector watches the failures per minute of each load balancer. It fires at the
// first minute whose statistic exceeds the limit.
type Detector struct {
	Name      string
	statistic func([]minute) []point // of each minute
}

// A point is a detector's statistic in a minute, and the minute in which it would say
// that it began.
type point struct {
	value float64
	onset int
}

// Detectors are the baselines.
var Detectors = []Detector{
	{"100 failures and 1 %", rule},
	{"EWMA", ewma},
	{"CUSUM", cusum},
	{"binomial scan", scan},
}

type minute struct{ connections, failed float64 }

// Minutes are the counts of a log per load balancer and minute, and what toys need.
type Minutes struct {
	series      map[string]map[int64]*minute
	failing     map[string]map[string]int64 // load balancer, client: minute of the last failure
	firstFailed map[string]time.Time
	lastWorked  map[string][]time.Time // successes, to find the last before the first failure
}

// NewMinutes returns empty counts.
func NewMinutes() *Minutes {
	return &Minutes{
		series:      make(map[string]map[int64]*minute),
		failing:     make(map[string]map[string]int64),
		firstFailed: make(map[string]time.Time),
		lastWorked:  make(map[string][]time.Time),
	}
}

// Add counts an entry.
func (m *Minutes) Add(e *connlog.Entry) {
	lb, at := e.LoadBalancer, e.Time.Unix()/60
	s := m.series[lb]
	if s == nil {
		s = make(map[int64]*minute)
		m.series[lb], m.failing[lb] = s, make(map[string]int64)
	}
	if s[at] == nil {
		s[at] = new(minute)
	}
	s[at].connections++
	if !e.Failed() {
		m.lastWorked[lb] = append(m.lastWorked[lb], e.Time)
		return
	}
	s[at].failed++
	client := e.Client.String()
	m.failing[lb][client] = max(m.failing[lb][client], at)
	if first, ok := m.firstFailed[lb]; !ok || e.Time.Before(first) {
		m.firstFailed[lb] = e.Time
	}
}

// line returns the minutes of a load balancer without gaps, and the first one's number.
func (m *Minutes) line(lb string) ([]minute, int64) {
	s := m.series[lb]
	first, last := int64(math.MaxInt64), int64(0)
	for at := range s {
		first, last = min(first, at), max(last, at)
	}
	list := make([]minute, last-first+1)
	for at, x := range s {
		list[at-first] = *x
	}
	return list, first
}

// Peak returns the highest value of a detector's statistic.
func (d Detector) Peak(m *Minutes) float64 {
	peak := 0.0
	for lb := range m.series {
		line, _ := m.line(lb)
		for _, p := range d.statistic(line) {
			peak = max(peak, p.value)
		}
	}
	return peak
}

// Limit returns the limit that a share of quiet logs exceeds, by their peaks.
func Limit(peaks []float64, share float64) float64 {
	peaks = slices.Sorted(slices.Values(peaks))
	return peaks[len(peaks)-1-int(share*float64(len(peaks)))]
}

// Story returns what a detector says: since which minute the load balancers have too many
// failures. It does not know why, and all who fail then are hit.
func (d Detector) Story(m *Minutes, limit float64) *incident.Story {
	story := new(incident.Story)
	for _, lb := range slices.Sorted(maps.Keys(m.series)) {
		line, first := m.line(lb)
		points := d.statistic(line)
		i := slices.IndexFunc(points, func(p point) bool { return p.value > limit })
		if i < 0 {
			continue
		}
		onset := first + int64(points[i].onset)
		at := time.Unix(onset*60, 0).UTC()
		in := incident.Incident{
			LoadBalancer: lb,
			Causes:       []incident.Cause{{Kind: incident.Unknown, Certainty: incident.Possible}},
			Shape:        incident.Step,
			Onset:        incident.Bracket{After: at, Until: at.Add(time.Minute)},
		}
		hit(&in, m.since(lb, onset))
		story.Incidents = append(story.Incidents, in)
	}
	return story
}

// since returns the clients with failures since that minute.
func (m *Minutes) since(lb string, at int64) (clients []string) {
	for c, last := range m.failing[lb] {
		if last >= at {
			clients = append(clients, c)
		}
	}
	return clients
}

// rule is today's rule: failures in five minutes, where they are 1 % or more.
func rule(line []minute) []point {
	return each(line, func(i int) point {
		from := max(0, i-4)
		w := sum(line[from : i+1])
		if w.failed < 0.01*w.connections {
			return point{}
		}
		return point{w.failed, from + slices.IndexFunc(line[from:], func(m minute) bool { return m.failed >= 0.01*m.connections })}
	})
}

func each(line []minute, f func(int) point) []point {
	list := make([]point, len(line))
	for i := range line {
		list[i] = f(i)
	}
	return list
}

func sum(line []minute) (s minute) {
	for _, x := range line {
		s.connections += x.connections
		s.failed += x.failed
	}
	return s
}

// usual returns the share of failures in the first quarter of the time.
func usual(line []minute) float64 {
	s := sum(line[:(len(line)+3)/4])
	return (s.failed + 0.5) / (s.connections + 1)
}

// ewma is the exponentially weighted moving average of the share of failures, in
// standard deviations above the usual share. It began when the average last rose above
// that share.
func ewma(line []minute) []point {
	const weight = 0.2
	p := usual(line)
	average, variance, onset := p, 0.0, 0
	return each(line, func(i int) point {
		if n := line[i].connections; n > 0 {
			if average <= p {
				onset = i
			}
			average += weight * (line[i].failed/n - average)
			variance = (1-weight)*(1-weight)*variance + weight*weight*p*(1-p)/n
		}
		return point{(average - p) / math.Sqrt(variance+1e-12), onset}
	})
}

// cusum is the cumulated excess of failures over the usual share, in standard deviations,
// less half of one a minute. It began when that was last zero (Page 1954).
func cusum(line []minute) []point {
	p := usual(line)
	s, onset := 0.0, 0
	return each(line, func(i int) point {
		if n := line[i].connections; n > 0 {
			if s == 0 {
				onset = i
			}
			s = max(0, s+(line[i].failed-n*p)/math.Sqrt(n*p*(1-p))-0.5)
		}
		return point{s, onset}
	})
}

// scan is the log-likelihood ratio of the window that differs most from the rest by
// a higher share of failures (Kulldorff 1997, for one dimension).
func scan(line []minute) []point {
	all := sum(line)
	var best point
	for _, width := range []int{1, 2, 5, 10, 20, 40, 80} {
		for i := 0; i+width <= len(line); i++ {
			w := sum(line[i : i+width])
			rest := minute{all.connections - w.connections, all.failed - w.failed}
			if w.failed*rest.connections > rest.failed*w.connections {
				if x := likelihood(w) + likelihood(rest) - likelihood(all); x > best.value {
					best = point{x, i}
				}
			}
		}
	}
	return []point{best}
}

func likelihood(m minute) float64 {
	if m.failed == 0 || m.failed == m.connections {
		return 0
	}
	p := m.failed / m.connections
	return m.failed*math.Log(p) + (m.connections-m.failed)*math.Log(1-p)
}

// Toy says that a policy was changed at the first failure, and advises always the same
// policy.
func Toy(m *Minutes, policy string) *incident.Story {
	lb := slices.MinFunc(slices.Collect(maps.Keys(m.firstFailed)), func(a, b string) int {
		return cmp.Or(m.firstFailed[a].Compare(m.firstFailed[b]), cmp.Compare(a, b))
	})
	first := m.firstFailed[lb]
	var last time.Time
	for _, t := range m.lastWorked[lb] {
		if t.Before(first) && t.After(last) {
			last = t
		}
	}
	in := incident.Incident{
		LoadBalancer: lb,
		Causes:       []incident.Cause{{Kind: incident.PolicyChange, Certainty: incident.Likely}},
		Shape:        incident.Step,
		Onset:        incident.Bracket{After: last, Until: first},
	}
	if policy != "" {
		in.Remedies = []incident.Remedy{{Action: incident.SetPolicy, Policy: secpolicy.Prefix + policy}}
	}
	hit(&in, m.since(lb, 0))
	return &incident.Story{Incidents: []incident.Incident{in}}
}

// hit says that those clients worked before and fail now.
func hit(in *incident.Incident, clients []string) {
	in.WorkedBefore.Clients = len(clients)
	in.Cohorts = []incident.Cohort{{Population: in.WorkedBefore, WorkedBefore: len(clients), Examples: clients}}
}
