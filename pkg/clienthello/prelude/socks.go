package prelude

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
)

const (
	socks4 = "SOCKS4"
	socks5 = "SOCKS5"

	socksConnect = 1 // the command
)

// socks parses what a client sends to a SOCKS proxy until it may use the tunnel.
func socks(b []byte) (Prelude, int, bool) {
	switch {
	case len(b) == 0:
	case b[0] == 4:
		return socksV4(b)
	case b[0] == 5:
		return socksV5(b)
	}
	return Prelude{}, 0, false
}

// socksV4 parses a request of SOCKS 4, or of 4A, which has a host name.
func socksV4(b []byte) (Prelude, int, bool) {
	if len(b) >= 2 && b[1] != socksConnect {
		return Prelude{}, 0, false
	}
	if len(b) < 9 {
		return Prelude{}, 0, true
	}
	port, address := binary.BigEndian.Uint16(b[2:]), b[4:8]
	user := bytes.IndexByte(b[8:], 0)
	if user < 0 {
		return Prelude{}, 0, len(b) < 512
	}
	n := 8 + user + 1
	host := netip.AddrFrom4([4]byte(address)).String()
	if address[0] == 0 && address[1] == 0 && address[2] == 0 && address[3] != 0 {
		name := bytes.IndexByte(b[n:], 0)
		if name < 0 {
			return Prelude{}, 0, len(b) < 512
		}
		host = string(b[n : n+name])
		n += name + 1
	}
	return Prelude{Name: socks4, Target: hostPort(host, port)}, n, false
}

func hostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// socksV5 parses the greeting, the password if there is one (RFC 1929), and the request,
// RFC 1928, Sections 3 and 4.
func socksV5(b []byte) (Prelude, int, bool) {
	if len(b) < 2 {
		return Prelude{}, 0, true
	}
	n := 2 + int(b[1])
	if b[1] == 0 || len(b) >= n && bytes.IndexFunc(b[2:n], func(r rune) bool { return r > 9 && r < 0x80 }) >= 0 {
		return Prelude{}, 0, false // methods that do not exist
	}
	if len(b) > n && b[n] == 1 { // a password
		for range 2 {
			n++
			if len(b) <= n {
				return Prelude{}, 0, true
			}
			n += int(b[n])
		}
		n++
	}
	if len(b) < n+5 {
		return Prelude{}, 0, true
	}
	request := b[n:]
	if request[0] != 5 || request[1] != socksConnect {
		return Prelude{}, 0, false
	}
	const ipv4, name, ipv6 = 1, 3, 4
	at, size := 4, 0
	switch request[3] {
	case ipv4:
		size = 4
	case ipv6:
		size = 16
	case name:
		at, size = 5, int(request[4])
	default:
		return Prelude{}, 0, false
	}
	if len(request) < at+size+2 {
		return Prelude{}, 0, true
	}
	host := string(request[at : at+size])
	if request[3] != name {
		a, _ := netip.AddrFromSlice(request[at : at+size])
		host = a.String()
	}
	return Prelude{Name: socks5, Target: hostPort(host, binary.BigEndian.Uint16(request[at+size:]))}, n + at + size + 2, false
}
