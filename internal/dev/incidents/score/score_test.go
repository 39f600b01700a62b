package score

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/incidents/world"
	"tlswatch/pkg/incident"
)

var truths = make(map[string]*world.Truth)

func truthOf(t *testing.T, kind string) *world.Truth {
	t.Helper()
	if truths[kind] == nil {
		w, err := world.Generate(kind, 1)
		if err != nil {
			t.Fatal(err)
		}
		truths[kind] = w.Truth
	}
	return truths[kind]
}

// oracle tells the truth.
func oracle(truth *world.Truth) *incident.Story {
	s := &incident.Story{Noise: incident.Population{Clients: len(truth.Scanners), Failures: uint64(truth.ScannerFailures)}}
	for _, in := range truth.Incidents {
		o := incident.Incident{
			LoadBalancer: in.LoadBalancer,
			Ports:        []uint16{in.Port},
			Causes:       []incident.Cause{{Kind: in.Alike[0], Certainty: incident.Likely}},
			Shape:        in.Shape,
			Onset:        in.Oracle,
			WorkedBefore: incident.Population{Clients: len(in.WorkedBefore)},
		}
		c := incident.Cohort{WorkedBefore: len(in.WorkedBefore)}
		c.Clients = c.WorkedBefore
		for _, a := range in.WorkedBefore {
			c.Examples = append(c.Examples, a.String())
		}
		o.Cohorts = []incident.Cohort{c}
		if p, _ := smallest(in.Policies); p != nil {
			o.Remedies = []incident.Remedy{{Action: incident.UndoChange}, {Action: incident.SetPolicy, Policy: p.Name}}
		}
		s.Incidents = append(s.Incidents, o)
	}
	return s
}

// The truth meets all bounds, whatever happened.
func TestOracle(t *testing.T) {
	for _, kind := range world.Kinds() {
		if kind == "large" {
			continue // as others, and takes a second
		}
		truth := truthOf(t, kind)
		s := &Summary{kind, []*Marks{Score(truth, oracle(truth))}}
		for _, missed := range Missed([]*Summary{s}, false) {
			t.Error(missed)
		}
		WriteFailures(testWriter{t}, []*Summary{s})
	}
}

type testWriter struct{ *testing.T }

func (t testWriter) Write(b []byte) (int, error) { t.Errorf("%s", b); return len(b), nil }

