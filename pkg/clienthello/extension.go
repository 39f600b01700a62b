package clienthello

import "fmt"

// An Extension of a ClientHello, RFC 8446, Section 4.2.
type Extension struct {
	Type ExtensionType
	Data []byte
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
	if t.GREASE() {
		return fmt.Sprintf("GREASE(0x%04X)", uint16(t))
	}
	return fmt.Sprintf("0x%04X", uint16(t))
}

// GREASE reports whether the type is one of RFC 8701.
func (t ExtensionType) GREASE() bool { return isGREASE(uint16(t)) }

// A SignatureScheme is a number of IANA's registry of TLS SignatureScheme
// values, RFC 8446, Section 4.2.3. In TLS 1.2 its bytes are a hash and a
// signature algorithm.
type SignatureScheme uint16

var schemeNames = map[SignatureScheme]string{
	0x0101: "rsa_pkcs1_md5",
	0x0201: "rsa_pkcs1_sha1",
	0x0301: "rsa_pkcs1_sha224",
	0x0401: "rsa_pkcs1_sha256",
	0x0501: "rsa_pkcs1_sha384",
	0x0601: "rsa_pkcs1_sha512",
	0x0202: "dsa_sha1",
	0x0302: "dsa_sha224",
	0x0402: "dsa_sha256",
	0x0502: "dsa_sha384",
	0x0602: "dsa_sha512",
	0x0203: "ecdsa_sha1",
	0x0303: "ecdsa_sha224",
	0x0403: "ecdsa_secp256r1_sha256",
	0x0503: "ecdsa_secp384r1_sha384",
	0x0603: "ecdsa_secp521r1_sha512",
	0x0420: "rsa_pkcs1_sha256_legacy",
	0x0520: "rsa_pkcs1_sha384_legacy",
	0x0620: "rsa_pkcs1_sha512_legacy",
	0x0708: "sm2sig_sm3",
	0x0804: "rsa_pss_rsae_sha256",
	0x0805: "rsa_pss_rsae_sha384",
	0x0806: "rsa_pss_rsae_sha512",
	0x0807: "ed25519",
	0x0808: "ed448",
	0x0809: "rsa_pss_pss_sha256",
	0x080a: "rsa_pss_pss_sha384",
	0x080b: "rsa_pss_pss_sha512",
	0x081a: "ecdsa_brainpoolP256r1tls13_sha256",
	0x081b: "ecdsa_brainpoolP384r1tls13_sha384",
	0x081c: "ecdsa_brainpoolP512r1tls13_sha512",
	0x0904: "mldsa44",
	0x0905: "mldsa65",
	0x0906: "mldsa87",
}

// String returns the name of the registry or the number.
func (s SignatureScheme) String() string {
	if name, ok := schemeNames[s]; ok {
		return name
	}
	if isGREASE(uint16(s)) {
		return fmt.Sprintf("GREASE(0x%04X)", uint16(s))
	}
	return fmt.Sprintf("0x%04X", uint16(s))
}
