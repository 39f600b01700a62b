package alert

import (
	"strings"

	"tlswatch/pkg/connlog"
)

// An Explanation says what a failure means and what to do about it.
type Explanation struct {
	Cause  string `json:"cause"`  // a sentence for people
	Remedy string `json:"remedy"` // the next step
}

// causes has the reason codes of the connection log.
// Source: "Error reason codes" of
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-connection-logs.html
var causes = map[string]Explanation{
	"ClientCertMaxChainDepthExceeded": {
		"The client sent a chain of more certificates than the load balancer follows.",
		"Let the client send its own certificate and the intermediates up to the trust store's CA, and no more."},
	"ClientCertMaxSizeExceeded": {
		"The client's certificate is larger than the load balancer accepts.",
		"Issue the client a smaller certificate: fewer names, a smaller key."},
	"ClientCertCrlHit": {
		"The client's certificate is on the trust store's revocation list.",
		"If the client is legitimate, issue it a new certificate; if not, this is the revocation at work."},
	"ClientCertCrlProcessingError": {
		"The load balancer could not process the trust store's revocation list.",
		"Check the revocation list in the trust store: its format, and that its CA signed it."},
	"ClientCertUntrusted": {
		"No CA in the listener's trust store issued the client's certificate.",
		"Add the issuing CA to the trust store if the client is to be trusted, or give the client a certificate of a trusted CA."},
	"ClientCertNotYetValid": {
		"The client's certificate is not valid yet.",
		"Compare the certificate's NotBefore with the time: it was issued for the future, or by a machine whose clock is wrong."},
	"ClientCertExpired": {
		"The client's certificate has expired.",
		"Renew the certificate on the client."},
	"ClientCertTypeUnsupported": {
		"The client's certificate is of a type that the load balancer does not support.",
		"Issue the client an X.509v3 certificate with a supported key and signature algorithm."},
	"ClientCertInvalid": {
		"The client's certificate is malformed or its signature does not verify.",
		"Check the certificate and chain that the client sends, for instance with openssl verify."},
	"ClientCertPurposeInvalid": {
		"The client's certificate is not meant for client authentication.",
		"Issue a certificate whose extended key usage includes clientAuth."},
	"ClientCertRejected": {
		"Custom validation on the server side rejected the client's certificate.",
		"Look into the log of that validation."},
	"ClientCertIncompatible": {
		"The client's certificate does not fit the listener's security policy.",
		"Issue a certificate whose key and signature the policy allows, or choose a policy that allows them."},
}

// Explain says why failures of a group happened, as far as the log tells.
func (g Group) Explain() Explanation {
	if e, ok := causes[g.Reason]; ok {
		return e
	}
	if alert, ok := strings.CutPrefix(g.Reason, connlog.ReasonAlert); ok {
		return explainAlert(alert)
	}
	switch {
	case g.Reason == connlog.ReasonNoHandshake:
		return Explanation{
			"The handshake was not completed: client and policy share no protocol or cipher suite, or the client does not speak TLS or went away (scanners, health checks). The log of a Network Load Balancer does not say which.",
			"One attempt each from many clients are scanners. For a client that should work, capture its ClientHello (tcpdump) and compare it with the policy."}
	case g.Reason != "UnmappedConnectionError":
		return Explanation{
			"AWS has no description of this reason code that tlswatch knows.",
			"Look the code up in the AWS page on connection logs."}
	case g.Protocol != "" || g.Cipher != "":
		return Explanation{
			"The handshake broke off, mostly because the listener's security policy lacks this protocol or cipher suite. Else the client gave up: it may not trust the listener's certificate.",
			"Check whether the listener's security policy has both. If not, update the client, or choose a policy that accepts it and weigh what that weakens."}
	}
	return Explanation{
		"Nothing was negotiated: client and policy share no protocol or cipher suite, a required client certificate is missing, or the client does not speak TLS (scanners, health checks).",
		"One attempt each from many clients are scanners. For a client that should work, capture its ClientHello (tcpdump) and compare it with the policy."}
}

// explainAlert says what an alert means that the client of a Network Load
// Balancer sent, by its name in RFC 8446, section 6.2.
func explainAlert(alert string) Explanation {
	switch alert {
	case "unknown_ca", "certificate_unknown", "bad_certificate", "unsupported_certificate", "certificate_expired", "certificate_revoked", "bad_certificate_status_response":
		return Explanation{
			"The client rejected the listener's certificate (" + alert + ").",
			"Check that the certificate is valid, names the host that the client asked for, and chains up to a CA that the client trusts; old clients lack new CAs."}
	case "protocol_version", "handshake_failure", "insufficient_security", "illegal_parameter", "inappropriate_fallback", "no_application_protocol":
		return Explanation{
			"The client did not accept what the listener chose (" + alert + ").",
			"Compare what the client supports with the listener's security policy and ALPN policy."}
	}
	return Explanation{
		"The client ended the handshake with the TLS alert " + alert + ".",
		"Look into the client's own log: it knows why it sent the alert."}
}
