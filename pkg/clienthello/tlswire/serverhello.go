package tlswire

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tlswatch/pkg/tlsname"
)

// A ServerHello is what the server chose, RFC 8446, Section 4.1.3.
type ServerHello struct {
	Version     tlsname.Version // supported_versions, otherwise legacy_version
	CipherSuite tlsname.Suite
	Group       tlsname.Group // of key_share, or the one a HelloRetryRequest asks for
	SessionID   []byte
	PSK         bool // a pre-shared key was chosen
	Retry       bool // it is a HelloRetryRequest
}

// helloRetryRequest is the random of a ServerHello that is a HelloRetryRequest: the
// SHA-256 of this name, RFC 8446, Section 4.1.3.
var helloRetryRequest = [32]byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

// ParseServerHello decodes a handshake message of type server_hello, with its header.
func ParseServerHello(message []byte) (*ServerHello, error) {
	body, whole, err := handshakeBody(message, TypeServerHello)
	if err == nil && !whole {
		err = ErrIncomplete
	}
	if err != nil {
		return nil, fmt.Errorf("ServerHello: %w", err)
	}
	h := new(ServerHello)
	var version, suite uint16
	var random [32]byte
	var sessionID, extensions cryptobyte.String
	if !body.ReadUint16(&version) || !body.CopyBytes(random[:]) || !body.ReadUint8LengthPrefixed(&sessionID) ||
		!body.ReadUint16(&suite) || !body.Skip(1) {
		return nil, errServerHello
	}
	h.Version, h.CipherSuite, h.SessionID = tlsname.Version(version), tlsname.Suite(suite), sessionID
	h.Retry = random == helloRetryRequest
	if !body.Empty() && (!body.ReadUint16LengthPrefixed(&extensions) || !body.Empty()) {
		return nil, errServerHello
	}
	for !extensions.Empty() {
		var t, v uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&t) || !extensions.ReadUint16LengthPrefixed(&data) {
			return nil, errServerHello
		}
		switch ExtensionType(t) {
		case extSupportedVersions:
			if !data.ReadUint16(&v) {
				return nil, errServerHello
			}
			h.Version = tlsname.Version(v)
		case extKeyShare:
			if !data.ReadUint16(&v) {
				return nil, errServerHello
			}
			h.Group = tlsname.Group(v)
		case extPreSharedKey:
			h.PSK = true
		}
	}
	return h, nil
}

var errServerHello = errors.New("ServerHello: malformed")

// serverKeyExchangeLen is the length that GroupOfServerKeyExchange needs.
const serverKeyExchangeLen = 4 + 3

// GroupOfServerKeyExchange returns the named curve of an ECDHE ServerKeyExchange
// message, RFC 8422, Section 5.4, or 0.
func GroupOfServerKeyExchange(message []byte) tlsname.Group {
	const namedCurve = 3
	if len(message) < serverKeyExchangeLen || message[4] != namedCurve {
		return 0
	}
	return tlsname.Group(uint16(message[5])<<8 | uint16(message[6]))
}
