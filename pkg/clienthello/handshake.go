package clienthello

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/clienthello/prelude"
	"tlswatch/pkg/clienthello/tlswire"
	"tlswatch/pkg/tlsname"
)

// A Handshake is one attempt of a client to start TLS, as seen in a capture.
type Handshake struct {
	Time   time.Time      // of the packet with the first byte of the ClientHello, UTC
	Client netip.AddrPort // by a PROXY header, if there is one
	Server netip.AddrPort
	// Peer is the client's end of the TCP connection: Client, or the proxy that sent the
	// PROXY header.
	Peer netip.AddrPort
	// Preludes are what the client sent before TLS: a PROXY header, a request for a tunnel,
	// or STARTTLS.
	Preludes []prelude.Prelude

	// Protocol is the protocol of the client. If it is not TLS, only the fields above
	// and Outcome are set.
	Protocol Protocol
	// RecordVersion is the version of the record in which the ClientHello begins.
	RecordVersion tlsname.Version
	// Hello is the first ClientHello, or nil if the capture has nothing of it.
	Hello *tlswire.ClientHello
	// Fault says why Hello is nil or incomplete: bytes are missing from the capture, see
	// Truncated, or the client sent an invalid ClientHello.
	Fault error
	// Segments is the number of TCP segments that carried Hello, and Size its bytes with
	// record headers, also those that the capture lacks; 0 if that is unknown.
	Segments, Size int
	// SecondHello is the answer to a HelloRetryRequest, or nil.
	SecondHello *tlswire.ClientHello

	Outcome Outcome
}

// Truncated reports whether the capture lacks bytes of the ClientHello: the snap length
// cut them off, they were lost, or sent before or after the capture.
func (h *Handshake) Truncated() bool {
	return h.Protocol.TLS() && errors.Is(h.Fault, tlswire.ErrIncomplete)
}

// A Protocol is the protocol that a client uses on a connection.
type Protocol string

// Protocols. SSLv2Hello is the ClientHello of SSL 2.0 that old clients use to
// offer later versions too (RFC 5246, Appendix E.2).
const (
	TLS        Protocol = "TLS"
	SSLv2Hello Protocol = "SSLv2 ClientHello"
	HTTP       Protocol = "HTTP"
	PROXY      Protocol = "PROXY" // the header that proxies send first
	Unknown    Protocol = "unknown"
)

// TLS reports whether the client begins with a ClientHello.
func (p Protocol) TLS() bool { return p == TLS || p == SSLv2Hello }

// A Side is one end of a connection.
type Side string

const (
	Client Side = "client"
	Server Side = "server"
)

// A Kind is how a handshake ended.
type Kind string

const (
	// Negotiated: the server chose, and the client continued. With TLS 1.3 the end of
	// the handshake is encrypted; then the client must have continued with more than an
	// alert.
	Negotiated Kind = "negotiated"
	// AlertSent: Outcome.By sent an alert that ends the connection. That may be
	// close_notify.
	AlertSent Kind = "alert"
	// Closed: Outcome.By closed the connection (TCP FIN) before the handshake was
	// complete, without a readable alert.
	Closed Kind = "closed"
	// Reset: Outcome.By reset the connection (TCP RST).
	Reset Kind = "reset"
	// NotTLS: Outcome.By does not speak TLS.
	NotTLS Kind = "not_tls"
	// NoAnswer: for at least five seconds after the ClientHello the server sent nothing, until the capture
	// ended or two minutes had passed.
	NoAnswer Kind = "no_answer"
	// CaptureEnded: the capture ended first, or the connection was idle for two minutes.
	CaptureEnded Kind = "capture_ended"
)

// An Outcome is how a handshake ended and what the server had chosen by then.
type Outcome struct {
	Kind  Kind
	By    Side  // who ended it; empty for Negotiated, NoAnswer and CaptureEnded
	Alert Alert // for AlertSent

	// What the ServerHello chose; all zero if the capture has none.
	Version     tlsname.Version
	CipherSuite tlsname.Suite
	Group       tlsname.Group // of the key exchange, if it is readable
	Resumed     bool          // a previous session is continued, without certificates

	// HelloRetry is the group that a HelloRetryRequest asked for, or 0.
	HelloRetry   tlsname.Group
	HelloRetries int // number of HelloRetryRequests; RFC 8446 allows one
	// HalfDelivered is set if the server acknowledged only a part of the ClientHello and
	// sent nothing.
	HalfDelivered *Delivery
	// AnswerMissing means that the server sent something, and the capture has nothing of it.
	AnswerMissing bool
	// ClientCertificateRequested is whether the server asked for a certificate, which
	// TLS 1.3 encrypts.
	ClientCertificateRequested bool
	// Note is a sentence about what else is known, or what cannot be seen.
	Note string
}

// A Delivery is how much of a ClientHello reached the server.
type Delivery struct {
	Acknowledged int // bytes that the server's TCP acknowledged
	Sent         int // bytes of the ClientHello, record headers included
	again        int // segments after the first that the client sent again
}

// LikelyDropped reports whether the rest was likely dropped on the way: the capture shows
// that the client sent it again without an acknowledgement.
func (d *Delivery) LikelyDropped() bool { return d.again > 0 }

func (d *Delivery) String() string {
	s := fmt.Sprintf("half-delivered ClientHello: the server acknowledged %s of %s bytes", text.Count(d.Acknowledged), text.Count(d.Sent))
	if d.LikelyDropped() {
		s += ", and the client sent the rest again: likely dropped on the way"
	}
	return s
}

// An Alert is a message of the alert protocol, RFC 8446, Section 6.
type Alert struct {
	level       uint8
	description uint8
}

// Values of an alert that make a difference here.
const (
	alertFatal       = 2
	alertCloseNotify = 0
)

// String returns the description's name in IANA's registry, or its number.
func (a Alert) String() string {
	return cmp.Or(tlsname.Alert(a.description), fmt.Sprintf("alert %d", a.description))
}

// LevelName returns "warning", "fatal" or the number.
func (a Alert) LevelName() string {
	switch a.level {
	case 1:
		return "warning"
	case alertFatal:
		return "fatal"
	}
	return fmt.Sprint(a.level)
}

// size estimates the memory of the handshake, in bytes.
func (h *Handshake) size() int {
	n := 1024 * len(h.Preludes)
	for _, hello := range []*tlswire.ClientHello{h.Hello, h.SecondHello} {
		if hello != nil {
			n += hello.Size()
		}
	}
	return n
}
