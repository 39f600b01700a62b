package scan

import "net/netip"

// Addr parses an IPv4 or IPv6 address. An IPv6 address may be in brackets, and
// must not have a zone, which means nothing outside of the host that wrote it.
func Addr(b []byte) (netip.Addr, bool) {
	if a, ok := ipv4(b); ok {
		return netip.AddrFrom4(a), true
	}
	if n := len(b); n > 2 && b[0] == '[' && b[n-1] == ']' {
		b = b[1 : n-1]
	}
	if a, ok := ipv6(b); ok {
		return netip.AddrFrom16(a).Unmap(), true
	}
	return netip.Addr{}, false
}

func ipv4(b []byte) (a [4]byte, ok bool) {
	if len(b) < len("0.0.0.0") || len(b) > len("255.255.255.255") {
		return a, false
	}
	octet, digits, n := uint32(0), 0, 0
	for _, c := range b {
		if d := uint32(c) - '0'; d <= 9 {
			if digits > 0 && octet == 0 || digits == 3 {
				return a, false // no leading zeros, which some programs read as octal
			}
			octet = octet*10 + d
			digits++
			continue
		}
		if c != '.' || digits == 0 || octet > 255 || n == 3 {
			return a, false
		}
		a[n] = byte(octet)
		n++
		octet, digits = 0, 0
	}
	a[3] = byte(octet)
	return a, n == 3 && digits > 0 && octet <= 255
}

// ipv6 parses the forms of RFC 4291, section 2.2.
func ipv6(b []byte) (a [16]byte, ok bool) {
	n := 0         // bytes of a that are set
	ellipsis := -1 // the one before which "::" stands
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		ellipsis = 0
		b = b[2:]
	}
	for n < 16 && len(b) > 0 {
		group, digits := hexGroup(b)
		if digits == 0 {
			return a, false
		}
		if digits < len(b) && b[digits] == '.' { // the last four bytes as IPv4
			v4, ok := ipv4(b)
			if !ok || n > 12 || ellipsis < 0 && n != 12 {
				return a, false
			}
			n += copy(a[n:], v4[:])
			b = nil
			break
		}
		a[n], a[n+1] = byte(group>>8), byte(group)
		n += 2
		if b = b[digits:]; len(b) == 0 {
			break
		}
		if b[0] != ':' || len(b) == 1 {
			return a, false
		}
		if b = b[1:]; b[0] == ':' {
			if ellipsis >= 0 {
				return a, false
			}
			ellipsis = n
			b = b[1:]
		}
	}
	return expand(a, n, ellipsis), len(b) == 0 && (n == 16) == (ellipsis < 0)
}

// hexGroup reads one to four hexadecimal digits. More or less are none.
func hexGroup(b []byte) (group uint32, digits int) {
	for digits < len(b) {
		d, ok := HexDigit(b[digits])
		if !ok {
			break
		}
		if digits == 4 {
			return 0, 0
		}
		group = group<<4 | d
		digits++
	}
	return group, digits
}

// expand moves what follows an ellipsis to the end of the 16 bytes, of which n
// are set.
func expand(a [16]byte, n, ellipsis int) [16]byte {
	if n < 16 && ellipsis >= 0 {
		tail := copy(a[16-(n-ellipsis):], a[ellipsis:n])
		clear(a[ellipsis : 16-tail])
	}
	return a
}
