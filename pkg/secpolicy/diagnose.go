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

// A Diagnosis explains why a negotiation failed, or soon will.
type Diagnosis struct {
	ID     DiagnosisID `json:"id"`
	Cause  string      `json:"cause"`  // one or more sentences
	Remedy string      `json:"remedy"` // the next step, one or more sentences

	// If the policy refuses the client, Advice names a policy that would accept
	// it, and what that weakens. Otherwise, or if the policy is unknown, it is
	// empty.
	Advice string `json:"advice,omitempty"`

	// Change is the smallest change of policy that would accept the client, nil
	// if there is none. Always show what it weakens along with it.
	Change *Difference `json:"-"`
}

// A DiagnosisID identifies a kind of diagnosis. For a client certificate that the
// load balancer refused it is the log's reason code in lower case with hyphens:
// client-cert-untrusted.
type DiagnosisID string

const (
	ProtocolRefused       DiagnosisID = "protocol-not-in-policy"
	CipherRefused         DiagnosisID = "cipher-not-in-policy"
	CipherUncertain       DiagnosisID = "cipher-disputed"           // newer data names suites that this version of tlswatch does not know
	OfferAccepted         DiagnosisID = "offer-in-policy"           // protocol and cipher suite are in the policy
	PolicyUnknown         DiagnosisID = "policy-unknown"            // some policies accept the client; the listener's is unknown
	RefusedByAll          DiagnosisID = "in-no-policy"              // the listener's policy is unknown, but no policy accepts the client
	NoCipher              DiagnosisID = "no-cipher"                 // the log has a protocol of the policy, but no cipher suite that goes with it
	NothingNegotiated     DiagnosisID = "nothing-negotiated"        // the log has neither protocol nor cipher suite
	ClientCertExpired     DiagnosisID = "client-cert-expired"       // by its validity, also if the log has another reason or none
	ClientCertNotYetValid DiagnosisID = "client-cert-not-yet-valid" // by its validity, also if the log has another reason or none
	ClientCertExpiresSoon DiagnosisID = "client-cert-expires-soon"  // the connection succeeded
	OfferUnreadable       DiagnosisID = "offer-not-readable"        // the log has a name that tlswatch does not know
	ServerCertRejected    DiagnosisID = "server-cert-rejected"      // according to the client's alert
	ChoiceRejected        DiagnosisID = "choice-rejected"           // according to the client's alert
	ClientAlert           DiagnosisID = "client-alert"              // the client sent another alert
	UnknownReason         DiagnosisID = "unknown-reason"            // a reason code that AWS does not document
	ScannerNoise          DiagnosisID = "scanner-noise"
)

// clientCertIncompatible is the only one about client certificates that depends on the
// policy.
const clientCertIncompatible DiagnosisID = "client-cert-incompatible"

// ExpiryWarning is how long before the expiry of a client's certificate a
// diagnosis, the digest and the report warn.
const ExpiryWarning = 30 * 24 * time.Hour

// unmapped is AWS's reason code for all failures without a code of their own.
const unmapped = "UnmappedConnectionError"

// clientCert maps reason codes about client certificates to diagnoses.
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
	"ClientCertIncompatible": {clientCertIncompatible,
		"The client's certificate is incompatible with the listener's security policy.",
		"Issue the client a certificate whose key and signature the policy allows, or choose a policy that allows them.", "", nil},
}

// IsClientCert reports whether a reason code is about the client's certificate.
func IsClientCert(code string) bool { return clientCert[code].ID != "" }

// Diagnose explains why the negotiation of a log entry failed at a listener with
// policy p, nil if unknown, with the likeliest cause first. For a successful
// negotiation it warns if the client's certificate expires soon. It returns nil
// if there is nothing to report.
//
// The log has no reason for most failures. If the policy lacks the protocol or cipher
// suite in the log, that is a sufficient reason and becomes the diagnosis. If the
// policy has both, its groups or signature schemes may still be the reason, or a
// policy that the listener had then.
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
			break // the validity is the same reason with dates, or likelier than one from the policy
		}
		list = s.diagnoseAttempt(Attempt{e.Protocol, e.Cipher, e.Reason()}, p)
	}
	if outside {
		list = append(list, validity)
	}
	return list
}

