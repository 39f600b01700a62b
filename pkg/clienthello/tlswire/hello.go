package tlswire

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"tlswatch/pkg/tlsname"
)

// ErrIncomplete means that a message is shorter than its header says.
var ErrIncomplete = errors.New("incomplete")

// Handshake message types, RFC 8446, Section 4 and RFC 5246, Section 7.4.
const (
	TypeClientHello        = 1
	TypeServerHello        = 2
	TypeCertificate        = 11
	TypeServerKeyExchange  = 12
	TypeCertificateRequest = 13
)

// A ClientHello is what a client offers, RFC 8446, Section 4.1.2. Lists are in
// the order of the message and include GREASE values (RFC 8701).
type ClientHello struct {
	LegacyVersion tlsname.Version
	SessionID     []byte
	CipherSuites  []tlsname.Suite
	Extensions    []Extension

	ServerName           string                    // server_name, RFC 6066, Section 3
	SupportedVersions    []tlsname.Version         // supported_versions, RFC 8446, Section 4.2.1
	Groups               []tlsname.Group           // supported_groups, RFC 8446, Section 4.2.7
	KeyShares            []tlsname.Group           // groups of key_share, RFC 8446, Section 4.2.8
	SignatureSchemes     []tlsname.SignatureScheme // signature_algorithms, RFC 8446, Section 4.2.3
	ALPN                 []string                  // application_layer_protocol_negotiation, RFC 7301
	PSKIdentities        int                       // number of identities of pre_shared_key, RFC 8446, Section 4.2.11
	EarlyData            bool                      // early_data, RFC 8446, Section 4.2.10
	SessionTicket        bool                      // a session_ticket that is not empty, RFC 5077
	EncryptedClientHello bool                      // encrypted_client_hello, RFC 9849: ServerName is then the outer one
	SecureRenegotiation  bool                      // renegotiation_info or its SCSV, RFC 5746
	FallbackSCSV         bool                      // TLS_FALLBACK_SCSV, RFC 7507

	CertSchemes  []tlsname.SignatureScheme // signature_algorithms_cert, RFC 8446, Section 4.2.3
	pointFormats []uint8                   // ec_point_formats, RFC 8422, Section 5.1.2
}

// Signalling values among the cipher suites.
const (
	emptyRenegotiationInfoSCSV tlsname.Suite = 0x00ff // RFC 5746, Section 3.3
	fallbackSCSV               tlsname.Suite = 0x5600 // RFC 7507, Section 2
)

// Versions returns the protocol versions that the client accepts, without GREASE:
// supported_versions if present, otherwise all versions from TLS 1.0 to the legacy
// version, highest first (RFC 8446, Section 4.2.1).
func (h *ClientHello) Versions() []tlsname.Version {
	var versions []tlsname.Version
	if h.has(extSupportedVersions) {
		for _, v := range h.SupportedVersions {
			if !tlsname.IsGREASE(uint16(v)) {
				versions = append(versions, v)
			}
		}
		return versions
	}
	if h.LegacyVersion < 0x0301 {
		return []tlsname.Version{h.LegacyVersion}
	}
	for v := min(h.LegacyVersion, 0x0303); v >= 0x0301; v-- {
		versions = append(versions, v)
	}
	return versions
}

// readSignals looks for signalling values among the cipher suites.
func (h *ClientHello) readSignals() {
	h.SecureRenegotiation = slices.Contains(h.CipherSuites, emptyRenegotiationInfoSCSV)
	h.FallbackSCSV = slices.Contains(h.CipherSuites, fallbackSCSV)
}

// Compact drops all references to the message that the ClientHello was decoded from.
func (h *ClientHello) Compact() {
	h.SessionID, h.pointFormats = bytes.Clone(h.SessionID), bytes.Clone(h.pointFormats)
	for i := range h.Extensions {
		h.Extensions[i].data = nil
	}
}

// Size estimates the memory of a ClientHello, in bytes.
func (h *ClientHello) Size() int {
	n := 512 + len(h.SessionID) + 2*(len(h.CipherSuites)+len(h.Groups)+len(h.SignatureSchemes))
	for _, e := range h.Extensions {
		n += 32 + len(e.data)
	}
	return n
}

