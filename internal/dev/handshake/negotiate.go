package handshake

import (
	"slices"
	"strings"
)

// A client is one program with one configuration.
type client struct {
	lowest, highest int // indexes in versions
	suites          []string
	groups          []string
	shares          []string // groups of the key shares in the first ClientHello
	schemes         []string
	distrusts       string // kind of certificate that it rejects, "" if none
	certificate     *clientCertificate

	fallsBack bool // tries lower versions after a failure
	scsv      bool // and then sends TLS_FALLBACK_SCSV
}

// A clientCertificate is what a client presents under mutual TLS.
type clientCertificate struct {
	signature string // by which its issuer signed it, such as "rsa_pkcs1_sha1"
	signs     []string
	serial    string
}

// A certificate is the keys for one server name.
type certificate struct {
	rsa   bool
	curve string // of the ECDSA key, "" if there is none
}

func (c certificate) has(kind string) bool {
	return kind == "rsa" && c.rsa || kind == "ecdsa" && c.curve != ""
}

// A listener negotiates as a load balancer may do. What AWS does not document varies
// from listener to listener.
type listener struct {
	ecdsaFirst bool // prefers an ECDSA certificate to the order of suites
	needsSHA1  bool // uses TLS 1.0 and 1.1 only with a policy that has SHA-1 signatures
	mutual     bool
}

// An outcome is the result of one attempt, and what the log shows of it.
type outcome struct {
	ok      bool
	version int
	suite   string // "" if the log has none
	group   string
	status  string
}

// connect tries until the client gives up. The last outcome is the result.
func (l listener) connect(p *policy, name certificate, c client) []outcome {
	var list []outcome
	for top := c.highest; top >= c.lowest; top-- {
		o := l.attempt(p, name, c, top)
		list = append(list, o)
		if o.ok || !c.fallsBack {
			break
		}
	}
	return list
}

// attempt is one handshake with a highest version.
func (l listener) attempt(p *policy, name certificate, c client, top int) outcome {
	v := -1
	for w := c.lowest; w <= top; w++ {
		if p.hasVersion(w) {
			v = w
		}
	}
	failed := func(v int) outcome {
		o := outcome{version: v, status: "Failed:UnmappedConnectionError"}
		if i := slices.IndexFunc(c.suites, func(s string) bool { return usableIn(s, v) }); i >= 0 {
			o.suite = c.suites[i]
		}
		return o
	}
	if v < 0 {
		return failed(top)
	}
	if c.scsv && top < c.highest && top < p.maxVersion() { // RFC 7507 section 3
		return failed(v)
	}
	suite, kind := l.choose(p, name, c, v)
	if suite == "" {
		return failed(v)
	}
	o := outcome{ok: true, version: v, suite: suite, status: "Success"}
	if ephemeral(suite) {
		o.group = group(p, c, v)
	}
	if kind == c.distrusts {
		o.ok, o.status = false, "Failed:UnmappedConnectionError"
	}
	if l.mutual && c.certificate != nil && o.ok {
		switch {
		case len(p.CertificateSchemes) > 0 && !slices.Contains(p.CertificateSchemes, c.certificate.signature):
			o.ok, o.status = false, "Failed:ClientCertIncompatible"
		case !c.signs(p, v):
			o.ok, o.status = false, "Failed:UnmappedConnectionError"
		}
	}
	return o
}

// signs reports whether the client can sign its CertificateVerify: with PSS or
// ECDSA in TLS 1.3 (RFC 8446 section 4.4.3), before TLS 1.2 always.
func (c client) signs(p *policy, v int) bool {
	return v < tls12 || slices.ContainsFunc(c.certificate.signs, func(s string) bool {
		return slices.Contains(p.Schemes, s) && (v == tls12 || signsTLS13(s))
	})
}

// signsTLS13 reports whether a scheme may sign handshakes of TLS 1.3: RFC 8446
// section 4.2.3.
func signsTLS13(scheme string) bool {
	return strings.HasPrefix(scheme, "rsa_pss_") || strings.HasPrefix(scheme, "ecdsa_") && !strings.HasSuffix(scheme, "_sha1")
}

// choose returns the first suite of the policy that works, and the kind of
// certificate that authenticates it.
func (l listener) choose(p *policy, name certificate, c client, v int) (suite, kind string) {
	order := p.Ciphers
	if l.ecdsaFirst {
		order = slices.SortedStableFunc(slices.Values(p.Ciphers), func(a, b string) int {
			rank := map[string]int{"": 0, "ecdsa": 0, "rsa": 1}
			return rank[key(a)] - rank[key(b)]
		})
	}
	for _, s := range order {
		if !slices.Contains(c.suites, s) || !usableIn(s, v) {
			continue
		}
		if !ephemeral(s) {
			if name.rsa {
				return s, "rsa"
			}
			continue
		}
		if group(p, c, v) == "" {
			continue
		}
		if kind := l.authenticate(p, name, c, v, key(s)); kind != "" {
			return s, kind
		}
	}
	return "", ""
}

// group returns the group of the key exchange: the policy's first that the client
// has, and in TLS 1.3 rather one with a key share. "" if there is none.
func group(p *policy, c client, v int) string {
	var common []string
	for _, g := range p.Groups {
		if slices.Contains(c.groups, g) && (v == tls13 || !postQuantum(g)) {
			common = append(common, g)
		}
	}
	if v == tls13 {
		for _, g := range common {
			if slices.Contains(c.shares, g) {
				return g
			}
		}
	}
	if len(common) == 0 {
		return ""
	}
	return common[0] // in TLS 1.3 after a HelloRetryRequest
}

// authenticate returns the kind of certificate with which the listener can sign, ""
// if there is none. In TLS 1.3 the policy's order of schemes decides.
func (l listener) authenticate(p *policy, name certificate, c client, v int, need string) string {
	if v < tls12 { // RFC 4346: SHA-1
		fits := name.has(need) && (!l.needsSHA1 || slices.Contains(p.Schemes, "rsa_pkcs1_sha1"))
		if fits && (need == "rsa" || slices.Contains(c.groups, name.curve)) {
			return need
		}
		return ""
	}
	curves := map[string]string{"ecdsa_sha256": "secp256r1", "ecdsa_sha384": "secp384r1", "ecdsa_sha512": "secp521r1"}
	for _, s := range p.Schemes {
		if !slices.Contains(c.schemes, s) || strings.HasPrefix(s, "rsa_pss_pss_") || v == tls13 && !signsTLS13(s) {
			continue
		}
		kind := "rsa"
		if strings.Contains(s, "ecdsa") {
			kind = "ecdsa"
		}
		switch {
		case need != "" && kind != need, !name.has(kind):
		case kind == "ecdsa" && (!slices.Contains(c.groups, name.curve) && v < tls13 || v == tls13 && curves[s] != name.curve):
		default:
			if l.ecdsaFirst && v == tls13 && kind == "rsa" && name.curve != "" && l.authenticate(p, certificate{curve: name.curve}, c, v, need) != "" {
				return "ecdsa"
			}
			return kind
		}
	}
	return ""
}