// An Attempt is what the log has on a failed negotiation, or on several alike.
type Attempt struct {
	Protocol, Cipher string // as in the log, "" if absent
	Reason           string // the code after "Failed:", "" if absent
}

// DiagnoseAttempt returns the likeliest reason why the attempt failed at a
// listener with policy p, nil if unknown.
func (s *Set) DiagnoseAttempt(a Attempt, p *Policy) Diagnosis { return s.diagnoseAttempt(a, p)[0] }

// MayBePolicy reports whether a listener's security policy may be why a
// negotiation failed with this reason, the code after "Failed:" or "". It is not
// for reasons about certificates, and for alerts that the client sends for
// another reason.
func MayBePolicy(reason string) bool {
	if alert, ok := strings.CutPrefix(reason, connlog.ReasonAlert); ok {
		return diagnoseAlert(alert).ID == ChoiceRejected
	}
	coded, ok := clientCert[reason]
	return !ok || coded.ID == clientCertIncompatible
}

// diagnoseAttempt returns at least one diagnosis, the likeliest first.
func (s *Set) diagnoseAttempt(a Attempt, p *Policy) []Diagnosis {
	if coded, ok := clientCert[a.Reason]; ok {
		if coded.ID == clientCertIncompatible && p != nil && len(p.CertificateSchemes) > 0 {
			var names []string
			for _, s := range p.CertificateSchemes {
				names = append(names, s.String())
			}
			coded.Cause += fmt.Sprintf(" By s2n-tls, %s takes certificates that are signed with %s; AWS does not document that.", p.Name, join(names, "or"))
		}
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

// diagnoseValidity diagnoses a client certificate that had expired, or was not
// valid yet, at the time of the entry. It returns false for any other.
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

// capture is the next step if the log has too little for a diagnosis.
const capture = "Capture the connection on the client, and run `tlswatch hello` on the capture to see what the client offers."

// diagnoseOffer diagnoses a failure from the protocol and cipher suite in the
// log.
func (s *Set) diagnoseOffer(a Attempt, p *Policy) Diagnosis {
	if a.Protocol == "" && a.Cipher == "" {
		return Diagnosis{NothingNegotiated,
			"The connection ended before a protocol and cipher were chosen: the client did not speak TLS (a scanner, a health check, HTTP on the HTTPS port), disconnected, or has no protocol or cipher in common with the policy.",
			"For a client that matters, " + strings.ToLower(capture[:1]) + capture[1:], "", nil}
	}
	offer, shown, unreadable := a.offer()
	switch {
	case unreadable:
		return Diagnosis{OfferUnreadable,
			fmt.Sprintf("The log shows %s, which this version of tlswatch does not know.", shown),
			"Look the name up in IANA's TLS registry. " + capture, "", nil}
	case p == nil:
		return s.diagnoseAny(shown, offer)
	}
	v := p.Accepts(offer)
	d := Diagnosis{Cause: fmt.Sprintf("%s %s.", p.Name, v.Reason)}
	switch {
	case v.Code == ProtocolNotInPolicy:
		d.ID = ProtocolRefused
		d.Remedy = p.offerProtocol(offer.Versions)
	case a.Cipher == "":
		return Diagnosis{NoCipher,
			fmt.Sprintf("The log shows %s, which %s has, but no cipher: most likely client and policy have none in common.", shown, p.Name), capture, "", nil}
	case v.Code == CipherNotInProtocol:
		return Diagnosis{NoCipher,
			fmt.Sprintf("The log shows %s, which do not go together. So the cipher may be the listener's choice, and does not show what the client offers.", shown), capture, "", nil}
	case v.Accepted:
		rest := "So the policy is not the reason, if the listener had it then."
		if ephemeral(v.Suite) {
			rest = "The reason may still be a key-exchange group or a signature scheme, or another policy that the listener had then."
		}
		return Diagnosis{OfferAccepted,
			fmt.Sprintf("%s has the protocol and the cipher that the log shows (%s). %s%s", p.Name, shown, rest, p.caveatSentence()),
			"Check other causes: whether the client trusts the listener's certificate and the name in it matches" + certificateKind(v.Suite) +
				", whether the client aborts and, with mutual TLS, whether it sends a certificate. " + capture, "", nil}
	case v.Code == CipherListNotReadable:
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
	list := s.Recommend(Needs{Current: p, Clients: []Client{{Offers: []Offer{offer}}}})
	if len(list) == 0 {
		d.Advice = "No policy accepts both this client and everything that the current policy accepts."
		return d
	}
	change := Compare(p, list[0].Policy)
	d.Change = &change
	d.Advice = change.Advice()
	return d
}

// offerProtocol is the remedy for a client whose versions the policy lacks.
func (p *Policy) offerProtocol(versions []tlsname.Version) string {
	if slices.Max(versions) > p.MaxVersion() {
		return "The client is newer than the policy: change the policy, not the client."
	}
	current := slices.DeleteFunc(slices.Clone(p.Protocols), func(v tlsname.Version) bool { return v < tlsname.TLS12 }) // RFC 8996
	return fmt.Sprintf("Update the client to offer %s.", join(names(current), "or"))
}

// offerCipher is the remedy for a client whose cipher suites the policy lacks.
func (p *Policy) offerCipher(version tlsname.Version) string {
	s := fmt.Sprintf("Update the client to offer a cipher that the policy has for %s", version)
	var best [RSA | ECDSA]string // index: the kind of certificate that the suite needs, minus 1
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

// Offer returns an offer of the attempt's protocol and cipher suite. It returns
// false if the attempt lacks one of them, or tlswatch does not know it.
func (a Attempt) Offer() (Offer, bool) {
	o, _, unreadable := a.offer()
	return o, !unreadable && a.Protocol != "" && a.Cipher != ""
}

// offer returns what the log has of the client's offer, and its name. Without a
// protocol the offer has every protocol of the cipher suite.
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
		if err != nil || len(suite.Versions()) == 0 { // unknown number or signalling value
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

// certificateKind is what to check about the listener's certificate if the suite
// needs a certain kind.
func certificateKind(s tlsname.Suite) string {
	if kind := authentication(s); kind != 0 {
		return fmt.Sprintf(", whether the listener has an %s certificate, which this cipher needs", kind)
	}
	return ""
}

// Advice describes the change of policy: what it adds, weakens and drops.
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
		s += ". It weakens the listener for all clients: it " + enumerate(weaker, "and") // never shortened: that is the price of the change
	} else {
		s += ". It weakens nothing, as far as tlswatch knows"
	}
	if len(d.SchemesRemoved) > 0 {
		s += "; it may drop signature schemes (a hint from s2n-tls): " + join(names(d.SchemesRemoved), "and")
	}
	return s + "." + d.B.caveatSentence()
}

// diagnoseAny diagnoses without the listener's policy.
func (s *Set) diagnoseAny(shown string, o Offer) Diagnosis {
	accepting := 0
	for i := range s.policies {
		if s.policies[i].Accepts(o).Accepted {
			accepting++
		}
	}
	if accepting == 0 && len(o.Versions) > 0 && len(o.Suites) > 0 {
		return Diagnosis{RefusedByAll,
			fmt.Sprintf("The log shows %s, which no security policy accepts.", shown),
			"Update the client: no policy change helps.", "", nil}
	}
	return Diagnosis{PolicyUnknown,
		fmt.Sprintf("The log shows %s, which %d of %d security policies accept. The listener's policy is unknown.", shown, accepting, len(s.policies)),
		"Run `tlswatch policy accept` to list the policies that accept it. For a diagnosis, set the listener's policy: with --policy for a command, with LISTENER_POLICIES for the function.", "", nil}
}

// scannerClients is the least number of clients, each with one attempt that
// negotiated nothing, that count as scanners.
const scannerClients = 10

// Noise counts failures that look like scans.
type Noise struct {
	Clients uint64 // each with one failure
}

// Diagnose explains the noise. It returns false for fewer than scannerClients
// clients.
func (n Noise) Diagnose() (Diagnosis, bool) {
	if n.Clients < scannerClients {
		return Diagnosis{}, false
	}
	return Diagnosis{ScannerNoise,
		fmt.Sprintf("%s clients tried once each and negotiated nothing: probably scanners.", text.Count(n.Clients)),
		"Ignore them: the load balancer is not at fault. To block known scanners, use a network ACL; AWS WAF does not see failed handshakes.", "", nil}, true
}
