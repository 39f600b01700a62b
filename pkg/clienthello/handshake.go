package clienthello

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"tlswatch/pkg/tlsname"
)

// A Handshake is one attempt of a client to begin TLS, as a capture shows it.
type Handshake struct {
	Time   time.Time // of the packet with the first byte of the ClientHello, UTC
	Client netip.AddrPort
	Server netip.AddrPort

	// Protocol is what the client speaks. For what is not TLS, only the fields
	// above and Outcome are set.
	Protocol Protocol
	// RecordVersion is that of the record in which the ClientHello begins.
	RecordVersion tlsname.Version
	// Hello is the first ClientHello, or nil if the capture holds none of it.
	Hello *ClientHello
	// Fault says why Hello is nil or not all that the client sent. If it is or
	// wraps errIncomplete, bytes are missing from the capture; anything else
	// is a fault of the client.
	Fault error
	// Segments is the number of TCP segments that carried Hello.
	Segments int
	// SecondHello is the answer to a HelloRetryRequest, or nil.
	SecondHello *ClientHello

	Outcome Outcome
}

// Truncated reports whether the capture lacks bytes of the ClientHello: they
// were cut by the snap length, lost, or came before or after the capture.
func (h *Handshake) Truncated() bool { return h.Protocol.TLS() && incomplete(h.Fault) }

// A Protocol is what a client speaks on a connection.
type Protocol string

// Protocols. SSLv2Hello is the ClientHello of SSL 2.0 that old clients use to
// offer later versions too (RFC 5246, Appendix E.2).
const (
	TLS        Protocol = "TLS"
	SSLv2Hello Protocol = "SSLv2 ClientHello"
	HTTP       Protocol = "HTTP"
	PROXY      Protocol = "PROXY" // the header of proxies before anything else
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
	// Negotiated: the server chose, and the client went on with it. With TLS 1.3
	// the end of the handshake is encrypted; what counts then is that the client
	// went on with more than an alert.
	Negotiated Kind = "negotiated"
	// AlertSent: Outcome.By sent an alert that ends the connection. That may be
	// close_notify.
	AlertSent Kind = "alert"
	// Closed: Outcome.By ended the connection (TCP FIN) before the handshake was
	// complete, without an alert that can be read.
	Closed Kind = "closed"
	// Reset: Outcome.By broke the connection (TCP RST).
	Reset Kind = "reset"
	// NotTLS: Outcome.By does not speak TLS.
	NotTLS Kind = "not_tls"
	// NoAnswer: the server sent nothing for five seconds or more, until the
	// capture ended or two minutes had passed.
	NoAnswer Kind = "no_answer"
	// CaptureEnded: the capture ended first, or the connection fell silent for
	// two minutes.
	CaptureEnded Kind = "capture_ended"
)

// An Outcome is how a handshake ended and what the server had chosen by then.
type Outcome struct {
	Kind  Kind
	By    Side  // who ended it; empty for Negotiated, NoAnswer and CaptureEnded
	Alert Alert // for AlertSent

	// What a ServerHello said; zero, without Version, if none was seen.
	Version     tlsname.Version
	CipherSuite tlsname.Suite
	Group       tlsname.Group // of the key exchange, where it could be read
	Resumed     bool          // a former session goes on: no certificate is shown

	// HelloRetry is the group that a HelloRetryRequest asked for, or 0.
	HelloRetry tlsname.Group
	// ClientCertificateRequested is whether the server asked for one. In TLS 1.3
	// that is encrypted.
	ClientCertificateRequested bool
	// Note says in a sentence what else is known, or what cannot be seen.
	Note string
}

// An Alert is a message of the alert protocol, RFC 8446, Section 6.
type Alert struct {
	level       uint8
	description uint8
}

// Alert descriptions that are told apart.
const (
	alertFatal       = 2
	alertCloseNotify = 0
)

// String is the description by its name in IANA's registry, or its number.
func (a Alert) String() string {
	return cmp.Or(tlsname.Alert(a.description), fmt.Sprintf("alert %d", a.description))
}

// LevelName is "warning", "fatal" or the number.
func (a Alert) LevelName() string {
	switch a.level {
	case 1:
		return "warning"
	case alertFatal:
		return "fatal"
	}
	return fmt.Sprint(a.level)
}