// has reports whether the ClientHello has an extension of the type.
func (h *ClientHello) has(t ExtensionType) bool {
	return slices.ContainsFunc(h.Extensions, func(e Extension) bool { return e.Type == t })
}

// ParseClientHello decodes a handshake message of type client_hello, with its header of
// four bytes. The error is or wraps ErrIncomplete if bytes are missing at the end. With
// an error, it also returns what was decoded before: the lists in it are complete, but
// others may be missing.
func ParseClientHello(message []byte) (*ClientHello, error) {
	h := new(ClientHello)
	body, whole, err := handshakeBody(message, TypeClientHello)
	if err != nil {
		return h, fmt.Errorf("ClientHello: %w", err)
	}
	if err := h.parse(body, whole); err != nil {
		return h, fmt.Errorf("ClientHello: %w", err)
	}
	return h, nil
}

// handshakeBody removes the header of a handshake message. The body is not whole if it
// is shorter than the header says.
func handshakeBody(message cryptobyte.String, want uint8) (body cryptobyte.String, whole bool, err error) {
	var msgType uint8
	var length uint32
	if !message.ReadUint8(&msgType) {
		return nil, false, ErrIncomplete
	}
	if msgType != want {
		return nil, false, fmt.Errorf("handshake message type %d, want %d", msgType, want)
	}
	if !message.ReadUint24(&length) {
		return nil, false, ErrIncomplete
	}
	if len(message) > int(length) {
		return nil, false, fmt.Errorf("%d bytes after its end", len(message)-int(length))
	}
	return message, len(message) == int(length), nil
}

func (h *ClientHello) parse(s cryptobyte.String, whole bool) error {
	short := func(field string) error {
		if whole {
			return fmt.Errorf("%s: longer than the message", field)
		}
		return fmt.Errorf("%s: %w", field, ErrIncomplete)
	}
	var version uint16
	if !s.ReadUint16(&version) {
		return short("legacy_version")
	}
	h.LegacyVersion = tlsname.Version(version)
	if !s.Skip(32) {
		return short("random")
	}
	var sessionID cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&sessionID) {
		return short("legacy_session_id")
	}
	h.SessionID = sessionID
	if len(sessionID) > 32 {
		return fmt.Errorf("legacy_session_id: %d bytes, at most 32 are allowed", len(sessionID))
	}
	var suites cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&suites) {
		return short("cipher_suites")
	}
	var err error
	if h.CipherSuites, err = values[tlsname.Suite](suites); err != nil {
		return fmt.Errorf("cipher_suites: %w", err)
	}
	h.readSignals()
	var compression cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&compression) {
		return short("legacy_compression_methods")
	}
	if s.Empty() && whole {
		return nil // no extensions, RFC 5246, Section 7.4.1.2
	}
	var length uint16
	if !s.ReadUint16(&length) {
		return short("extensions")
	}
	if len(s) > int(length) {
		return fmt.Errorf("%d bytes after the extensions", len(s)-int(length))
	}
	all := len(s) == int(length)
	for !s.Empty() {
		var t uint16
		var data cryptobyte.String
		if !s.ReadUint16(&t) || !s.ReadUint16LengthPrefixed(&data) {
			return short("extensions")
		}
		e := Extension{ExtensionType(t), data}
		if h.has(e.Type) {
			return fmt.Errorf("extension %s: twice", e.Type)
		}
		h.Extensions = append(h.Extensions, e)
		if err := h.parseExtension(e); err != nil {
			return fmt.Errorf("extension %s: %w", e.Type, err)
		}
	}
	if !all {
		return short("extensions")
	}
	return nil
}

var errMalformed = errors.New("malformed")

