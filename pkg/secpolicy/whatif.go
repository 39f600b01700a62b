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

// An Observation is what the log says of connections that are alike.
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
	LoadBalancer string // "app/NAME/ID", "" if not known
	Port         uint16
}

// A Class is what becomes of a connection under another policy.
type Class uint8

const (
	KeepsWorking Class = iota // it succeeded, and will
	Breaks                    // it succeeded, and will fail
	Fixed                     // it failed, and will succeed
	StillFails                // it failed, and will
	Unknown
	classes
)

// String returns the name of a class in JSON documents.
func (c Class) String() string {
	return [classes]string{"keepsWorking", "breaks", "fixed", "stillFails", "unknown"}[c]
}

// Text returns the name of a class for people, about several connections.
func (c Class) Text() string {
	return [classes]string{"keep working", "will break", "fixed", "still fail", "unknown"}[c]
}

// An assessment is the class of a connection, and why. KeepsWorking has no
// reason.
type assessment struct {
	Class  Class
	Reason string // a sentence for people
}

// A Question is about a change of policy.
type Question struct {
	// From returns the policy that a listener had when the log was written,
	// nil if it is not known; a nil function knows none. Without it less is
	// certain.
	From func(Listener) *Policy
	To   *Policy

	// Certificates are all kinds of certificate that the listeners have, 0 if
	// that is not known. Either way each successful connection shows one.
	Certificates KeyKinds
}

// A Forecast says what a change of policy does to the connections of a log.
type Forecast struct {
	Connections [classes]uint64
	Clients     [classes]int // that have connections of the class; a client may have some of several
	Breaking    []Breaking   // most connections first
	Undecided   []Undecided  // why the outcome is unknown, most connections first
	Plaintext   uint64       // connections to listeners without TLS, which no policy concerns

	// Contradicting counts successful connections that the policy of From does
	// not allow: it was not the policy of that listener at that time. They are
	// assessed as if it were not known.
	Contradicting uint64
}

// Breaking is a client that stops working, with what it negotiated.
type Breaking struct {
	Client      string `json:"client"`
	Protocol    string `json:"protocol"`
	Cipher      string `json:"cipher"`
	Connections uint64 `json:"connections"`
	Reason      string `json:"reason"`
}

// Undecided counts connections whose outcome is unknown for the same reason.
type Undecided struct {
	Reason      string `json:"reason"`
	Connections uint64 `json:"connections"`
}

// WhatIf assesses observations, each with the number of connections of which
// it is true. It reads them twice: certificates that one connection shows say
// something about others.
//
// What is certain rests on this. The load balancer negotiates the highest
// version that the client has too, and then the first suite of its own order
// that the client offers and one of its certificates can authenticate. So a
// client that negotiated a version has no higher one of the current policy,
// and can use none of the suites that the current policy prefers to the one it
// negotiated, be it because it does not offer them or because the certificate
// does not fit: certificates stay as they are. Where a listener has both RSA
// and ECDSA certificates, it may prefer the certificate to the order of
// suites; so ECDSA suites prove nothing about RSA suites. The versions that a
// client has leave no gap. A client with TLS 1.3 has what RFC 8446 section 9.1
// makes mandatory, and AES_256_GCM as an alternative to AES_128_GCM; one with
// suites of TLS 1.2 verifies SHA-256 signatures. Key-exchange groups and
// signature schemes are those of s2n-tls, and only ever make an answer less
// certain. A client that failed with a protocol or cipher suite that the
// current policy does not have failed because of that, and for no other reason;
// if it uses ECDHE, it is taken to have secp256r1. Where the current policy is
// not known, another reason may be behind any failure.
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
		assessed = make(map[Observation]result) // without the client, on which nothing depends
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

// assess judges one kind of connection. Shown are the certificates that
// successful connections to the listener used.
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

// refuses reports whether the policy lacks the version or the suite. A nil
// policy is one that is not known.
func (p *Policy) refuses(v tlsname.Version, s tlsname.Suite) possibility {
	switch {
	case p == nil:
		return maybe
	case !slices.Contains(p.Protocols, v):
		return yes
	case slices.Contains(p.Ciphers, s):
		return no
	case slices.Contains(p.Disputed, s), len(p.Unrecognized) > 0:
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

// group returns the named group of the key exchange, 0 if the log has none
// that is known.
func (o *Observation) group() tlsname.Group {
	if g, err := tlsname.ParseGroup(o.KeyExchange); err == nil && o.KeyExchange != "" {
		return g
	}
	return 0
}
