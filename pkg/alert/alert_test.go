package alert_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/alerttest"
	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/alert"
)

func addr(i int) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24+uint32(i))
	return netip.AddrFrom4(a)
}

// window has totals only.
func window(connections, failed uint64) alert.Window {
	return alert.Window{Connections: connections, Failed: failed, Reasons: map[string]uint64{"ClientCertExpired": failed}}
}

func TestEvaluate(t *testing.T) {
	two := window(1000, 30)
	two.Reasons = map[string]uint64{"ClientCertExpired": 10, "UnmappedConnectionError": 20}
	for _, test := range []struct {
		name     string
		rule     alert.Rule
		window   alert.Window
		failed   uint64 // counted; 0 for no alert
		severity string
	}{
		{"one too few", alert.Rule{MinFailed: 100}, window(1000, 99), 0, ""},
		{"just enough", alert.Rule{MinFailed: 100}, window(1000, 100), 100, "warning"},
		{"more", alert.Rule{MinFailed: 100}, window(1000, 101), 101, "warning"},
		{"percent just under", alert.Rule{MinFailed: 1, MinFailedPercent: 1}, window(10_001, 100), 0, ""},
		{"percent reached", alert.Rule{MinFailed: 1, MinFailedPercent: 1}, window(10_000, 100), 100, "warning"},
		{"percent just over", alert.Rule{MinFailed: 1, MinFailedPercent: 1}, window(9_999, 100), 100, "warning"},
		{"tenth of a percent", alert.Rule{MinFailed: 1, MinFailedPercent: 0.1}, window(1000, 1), 1, "warning"},
		{"third", alert.Rule{MinFailed: 1, MinFailedPercent: 33.4}, window(3, 1), 0, ""},
		{"enough but a small share", alert.Rule{MinFailed: 100, MinFailedPercent: 1}, window(1_000_000, 101), 0, ""},
		{"large share but few", alert.Rule{MinFailed: 100, MinFailedPercent: 1}, window(99, 99), 0, ""},
		{"no connections", alert.Rule{MinFailed: 1}, window(0, 0), 0, ""},
		{"no connections, no minimum", alert.Rule{}, window(0, 0), 0, ""},
		{"no failures, no minimum", alert.Rule{}, window(1000, 0), 0, ""},
		{"all", alert.Rule{MinFailed: 1, MinFailedPercent: 100}, window(7, 7), 7, "critical"},
		{"just under half", alert.Rule{MinFailed: 1}, window(1000, 499), 499, "warning"},
		{"half", alert.Rule{MinFailed: 1}, window(1000, 500), 500, "critical"},
		{"reason", alert.Rule{MinFailed: 10, Reasons: []string{"ClientCertExpired"}}, two, 10, "warning"},
		{"reason, too few", alert.Rule{MinFailed: 11, Reasons: []string{"ClientCertExpired"}}, two, 0, ""},
		{"reason, too small a share", alert.Rule{MinFailed: 1, MinFailedPercent: 1.1, Reasons: []string{"ClientCertExpired"}}, two, 0, ""},
		{"both reasons", alert.Rule{MinFailed: 30, Reasons: []string{"UnmappedConnectionError", "ClientCertExpired"}}, two, 30, "warning"},
		{"other reason", alert.Rule{MinFailed: 1, Reasons: []string{"ClientCertUntrusted"}}, two, 0, ""},
		{"beginning of a reason", alert.Rule{MinFailed: 1, Reasons: []string{"ClientCert"}}, two, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := test.rule.Evaluate(test.window)
			switch {
			case a == nil && test.failed == 0:
			case a == nil || test.failed == 0:
				t.Errorf("alert %+v, want one of %d failures", a, test.failed)
			case a.Failed != test.failed || a.Severity != test.severity:
				t.Errorf("%d failures, %s; want %d, %s", a.Failed, a.Severity, test.failed, test.severity)
			}
		})
	}
}

// TestEvaluateReasons: an alert about some reasons has no others, and names the
// clients that failed for these.
func TestEvaluateReasons(t *testing.T) {
	log := alerttest.Lines(50, "203.0.113.7", alerttest.Novel) + alerttest.Lines(40, "203.0.113.8", alerttest.Novel) + alerttest.Lines(3, "203.0.113.8", alerttest.Expired) +
		alerttest.Lines(2, "203.0.113.9", alerttest.Expired) + alerttest.Lines(1, "203.0.113.9", strings.Replace(alerttest.Expired, "8443", "443", 1)) + alerttest.Lines(30, "203.0.113.8", alerttest.Success)
	w := alerttest.Observe(t, []byte(log), true)
	before := alerttest.Observe(t, []byte(log), true)
	a := alert.Rule{MinFailed: 6, Reasons: []string{"ClientCertExpired"}}.Evaluate(w)
	if a == nil {
		t.Fatal("no alert")
	}
	want := []alert.Client{{Client: "203.0.113.8", Connections: 73, Failed: 3}, {Client: "203.0.113.9", Connections: 3, Failed: 3}}
	if diff := cmp.Diff(want, a.Window.Clients); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	if kept := fmt.Sprint(a.Window); strings.Contains(kept, "FromTheFuture") || strings.Contains(kept, "203.0.113.7") {
		t.Errorf("the alert has other reasons: %s", kept)
	}
	if diff := cmp.Diff(before, w); diff != "" {
		t.Errorf("Evaluate changed its window:\n%s", diff)
	}
}

