// Package posture summarizes successful TLS: what is negotiated, which clients still
// use weak protocols and cipher suites, and which client certificates end soon. The
// ledger keeps one [Posture] per log object; a [Sum] adds them up.
package posture

import (
	"cmp"
	"slices"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/rollup"
	"tlswatch/pkg/tlsname"
)

// A Posture is about one log object. Its JSON is short, because there are many, and its
// lists are bounded.
type Posture struct {
	Negotiated    []Negotiated  `json:"negotiated,omitempty"`    // most connections first
	Weak          []Weak        `json:"weak,omitempty"`          // likewise
	OtherWeak     uint64        `json:"otherWeak,omitempty"`     // weak connections that are not in Weak
	Expiring      []Certificate `json:"expiring,omitempty"`      // earliest end first
	OtherExpiring uint64        `json:"otherExpiring,omitempty"` // connections with certificates that are not in Expiring
}

// Negotiated counts successful connections.
type Negotiated struct {
	Protocol    string `json:"p,omitempty"`
	Cipher      string `json:"c,omitempty"`
	KeyExchange string `json:"k,omitempty"` // "" if the log has none
	Connections uint64 `json:"n"`
}

// Weak counts the successful connections of a client for which [IsWeak] holds.
type Weak struct {
	Client       string `json:"client,omitempty"` // "" if clients must not be named
	ListenerPort uint16 `json:"port,omitempty"`
	Protocol     string `json:"p,omitempty"`
	Cipher       string `json:"c,omitempty"`
	Connections  uint64 `json:"n"`
}

// A Certificate is a client certificate that had ended at the time of a connection, or
// was to end within Horizon.
type Certificate struct {
	Subject     string    `json:"subject,omitempty"` // "" if clients must not be named, as is Serial
	Serial      string    `json:"serial,omitempty"`
	NotAfter    time.Time `json:"notAfter"`
	Connections uint64    `json:"n"`
	Failed      uint64    `json:"failed,omitempty"`
}

// Horizon is the time before the end of a certificate in which it is recorded: the 30
// days of secpolicy.ExpiryWarning, and 10 more, because the digest is weekly.
const Horizon = 40 * 24 * time.Hour

// Bounds of a Posture's lists.
const (
	maxNegotiated = 60 // the rest is a row named other
	maxWeak       = 20
	maxExpiring   = 10
	maxName       = 200 // bytes of a subject
)

// IsWeak reports whether a connection uses a protocol below TLS 1.2, or a cipher suite
// without forward secrecy or authenticated encryption. Unknown names are not weak.
//
// This is what "weak TLS" means in the digest. [tlsname.Weak] rates a cipher
// suite alone, and secpolicy.Weakness ranks policies.
func IsWeak(protocol, cipher string) bool {
	if v, err := tlsname.ParseVersion(protocol); err == nil && v < tlsname.TLS12 {
		return true
	}
	suite, err := tlsname.ParseSuite(cipher)
	if err != nil {
		return false
	}
	s := suite.Strength()
	return s == tlsname.Weak || s == tlsname.Insecure
}

// Observe returns the posture of one log object. Its summary must have IsWeak as Watch
// and Horizon as CertificateHorizon. Without clients, the posture has no addresses and
// no subjects and serial numbers of certificates.
func Observe(s *rollup.Summary, clients bool) Posture {
	var sum Sum
	for c, n := range s.Cells {
		if c.Status == connlog.StatusSuccess {
			sum.negotiated(Negotiated{c.Protocol, c.Cipher, c.KeyExchange, n})
		}
	}
	sum.otherWeak = s.OtherWatched
	for _, w := range s.Watched() {
		client := ""
		if clients {
			client = cmp.Or(w.Client.String(), "-")
		}
		sum.weak(Weak{client, w.ListenerPort, w.Protocol, w.Cipher, w.Count})
	}
	sum.otherExpiring = s.OtherCertificates
	for _, c := range s.Certificates() {
		if !clients {
			c.Subject, c.Serial = "", ""
		}
		c.Subject = c.Subject[:min(len(c.Subject), maxName)]
		sum.certificate(Certificate{c.Subject, c.Serial, c.NotAfter.UTC(), c.Connections, c.Failed})
	}
	p := Posture{
		Negotiated: sum.Negotiated(), Weak: sum.Weak(), OtherWeak: sum.otherWeak,
		Expiring: sum.Expiring(), OtherExpiring: sum.otherExpiring,
	}
	if len(p.Negotiated) > maxNegotiated {
		other := Negotiated{Protocol: rollup.Other, Cipher: rollup.Other}
		for _, n := range p.Negotiated[maxNegotiated-1:] {
			other.Connections += n.Connections
		}
		p.Negotiated = append(p.Negotiated[:maxNegotiated-1], other)
	}
	for _, w := range p.Weak[min(len(p.Weak), maxWeak):] {
		p.OtherWeak += w.Connections
	}
	p.Weak = p.Weak[:min(len(p.Weak), maxWeak)]
	for _, c := range p.Expiring[min(len(p.Expiring), maxExpiring):] {
		p.OtherExpiring += c.Connections
	}
	p.Expiring = p.Expiring[:min(len(p.Expiring), maxExpiring)]
	return p
}

