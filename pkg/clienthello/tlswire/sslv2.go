package tlswire

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tlswatch/pkg/tlsname"
)

// SSLv2HeaderLen is the length of what precedes the lists of an SSL 2.0
// CLIENT-HELLO, RFC 5246, Appendix E.2: a record header of two bytes, message type,
// version, and the lengths of three fields.
const SSLv2HeaderLen = 2 + 1 + 2 + 6

// SSLv2Length returns the length of the SSL 2.0 CLIENT-HELLO that begins with the
// SSLv2HeaderLen bytes of b, and whether it is one.
func SSLv2Length(b []byte) (int, bool) {
	length := int(binary.BigEndian.Uint16(b)) & 0x7fff
	version := binary.BigEndian.Uint16(b[3:])
	specs, session, challenge := int(binary.BigEndian.Uint16(b[5:])), int(binary.BigEndian.Uint16(b[7:])), int(binary.BigEndian.Uint16(b[9:]))
	plausible := b[2] == TypeClientHello && (version == 0x0002 || 0x0300 <= version && version <= 0x0304) &&
		specs > 0 && specs%3 == 0 && session <= 32 && 16 <= challenge && challenge <= 32 && length == SSLv2HeaderLen-2+specs+session+challenge
	return 2 + length, plausible
}

// ParseSSLv2 decodes an SSL 2.0 CLIENT-HELLO. Cipher specs of SSL 2.0 itself,
// which have no number in TLS, are left out.
func ParseSSLv2(message []byte) (*ClientHello, error) {
	h := new(ClientHello)
	s := cryptobyte.String(message)
	var version, specsLen, sessionLen, challengeLen uint16
	if !s.Skip(3) || !s.ReadUint16(&version) || !s.ReadUint16(&specsLen) || !s.ReadUint16(&sessionLen) || !s.ReadUint16(&challengeLen) {
		return h, fmt.Errorf("SSLv2 ClientHello: %w", ErrIncomplete)
	}
	h.LegacyVersion = tlsname.Version(version)
	for range specsLen / 3 {
		var spec uint32
		if !s.ReadUint24(&spec) {
			return h, fmt.Errorf("SSLv2 ClientHello: %w", ErrIncomplete)
		}
		if spec <= 0xffff {
			h.CipherSuites = append(h.CipherSuites, tlsname.Suite(spec))
		}
	}
	h.readSignals()
	if !s.ReadBytes(&h.SessionID, int(sessionLen)) || !s.Skip(int(challengeLen)) {
		return h, fmt.Errorf("SSLv2 ClientHello: %w", ErrIncomplete)
	}
	return h, nil
}
