package tlswire

import (
	"fmt"

	"tlswatch/pkg/tlsname"
)

// An Extension of a ClientHello, RFC 8446, Section 4.2.
type Extension struct {
	Type ExtensionType
	data []byte // nil after [ClientHello.Compact]
}

// An ExtensionType is a number of IANA's registry of TLS ExtensionType values.
type ExtensionType uint16

const (
	extServerName              ExtensionType = 0
	extStatusRequest           ExtensionType = 5
	extSupportedGroups         ExtensionType = 10
	extPointFormats            ExtensionType = 11
	extSignatureAlgorithms     ExtensionType = 13
	extALPN                    ExtensionType = 16
	extExtendedMasterSecret    ExtensionType = 23
	extSessionTicket           ExtensionType = 35
	extPreSharedKey            ExtensionType = 41
	extEarlyData               ExtensionType = 42
	extSupportedVersions       ExtensionType = 43
	extPSKKeyExchangeModes     ExtensionType = 45
	extSignatureAlgorithmsCert ExtensionType = 50
	extKeyShare                ExtensionType = 51
	extEncryptedClientHello    ExtensionType = 0xfe0d
	extRenegotiationInfo       ExtensionType = 0xff01
)

var extensionNames = map[ExtensionType]string{
	0:      "server_name",
	1:      "max_fragment_length",
	2:      "client_certificate_url",
	3:      "trusted_ca_keys",
	4:      "truncated_hmac",
	5:      "status_request",
	6:      "user_mapping",
	7:      "client_authz",
	8:      "server_authz",
	9:      "cert_type",
	10:     "supported_groups",
	11:     "ec_point_formats",
	12:     "srp",
	13:     "signature_algorithms",
	14:     "use_srtp",
	15:     "heartbeat",
	16:     "application_layer_protocol_negotiation",
	17:     "status_request_v2",
	18:     "signed_certificate_timestamp",
	19:     "client_certificate_type",
	20:     "server_certificate_type",
	21:     "padding",
	22:     "encrypt_then_mac",
	23:     "extended_master_secret",
	24:     "token_binding",
	25:     "cached_info",
	27:     "compress_certificate",
	28:     "record_size_limit",
	34:     "delegated_credential",
	35:     "session_ticket",
	41:     "pre_shared_key",
	42:     "early_data",
	43:     "supported_versions",
	44:     "cookie",
	45:     "psk_key_exchange_modes",
	47:     "certificate_authorities",
	48:     "oid_filters",
	49:     "post_handshake_auth",
	50:     "signature_algorithms_cert",
	51:     "key_share",
	52:     "transparency_info",
	54:     "connection_id",
	55:     "external_id_hash",
	56:     "external_session_id",
	57:     "quic_transport_parameters",
	58:     "ticket_request",
	13172:  "next_protocol_negotiation",
	17513:  "application_settings",
	17613:  "application_settings",
	0xfd00: "ech_outer_extensions",
	0xfe0d: "encrypted_client_hello",
	0xff01: "renegotiation_info",
}

// String returns the name of the registry or the number.
func (t ExtensionType) String() string {
	if name, ok := extensionNames[t]; ok {
		return name
	}
	if tlsname.IsGREASE(uint16(t)) {
		return fmt.Sprintf("GREASE(0x%04X)", uint16(t))
	}
	return fmt.Sprintf("0x%04X", uint16(t))
}
