package clienthello

import (
	"bytes"

	"tlswatch/pkg/clienthello/tlswire"
)

// sniffLen is the maximum number of bytes that sniff needs.
const sniffLen = 12

var httpMethods = []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ", "PRI * HTTP/2"}

// sniff detects the protocol by the first bytes of a client. It needs more of them if
// it is not sure.
func sniff(b []byte) (p Protocol, sure bool) {
	if matches(b, []byte{tlswire.RecordHandshake, 3}) {
		if len(b) <= tlswire.RecordHeaderLen {
			return TLS, false
		}
		if tlswire.IsRecordHeader(b) && b[tlswire.RecordHeaderLen] == tlswire.TypeClientHello {
			return TLS, true
		}
		return Unknown, true
	}
	for _, method := range httpMethods {
		if matches(b, []byte(method)) {
			return HTTP, len(b) >= len(method)
		}
	}
	for _, signature := range []string{"PROXY ", "\r\n\r\n\x00\r\nQUIT\n"} {
		if matches(b, []byte(signature)) {
			return PROXY, len(b) >= len(signature)
		}
	}
	if len(b) > 0 && b[0]&0x80 != 0 {
		if len(b) < tlswire.SSLv2HeaderLen {
			return SSLv2Hello, false
		}
		if _, ok := tlswire.SSLv2Length(b); ok {
			return SSLv2Hello, true
		}
	}
	return Unknown, true
}

// matches reports whether b and what are equal up to the length of the shorter one.
func matches(b, what []byte) bool {
	n := min(len(b), len(what))
	return n > 0 && bytes.Equal(b[:n], what[:n])
}
