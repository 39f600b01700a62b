package report

import (
	"cmp"
	"encoding/binary"
	"net/netip"

	"tlswatch/internal/table"
)

// An addr is an IP address as a key: IPv4 is mapped into IPv6, as RFC 4291
// section 2.5.5.2 does. An absent address is zero, as is the unspecified "::".
type addr struct{ hi, lo uint64 }

// maskOf returns a mask of n leading bits.
func maskOf(n int) addr {
	ones := ^uint64(0)
	return addr{ones << max(0, 64-n), ones << min(64, 128-n)}
}

func addrOf(a netip.Addr, v4mask, v6mask addr) addr {
	if a.Is4() {
		b := a.As4()
		return addr{0, (0xffff<<32 | uint64(binary.BigEndian.Uint32(b[:]))) & v4mask.lo}
	}
	b := a.As16()
	k := addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
	mask := v6mask
	if a.Is4In6() {
		mask = v4mask
	}
	return addr{k.hi & mask.hi, k.lo & mask.lo}
}

func (a addr) ip() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b).Unmap()
}

func (a addr) hash() uint64 { return table.Mix(a.hi, a.lo, 0) }

// is4 reports whether a is of IPv4.
func (a addr) is4() bool { return a.hi == 0 && a.lo>>32 == 0xffff }

// compare orders as [netip.Addr] does: IPv4 first.
func (a addr) compare(b addr) int {
	if v4 := a.is4(); v4 != b.is4() {
		if v4 {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
}