// A Sum adds up postures, in bounded memory. Its zero value is empty.
type Sum struct {
	rows          map[Negotiated]uint64 // without Connections
	clients       map[Weak]uint64       // likewise
	otherWeak     uint64
	certificates  map[certificateKey]*Certificate
	otherExpiring uint64
	postures      int
}

type certificateKey struct {
	subject, serial string
	notAfter        int64
}

// Bounds of a Sum.
const (
	maxRows         = 5000
	maxClients      = 50_000
	maxCertificates = 5000
)

// Add adds a posture.
func (s *Sum) Add(p Posture) {
	s.postures++
	for _, n := range p.Negotiated {
		s.negotiated(n)
	}
	for _, w := range p.Weak {
		s.weak(w)
	}
	s.otherWeak += p.OtherWeak
	for _, c := range p.Expiring {
		s.certificate(c)
	}
	s.otherExpiring += p.OtherExpiring
}

// Postures returns the number of postures that were added.
func (s *Sum) Postures() int { return s.postures }

func (s *Sum) negotiated(n Negotiated) {
	if s.rows == nil {
		s.rows = make(map[Negotiated]uint64)
	}
	count := n.Connections
	n.Connections = 0
	if _, ok := s.rows[n]; !ok && len(s.rows) >= maxRows {
		n = Negotiated{Protocol: rollup.Other, Cipher: rollup.Other}
	}
	s.rows[n] += count
}

func (s *Sum) weak(w Weak) {
	if s.clients == nil {
		s.clients = make(map[Weak]uint64)
	}
	n := w.Connections
	w.Connections = 0
	if _, ok := s.clients[w]; !ok && len(s.clients) >= maxClients {
		s.otherWeak += n
		return
	}
	s.clients[w] += n
}

func (s *Sum) certificate(c Certificate) {
	if s.certificates == nil {
		s.certificates = make(map[certificateKey]*Certificate)
	}
	k := certificateKey{c.Subject, c.Serial, c.NotAfter.Unix()}
	known := s.certificates[k]
	switch {
	case known != nil:
		known.Connections += c.Connections
		known.Failed += c.Failed
	case len(s.certificates) < maxCertificates:
		s.certificates[k] = &c
	default:
		s.otherExpiring += c.Connections
	}
}

// Negotiated returns the combinations, most connections first, ties by name.
func (s *Sum) Negotiated() []Negotiated {
	list := make([]Negotiated, 0, len(s.rows))
	for r, n := range s.rows {
		r.Connections = n
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Negotiated) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Cipher, b.Cipher), cmp.Compare(a.KeyExchange, b.KeyExchange))
	})
	return list
}

// Weak returns the clients with weak connections, most connections first.
func (s *Sum) Weak() []Weak {
	list := make([]Weak, 0, len(s.clients))
	for w, n := range s.clients {
		w.Connections = n
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b Weak) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Client, b.Client), cmp.Compare(a.ListenerPort, b.ListenerPort),
			cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Cipher, b.Cipher))
	})
	return list
}

// OtherWeak returns the number of weak connections that are not in Weak.
func (s *Sum) OtherWeak() uint64 { return s.otherWeak }

// Expiring returns the certificates, earliest end first.
func (s *Sum) Expiring() []Certificate {
	list := make([]Certificate, 0, len(s.certificates))
	for _, c := range s.certificates {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Certificate) int {
		return cmp.Or(a.NotAfter.Compare(b.NotAfter), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Serial, b.Serial))
	})
	return list
}

// OtherExpiring returns the number of connections with certificates that are not in
// Expiring.
func (s *Sum) OtherExpiring() uint64 { return s.otherExpiring }
