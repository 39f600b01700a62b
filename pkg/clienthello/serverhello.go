package clienthello

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tlswatch/pkg/tlsname"
)

// serverHello is what the server chose, RFC 8446, Section 4.1.3.
type serverHello struct {
	version   tlsname.Version // supported_versions, otherwise legacy_version
	suite     tlsname.Suite
	group     tlsname.Group // of key_share, or the one a HelloRetryRequest asks for
	sessionID []byte
	psk       bool
	retry     bool // HelloRetryRequest
}

// helloRetryRequest is the random of a ServerHello that is a HelloRetryRequest: the
// SHA-256 of this name, RFC 8446, Section 4.1.3.
var helloRetryRequest = [32]byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

func parseServerHello(message []byte) (*serverHello, error) {
	body, whole, err := handshakeBody(message, typeServerHello)
	if err == nil && !whole {
		err = errIncomplete
	}
	if err != nil {
		return nil, fmt.Errorf("ServerHello: %w", err)
	}
	h := new(serverHello)
	var version, suite uint16
	var random [32]byte
	var sessionID, extensions cryptobyte.String
	if !body.ReadUint16(&version) || !body.CopyBytes(random[:]) || !body.ReadUint8LengthPrefixed(&sessionID) ||
		!body.ReadUint16(&suite) || !body.Skip(1) {
		return nil, errServerHello
	}
	h.version, h.suite, h.sessionID = tlsname.Version(version), tlsname.Suite(suite), sessionID
	h.retry = random == helloRetryRequest
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
			h.version = tlsname.Version(v)
		case extKeyShare:
			if !data.ReadUint16(&v) {
				return nil, errServerHello
			}
			h.group = tlsname.Group(v)
		case extPreSharedKey:
			h.psk = true
		}
	}
	return h, nil
}

var errServerHello = errors.New("ServerHello: malformed")

// serverKeyExchangeLen is the length that groupOfServerKeyExchange needs.
const serverKeyExchangeLen = 4 + 3

// groupOfServerKeyExchange returns the named curve of an ECDHE ServerKeyExchange
// message, RFC 8422, Section 5.4, or 0.
func groupOfServerKeyExchange(message []byte) tlsname.Group {
	const namedCurve = 3
	if len(message) < serverKeyExchangeLen || message[4] != namedCurve {
		return 0
	}
	return tlsname.Group(uint16(message[5])<<8 | uint16(message[6]))
}
