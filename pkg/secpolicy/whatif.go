package secpolicy

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/tlsname"
)

// An Observation is what the log has on connections that are alike.
type Observation struct {
	Client      string
	Listener    Listener
	Protocol    string // as in the log, "" if absent
	Cipher      string
	KeyExchange string
	Status      string
}

// A Listener is a port of a load balancer.
type Listener struct {
	LoadBalancer string // "app/NAME/ID", "" if unknown
	Port         uint16
}

// A Class is the effect of a change of policy on a connection.
type Class uint8

const (
	KeepsWorking Class = iota // it succeeded, and still would
	Breaks                    // it succeeded, and would fail
	Fixed                     // it failed, and would succeed
	StillFails                // it failed, and still would
	Unknown
	classes
)

// String returns the name in JSON documents.
func (c Class) String() string {
	return [classes]string{"keepsWorking", "breaks", "fixed", "stillFails", "unknown"}[c]
}

// Text returns the name for people, for several connections.
func (c Class) Text() string {
	return [classes]string{"keep working", "will break", "fixed", "still fail", "unknown"}[c]
}

// An assessment is the class of a connection and the reason, none for
// KeepsWorking and Fixed.
type assessment struct {
	Class  Class
	Reason string // one or more sentences
}

// A Question is about a change of policy.
type Question struct {
	// From returns the policy that a listener had when the log was written, nil
	// if unknown. A nil From means that all are unknown; then fewer answers are
	// certain.
	From func(Listener) *Policy
	To   *Policy

	// Certificates are all kinds of certificate that the listeners have, 0 if
	// unknown. In either case each successful connection shows one.
	Certificates KeyKinds
}

// A Forecast is the effect of a change of policy on the connections in a log.
type Forecast struct {
	Connections [classes]uint64
	Clients     [classes]int // clients with connections of the class; one client can be in several classes
	Breaking    []Breaking   // most connections first
	Undecided   []Undecided  // why the outcome is unknown, most connections first
	Plaintext   uint64       // connections to listeners without TLS, which have no policy

	// Contradicting counts successful connections that the policy from From does
	// not allow: the listener had another one at that time. They are assessed as
	// if the policy were unknown.
	Contradicting uint64
}

// Breaking is a client that would stop working, with what it negotiated.
type Breaking struct {
	Client      string `json:"client"`
	Protocol    string `json:"protocol"`
	Cipher      string `json:"cipher"`
	Connections uint64 `json:"connections"`
	Reason      string `json:"reason"`
}

// Undecided counts connections with an unknown outcome by reason.
type Undecided struct {
	Reason      string `json:"reason"`
	Connections uint64 `json:"connections"`
}

// WhatIf assesses observations, each with its number of connections. It reads
// them twice: the certificate that one connection shows counts for the other
// connections to the same listener.
//
// An answer other than Unknown is certain under these assumptions:
//   - The load balancer negotiates the highest version that both sides support,
//     then the first suite in its own order that the client offers and one of its
//     certificates can authenticate. So a client that negotiated a version
//     supports no higher one of the current policy. It can use none of the suites
//     that the current policy prefers to the negotiated one: it does not offer
//     them, or the certificate does not fit.
//   - Certificates stay the same. A listener with RSA and ECDSA certificates may
//     choose the certificate before the suite, so an ECDSA suite proves nothing
//     about RSA suites.
//   - A client supports every version between its lowest and its highest.
//   - A TLS 1.3 client supports what RFC 8446 section 9.1 makes mandatory, and
//     AES_256_GCM if it lacks AES_128_GCM. One with TLS 1.2 suites verifies SHA-256
//     signatures.
//   - Key-exchange groups and signature schemes come from s2n-tls. They only make
//     an answer less certain.
//   - A client that failed with a protocol or cipher suite that the current policy
//     lacks failed for that reason alone. If it uses ECDHE, it supports secp256r1.
//     If the current policy is unknown, any failure may have another reason.
func (q Question) WhatIf(observations iter.Seq2[Observation, uint64]) *Forecast {
	f := &Forecast{}
	certificates := make(map[Listener]KeyKinds)
	for o := range observations {
		if o.Status == connlog.StatusSuccess {
			if suite, ok := o.suite(); ok {
				certificates[o.Listener] |= authentication(suite)
			}
		}
	}
	type result struct {
		assessment
		contradicting bool
	}
	var (
		assessed = make(map[Observation]result) // the key has no client: the result does not depend on it
		clients  [classes]map[string]struct{}
		breaking = make(map[Observation]*Breaking)
		unknown  = make(map[string]uint64)
	)
	for i := range clients {
		clients[i] = make(map[string]struct{})
	}
	for o, n := range observations {
		if o.Status == "" && o.Protocol == "" {
			f.Plaintext += n
			continue
		}
		alike := o
		alike.Client = ""
		r, ok := assessed[alike]
		if !ok {
			r.assessment, r.contradicting = q.assess(alike, certificates[o.Listener])
			assessed[alike] = r
		}
		f.Connections[r.Class] += n
		clients[r.Class][o.Client] = struct{}{}
		if r.contradicting {
			f.Contradicting += n
		}
		switch r.Class {
		case Breaks:
			key := Observation{Client: o.Client, Protocol: o.Protocol, Cipher: o.Cipher, Status: r.Reason}
			if breaking[key] == nil {
				breaking[key] = &Breaking{o.Client, o.Protocol, o.Cipher, 0, r.Reason}
			}
			breaking[key].Connections += n
		case Unknown:
			unknown[r.Reason] += n
		}
	}
	for i := range clients {
		f.Clients[i] = len(clients[i])
	}
	for _, b := range breaking {
		f.Breaking = append(f.Breaking, *b)
	}
	slices.SortFunc(f.Breaking, func(a, b Breaking) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Client, b.Client), cmp.Compare(a.Protocol, b.Protocol),
			cmp.Compare(a.Cipher, b.Cipher), cmp.Compare(a.Reason, b.Reason))
	})
	for reason, n := range unknown {
		f.Undecided = append(f.Undecided, Undecided{reason, n})
	}
	slices.SortFunc(f.Undecided, func(a, b Undecided) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Reason, b.Reason))
	})
	return f
}