func TestObserveCounts(t *testing.T) {
	s := alerttest.Summarize(t, connlogtest.Log(connlogtest.Options{Seed: 3, Lines: 5000}))
	w := alerttest.Observe(t, connlogtest.Log(connlogtest.Options{Seed: 3, Lines: 5000}), true)
	if w.Connections != s.Totals.Connections || w.Failed != s.Totals.Failed || w.FailingClients != len(s.FailingClients()) {
		t.Errorf("window %+v, totals %+v", w, s.Totals)
	}
	var reasons, groups uint64
	for _, n := range w.Reasons {
		reasons += n
	}
	for _, g := range w.Groups {
		groups += g.Failed
		var top uint64
		for i, c := range g.Top {
			if top += c.Failed; c.Failed == 0 || c.Failed > c.Connections || i > 0 && c.Failed > g.Top[i-1].Failed {
				t.Errorf("top of %+v", g)
			}
		}
		if len(g.Top) > g.Clients || top > g.Failed || len(g.Top) == g.Clients && top != g.Failed {
			t.Errorf("group %+v", g)
		}
	}
	if reasons != w.Failed || groups != w.Failed {
		t.Errorf("%d failures by reason, %d by group, %d in all", reasons, groups, w.Failed)
	}
	if got := w.End.Sub(w.Start); got != 5*time.Minute {
		t.Errorf("window of %v", got)
	}
}

// TestSum: sums are exact and, within the bounds of the lists, independent of the
// order.
func TestSum(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var parts []alert.Window
		var connections, failed uint64
		for i := range 2 + random.IntN(6) {
			var log strings.Builder
			for range random.IntN(8) {
				kind := []string{alerttest.Success, alerttest.Expired, alerttest.Novel}[random.IntN(3)]
				log.WriteString(alerttest.Lines(1+random.IntN(200), fmt.Sprintf("192.0.2.%d", random.IntN(4)), kind))
			}
			w := alerttest.Observe(t, []byte(log.String()), true)
			w.Start, w.End = w.Start.Add(time.Duration(-i)*time.Minute), w.End.Add(time.Duration(-i)*time.Minute)
			w.Objects[0] += fmt.Sprint(i)
			if random.IntN(2) == 0 { // as a window comes back from where it was kept
				w = roundTrip(t, w)
			}
			connections, failed = connections+w.Connections, failed+w.Failed
			parts = append(parts, w)
		}
		kept, err := json.Marshal(parts)
		if err != nil {
			t.Fatal(err)
		}
		var want alert.Window
		for i := range 4 {
			sum := alerttest.Sum(parts...)
			if sum.Connections != connections || sum.Failed != failed || sum.ObjectCount != len(parts) {
				t.Fatalf("sum %+v, want %d connections, %d failures", sum, connections, failed)
			}
			if i == 0 {
				want = sum
			} else if diff := cmp.Diff(want, sum); diff != "" {
				t.Fatalf("another order gives another sum:\n%s", diff)
			}
			if after, _ := json.Marshal(parts); i == 0 && string(after) != string(kept) {
				t.Fatal("Sum changed its arguments")
			}
			random.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		}
	}
}

// TestSumBounds: whatever is added up, the lists stay short and the totals exact.
func TestSumBounds(t *testing.T) {
	var parts []alert.Window
	var connections, failed uint64
	for i := range 300 {
		var log strings.Builder
		for j := range 5 {
			rest := fmt.Sprintf(`%d TLSv1.2 CIPHER-%d - "-" - - Failed:Reason%d`, i%30, i, i)
			log.WriteString(alerttest.Lines(1+(i+j)%3, addr(100*i+j).String(), rest))
		}
		w := alerttest.Observe(t, []byte(log.String()), true)
		w.Objects[0] += fmt.Sprint(i)
		connections, failed = connections+w.Connections, failed+w.Failed
		parts = append(parts, w)
	}
	sum := alerttest.Sum(parts...)
	var reasons uint64
	for _, n := range sum.Reasons {
		reasons += n
	}
	if sum.Connections != connections || sum.Failed != failed || reasons != failed || sum.FailingClients != 1500 || sum.ObjectCount != 300 {
		t.Errorf("%d connections, %d failures, %d by reason, %d clients, %d objects; want %d, %d", sum.Connections, sum.Failed, reasons,
			sum.FailingClients, sum.ObjectCount, connections, failed)
	}
	if len(sum.Groups) > 25 || len(sum.Clients) > 100 || len(sum.Objects) > 50 || len(sum.Reasons) > 50 {
		t.Errorf("%d groups, %d clients, %d objects, %d reasons", len(sum.Groups), len(sum.Clients), len(sum.Objects), len(sum.Reasons))
	}
	for _, g := range sum.Groups {
		if len(g.Top) > 5 {
			t.Errorf("%d clients of a group", len(g.Top))
		}
	}
}

func roundTrip(t *testing.T, w alert.Window) (back alert.Window) {
	t.Helper()
	data, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// TestSumSameClients: a client that fails in several objects is one.
func TestSumSameClients(t *testing.T) {
	var parts []alert.Window
	for range 12 {
		parts = append(parts, alerttest.Observe(t, []byte(alerttest.Lines(5, "192.0.2.1", alerttest.Expired)+alerttest.Lines(3, "192.0.2.2", alerttest.Expired)), true))
	}
	sum := alerttest.Sum(parts...)
	if sum.FailingClients != 2 || len(sum.Groups) != 1 || sum.Groups[0].Clients != 2 {
		t.Errorf("%+v", sum)
	}
}
