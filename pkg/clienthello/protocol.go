package clienthello

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tlswatch/pkg/tlsname"
)

// sniffLen is the maximum number of bytes that sniff needs.
const sniffLen = 12

var httpMethods = []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ", "PRI * HTTP/2"}

// sniff detects the protocol by the first bytes of a client. It needs more of them if
// it is not sure.
func sniff(b []byte) (p Protocol, sure bool) {
	if matches(b, []byte{recordHandshake, 3}) {
		if len(b) <= recordHeaderLen {
			return TLS, false
		}
		if isRecordHeader(b) && b[recordHeaderLen] == typeClientHello {
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
		if len(b) < sslv2HeaderLen {
			return SSLv2Hello, false
		}
		if _, ok := sslv2Length(b); ok {
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

// The SSL 2.0 CLIENT-HELLO, RFC 5246, Appendix E.2: a record header of two
// bytes, message type, version, and the lengths of three fields.
const sslv2HeaderLen = 2 + 1 + 2 + 6

func sslv2Length(b []byte) (int, bool) {
	length := int(binary.BigEndian.Uint16(b)) & 0x7fff
	version := binary.BigEndian.Uint16(b[3:])
	specs, session, challenge := int(binary.BigEndian.Uint16(b[5:])), int(binary.BigEndian.Uint16(b[7:])), int(binary.BigEndian.Uint16(b[9:]))
	plausible := b[2] == typeClientHello && (version == 0x0002 || 0x0300 <= version && version <= 0x0304) &&
		specs > 0 && specs%3 == 0 && session <= 32 && 16 <= challenge && challenge <= 32 && length == sslv2HeaderLen-2+specs+session+challenge
	return 2 + length, plausible
}

// parseSSLv2 decodes an SSL 2.0 CLIENT-HELLO. Cipher specs of SSL 2.0 itself,
// which have no number in TLS, are left out.
func parseSSLv2(message []byte) (*ClientHello, error) {
	h := new(ClientHello)
	s := cryptobyte.String(message)
	var version, specsLen, sessionLen, challengeLen uint16
	if !s.Skip(3) || !s.ReadUint16(&version) || !s.ReadUint16(&specsLen) || !s.ReadUint16(&sessionLen) || !s.ReadUint16(&challengeLen) {
		return h, fmt.Errorf("SSLv2 ClientHello: %w", errIncomplete)
	}
	h.LegacyVersion = tlsname.Version(version)
	for range specsLen / 3 {
		var spec uint32
		if !s.ReadUint24(&spec) {
			return h, fmt.Errorf("SSLv2 ClientHello: %w", errIncomplete)
		}
		if spec <= 0xffff {
			h.CipherSuites = append(h.CipherSuites, tlsname.Suite(spec))
		}
	}
	h.readSignals()
	if !s.ReadBytes(&h.sessionID, int(sessionLen)) || !s.Skip(int(challengeLen)) {
		return h, fmt.Errorf("SSLv2 ClientHello: %w", errIncomplete)
	}
	return h, nil
}

func incomplete(err error) bool { return errors.Is(err, errIncomplete) }
