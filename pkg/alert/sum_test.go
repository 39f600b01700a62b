package alert_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/alerttest"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/logkey"
)

// TestCountedClients: a client whose failures count is found by the sum over
// objects, although in each of them many other clients have more failures that do
// not count, and some have more that do.
func TestCountedClients(t *testing.T) {
	const counts, other = "ClientCertExpired", `443 TLSv1.2 - - "-" - - Failed:Other`
	var log strings.Builder
	for i := range 200 {
		log.WriteString(alerttest.Lines(50, fmt.Sprintf("198.18.0.%d", i), other))
	}
	for i := range 5 {
		log.WriteString(alerttest.Lines(41+i, fmt.Sprintf("192.0.2.%d", i), alerttest.Expired))
	}
	log.WriteString(alerttest.Lines(40, "203.0.113.7", alerttest.Expired))
	s := alerttest.Summarize(t, []byte(log.String()))
	key := logkey.Key{LoadBalancer: "app/a/1", PeriodEnd: s.Last}
	w := roundTrip(t, alert.Observe(s, key, "s3://b/k", true, counts))
	rule := alert.Rule{MinFailed: 400, Reasons: []string{counts}, PerClient: true}

	var sum alert.Sum
	for range 10 {
		sum.Add(w.Only(rule.Reasons))
	}
	a := rule.Evaluate(sum.Window(w.End, logkey.Period))
	if a == nil {
		t.Fatal("no alert")
	}
	if n := a.Window.FailingClients; n != 6 {
		t.Errorf("%d clients meet the rule, want 6", n)
	}
	last := a.Window.Clients[len(a.Window.Clients)-1]
	if d := cmp.Diff(alert.Client{Client: "203.0.113.7", Connections: 400, Failed: 400}, last); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if hidden := alert.Observe(s, key, "s3://b/k", false, counts); len(hidden.Counted.Clients) != 0 || hidden.Counted.FailingClients != 6 {
		t.Errorf("without clients: %+v", hidden.Counted)
	}
}

// TestCountedReasonStays: a reason that a rule counts is not added to other
// reasons, however many of those there are.
func TestCountedReasonStays(t *testing.T) {
	log := alerttest.Lines(1, "192.0.2.1", alerttest.Expired)
	for i := range 200 {
		log += alerttest.Lines(2, "192.0.2.2", fmt.Sprintf(`443 TLSv1.2 - - "-" - - Failed:R%d`, i))
	}
	s := alerttest.Summarize(t, []byte(log))
	w := alert.Observe(s, logkey.Key{PeriodEnd: s.Last}, "s3://b/k", true, "ClientCertExpired")
	if w.Reasons["ClientCertExpired"] != 1 || len(w.Reasons) > 51 {
		t.Errorf("%d reasons, %d of the one that counts", len(w.Reasons), w.Reasons["ClientCertExpired"])
	}
}

// TestSumOfSums: sums of parts add up to the sum of all.
func TestSumOfSums(t *testing.T) {
	var all alert.Sum
	halves := make([]alert.Sum, 2)
	for i := range 40 {
		w := alerttest.Observe(t, []byte(alerttest.Lines(1+i, addr(i/2).String(), alerttest.Expired)+alerttest.Lines(2, addr(i%3).String(), alerttest.Novel)), true)
		w.Objects[0] += fmt.Sprint(i)
		all.Add(w)
		halves[i%2].Add(w)
	}
	var sum alert.Sum
	sum.AddSum(&halves[0])
	sum.AddSum(&halves[1])
	if d := cmp.Diff(all.Window(time.Time{}, 0), sum.Window(time.Time{}, 0)); d != "" {
		t.Errorf("-all +halves\n%s", d)
	}
}
