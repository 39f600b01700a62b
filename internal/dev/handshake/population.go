package handshake

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

var (
	gcm = []string{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"}
	sha = []string{"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA"}
	// sha2 are the CBC suites of TLS 1.2.
	sha2      = []string{"ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384"}
	staticGCM = []string{"AES128-GCM-SHA256", "AES256-GCM-SHA384"}
	staticSHA = []string{"AES128-SHA", "AES256-SHA"}
	newest    = []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
	foreign   = []string{"DHE-RSA-AES128-SHA", "DHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305", "RC4-SHA", "TLS_AES_128_CCM_SHA256"} // in no policy

	nist      = []string{"secp256r1", "secp384r1", "secp521r1"}
	current   = []string{"x25519", "secp256r1", "secp384r1"}
	allGroups = []string{"X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", "x25519", "secp256r1", "secp384r1", "secp521r1"}

	sha1Schemes = []string{"rsa_pkcs1_sha1", "ecdsa_sha1"}
	sha2Schemes = []string{"rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512", "ecdsa_sha256", "ecdsa_sha384", "ecdsa_sha512"}
	pssSchemes  = []string{"rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"}
)

// newClient returns a client: one of the kinds that are common on the Internet, or,
// one time in four, any that RFC 8446 section 9.1 allows.
func newClient(r *rand.Rand) client {
	modern := slices.Concat(pssSchemes, sha2Schemes)
	dated := slices.Concat(sha2Schemes, sha1Schemes)
	var c client
	switch n := r.IntN(20); {
	case n < 6: // browsers
		c = client{lowest: tls12, highest: tls13, suites: slices.Concat(newest, gcm, sha, staticGCM, staticSHA), groups: slices.Concat([]string{"X25519MLKEM768"}, current), schemes: modern}
	case n < 8: // OpenSSL, curl, Python
		c = client{lowest: tls12, highest: tls13, suites: slices.Concat(newest, gcm, sha2, sha, staticGCM, staticSHA), groups: slices.Concat([]string{"x25519"}, nist), schemes: slices.Concat(modern, sha1Schemes)}
	case n < 9: // Go
		c = client{lowest: tls12, highest: tls13, suites: slices.Concat(gcm, sha, newest), groups: slices.Concat([]string{"x25519"}, nist), schemes: slices.Concat(pssSchemes, sha2Schemes)}
	case n < 11: // Java 8, and others with TLS 1.2
		c = client{lowest: tls10, highest: tls12, suites: slices.Concat(gcm, staticGCM, sha2, sha, staticSHA), groups: nist, schemes: slices.Concat(dated, pssSchemes)}
	case n < 12: // IE 11 on Windows 7
		c = client{lowest: tls10, highest: tls12, suites: slices.Concat(sha2[1:], sha, staticGCM, staticSHA), groups: nist[:2], schemes: dated}
	case n < 13: // Java 7, Android 4
		c = client{lowest: tls10, highest: tls10, suites: slices.Concat(sha, staticSHA), groups: nist, schemes: sha1Schemes}
	case n < 14: // devices with RSA key transport
		c = client{lowest: tls12, highest: tls12, suites: slices.Concat(staticSHA, staticGCM[:r.IntN(3)]), schemes: dated}
	case n < 15: // the article's: CBC with SHA-1
		c = client{lowest: tls10, highest: tls12, suites: slices.Concat(sha[3:], staticSHA[:r.IntN(3)]), groups: nist[:1+r.IntN(3)], schemes: dated}
	default:
		return anyClient(r)
	}
	if c.highest == tls13 {
		c.shares = c.groups[:1+r.IntN(2)]
		if r.IntN(100) == 0 { // aws/s2n-tls issue 2197
			c.schemes = slices.DeleteFunc(slices.Clone(c.schemes), func(s string) bool { return slices.Contains(pssSchemes, s) })
		}
	}
	return c
}

// anyClient offers anything that the standards allow.
func anyClient(r *rand.Rand) client {
	c := client{lowest: r.IntN(4)}
	c.highest = c.lowest + r.IntN(4-c.lowest)
	chance := r.Float64()
	c.suites = some(r, slices.Concat(gcm, sha2, sha, staticGCM, []string{"AES128-SHA256", "AES256-SHA256"}, staticSHA, []string{"DES-CBC3-SHA"}, newest), chance)
	c.suites = append(c.suites, some(r, foreign, chance)...)
	r.Shuffle(len(c.suites), func(i, j int) { c.suites[i], c.suites[j] = c.suites[j], c.suites[i] })
	c.groups = some(r, allGroups, r.Float64())
	c.schemes = some(r, slices.Concat(pssSchemes, sha2Schemes, sha1Schemes, []string{"legacy_rsa_sha224", "legacy_ecdsa_sha224"}), r.Float64())
	if !slices.ContainsFunc(c.groups, func(g string) bool { return !postQuantum(g) }) { // RFC 8422 section 4
		c.groups = append(c.groups, allGroups[3+r.IntN(4)])
	}
	switch {
	case c.highest == tls13: // RFC 8446 section 9.1
		c.groups = append(c.groups, "secp256r1")
		c.schemes = append(c.schemes, "rsa_pkcs1_sha256", "ecdsa_sha256", "rsa_pss_rsae_sha256")
		if !slices.Contains(c.suites, newest[0]) && !slices.Contains(c.suites, newest[1]) {
			c.suites = append(c.suites, newest[r.IntN(2)])
		}
		c.shares = some(r, c.groups, 0.5)
	default: // no client below TLS 1.3 is known to list a post-quantum group
		c.groups = slices.DeleteFunc(c.groups, postQuantum)
		if slices.ContainsFunc(c.suites, func(s string) bool { return usableIn(s, tls12) && !usableIn(s, tls10) }) || r.IntN(2) == 0 {
			c.schemes = append(c.schemes, "rsa_pkcs1_sha256", "ecdsa_sha256")
		} else {
			c.schemes = append(c.schemes, sha1Schemes...)
		}
	}
	return c
}

// some returns each element of a list with a probability.
func some(r *rand.Rand, list []string, chance float64) []string {
	var part []string
	for _, v := range list {
		if r.Float64() < chance {
			part = append(part, v)
		}
	}
	return part
}

// newCertificate returns a client certificate. Most are signed with SHA-256, and a
// few of the keys, in smart cards, cannot sign with PSS.
func newCertificate(r *rand.Rand, serial int) *clientCertificate {
	c := &clientCertificate{signature: "rsa_pkcs1_sha256", signs: slices.Concat(pssSchemes, sha2Schemes[:3]), serial: fmt.Sprintf("%016X", serial+1)}
	switch r.IntN(100) {
	case 0, 1:
		c.signature = "rsa_pkcs1_sha1"
	case 2:
		c.signs = sha2Schemes[:3]
	case 3, 4, 5, 6, 7, 8, 9:
		c.signature, c.signs = "ecdsa_sha256", []string{"ecdsa_sha256"}
	}
	return c
}
