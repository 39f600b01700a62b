package rollup

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tlswatch/pkg/connlog"
)

// Counts are within their bounds, and the clients with most failures are found.
func TestHeavy(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 1, 1<<20)
	var h heavy
	truth := make(map[addr]uint64)
	var sum uint64
	for range 400_000 {
		a := addr{0, zipf.Uint64()}
		for range 1 + r.IntN(3) {
			truth[a]++
			sum++
			h.add(a)
		}
	}
	if len(truth) < 10*maxHeavy {
		t.Fatalf("only %d clients", len(truth))
	}
	top := slices.SortedFunc(maps.Keys(truth), func(a, b addr) int {
		return cmp.Or(cmp.Compare(truth[b], truth[a]), cmp.Compare(a.lo, b.lo))
	})
	if len(h.heap) != maxHeavy || len(h.index) != maxHeavy {
		t.Errorf("%d rows, %d in the index", len(h.heap), len(h.index))
	}
	for i, c := range h.heap {
		if h.index[c.client] != i || i > 0 && c.count < h.heap[(i-1)/2].count {
			t.Fatalf("row %d is not where it should be", i)
		}
		if n := truth[c.client]; n > c.count || n < c.count-c.err {
			t.Errorf("%d failures are said to be %d to %d", n, c.count-c.err, c.count)
		}
	}
	for _, a := range top[:20] {
		if _, ok := h.index[a]; !ok {
			t.Errorf("a client with %d of %d failures is missing", truth[a], sum)
		}
	}
	least := h.heap[0].count
	for a, n := range truth {
		if _, ok := h.index[a]; !ok && n > least {
			t.Errorf("a client with %d failures has no place, where the least has %d", n, least)
		}
	}
	if least > sum/maxHeavy {
		t.Errorf("error of up to %d in %d failures", least, sum)
	}
}

// A client that starts to fail when the tables are full is still found.
func TestSuspects(t *testing.T) {
	s := New(Options{})
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	fail := func(a netip.Addr, n int) {
		for range n {
			s.Add(&connlog.Entry{Time: at, Client: a, Status: "Failed:X"})
		}
	}
	early, late := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	fail(early, 50)
	if got, want := s.TopFailing(), s.FailingClients(); len(got) != 1 || got[0] != want[0] {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range 2*MaxClients + 3*maxHeavy {
		fail(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
	}
	fail(late, 100)
	at = at.Add(time.Minute) // in which nothing has a row
	fail(early, 7)
	got := s.TopFailing()
	if len(got) < 2*MaxClients || got[0].Client.String() != "192.0.2.2" || got[0].Failed > 100 || got[0].Failed < 97 ||
		got[1].Client.String() != "192.0.2.1" || got[1].Counts != (Counts{57, 57}) {
		t.Errorf("%d suspects, first %+v", len(got), got[:2])
	}
}
