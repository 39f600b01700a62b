package secpolicy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/tlsname"
)

// A Diagnosis says why a negotiation failed, or soon will.
type Diagnosis struct {
	ID     DiagnosisID `json:"id"`
	Cause  string      `json:"cause"`  // a sentence or more for people
	Remedy string      `json:"remedy"` // the next step, likewise

	// Advice says, where the policy refuses the client, which other policy
	// would accept it and what that weakens. It is empty where the policy is
	// not the reason, or not known.
	Advice string `json:"advice,omitempty"`

	// Change is the smallest change of policy that would accept the client, nil
	// if there is none. It is never to be shown without what it weakens.
	Change *Difference `json:"-"`
}

// A DiagnosisID names a kind of diagnosis for machines. Those of client
// certificates that the load balancer refused are "client-cert-" and the rest
// of the log's reason code in lower case: client-cert-untrusted.
type DiagnosisID string

const (
	ProtocolRefused       DiagnosisID = "protocol-not-in-policy"
	CipherRefused         DiagnosisID = "cipher-not-in-policy"
	CipherUncertain       DiagnosisID = "cipher-disputed"           // the policy's list is not certain in this point
	OfferAccepted         DiagnosisID = "offer-in-policy"           // protocol and cipher suite are in the policy: it was something else
	PolicyUnknown         DiagnosisID = "policy-unknown"            // what the listener accepts is not known
	RefusedByAll          DiagnosisID = "in-no-policy"              // likewise, but no policy accepts the client
	NoCipher              DiagnosisID = "no-cipher"                 // a protocol of the policy, and no cipher suite in the log
	NothingNegotiated     DiagnosisID = "nothing-negotiated"        // neither protocol nor cipher suite in the log
	ClientCertExpired     DiagnosisID = "client-cert-expired"       // also if the log gives another reason, or none
	ClientCertNotYetValid DiagnosisID = "client-cert-not-yet-valid" // likewise
	ClientCertExpiresSoon DiagnosisID = "client-cert-expires-soon"  // of a connection that succeeded
	OfferUnreadable       DiagnosisID = "offer-not-readable"        // the log has a name that tlswatch does not know
	ServerCertRejected    DiagnosisID = "server-cert-rejected"      // by an alert of the client
	ChoiceRejected        DiagnosisID = "choice-rejected"           // likewise
	ClientAlert           DiagnosisID = "client-alert"              // likewise, for another reason
	UnknownReason         DiagnosisID = "unknown-reason"            // a reason code that AWS does not describe
	ScannerNoise          DiagnosisID = "scanner-noise"
)

// ExpiryWarning is how long before its end people are warned of a client's
// certificate: by a diagnosis, the digest and the report.
const ExpiryWarning = 30 * 24 * time.Hour

// unmapped is the reason code of all failures for which AWS has no other.
const unmapped = "UnmappedConnectionError"

// clientCert has the reason codes about client certificates.
// Source: "Error reason codes" of
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-connection-logs.html
var clientCert = map[string]Diagnosis{
	"ClientCertMaxChainDepthExceeded": {"client-cert-max-chain-depth-exceeded",
		"The client sent a longer certificate chain than the load balancer accepts.",
		"Configure the client to send only its own certificate and the intermediates up to the trust store's CA.", "", nil},
	"ClientCertMaxSizeExceeded": {"client-cert-max-size-exceeded",
		"The client's certificate is larger than the load balancer accepts.",
		"Issue the client a smaller certificate, with fewer names or a smaller key.", "", nil},
	"ClientCertCrlHit": {"client-cert-crl-hit",
		"The client's certificate is on the trust store's revocation list.",
		"If the client is legitimate, issue it a new certificate; if not, the revocation works as intended.", "", nil},
	"ClientCertCrlProcessingError": {"client-cert-crl-processing-error",
		"The load balancer could not process the trust store's revocation list.",
		"Check the revocation list in the trust store: its format, and that its CA signed it.", "", nil},
	"ClientCertUntrusted": {"client-cert-untrusted",
		"No CA in the listener's trust store issued the client's certificate.",
		"Give the client a certificate from a CA in the trust store or, if you trust all clients of the issuing CA, add that CA.", "", nil},
	"ClientCertNotYetValid": {ClientCertNotYetValid,
		"The client's certificate is not valid yet.",
		"Check the certificate's NotBefore: it was issued for a future date, or by a machine with a wrong clock.", "", nil},
	"ClientCertExpired": {ClientCertExpired,
		"The client's certificate has expired.",
		"Renew the certificate on the client.", "", nil},
	"ClientCertTypeUnsupported": {"client-cert-type-unsupported",
		"The load balancer does not support the type of the client's certificate.",
		"Issue the client an X.509v3 certificate with a supported key and signature algorithm.", "", nil},
	"ClientCertInvalid": {"client-cert-invalid",
		"The client's certificate is malformed or its signature does not verify.",
		"Check the certificate and chain that the client sends, for instance with openssl verify.", "", nil},
	"ClientCertPurposeInvalid": {"client-cert-purpose-invalid",
		"The client's certificate does not allow client authentication.",
		"Issue a certificate whose extended key usage includes clientAuth.", "", nil},
	"ClientCertRejected": {"client-cert-rejected",
		"Custom validation on the server side rejected the client's certificate.",
		"See why in the log of that validation.", "", nil},
	"ClientCertIncompatible": {"client-cert-incompatible",
		"The client's certificate is incompatible with the listener's security policy.",
		"Issue the client a certificate whose key and signature the policy allows, or choose a policy that allows them.", "", nil},
}

