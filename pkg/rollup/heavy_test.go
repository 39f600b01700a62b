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

// Counts are within their bounds, those with most are found, and what merges
// says the same as what is counted in one.
func TestHeavy(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 1, 1<<20)
	var whole heavy
	parts := make([]heavy, 4)
	truth := make(map[addr]uint64)
	var sum uint64
	for range 400_000 {
		a := addr{0, zipf.Uint64()}
		n := 1 + r.Uint64N(3)
		truth[a] += n
		sum += n
		whole.add(a, n)
		parts[r.IntN(len(parts))].add(a, n)
	}
	if len(truth) < 10*MaxHeavy {
		t.Fatalf("only %d clients", len(truth))
	}
	var merged heavy
	for i := range parts {
		merged.merge(&parts[i])
	}
	top := slices.SortedFunc(maps.Keys(truth), func(a, b addr) int {
		return cmp.Or(cmp.Compare(truth[b], truth[a]), cmp.Compare(a.lo, b.lo))
	})
	for name, h := range map[string]*heavy{"whole": &whole, "merged": &merged} {
		if len(h.heap) != MaxHeavy || len(h.index) != MaxHeavy {
			t.Errorf("%s: %d rows, %d in the index", name, len(h.heap), len(h.index))
		}
		for i, c := range h.heap {
			if h.index[c.client] != i || i > 0 && c.count < h.heap[(i-1)/2].count {
				t.Fatalf("%s: row %d is not where it should be", name, i)
			}
			if n := truth[c.client]; n > c.count || n < c.count-c.err {
				t.Errorf("%s: %d failures are said to be %d to %d", name, n, c.count-c.err, c.count)
			}
		}
		for _, a := range top[:20] {
			if _, ok := h.index[a]; !ok {
				t.Errorf("%s: a client with %d of %d failures is missing", name, truth[a], sum)
			}
		}
		for a, n := range truth {
			if _, ok := h.index[a]; !ok && n > h.floor() {
				t.Errorf("%s: a client with %d failures has no place, of at most %d", name, n, h.floor())
			}
		}
		if name == "whole" && whole.floor() > sum/MaxHeavy {
			t.Errorf("error of up to %d in %d failures", whole.floor(), sum)
		}
	}
}

// A client that begins to fail when the tables are full is a suspect all the
// same.
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
	if got, want := s.Suspects(), s.FailingClients(); len(got) != 1 || got[0] != (Suspect{want[0], 0}) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range 2*MaxClients + 3*MaxHeavy {
		fail(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
	}
	fail(late, 100)
	at = at.Add(time.Minute) // in which nothing has a row
	fail(early, 7)
	other := New(Options{})
	other.Merge(s)
	for _, s := range []*Summary{s, other} {
		got := s.Suspects()
		if len(got) < 2*MaxClients || got[0].Client.String() != "192.0.2.2" || got[0].Failed != 100 || got[0].Uncertain > 3 ||
			got[1].Client.String() != "192.0.2.1" || got[1].Counts != (Counts{57, 57}) {
			t.Errorf("%d suspects, first %+v", len(got), got[:2])
		}
	}
}
