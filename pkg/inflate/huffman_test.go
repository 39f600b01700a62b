package inflate

import (
	"math/bits"
	"math/rand/v2"
	"testing"
)

// randomCode returns the lengths of a complete code for some of n symbols: it
// starts with one code of no bits, and repeatedly adds a bit to one.
func randomCode(rnd *rand.Rand, n int) []uint8 {
	codes := []uint8{0}
	for want := 2 + rnd.IntN(n-1); len(codes) < want; {
		i := rnd.IntN(len(codes))
		if rnd.IntN(2) == 0 {
			i = len(codes) - 1 // for long codes
		}
		if codes[i] < maxBits {
			codes[i]++
			codes = append(codes, codes[i])
		}
	}
	lengths := make([]uint8, n)
	for i, symbol := range rnd.Perm(n)[:len(codes)] {
		lengths[symbol] = codes[i]
	}
	return lengths
}

// For any bits, the tables agree with the codes read bit by bit.
func TestTables(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var tab tables
	pairs, links := 0, 0
	for range 200 {
		lit := randomCode(rnd, maxLit)
		if rnd.IntN(2) == 0 {
			lit = randomCode(rnd, 40+rnd.IntN(maxLit-40)) // more literals than lengths
			lit = append(lit, make([]uint8, maxLit)...)[:maxLit]
		}
		if !tab.build(lit, randomCode(rnd, maxDist)) {
			t.Fatal("not a complete code")
		}
		for range 1000 {
			in := rnd.Uint64() | 1<<rnd.IntN(maxBits) - 1 // long codes begin with ones

			e := tab.lit[in%(1<<litBits)]
			if e&isOther != 0 && e&isLink != 0 {
				e = tab.litLinks[e.value(in)]
				links++
			}
			first, n := tab.litCode.symbol(in)
			want, used, text := litEntry(first).withCode(n), n, []byte(nil)
			if want&isLiteral != 0 {
				text = append(text, byte(first))
				if e>>6&3 == 2 || e&isLiteral == 0 {
					second, m := tab.litCode.symbol(in >> n)
					want, used = litEntry(second).withCode(m), n+m
					if want&isLiteral != 0 {
						text = append(text, byte(second))
					}
					pairs++
				}
			}
			if e&isOther != want&isOther {
				t.Fatalf("%x: entry %x, want %x", in, e, want)
			}
			if e&isOther != 0 {
				continue
			}
			if e&isLiteral != want&isLiteral || int(e>>6&3) != len(text) || string([]byte{byte(e >> 16), byte(e >> 24)}[:len(text)]) != string(text) {
				t.Fatalf("%x: entry %x for %q and %x", in, e, text, want)
			}
			rest := in >> (used - int(want>>10&63))
			if got, want := e.value(in), want.value(rest); got != want {
				t.Fatalf("%x: length %d, want %d", in, got, want)
			}
			extra := bits.Len(uint(want >> 48))
			if got := int(e & 63); got != used+extra {
				t.Fatalf("%x: %d bits, want %d", in, got, used+extra)
			}

			d := tab.dist[in%(1<<distBits)]
			if d&isOther != 0 && d&isLink != 0 {
				d = tab.distLinks[d.value(in)]
				links++
			}
			symbol, n := tab.distCode.symbol(in)
			if want := distEntry(symbol).withCode(n); d != want {
				t.Fatalf("%x: distance entry %x, want %x", in, d, want)
			}
		}
	}
	if pairs < 1000 || links < 1000 {
		t.Errorf("only %d pairs and %d links", pairs, links)
	}
}