// Diagnose says why the negotiation of a log entry failed at a listener with
// policy p, nil if that is not known; the likeliest cause first. Of a
// successful one it says if the client's certificate will soon be a reason to
// fail. It returns nothing about entries for which there is nothing to say.
//
// The log does not say why a failure without a code of its own failed. That
// the policy lacks what the client presented is a sufficient reason, and so
// the diagnosis; that it has it rules the policy out, as far as it is
// confirmed.
func (s *Set) Diagnose(e *connlog.Entry, p *Policy) []Diagnosis {
	var list []Diagnosis
	validity, outside := diagnoseValidity(e)
	switch {
	case e.Status == connlog.StatusSuccess:
		if outside {
			validity.Cause += " The connection succeeded anyway: in mutual TLS passthrough mode, the targets decide."
		} else if left := e.ClientCert.NotAfter.Sub(e.Time); !e.ClientCert.NotAfter.IsZero() && left < ExpiryWarning {
			validity = Diagnosis{ClientCertExpiresSoon,
				fmt.Sprintf("The client's certificate expires on %s, %s after this connection.", date(e.ClientCert.NotAfter), days(left)),
				"Renew the certificate on the client before connections fail.", "", nil}
			outside = true
		}
	case !e.Failed():
		return nil
	default:
		coded, ok := clientCert[e.Reason()]
		if outside && (!ok || coded.ID == validity.ID) {
			break // the validity says the same with dates, or is likelier than what the policy lacks
		}
		list = s.diagnoseAttempt(Attempt{e.Protocol, e.Cipher, e.Reason()}, p)
	}
	if outside {
		list = append(list, validity)
	}
	return list
}

// An Attempt is what the log says about a failed negotiation, or what several
// have in common.
type Attempt struct {
	Protocol, Cipher string // as in the log; "" for none
	Reason           string // the code after "Failed:"; "" for none
}

// DiagnoseAttempt returns the likeliest reason why the attempt failed at a
// listener with policy p, nil if that is not known.
func (s *Set) DiagnoseAttempt(a Attempt, p *Policy) Diagnosis { return s.diagnoseAttempt(a, p)[0] }

// diagnoseAttempt returns at least one diagnosis, the likeliest first.
func (s *Set) diagnoseAttempt(a Attempt, p *Policy) []Diagnosis {
	if coded, ok := clientCert[a.Reason]; ok {
		return []Diagnosis{coded}
	}
	if a.Reason == unmapped || a.Reason == connlog.ReasonNoHandshake {
		return []Diagnosis{s.diagnoseOffer(a, p)}
	}
	if alert, ok := strings.CutPrefix(a.Reason, connlog.ReasonAlert); ok {
		return []Diagnosis{diagnoseAlert(alert)}
	}
	var list []Diagnosis
	if d := s.diagnoseOffer(a, p); d.ID == ProtocolRefused || d.ID == CipherRefused {
		list = append(list, d)
	}
	return append(list, Diagnosis{UnknownReason,
		"tlswatch does not know this reason code.",
		"Look it up on AWS's documentation page about connection logs.", "", nil})
}

