package secpolicy

import (
	"cmp"
	"slices"

	"tlswatch/pkg/tlsname"
)

// A Weakness is a property of a policy that the strictest policy would not have.
// A lower value is more serious.
type Weakness uint8

const (
	allowsTLS10 Weakness = iota // RFC 8996 deprecates TLS 1.0 and 1.1
	allowsTLS11
	allows3DES       // 64-bit blocks: Sweet32
	noForwardSecrecy // static RSA: recorded traffic can be read once the key leaks
	allowsSHA1MAC
	allowsCBC // padding attacks: Lucky 13
	noTLS13
	allowsTLS12
	notPostQuantum // recorded traffic may be read by a future quantum computer
)

var weaknesses = [...]struct{ id, allows, text string }{
	allowsTLS10:      {"tls-1.0", "TLS 1.0", "allows TLS 1.0 (deprecated by RFC 8996)"},
	allowsTLS11:      {"tls-1.1", "TLS 1.1", "allows TLS 1.1 (deprecated by RFC 8996)"},
	allows3DES:       {"3des", "3DES", "allows 3DES with its short blocks (Sweet32)"},
	noForwardSecrecy: {"no-forward-secrecy", "static RSA", "allows static RSA key exchange (no forward secrecy)"},
	allowsSHA1MAC:    {"sha1-mac", "SHA-1 MACs", "allows suites with a SHA-1 MAC"},
	allowsCBC:        {"cbc", "CBC", "allows CBC suites (open to padding attacks)"},
	noTLS13:          {"no-tls-1.3", "", "lacks TLS 1.3"},
	allowsTLS12:      {"tls-1.2", "TLS 1.2", "allows TLS 1.2 (whose handshake reveals more than TLS 1.3's)"},
	notPostQuantum:   {"not-post-quantum", "", "lacks post-quantum key exchange"},
}

// String returns the identifier, such as tls-1.0.
func (w Weakness) String() string { return weaknesses[w].id }

// Allows returns what a policy with the weakness allows, such as TLS 1.0, or "" if it
// lacks something instead.
func (w Weakness) Allows() string { return weaknesses[w].allows }

// Text returns a clause whose subject is the policy.
func (w Weakness) Text() string { return weaknesses[w].text }

// Weaknesses returns the policy's weaknesses, most serious first.
func (p *Policy) Weaknesses() []Weakness {
	has := func(r tlsname.Reason) bool {
		return slices.ContainsFunc(p.Ciphers, func(s tlsname.Suite) bool { return s.HasReason(r) })
	}
	var list []Weakness
	for w, found := range [...]bool{
		allowsTLS10:      p.MinVersion() <= tlsname.TLS10,
		allowsTLS11:      slices.Contains(p.Protocols, tlsname.TLS11),
		allows3DES:       has(tlsname.SmallBlock),
		noForwardSecrecy: !p.ForwardSecrecy,
		allowsSHA1MAC:    has(tlsname.SHA1MAC),
		allowsCBC:        has(tlsname.CBC),
		noTLS13:          p.MaxVersion() < tlsname.TLS13,
		allowsTLS12:      slices.Contains(p.Protocols, tlsname.TLS12),
		notPostQuantum:   !p.PostQuantum,
	} {
		if found {
			list = append(list, Weakness(w))
		}
	}
	return list
}

// compareWeaknesses compares by the most serious weakness that only one side has.
func compareWeaknesses(a, b []Weakness) int {
	onlyA, onlyB := without(a, b), without(b, a)
	switch {
	case len(onlyA) == 0:
		return -len(onlyB)
	case len(onlyB) == 0:
		return len(onlyA)
	}
	return cmp.Compare(onlyB[0], onlyA[0])
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
