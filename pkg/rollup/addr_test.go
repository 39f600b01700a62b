package rollup

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestAddrTable(t *testing.T) {
	const max = 5000
	r := rand.New(rand.NewPCG(8, 9))
	table := newAddrTable(new(arena[int]))
	want := make(map[addrKey]int)
	for range 40_000 {
		k := addrKey{addr{uint64(r.IntN(4)) << 60, uint64(r.IntN(40))}, int64(r.IntN(60) - 30)}
		if v := table.value(k, max); v != nil {
			*v++
			want[k]++
		} else if _, ok := want[k]; ok || len(want) < max {
			t.Fatalf("%v was refused with %d rows", k, len(want))
		}
	}
	if len(want) != max || table.n != max {
		t.Fatalf("%d keys, %d rows, want %d", len(want), table.n, max)
	}
	for r := range table.rows.all {
		if want[r.key] != r.value {
			t.Errorf("%v: got %d, want %d", r.key, r.value, want[r.key])
		}
	}
}

func TestMaskOf(t *testing.T) {
	all := netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	for n := 1; n <= 128; n++ {
		if got, want := addrOf(all, maskOf(n)).ip(), netip.PrefixFrom(all, n).Masked().Addr(); got != want {
			t.Errorf("/%d: got %v, want %v", n, got, want)
		}
	}
}