// diagnoseValidity reports whether the client's certificate was outside its
// validity at the time of the entry.
func diagnoseValidity(e *connlog.Entry) (Diagnosis, bool) {
	c := &e.ClientCert
	switch {
	case e.Time.IsZero():
	case !c.NotAfter.IsZero() && e.Time.After(c.NotAfter):
		d := clientCert["ClientCertExpired"]
		d.Cause = fmt.Sprintf("The client's certificate had expired: it was valid until %s, %s before this connection.", date(c.NotAfter), days(e.Time.Sub(c.NotAfter)))
		return d, true
	case !c.NotBefore.IsZero() && e.Time.Before(c.NotBefore):
		d := clientCert["ClientCertNotYetValid"]
		d.Cause = fmt.Sprintf("The client's certificate was not valid yet: it is valid from %s, %s after this connection.", date(c.NotBefore), days(c.NotBefore.Sub(e.Time)))
		return d, true
	}
	return Diagnosis{}, false
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func days(d time.Duration) string {
	if d < 24*time.Hour {
		return "less than a day"
	}
	return text.Plural(d/(24*time.Hour), "day")
}

// capture is the next step where the log does not say enough.
const capture = "Capture the connection on the client, and run `tlswatch hello` on the capture to see what the client offers."

// diagnoseOffer judges a failure by what the client presented.
func (s *Set) diagnoseOffer(a Attempt, p *Policy) Diagnosis {
	if a.Protocol == "" && a.Cipher == "" {
		return Diagnosis{NothingNegotiated,
			"The connection ended before a protocol and cipher were chosen: the client did not speak TLS (a scanner, a health check, HTTP on the HTTPS port), disconnected, or has no protocol or cipher in common with the policy.",
			"Ignore clients that tried once: they are usually scanners. For a client that matters, " + strings.ToLower(capture[:1]) + capture[1:], "", nil}
	}
	offer, presented, unreadable := a.offer()
	switch {
	case unreadable:
		return Diagnosis{OfferUnreadable,
			fmt.Sprintf("The client presented %s, which this version of tlswatch does not know.", presented),
			"Look the name up in IANA's TLS registry. " + capture, "", nil}
	case p == nil:
		return s.diagnoseAny(presented, offer)
	}
	v := p.Accepts(offer)
	d := Diagnosis{Cause: fmt.Sprintf("%s %s.", p.Name, v.Reason)}
	switch {
	case v.Code == ProtocolNotInPolicy:
		d.ID = ProtocolRefused
		d.Remedy = p.offerProtocol(offer.Versions)
	case a.Cipher == "":
		return Diagnosis{NoCipher,
			fmt.Sprintf("The client presented %s, which %s has, but the log names no cipher: most likely they have none in common.", presented, p.Name), capture, "", nil}
	case v.Accepted:
		return Diagnosis{OfferAccepted,
			fmt.Sprintf("%s accepts what the client presented (%s), so the policy is not the reason.%s", p.Name, presented, p.caveatSentence()),
			"Check other causes: whether the client trusts the listener's certificate and the name in it matches" + certificateKind(v.Suite) +
				", whether the client aborts and, with mutual TLS, whether it sends a certificate. " + capture, "", nil}
	case v.Code == CipherDisputed || v.Code == CipherListNotReadable:
		d.ID = CipherUncertain
		d.Remedy = "Refresh the policies with `tlswatch policy update`. " + capture
		return d
	default:
		d.ID = CipherRefused
		d.Remedy = p.offerCipher(v.version)
	}
	d.Cause += p.caveatSentence()
	if len(offer.Suites) == 0 {
		return d
	}
	change, ok := s.SmallestChange(p, []Offer{offer})
	if !ok {
		d.Advice = "No policy accepts both this client and everything that the current policy accepts."
		return d
	}
	d.Change = &change
	d.Advice = change.Advice()
	return d
}

// offerProtocol is what to do about a client with other versions.
func (p *Policy) offerProtocol(versions []tlsname.Version) string {
	if slices.Max(versions) > p.MaxVersion() {
		return "The client is newer than the policy: change the policy, not the client."
	}
	current := slices.DeleteFunc(slices.Clone(p.Protocols), func(v tlsname.Version) bool { return v < tlsname.TLS12 }) // RFC 8996
	return fmt.Sprintf("Update the client to offer %s.", join(names(current), "or"))
}

// offerCipher is what to do about a client with other cipher suites.
func (p *Policy) offerCipher(version tlsname.Version) string {
	s := fmt.Sprintf("Update the client to offer a cipher that the policy has for %s", version)
	var best [RSA | ECDSA]string // by what they need less 1
	for _, suite := range slices.Backward(p.Ciphers) {
		if !suite.UsableIn(version) {
			continue
		}
		if kind := authentication(suite); kind != 0 {
			best[kind-1] = suite.String()
		} else {
			best = [RSA | ECDSA]string{suite.String()}
		}
	}
	switch rsa, ecdsa := best[RSA-1], best[ECDSA-1]; {
	case rsa != "" && ecdsa != "":
		s += fmt.Sprintf(": %s with an RSA certificate on the listener, %s with an ECDSA one, or others", rsa, ecdsa)
	case rsa+ecdsa != "":
		s += ": " + rsa + ecdsa + ", or others"
	}
	return s + "."
}

// Offer returns the one protocol and the one cipher suite that the log names of
// the client's offer. It returns false if it does not name both, or names what
// tlswatch does not know.
func (a Attempt) Offer() (Offer, bool) {
	o, _, unreadable := a.offer()
	return o, !unreadable && a.Protocol != "" && a.Cipher != ""
}

// offer returns what the log says of the client's offer, and its name. Without
// a protocol it has all protocols that fit the cipher suite.
func (a Attempt) offer() (o Offer, name string, unreadable bool) {
	var parts []string
	if a.Protocol != "" {
		version, err := tlsname.ParseVersion(a.Protocol)
		if err != nil {
			parts, unreadable = append(parts, strconv.Quote(a.Protocol)), true
		} else {
			o.Versions, parts = []tlsname.Version{version}, append(parts, version.String())
		}
	}
	if a.Cipher != "" {
		suite, err := tlsname.ParseSuite(a.Cipher)
		if err != nil || len(suite.Versions()) == 0 { // a number of none, or a signal
			parts, unreadable = append(parts, strconv.Quote(a.Cipher)), true
		} else {
			o.Suites, parts = []tlsname.Suite{suite}, append(parts, cipherName(suite))
		}
		if a.Protocol == "" {
			o.Versions = suite.Versions()
		}
	}
	return o, strings.Join(parts, " "), unreadable
}

func (p *Policy) caveatSentence() string {
	if c := p.setCaveat(); c != "" {
		return " Not confirmed: " + c + "."
	}
	return ""
}

// certificateKind asks for the kind of certificate that a suite needs.
func certificateKind(s tlsname.Suite) string {
	if kind := authentication(s); kind != 0 {
		return fmt.Sprintf(", whether the listener has an %s certificate, which this cipher needs", kind)
	}
	return ""
}

// Advice says what the change of policy would do, for better and for worse.
func (d *Difference) Advice() string {
	s := fmt.Sprintf("The smallest policy change that accepts such clients is %s", d.B.Name)
	if added := append(names(d.ProtocolsAdded), names(d.CiphersAdded)...); len(added) > 0 {
		s += "; it adds " + join(added, "and")
	}
	var weaker []string
	for _, w := range d.Weakens() {
		weaker = append(weaker, w.Text())
	}
	if len(weaker) > 0 {
		s += ". It weakens the listener for all clients: it " + enumerate(weaker, "and") // all of it: that is the price
	} else {
		s += ". It weakens nothing, as far as tlswatch knows"
	}
	if len(d.SchemesRemoved) > 0 {
		s += "; it may drop signature schemes (a hint from s2n-tls): " + join(names(d.SchemesRemoved), "and")
	}
	return s + "." + d.B.caveatSentence()
}

// diagnoseAny judges without the listener's policy.
func (s *Set) diagnoseAny(presented string, o Offer) Diagnosis {
	accepting := 0
	for i := range s.policies {
		if s.policies[i].Accepts(o).Accepted {
			accepting++
		}
	}
	if accepting == 0 && len(o.Versions) > 0 && len(o.Suites) > 0 {
		return Diagnosis{RefusedByAll,
			fmt.Sprintf("The client presented %s, which no security policy accepts.", presented),
			"Update the client: no policy change helps.", "", nil}
	}
	return Diagnosis{PolicyUnknown,
		fmt.Sprintf("The client presented %s, which %d of %d security policies accept. The listener's policy is unknown.", presented, accepting, len(s.policies)),
		"Run `tlswatch policy accept` to list the policies that accept it. For a diagnosis, set the listener's policy: with --policy for a command, with LISTENER_POLICIES for the function.", "", nil}
}

// scannerClients is how many clients, with one attempt each and nothing
// negotiated, it takes to call them scanners.
const scannerClients = 10

// Noise is failures that look like those of scanners.
type Noise struct {
	Clients uint64 // each with one failure
}

// Diagnose explains the noise. It returns false if there are too few clients.
func (n Noise) Diagnose() (Diagnosis, bool) {
	if n.Clients < scannerClients {
		return Diagnosis{}, false
	}
	return Diagnosis{ScannerNoise,
		fmt.Sprintf("%s clients tried once each and negotiated nothing: probably scanners.", text.Count(n.Clients)),
		"Ignore them: the load balancer is not at fault. To block known scanners, use a network ACL; AWS WAF does not see failed handshakes.", "", nil}, true
}
