package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/pkg/ledger"
	"tlswatch/pkg/posture"
)

// A Reader reads what a Ledger wrote.
func TestReader(t *testing.T) {
	w := newWorld(t)
	c := claim("event", 1, 7)
	c.Posture = posture.Posture{Weak: []posture.Weak{{Client: "203.0.113.7", Connections: 3}}}
	w.commit(w.claim(c))
	w.claim(claim("event", 2, 0))

	r := ledger.NewReader(w.store)
	records, err := r.Records(t.Context(), lb, period.Add(-time.Hour), period)
	if err != nil || len(records) != 2 {
		t.Fatalf("%v, %v", records, err)
	}
	got := make(map[uint64]*posture.Posture)
	for _, record := range records {
		window, err := r.Window(t.Context(), record.Key)
		if err != nil || window.Failed != record.FailedAtMost {
			t.Fatalf("%d failures, listed as %d, %v", window.Failed, record.FailedAtMost, err)
		}
		if got[window.Failed], err = r.Posture(t.Context(), record.Key); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(map[uint64]*posture.Posture{7: &c.Posture, 0: {}}, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if lbs, err := r.LoadBalancers(t.Context()); err != nil || cmp.Diff([]string{lb}, lbs) != "" {
		t.Errorf("%q, %v", lbs, err)
	}
	if _, err := r.Posture(t.Context(), "v1/nothing"); err == nil {
		t.Error("no error for a record that is not there")
	}
}
