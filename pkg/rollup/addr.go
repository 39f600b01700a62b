package rollup

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
)

// An addr is an IP address as a key: IPv4 is mapped into IPv6, as RFC 4291
// section 2.5.5.2 does. An absent address is zero, as is the unspecified "::".
type addr struct{ hi, lo uint64 }

// addrOf returns the address; of IPv6 the bits of the mask.
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

// seed keeps clients, who choose some of their address bits, from choosing
// where in a table they go.
var seed = [3]uint64{rand.Uint64(), rand.Uint64(), rand.Uint64() | 1}

func (k addrKey) hash() uint64 {
	hi, lo := bits.Mul64(k.hi^seed[0], k.lo^seed[1])
	hi, lo = bits.Mul64(hi^lo^uint64(k.n), seed[2])
	return hi ^ lo
}

// An addrTable is a [table] for the many clients. Its open addressing with
// linear probing takes half the time of a map, and less memory. A table for each
// minute keeps those in use in the processor's cache.
type addrTable[V any] struct {
	slots []uint32 // rows + 1; 0 for a free slot. A power of two, at least twice the rows
	rows  []row[addrKey, V]
}

func newAddrTable[V any]() *addrTable[V] { return &addrTable[V]{slots: make([]uint32, 64)} }

// value returns the value of k, a new one if the table has less than max rows,
// or nil. It is valid until the next call.
func (t *addrTable[V]) value(k addrKey, max int) *V {
	mask := uint64(len(t.slots) - 1)
	i := k.hash() & mask
	for ; t.slots[i] != 0; i = (i + 1) & mask {
		if r := &t.rows[t.slots[i]-1]; r.key == k {
			return &r.value
		}
	}
	if len(t.rows) >= max {
		return nil
	}
	t.rows = append(t.rows, row[addrKey, V]{key: k})
	t.slots[i] = uint32(len(t.rows))
	if 2*len(t.rows) > len(t.slots) {
		t.grow()
	}
	return &t.rows[len(t.rows)-1].value
}

func (t *addrTable[V]) grow() {
	t.slots = make([]uint32, 2*len(t.slots))
	mask := uint64(len(t.slots) - 1)
	for n := range t.rows {
		i := t.rows[n].key.hash() & mask
		for t.slots[i] != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = uint32(n + 1)
	}
}
