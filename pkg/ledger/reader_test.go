package ledger

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A Reader sees what a Ledger wrote, also records that were written before
// there were postures.
func TestReader(t *testing.T) {
	w := newWorld(t)
	c := claim("event", 1, 7)
	c.Posture = json.RawMessage(`{"weak":[{"client":"203.0.113.7","n":3}]}`)
	w.commit(w.claim(c))
	w.claim(claim("event", 2, 0))

	r := NewReader(w.store)
	records, err := r.Records(t.Context(), lb, period.Add(-time.Hour), period)
	if err != nil || len(records) != 2 {
		t.Fatalf("%v, %v", records, err)
	}
	got := make(map[uint64]string)
	for _, record := range records {
		posture, err := r.Posture(t.Context(), record.Key)
		if err != nil {
			t.Fatal(err)
		}
		window, err := r.Window(t.Context(), record.Key)
		if err != nil {
			t.Fatal(err)
		}
		got[record.FailedAtMost] = string(posture) + string(window)
	}
	if d := cmp.Diff(map[uint64]string{7: string(c.Posture) + `{"failed":7}`, 0: `{"failed":0}`}, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if lbs, err := r.LoadBalancers(t.Context()); err != nil || cmp.Diff([]string{lb}, lbs) != "" {
		t.Errorf("%q, %v", lbs, err)
	}
	if _, err := r.Posture(t.Context(), "v1/nothing"); err == nil {
		t.Error("no error for a record that is not there")
	}
}
