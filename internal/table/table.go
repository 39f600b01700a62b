// Package table has hash tables for millions of updates: they grow without copying,
// and shrink by what their owner decides to forget.
package table

import (
	"math/bits"
	"math/rand/v2"
	"slices"
)

// A Table maps keys to values that change in place, by open addressing with
// linear probing. Rows are in the order of insertion, in chunks that never move,
// so growing neither copies nor leaves garbage.
type Table[K comparable, V any] struct {
	hash  func(K) uint64
	slots []uint32 // rows + 1; 0 for a free slot. A power of two, at least twice the rows
	rows  []*[chunk]Row[K, V]
	n     int // rows
}

// A Row is a key and its value.
type Row[K comparable, V any] struct {
	Key   K
	Value V
}

const chunk = 256

// New returns an empty Table.
func New[K comparable, V any](hash func(K) uint64) Table[K, V] {
	return Table[K, V]{hash: hash, slots: make([]uint32, 64)}
}

// Len returns the number of rows.
func (t *Table[K, V]) Len() int { return t.n }

// At returns the ith row. It moves only when rows are removed.
func (t *Table[K, V]) At(i int) *Row[K, V] { return &t.rows[uint(i)/chunk][uint(i)%chunk] }

// All calls yield for each row.
func (t *Table[K, V]) All(yield func(*Row[K, V]) bool) {
	for i := range t.n {
		if !yield(t.At(i)) {
			return
		}
	}
}

// Get returns the value of k, and whether it is new. The value is valid until rows
// are removed.
func (t *Table[K, V]) Get(k K) (v *V, fresh bool) { return t.GetHashed(k, t.hash(k)) }

// GetHashed is Get for a key whose hash is known.
func (t *Table[K, V]) GetHashed(k K, hash uint64) (v *V, fresh bool) {
	mask := uint64(len(t.slots) - 1)
	i := hash & mask
	for ; t.slots[i] != 0; i = (i + 1) & mask {
		if r := t.At(int(t.slots[i] - 1)); r.Key == k {
			return &r.Value, false
		}
	}
	if t.n == len(t.rows)*chunk {
		t.rows = append(t.rows, new([chunk]Row[K, V]))
	}
	r := t.At(t.n)
	r.Key = k
	t.n++
	t.slots[i] = uint32(t.n)
	if 2*t.n > len(t.slots) {
		t.slots = make([]uint32, 2*len(t.slots))
		t.index()
	}
	return &r.Value, true
}

// Slot returns where GetHashed looks first: the number of a row and 1, 0 for none.
// Looking up the slots of many keys first, and then their rows, makes the processor
// wait for many memory accesses at once.
func (t *Table[K, V]) Slot(hash uint64) uint32 { return t.slots[hash&uint64(len(t.slots)-1)] }

// Find returns the value of k, whose slot and hash are known, nil if there is none.
func (t *Table[K, V]) Find(slot uint32, k K, hash uint64) *V {
	mask := uint64(len(t.slots) - 1)
	for i := hash & mask; slot != 0; slot = t.slots[i] {
		if n := int(slot); n <= t.n { // else the table shrank since
			if r := t.At(n - 1); r.Key == k {
				return &r.Value
			}
		}
		i = (i + 1) & mask
	}
	return nil
}

// Freeze frees the memory that Get needs, which must not be called afterwards.
func (t *Table[K, V]) Freeze() { t.slots = nil }

// index fills the empty slots.
func (t *Table[K, V]) index() {
	mask := uint64(len(t.slots) - 1)
	for n := range t.n {
		i := t.hash(t.At(n).Key) & mask
		for t.slots[i] != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = uint32(n + 1)
	}
}

// Retain removes the rows for which keep returns false.
func (t *Table[K, V]) Retain(keep func(*Row[K, V]) bool) {
	kept := 0
	for r := range t.All {
		if keep(r) {
			*t.At(kept) = *r
			kept++
		}
	}
	for i := kept; i < t.n; i++ {
		*t.At(i) = Row[K, V]{}
	}
	t.n = kept
	clear(t.slots)
	t.index()
}

// Evict removes the lighter half of the candidates, those for which weigh returns
// true. It calls gone for each, and returns the largest weight among them.
func (t *Table[K, V]) Evict(weigh func(*V) (uint64, bool), gone func(*Row[K, V])) (most uint64) {
	weights := make([]uint64, 0, t.n)
	for r := range t.All {
		if w, ok := weigh(&r.Value); ok {
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
	t.Retain(func(r *Row[K, V]) bool {
		w, ok := weigh(&r.Value)
		if ok && w == most && same > 0 {
			same--
			w--
		}
		if ok && w < most {
			gone(r)
			return false
		}
		return true
	})
	return most
}

// seeds keep clients, which choose some of their address bits, from choosing
// their slots in a table.
var seeds = [4]uint64{rand.Uint64(), rand.Uint64(), rand.Uint64() | 1, rand.Uint64() | 1}

// Mix hashes three numbers. The hash differs from run to run.
func Mix(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a^seeds[0], b^seeds[1])
	hi, lo = bits.Mul64(hi^lo^c, seeds[2])
	return hi ^ lo
}
