package tlsname

import (
	"crypto/tls"
	"strings"
	"testing"
)

// TestSignatureSchemes compares the names with those of crypto/tls, which are
// spelled differently.
func TestSignatureSchemes(t *testing.T) {
	spell := strings.NewReplacer("_", "", "secp256r1", "p256", "secp384r1", "p384", "secp521r1", "p521", "rsae", "")
	for scheme, name := range schemeNames {
		theirs := tls.SignatureScheme(scheme).String()
		if strings.HasPrefix(theirs, "SignatureScheme(") || scheme>>8 == 9 {
			continue // not known to crypto/tls
		}
		got := strings.NewReplacer("with", "", "and", "").Replace(strings.ToLower(theirs))
		if got != spell.Replace(strings.ReplaceAll(name, "rsa_p", "p")) {
			t.Errorf("%#04x is %s, and %s in crypto/tls", uint16(scheme), name, theirs)
		}
	}
	for scheme, want := range map[SignatureScheme]string{
		0x0403: "ecdsa_secp256r1_sha256", 0x0a0a: "GREASE(0x0A0A)", 0xfefe: "0xFEFE", 0x0904: "mldsa44",
	} {
		if got := scheme.String(); got != want {
			t.Errorf("%s: got %s, want %s", hex(uint16(scheme)), got, want)
		}
	}
}
