package report

import (
	"math/bits"
	"math/rand/v2"
	"slices"
)

// MaxKeys is how many distinct keys of a list are counted exactly. With more,
// rare keys are evicted and counted anew when they return: counts are too low by
// at most the list's error.
//
// The error is the largest count that was evicted, as in the Space-Saving
// algorithm (Metwally, Agrawal and El Abbadi, 2005). Here half a table is
// evicted at a time, so that the cost of an update does not depend on the number
// of keys.
const MaxKeys = 100_000

// A table maps keys to values that change in place, by open addressing with
// linear probing. Rows are in the order of insertion, in chunks that never move,
// so growing neither copies nor leaves garbage.
type table[K comparable, V any] struct {
	hash  func(K) uint64
	slots []uint32 // rows + 1; 0 for a free slot. A power of two, at least twice the rows
	rows  []*[chunk]row[K, V]
	n     int // rows
}

type row[K comparable, V any] struct {
	key   K
	value V
}

const chunk = 256

func newTable[K comparable, V any](hash func(K) uint64) table[K, V] {
	return table[K, V]{hash: hash, slots: make([]uint32, 64)}
}

// at returns the ith row.
func (t *table[K, V]) at(i int) *row[K, V] { return &t.rows[uint(i)/chunk][uint(i)%chunk] }

// all calls yield for each row.
func (t *table[K, V]) all(yield func(*row[K, V]) bool) {
	for i := range t.n {
		if !yield(t.at(i)) {
			return
		}
	}
}

// get returns the value of k, and whether it is new. The value is valid until
// the next eviction.
func (t *table[K, V]) get(k K) (v *V, fresh bool) { return t.getHashed(k, t.hash(k)) }

// getHashed is get for a key whose hash is known.
func (t *table[K, V]) getHashed(k K, hash uint64) (v *V, fresh bool) {
	mask := uint64(len(t.slots) - 1)
	i := hash & mask
	for ; t.slots[i] != 0; i = (i + 1) & mask {
		if r := t.at(int(t.slots[i] - 1)); r.key == k {
			return &r.value, false
		}
	}
	if t.n == len(t.rows)*chunk {
		t.rows = append(t.rows, new([chunk]row[K, V]))
	}
	r := t.at(t.n)
	r.key = k
	t.n++
	t.slots[i] = uint32(t.n)
	if 2*t.n > len(t.slots) {
		t.slots = make([]uint32, 2*len(t.slots))
		t.index()
	}
	return &r.value, true
}

// index fills the empty slots.
func (t *table[K, V]) index() {
	mask := uint64(len(t.slots) - 1)
	for n := range t.n {
		i := t.hash(t.at(n).key) & mask
		for t.slots[i] != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = uint32(n + 1)
	}
}

// evict removes the lighter half of the candidates, those for which weigh returns
// true. It calls gone for each, and returns the largest weight among them.
func (t *table[K, V]) evict(weigh func(*V) (uint64, bool), gone func(*row[K, V])) (most uint64) {
	weights := make([]uint64, 0, t.n)
	for r := range t.all {
		if w, ok := weigh(&r.value); ok {
			weights = append(weights, w)
		}
	}
	if len(weights) == 0 {
		return 0
	}
	slices.Sort(weights)
	half := (len(weights) + 1) / 2
	most = weights[half-1]
	same := half // how many of the removed weigh as much as the heaviest
	for same > 0 && weights[half-same] < most {
		same--
	}
	kept := 0
	for r := range t.all {
		w, ok := weigh(&r.value)
		if ok && w == most && same > 0 {
			same--
			w--
		}
		if ok && w < most {
			gone(r)
			continue
		}
		*t.at(kept) = *r
		kept++
	}
	for i := kept; i < t.n; i++ {
		*t.at(i) = row[K, V]{}
	}
	t.n = kept
	clear(t.slots)
	t.index()
	return most
}

// seeds keep clients, which choose some of their address bits, from choosing
// their slots in a table.
var seeds = [4]uint64{rand.Uint64(), rand.Uint64(), rand.Uint64() | 1, rand.Uint64() | 1}

// mix hashes three numbers.
func mix(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a^seeds[0], b^seeds[1])
	hi, lo = bits.Mul64(hi^lo^c, seeds[2])
	return hi ^ lo
}