// Each mistake costs the mark that is about it, and no other.
func TestMistakes(t *testing.T) {
	scanned := truthOf(t, "scan")
	for name, test := range map[string]struct {
		kind    string
		mistake func(*incident.Story, *incident.Incident)
		want    string
	}{
		"none":          {"policy", func(*incident.Story, *incident.Incident) {}, ""},
		"nothing told":  {"policy", func(s *incident.Story, _ *incident.Incident) { s.Incidents = nil }, "right 0, score 0"},
		"wrong kind":    {"policy", func(_ *incident.Story, in *incident.Incident) { in.Causes[0].Kind = incident.OneClient }, "right 0, score 0"},
		"certain":       {"policy", func(_ *incident.Story, in *incident.Incident) { in.Causes[0].Certainty = incident.Certain }, ""},
		"unknown":       {"policy", func(_ *incident.Story, in *incident.Incident) { in.Causes[0].Kind = incident.Unknown }, "right 0, score 50"},
		"night unknown": {"night", func(_ *incident.Story, in *incident.Incident) { in.Causes = nil }, "score 50"},
		"certain and wrong": {"policy", func(_ *incident.Story, in *incident.Incident) {
			in.Causes[0] = incident.Cause{Kind: incident.ClientRollout, Certainty: incident.Certain}
		}, "right 0, score -200, wrong 100"},
		"look-alike": {"server certificate, authority", func(_ *incident.Story, in *incident.Incident) {
			in.Causes[0].Kind = incident.ClientRelease
		}, ""},
		"two causes, one wrong": {"policy", func(_ *incident.Story, in *incident.Incident) {
			in.Causes = append(in.Causes, incident.Cause{Kind: incident.TrustStoreChange, Certainty: incident.Likely})
		}, "right 0, score 50"},
		"a less certain wrong cause": {"policy", func(_ *incident.Story, in *incident.Incident) {
			in.Causes = append(in.Causes, incident.Cause{Kind: incident.TrustStoreChange, Certainty: incident.Possible})
		}, ""},
		"shape": {"policy", func(_ *incident.Story, in *incident.Incident) { in.Shape = incident.Ramp }, "shape 0"},
		"too late": {"policy", func(_ *incident.Story, in *incident.Incident) {
			in.Onset.After, in.Onset.Until = in.Onset.Until.Add(time.Minute), in.Onset.Until.Add(time.Minute)
		}, "onset 0"},
		"too wide": {"policy", func(_ *incident.Story, in *incident.Incident) { in.Onset.After = in.Onset.After.Add(-time.Hour) }, "narrow 0"},
		"the end of a certificate": {"client certificate expired", func(s *incident.Story, in *incident.Incident) {
			in.Onset = incident.Bracket{}
			in.Certificate = &incident.Certificate{NotAfter: *truthOf(t, "client certificate expired").Incidents[0].NotAfter}
		}, ""},
		"half of the clients": {"policy", func(_ *incident.Story, in *incident.Incident) {
			c := &in.Cohorts[0]
			c.Examples = c.Examples[:len(c.Examples)/2]
			c.Clients, c.WorkedBefore, in.WorkedBefore.Clients = len(c.Examples), len(c.Examples), len(c.Examples)
		}, "recall 50"},
		"others": {"policy", func(_ *incident.Story, in *incident.Incident) {
			c := &in.Cohorts[0]
			for i := range len(c.Examples) {
				c.Examples = append(c.Examples, fmt.Sprintf("192.0.2.%d", i))
			}
			c.Clients, c.WorkedBefore, in.WorkedBefore.Clients = len(c.Examples), len(c.Examples), len(c.Examples)
		}, "precision 50"},
		"a number only": {"policy", func(_ *incident.Story, in *incident.Incident) {
			in.Cohorts[0].Examples, in.WorkedBefore.Clients = nil, in.WorkedBefore.Clients*2
		}, "precision 50"},
		"a story of nothing": {world.Quiet, func(s *incident.Story, _ *incident.Incident) {
			s.Incidents = []incident.Incident{{Causes: []incident.Cause{{Kind: incident.OneClient, Certainty: incident.Certain}}}}
		}, "right 0, wrong 100, stories 100"},
		"a scan that was none": {world.Quiet, func(s *incident.Story, _ *incident.Incident) {
			s.Incidents = []incident.Incident{{Causes: []incident.Cause{{Kind: incident.Scan, Certainty: incident.Likely}}}}
		}, ""},
		"no noise":          {world.Quiet, func(s *incident.Story, _ *incident.Incident) { s.Noise = incident.Population{} }, "noise 0"},
		"customers noise":   {world.Quiet, func(s *incident.Story, _ *incident.Incident) { s.Noise.Clients += 1000 }, "as noise 100"},
		"no policy":         {"policy", func(_ *incident.Story, in *incident.Incident) { in.Remedies = nil }, "accepts 0, keeps -, smallest -"},
		"an unknown policy": {"policy", func(_ *incident.Story, in *incident.Incident) { in.Remedies[1].Policy = "X" }, "accepts 0, keeps 0, smallest 0"},
		"TLS 1.3 only": {"policy", func(_ *incident.Story, in *incident.Incident) {
			in.Remedies[1].Policy = "ELBSecurityPolicy-TLS13-1-3-2021-06"
		}, "accepts 0, keeps 0, smallest 0"},
		"more than needed": {"policy", func(_ *incident.Story, in *incident.Incident) {
			in.Remedies[1].Policy = "ELBSecurityPolicy-TLS13-1-0-PQ-2025-09"
		}, "smallest 0"},
		"a customers' story of a scan": {"scan", func(s *incident.Story, in *incident.Incident) {
			s.Incidents = append(s.Incidents, incident.Incident{LoadBalancer: scanned.Incidents[0].LoadBalancer, Causes: []incident.Cause{{Kind: incident.PolicyChange}}})
		}, "stories 100"},
	} {
		t.Run(name, func(t *testing.T) {
			truth := truthOf(t, test.kind)
			story := oracle(truth)
			before := Summary{test.kind, []*Marks{Score(truth, oracle(truth))}}
			in := new(incident.Incident)
			if len(story.Incidents) > 0 {
				in = &story.Incidents[0]
			}
			test.mistake(story, in)
			after := Summary{test.kind, []*Marks{Score(truth, story)}}
			var differs []string
			for i := range columns {
				c := &columns[i]
				if b, a := before.cell(c), after.cell(c); a != b && (test.want != "right 0, score 0" || a != "-") && c.name != "newly" {
					differs = append(differs, c.name+" "+a)
				}
			}
			if got := strings.Join(differs, ", "); got != test.want && !(strings.HasSuffix(test.want, "50") && near(got, test.want)) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if len(after.Marks[0].why) == 0 && test.want != "" && !hard(test.kind) {
				t.Error("it is not said why")
			}
		})
	}
}

// near allows for half of an odd number.
func near(got, want string) bool {
	a, b := strings.Fields(got), strings.Fields(want)
	return len(a) == len(b) && slices.Equal(a[:len(a)-1], b[:len(b)-1])
}

func TestTable(t *testing.T) {
	all := []*Summary{
		{"policy", []*Marks{
			{Seed: 1, visible: 1, kind: []float64{1}, contains: []float64{1}, accepts: []float64{1}, newly: []float64{2.5}},
			{Seed: 2, visible: 1, kind: []float64{-2}, wrong: 1, contains: []float64{0}, why: []string{"late"}},
		}},
		{"small", []*Marks{{Seed: 1, accepts: []float64{0, 0}, contains: []float64{0, 0}}}},
		{world.Quiet, []*Marks{{}, {stories: 2}, {noiseRecall: []float64{0.9996}}}},
	}
	var b bytes.Buffer
	Write(&b, "engine", all)
	WriteFailures(&b, all)
	for _, short := range []bool{false, true} {
		fmt.Fprintf(&b, "short %t: %s\n", short, strings.Join(Missed(all, short), "; "))
	}
	const want = `ENGINE

  seeds  visible  right  score  wrong  shape  onset  narrow  precision  recall  stories  noise  as noise  accepts  keeps  smallest  newly   kind
      2        2     50    -50     50      -     50       -          -       -        0      -         -      100      -         -    2.5   policy
      1        0      -      -      0      -      0       -          -       -        0      -         -        0      -         -      -   small
      3        0   66.6      -      0      -      -       -          -       -     33.3   99.9         -        -      -         -      -   quiet

policy: 1 of 2 seeds
  2: late
short false: policy: right is 50, and has to be at least 90; policy: wrong is 50, and has to be at most 0; policy: onset is 50, and has to be at least 99; small: onset is 0, and has to be at least 99; small: accepts is 0, and has to be at least 100: as for long-lived clients; quiet: right is 66.6, and has to be at least 99
short true: small: onset is 0, and has to be at least 99
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}
