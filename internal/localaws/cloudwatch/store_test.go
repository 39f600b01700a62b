package cloudwatch

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws/wire"
)

// The units are the same as in the SDK.
func TestUnits(t *testing.T) {
	if got := len(types.StandardUnit("").Values()); got != len(strings.Fields(units)) {
		t.Errorf("the SDK knows %d units, the stand-in %d", got, len(strings.Fields(units)))
	}
	for _, unit := range types.StandardUnit("").Values() {
		if !knownUnit(string(unit)) {
			t.Errorf("unit %s is unknown", unit)
		}
	}
}

// The same data in another order give the same metrics.
func TestOrderDoesNotMatter(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 30, 0, time.UTC)
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		data := make([]datum, 60)
		for i := range data {
			d := datum{name: fmt.Sprint("m", rnd.IntN(3)), at: at.Add(time.Duration(rnd.IntN(180)) * time.Second)}
			for _, name := range []string{"b", "a"}[:rnd.IntN(3)] {
				d.dimensions = append(d.dimensions, dimension{name, fmt.Sprint(rnd.IntN(2))})
			}
			rnd.Shuffle(len(d.dimensions), func(i, j int) {
				d.dimensions[i], d.dimensions[j] = d.dimensions[j], d.dimensions[i]
			})
			switch v := rnd.NormFloat64(); rnd.IntN(2) {
			case 0:
				d.value = &v
			case 1:
				d.values, d.counts = []float64{v, rnd.Float64()}, []float64{float64(rnd.IntN(4)), 1e9}
			}
			data[i] = d
		}
		var want []Series
		for range 5 {
			c := New(wire.Config{Now: time.Now, Calls: new(wire.Calls)})
			for _, d := range data {
				c.add("ns", d, at)
			}
			got := c.Metrics()
			if want == nil {
				want = got
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d: %s", seed, diff)
			}
			rnd.Shuffle(len(data), func(i, j int) { data[i], data[j] = data[j], data[i] })
		}
	}
}
