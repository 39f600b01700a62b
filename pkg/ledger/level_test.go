package ledger

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"tlswatch/pkg/alert"
)

func TestLevel(t *testing.T) {
	var last level
	for _, f := range []uint64{0, 1, 99, 100, 101, 510, 511, 512, 513, 1000, 1001, 123_456, 10_000_000, 1 << 37, math.MaxUint64} {
		l := levelOf(f)
		if l < last || l >= levels {
			t.Errorf("level of %d is %d, after %d", f, l, last)
		}
		last = l
		most := l.atMost()
		if f < 1<<37 && (most < f || float64(most) > float64(f)*1.05 || f < exactLevels && most != f) {
			t.Errorf("at most %d of %d", most, f)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		f := uint64(r.Uint32()) >> r.IntN(32)
		if most := levelOf(f).atMost(); most < f || float64(most) > float64(f)*1.05 {
			t.Fatalf("at most %d of %d", most, f)
		}
	}
}

func TestEncode(t *testing.T) {
	for n := range 3000 {
		r := objectRecord{ownership: ownership{Object: strings.Repeat("x", n%1500)}, Window: alert.Window{Failed: uint64(n)}}
		body, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		var back objectRecord
		if err := json.Unmarshal(body, &back); err != nil || back.Object != r.Object || back.Window.Failed != r.Window.Failed {
			t.Fatalf("%q: %v", body, err)
		}
		if got := levelOfSize(int64(len(body))).atMost(); got < uint64(n) {
			t.Fatalf("the size %d says at most %d failures, not %d", len(body), got, n)
		}
	}
}
