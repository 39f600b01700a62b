package rollup

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
)

// An addr is an IP address as a key. IPv4 addresses are mapped to IPv6 (RFC 4291,
// section 2.5.5.2). An absent address is zero, like the unspecified "::".
type addr struct{ hi, lo uint64 }

// addrOf returns the address. An IPv6 address is reduced to the bits of the mask.
func addrOf(a netip.Addr, ipv6Mask addr) addr {
	if a.Is4() {
		b := a.As4()
		return addr{0, 0xffff<<32 | uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	k := addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
	if a.Is6() && !a.Is4In6() {
		k.hi &= ipv6Mask.hi
		k.lo &= ipv6Mask.lo
	}
	return k
}

// maskOf returns a mask of n leading bits.
func maskOf(n int) addr {
	ones := ^uint64(0)
	return addr{ones << max(0, 64-n), ones << min(64, 128-n)}
}

func (a addr) ip() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b).Unmap()
}

// An addrKey is an address and a number.
type addrKey struct {
	addr
	n int64
}

// seed prevents clients, which choose some bits of their addresses, from choosing
// their place in a table.
var seed = [3]uint64{rand.Uint64(), rand.Uint64(), rand.Uint64() | 1}

func (k addrKey) hash() uint64 {
	hi, lo := bits.Mul64(k.hi^seed[0], k.lo^seed[1])
	hi, lo = bits.Mul64(hi^lo^uint64(k.n), seed[2])
	return hi ^ lo
}

// An arena holds the rows of one or several tables in the order of their addition. It
// grows without moving them, so it never needs twice its memory and leaves no
// garbage.
type arena[V any] struct {
	chunks []*[arenaChunk]row[addrKey, V]
	n      int
}

const arenaChunk = 256

func (a *arena[V]) at(i int) *row[addrKey, V] {
	return &a.chunks[uint(i)/arenaChunk][uint(i)%arenaChunk]
}

func (a *arena[V]) add(k addrKey) (i int) {
	i = a.n
	if i == len(a.chunks)*arenaChunk {
		a.chunks = append(a.chunks, new([arenaChunk]row[addrKey, V]))
	}
	a.n++
	a.at(i).key = k
	return i
}

func (a *arena[V]) all(yield func(*row[addrKey, V]) bool) {
	for i := range a.n {
		if !yield(a.at(i)) {
			return
		}
	}
}

// An addrTable is a [table] for clients, which are many. Its rows are in an arena.
// Open addressing with linear probing takes half the time of a map, and less memory.
type addrTable[V any] struct {
	slots []uint32 // rows + 1; 0 for a free slot. Their number is a power of two; at most three quarters are in use
	n     int      // rows of this table
	rows  *arena[V]
}

func newAddrTable[V any](rows *arena[V]) *addrTable[V] {
	return &addrTable[V]{slots: make([]uint32, 64), rows: rows}
}

// value returns the value of k. If k is new and the arena has max rows, it is nil.
func (t *addrTable[V]) value(k addrKey, max int) *V {
	mask := uint64(len(t.slots) - 1)
	i := k.hash() & mask
	for ; t.slots[i&mask] != 0; i++ {
		if r := t.rows.at(int(t.slots[i&mask] - 1)); r.key == k {
			return &r.value
		}
	}
	if t.rows.n >= max {
		return nil
	}
	n := t.rows.add(k)
	t.slots[i&mask] = uint32(n + 1)
	if t.n++; 4*t.n > 3*len(t.slots) {
		t.grow()
	}
	return &t.rows.at(n).value
}

func (t *addrTable[V]) grow() {
	old := t.slots
	t.slots = make([]uint32, 2*len(old))
	mask := uint64(len(t.slots) - 1)
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		i := t.rows.at(int(slot-1)).key.hash() & mask
		for t.slots[i] != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = slot
	}
}
