package prelude

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

const (
	proxyV1 = "PROXY v1"
	proxyV2 = "PROXY v2"

	signature1  = "PROXY "
	signature2  = "\r\n\r\n\x00\r\nQUIT\n"
	maxProxyV1  = 107 // bytes of a header of version 1, CRLF included
	headerLenV2 = 16
)

// BeginsWithProxy reports whether b begins with the signature of a PROXY header.
func BeginsWithProxy(b []byte) bool {
	return len(b) >= len(signature1) && string(b[:len(signature1)]) == signature1 ||
		len(b) >= len(signature2) && string(b[:len(signature2)]) == signature2
}

// proxy parses a header of the PROXY protocol, versions 1 and 2, as HAProxy's
// proxy-protocol.txt specifies it.
func proxy(b []byte) (Prelude, int, bool) {
	switch {
	case begins(b, signature1):
		return proxy1(b)
	case begins(b, signature2):
		return proxy2(b)
	}
	return Prelude{}, 0, false
}

// proxy1 parses the line "PROXY TCP4 SOURCE DESTINATION SOURCE-PORT DESTINATION-PORT".
func proxy1(b []byte) (Prelude, int, bool) {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 {
		return Prelude{}, 0, len(b) < maxProxyV1
	}
	p := Prelude{Name: proxyV1}
	fields := strings.Split(string(b[:end]), " ")
	if len(fields) == 6 && (fields[1] == "TCP4" || fields[1] == "TCP6") {
		p.Client, p.Server = addrPort(fields[2], fields[4]), addrPort(fields[3], fields[5])
	}
	return p, end + 2, false
}

func addrPort(address, port string) netip.AddrPort {
	a, err := netip.ParseAddr(address)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, uint16(n))
}

// proxy2 parses the binary header. What follows the addresses in it is skipped.
func proxy2(b []byte) (Prelude, int, bool) {
	if len(b) < headerLenV2 {
		return Prelude{}, 0, true
	}
	n := headerLenV2 + int(binary.BigEndian.Uint16(b[14:]))
	if b[12]>>4 != 2 || n > maxLen {
		return Prelude{}, 0, false
	}
	if len(b) < n {
		return Prelude{}, 0, true
	}
	const commandProxy, familyIPv4, familyIPv6 = 1, 1, 2
	p := Prelude{Name: proxyV2}
	size := 0 // of an address
	switch family := b[13] >> 4; {
	case b[12]&0xf != commandProxy:
	case family == familyIPv4:
		size = 4
	case family == familyIPv6:
		size = 16
	}
	if a := b[headerLenV2:n]; size > 0 && len(a) >= 2*size+4 {
		from, _ := netip.AddrFromSlice(a[:size])
		to, _ := netip.AddrFromSlice(a[size : 2*size])
		ports := a[2*size:]
		p.Client = netip.AddrPortFrom(from, binary.BigEndian.Uint16(ports))
		p.Server = netip.AddrPortFrom(to, binary.BigEndian.Uint16(ports[2:]))
	}
	return p, n, false
}
