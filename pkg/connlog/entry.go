// Package connlog reads the connection logs of AWS Application Load Balancers, and
// the TLS access logs of Network Load Balancers, which have the same information.
//
// A connection log has one line for each connection that a client attempted.
// [Reader] reads a log object (gzip or plain text) as a sequence of [Entry]
// values, and [Parser] a single line. The package does no I/O of its own, uses no
// AWS SDK and no clock.
//
// # What is accepted
//
// The log has grown from 11 fields (November 2023) to 12, 13 and 15, and AWS
// announces more. So 11 fields are required, the other documented ones are
// optional, and further ones are ignored. Protocols, cipher suites, key exchanges
// and status codes are text: unknown values pass through unchanged. Times,
// addresses, ports and the load balancer must have their documented form, or the line
// is malformed. For the load balancer, its ARN will do, and see
// [Reader.IgnoreLoadBalancer]. A validity or serial number of another form is dropped.
//
// The format is described at
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-connection-logs.html
//
// A Reader recognizes other formats by the first lines of a stream: a connection
// log that CloudWatch delivered (with other delimiters, as W3C extended log, or as
// JSON lines; with any fields in any order, as long as there is a time), or a TLS
// log of a Network Load Balancer. It refuses other logs by name; see
// [FormatError].
package connlog

import (
	"net/netip"
	"strings"
	"time"
)

// An Entry is one line of a connection log: one connection attempt.
// A field that is "-" in the log (quoted or not), or missing because the line has
// an older format, is zero.
//
// The []byte fields point into the line that was parsed. From a [Reader] they
// are valid until the next call of [Reader.Read]. Everything else may be kept.
type Entry struct {
	Time             time.Time     // timestamp: when the connection was established or failed, UTC
	Client           netip.Addr    // client_ip; IPv4-mapped IPv6 addresses are unmapped
	ClientPort       uint16        // client_port
	ListenerPort     uint16        // listener_port
	Protocol         string        // tls_protocol, such as "TLSv1.3"
	Cipher           string        // tls_cipher: OpenSSL name (IANA name for TLS 1.3 suites)
	HandshakeLatency time.Duration // tls_handshake_latency; meaningful only if HasLatency
	HasLatency       bool          // the log gives a latency, which may be 0; failed handshakes have none
	ClientCert       ClientCert    // leaf_client_cert_*: mutual TLS only
	Status           string        // tls_verify_status: StatusSuccess or FailedPrefix and a reason code
	TraceID          []byte        // conn_trace_id (since May 2024)
	KeyExchange      string        // tls_keyexchange: named group (since November 2025)
	LoadBalancer     string        // elb: "app/NAME/ID" (2026) or "net/NAME/ID"
	Node             string        // ip_address of the load balancer node (2026), as in the log
	ServerName       []byte        // domain_name, the client's SNI; TLS logs of Network Load Balancers only
}

// A ClientCert describes the leaf certificate that a client presented on a
// listener with mutual TLS.
type ClientCert struct {
	Subject   []byte    // distinguished name without the enclosing quotes; RFC 2253 escapes are kept
	Validity  []byte    // "NotBefore=...;NotAfter=..." as in the log
	NotBefore time.Time // zero if Validity is missing or has an invalid time
	NotAfter  time.Time // likewise
	Serial    []byte    // serial number, hexadecimal without colons
}

// Values of Entry.Status.
const (
	StatusSuccess = "Success"
	FailedPrefix  = "Failed:" // followed by a reason code such as "ClientCertExpired"
)

// TLS reports whether the connection was made to a listener with TLS. The log
// does not record the listener's protocol: lines of listeners without TLS are
// those with neither a status nor a protocol. They are neither success nor
// failure.
func (e *Entry) TLS() bool { return e.Status != "" || e.Protocol != "" }

// Failed reports whether the TLS negotiation failed. An absent or unknown
// status is not a failure.
func (e *Entry) Failed() bool { return strings.HasPrefix(e.Status, FailedPrefix) }

// Reason returns the reason code of a failed negotiation, such as
// "UnmappedConnectionError", and "" for any other entry.
func (e *Entry) Reason() string {
	if reason, ok := strings.CutPrefix(e.Status, FailedPrefix); ok {
		return reason
	}
	return ""
}

// Hint returns a number that depends only on ListenerPort, Protocol, Cipher,
// KeyExchange and Status, and mostly differs for other values of these. It serves
// as the index of a cache: it is cheaper than a hash, and does not protect against
// crafted names.
func (e *Entry) Hint() uint64 {
	const m = 0x9e3779b97f4a7c15
	return (uint64(e.ListenerPort) + hint(e.Protocol)<<8 + hint(e.Cipher)<<16 + hint(e.KeyExchange)<<24 + hint(e.Status)<<32) * m
}

func hint(s string) uint64 {
	if s == "" {
		return 0
	}
	return uint64(len(s)) + uint64(s[len(s)-1]) + uint64(s[len(s)/2])
}