// assess classifies connections that are alike. Shown are the certificates that
// successful connections to the listener used. Contradicting means that the
// current policy does not allow a successful connection.
func (q Question) assess(o Observation, shown KeyKinds) (a assessment, contradicting bool) {
	var from *Policy
	if q.From != nil {
		from = q.From(o.Listener)
	}
	reason, failed := strings.CutPrefix(o.Status, connlog.FailedPrefix)
	switch {
	case o.Status == connlog.StatusSuccess:
	case !failed:
		return assessment{Unknown, "The log does not show whether the connection succeeded."}, false
	case reason == "ClientCertIncompatible":
		return assessment{Unknown, "The client's certificate is incompatible with the current policy. The log does not show whether the new one would accept it."}, false
	case clientCert[reason].ID != "":
		return assessment{StillFails, "The client's certificate is refused under any policy."}, false
	case o.Protocol == "" || o.Cipher == "":
		return assessment{Unknown, "No cipher logged: capture the connection and use `tlswatch hello`."}, false
	}
	version, ok1 := o.version()
	suite, ok2 := o.suite()
	if !ok1 || !ok2 || !suite.UsableIn(version) {
		return assessment{Unknown, "tlswatch does not know the logged protocol or cipher, or they do not go together."}, false
	}
	refused := from.refuses(version, suite)
	k := knowledge{from: from, to: q.To, version: version, suite: suite, certificates: q.Certificates, failed: failed}
	if failed {
		k.shown = cmp.Or(q.Certificates, shown)
		if refused == no {
			return assessment{Unknown, "The current policy has the client's protocol and cipher: something else made it fail."}, false
		}
	} else {
		k.group = o.group()
		if refused != no {
			k.from, contradicting = nil, refused == yes
		}
	}
	k.outcome()
	works, fails := KeepsWorking, Breaks
	if failed {
		works, fails = Fixed, StillFails
	}
	switch {
	case failed && refused == maybe && k.certainly(yes):
		return assessment{Unknown, fmt.Sprintf("%s accepts what the client presented, but the current policy may accept it too; then something else made it fail.", q.To.Name)}, false
	case k.certainly(yes):
		return assessment{works, ""}, contradicting
	case k.certainly(no):
		return assessment{fails, k.reason}, contradicting
	}
	return assessment{Unknown, k.reason}, contradicting
}

// refuses reports whether the policy, nil if unknown, lacks the version or the
// suite.
func (p *Policy) refuses(v tlsname.Version, s tlsname.Suite) possibility {
	switch {
	case p == nil:
		return maybe
	case !slices.Contains(p.Protocols, v):
		return yes
	case slices.Contains(p.Ciphers, s):
		return no
	case len(p.Unrecognized) > 0:
		return maybe
	}
	return yes
}

func (o *Observation) version() (tlsname.Version, bool) {
	v, err := tlsname.ParseVersion(o.Protocol)
	return v, err == nil && v.Known()
}

func (o *Observation) suite() (tlsname.Suite, bool) {
	s, err := tlsname.ParseSuite(o.Cipher)
	return s, err == nil && s.Known()
}

// group returns the named group of the key exchange, 0 if absent or unknown.
func (o *Observation) group() tlsname.Group {
	if g, err := tlsname.ParseGroup(o.KeyExchange); err == nil && o.KeyExchange != "" {
		return g
	}
	return 0
}
