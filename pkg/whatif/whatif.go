// Package whatif predicts what another security policy would do to the connections of
// a log: which keep working, which break, which failures are fixed. A [Log] collects
// the connections, and a [Question] asks about them.
//
// A prediction other than Likely and Unknown is certain under the assumptions in
// [Question.Predict]. internal/dev/handshake checks that against a simulation that
// shares no code with this package.
package whatif

import (
	"cmp"
	"strings"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A Listener is a port of a load balancer.
type Listener struct {
	LoadBalancer string // "app/NAME/ID", "" if unknown
	Port         uint16
}

func (l Listener) compare(m Listener) int {
	return cmp.Or(cmp.Compare(l.LoadBalancer, m.LoadBalancer), cmp.Compare(l.Port, m.Port))
}

// A Kind is what the log has on connections that are alike, whoever made them.
type Kind struct {
	Listener    Listener
	Protocol    string // as in the log, "" if absent
	Cipher      string
	KeyExchange string
	Status      string

	// clientCertificate is 0 if the client presented none. Otherwise it is 1 and
	// the index of its signatures in [Question.ClientCertificates].
	clientCertificate uint16
}

// A Row counts connections of one client and kind.
type Row struct {
	Client      uint32 // any number, or Others
	Kind        uint32 // index in the kinds
	Connections uint64 // that count
	Evidence    uint64 // all connections, those that count among them
	first, last int64  // times in microseconds since 1970; 0 if unknown
}

// Others is the number of clients that are not told apart.
const Others = ^uint32(0)

// A Class is the effect of a change of policy on a connection.
type Class uint8

const (
	KeepsWorking Class = iota // it succeeded, and still would
	Likely                    // it would probably succeed; the reason names the risk
	Breaks                    // it succeeded, and would fail
	Fixed                     // it failed, and would succeed
	StillFails                // it failed, and still would
	Unknown
	classes
)

// String returns the name in JSON documents.
func (c Class) String() string {
	return [classes]string{"keepsWorking", "likely", "breaks", "fixed", "stillFails", "unknown"}[c]
}

// Text returns the name for people, for several connections.
func (c Class) Text() string {
	return [classes]string{"keep working", "likely to work", "will break", "fixed", "still fail", "unknown"}[c]
}

// Classes are all classes, in the order in which people are shown them.
func Classes() []Class {
	return []Class{KeepsWorking, Likely, Breaks, Fixed, StillFails, Unknown}
}

// gravity orders the classes of one client: the first that it has is the client's.
var gravity = []Class{Breaks, Unknown, Likely, StillFails, Fixed, KeepsWorking}

// A Question is about a change of policy.
type Question struct {
	// From returns the policy that a listener had when the log was written, nil if
	// unknown. A nil From means that all are unknown; then fewer predictions are
	// certain.
	From func(Listener) *secpolicy.Policy
	Now  bool // From has the policies of now: if one changed, it did so to that of From
	To   *secpolicy.Policy

	// Policies are those that a listener may have had before or after that of From.
	Policies *secpolicy.Set

	// Certificates returns all kinds of certificate that a listener has, 0 if
	// unknown. Nil means that all are unknown. In any case each successful
	// connection shows one.
	Certificates func(Listener) secpolicy.KeyKinds

	// ClientCertificates are the schemes by which client certificates and their
	// issuers' are signed, nil for those that are unknown.
	ClientCertificates [][]tlsname.SignatureScheme
}

// A Forecast is the effect of a change of policy on the connections of a log.
type Forecast struct {
	Connections [classes]uint64
	Clients     [classes]int // clients with connections of the class; one client can be in several classes
	All         int          // clients with TLS connections
	ByClient    []Client     // by number
	Breaking    []Breaking   // most connections first
	Undecided   []Reason     // why connections are Unknown, most connections first
	Risks       []Reason     // why connections are only Likely, most connections first
	Plaintext   uint64       // connections to listeners without TLS, which have no policy
	Changes     []Change     // listeners that had another policy than From says, by name
	Unnamed     []Listener   // listeners with a certificate that Certificates lacks, by name
}

// A Client is the prediction for a client: the worst class of its connections, with
// the reason.
type Client struct {
	Client      uint32
	Class       Class
	Reason      string // one or more sentences, "" for KeepsWorking and Fixed
	Connections [classes]uint64
}

// Breaking is a client that would stop working, with what it negotiated.
type Breaking struct {
	Client           uint32
	Protocol, Cipher string
	Connections      uint64
	Reason           string

	// Policy is the one that negotiated this, nil if it is unknown or there were several.
	Policy *secpolicy.Policy

	// Certificates are all kinds that the listeners are known to have, 0 if unknown.
	Certificates secpolicy.KeyKinds
}

// A Reason counts the connections that have a reason.
type Reason struct {
	Reason      string `json:"reason"`
	Connections uint64 `json:"connections"`
}

// A Change is the evidence that a listener did not have the policy of From all the
// time. Its connections at those times are judged as if the policy were unknown, or
// may be any that fits.
type Change struct {
	Listener    Listener
	Policy      *secpolicy.Policy // of From
	Until       int64             // From may not hold before; in microseconds since 1970, 0 if there is no such time
	Since       int64             // From may not hold after; likewise
	Connections uint64            // so judged
}

// parsed is a kind in the terms of a policy.
type parsed struct {
	version   tlsname.Version
	suite     tlsname.Suite
	group     tlsname.Group // 0 if absent or unknown
	known     bool          // version and suite are, and go together
	plaintext bool
	success   bool
	failed    bool
	reason    string // of the failure
}

func (k *Kind) parse() (p parsed) {
	p.plaintext = k.Status == "" && k.Protocol == ""
	p.success = k.Status == connlog.StatusSuccess
	p.reason, p.failed = strings.CutPrefix(k.Status, connlog.FailedPrefix)
	var err1, err2 error
	p.version, err1 = tlsname.ParseVersion(k.Protocol)
	p.suite, err2 = tlsname.ParseSuite(k.Cipher)
	p.known = err1 == nil && err2 == nil && p.version.Known() && p.suite.Known() && p.suite.UsableIn(p.version)
	if g, err := tlsname.ParseGroup(k.KeyExchange); err == nil && k.KeyExchange != "" {
		p.group = g
	}
	return p
}

// Predict predicts what the change of policy does to the connections. The order of
// the rows makes no difference; Predict sorts them.
//
// A class other than Likely and Unknown is certain under these assumptions:
//   - The load balancer negotiates the highest version that both sides support,
//     then the first suite in its own order that the client offers and one of its
//     certificates can authenticate. So a client that negotiated a version
//     supports no higher one of the current policy. It can use none of the suites
//     that the current policy prefers to the negotiated one: it does not offer
//     them, or the certificate does not fit.
//   - A client that sometimes tries a lower version than its highest shows a higher
//     one at another time.
//   - The policy of a listener changed at most once, and so that some client
//     negotiated something else, or something that the current policy lacks.
//   - Certificates stay the same. A listener with RSA and ECDSA certificates may
//     choose the certificate before the suite, so an ECDSA suite proves nothing
//     about RSA suites, and a client may distrust one of them. If at least 20
//     clients showed RSA where the current policy prefers ECDSA, there is no ECDSA
//     certificate.
//   - A client supports every version between its lowest and its highest. Below TLS
//     1.3 it lists no post-quantum groups.
//   - A TLS 1.3 client supports AES_128_GCM or AES_256_GCM. One with TLS 1.2 suites
//     verifies SHA-256 signatures.
//   - Key-exchange groups and signature schemes come from s2n-tls. They only make
//     a prediction less certain.
//   - A client that failed with a protocol or cipher suite that the current policy
//     lacks failed for that reason alone. If it uses ECDHE, it supports x25519 or
//     one of the curves of NIST. If the current policy is unknown, any failure may
//     have another reason.
func (q Question) Predict(kinds []Kind, rows []Row) *Forecast {
	p := q.newPrediction(kinds, rows)
	for of := range p.clients() {
		p.add(of)
	}
	return p.result()
}