// parseExtension decodes the extensions that ClientHello has fields for, and checks
// the form of some others.
func (h *ClientHello) parseExtension(e Extension) (err error) {
	s := cryptobyte.String(e.data)
	switch e.Type {
	case extServerName:
		err = h.parseServerName(&s)
	case extSupportedGroups:
		h.Groups, err = list16[tlsname.Group](&s)
	case extPointFormats:
		h.pointFormats, err = list8(&s)
	case extSignatureAlgorithms:
		h.SignatureSchemes, err = list16[tlsname.SignatureScheme](&s)
	case extSignatureAlgorithmsCert:
		h.CertSchemes, err = list16[tlsname.SignatureScheme](&s)
	case extALPN:
		err = h.parseALPN(&s)
	case extPreSharedKey:
		err = h.parsePreSharedKey(&s)
	case extEarlyData:
		h.EarlyData = true
	case extSupportedVersions:
		var list cryptobyte.String
		if !s.ReadUint8LengthPrefixed(&list) {
			return errMalformed
		}
		h.SupportedVersions, err = values[tlsname.Version](list)
	case extPSKKeyExchangeModes:
		_, err = list8(&s)
	case extKeyShare:
		err = h.parseKeyShare(&s)
	case extExtendedMasterSecret: // must be empty
	default:
		// Only whether it is there matters, or its content is not checked.
		switch e.Type {
		case extSessionTicket:
			h.SessionTicket = len(e.data) > 0
		case extEncryptedClientHello:
			h.EncryptedClientHello = true
		case extRenegotiationInfo:
			h.SecureRenegotiation = true
		}
		return nil
	}
	if err == nil && !s.Empty() {
		return errMalformed
	}
	return err
}

// parseServerName decodes server_name, RFC 6066, Section 3.
func (h *ClientHello) parseServerName(s *cryptobyte.String) error {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || list.Empty() {
		return errMalformed
	}
	for !list.Empty() {
		var nameType uint8
		var name cryptobyte.String
		if !list.ReadUint8(&nameType) || !list.ReadUint16LengthPrefixed(&name) || name.Empty() {
			return errMalformed
		}
		if nameType == 0 && h.ServerName == "" {
			h.ServerName = string(name)
		}
	}
	return nil
}

// parseALPN decodes application_layer_protocol_negotiation, RFC 7301, Section 3.1.
func (h *ClientHello) parseALPN(s *cryptobyte.String) error {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || list.Empty() {
		return errMalformed
	}
	for !list.Empty() {
		var protocol cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&protocol) || protocol.Empty() {
			return errMalformed
		}
		h.ALPN = append(h.ALPN, string(protocol))
	}
	return nil
}

// parsePreSharedKey counts the identities of pre_shared_key, RFC 8446, Section
// 4.2.11.
func (h *ClientHello) parsePreSharedKey(s *cryptobyte.String) error {
	var identities, binders cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&identities) || identities.Empty() || !s.ReadUint16LengthPrefixed(&binders) || binders.Empty() {
		return errMalformed
	}
	for !identities.Empty() {
		var identity cryptobyte.String
		if !identities.ReadUint16LengthPrefixed(&identity) || identity.Empty() || !identities.Skip(4) {
			return errMalformed
		}
		h.PSKIdentities++
	}
	return nil
}

// parseKeyShare decodes the groups of key_share, RFC 8446, Section 4.2.8.
func (h *ClientHello) parseKeyShare(s *cryptobyte.String) error {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) {
		return errMalformed
	}
	for !list.Empty() {
		var group uint16
		var key cryptobyte.String
		if !list.ReadUint16(&group) || !list.ReadUint16LengthPrefixed(&key) || key.Empty() {
			return errMalformed
		}
		h.KeyShares = append(h.KeyShares, tlsname.Group(group))
	}
	return nil
}

// list8 reads a vector of bytes with a length of one byte.
func list8(s *cryptobyte.String) ([]uint8, error) {
	var list cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&list) || list.Empty() {
		return nil, errMalformed
	}
	return list, nil
}

// list16 reads a vector of two-byte values with a length of two bytes.
func list16[T ~uint16](s *cryptobyte.String) ([]T, error) {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) {
		return nil, errMalformed
	}
	return values[T](list)
}

func values[T ~uint16](list cryptobyte.String) ([]T, error) {
	if list.Empty() || len(list)%2 != 0 {
		return nil, fmt.Errorf("a list of %d bytes", len(list))
	}
	all := make([]T, 0, len(list)/2)
	for !list.Empty() {
		var v uint16
		list.ReadUint16(&v)
		all = append(all, T(v))
	}
	return all, nil
}
