package clienthello

import (
	"fmt"

	"tlswatch/pkg/tlsname"
)

// outcome describes how the handshake ended.
func (c *connection) outcome() Outcome {
	h := c.handshake
	o := *c.ended
	o.HelloRetry, o.HelloRetries, o.ClientCertificateRequested = c.retry, c.retries, c.certificate
	if s := c.server; s != nil {
		o.Version, o.CipherSuite, o.Group = s.Version, s.CipherSuite, s.Group
		if s.Version >= tlsname.TLS13 {
			o.Resumed = s.PSK
		} else {
			o.Resumed = h.Hello != nil && len(s.SessionID) > 0 && string(s.SessionID) == string(h.Hello.SessionID)
		}
	}
	o.HalfDelivered = c.halfDelivered(o)
	o.AnswerMissing = !c.answered() && c.unseen()
	o.Note = c.note(o)
	return o
}

// note adds a sentence to an outcome, where its other fields do not say everything.
func (c *connection) note(o Outcome) string {
	switch {
	case !c.handshake.Protocol.TLS():
		return ""
	case o.Kind == NotTLS && o.By == Server:
		return "the server's answer is not TLS"
	case o.Kind == Negotiated && o.Version >= tlsname.TLS13:
		return "TLS 1.3 encrypts certificates, alerts and the end of the handshake: a refusal after the ServerHello cannot be seen"
	case o.Kind == Negotiated && o.Version == 0:
		return "the ServerHello is not in the capture"
	case o.Kind == Negotiated:
		return ""
	}
	return c.failureNote(o)
}

// failureNote is note for a handshake that failed or was not completed.
func (c *connection) failureNote(o Outcome) string {
	client, server := c.client, c.other(c.client)
	switch {
	case o.HalfDelivered != nil:
		return o.HalfDelivered.String()
	case c.replaced:
		return "the client then began another connection from the same port"
	case o.HelloRetries > 1:
		return fmt.Sprintf("a loop: the server sent HelloRetryRequest %d times", o.HelloRetries)
	case server.bytes > 0 && server.count == 0 && server.missing > 0 || c.serverLost:
		return "the server's answer is not complete in the capture"
	case client.packets == 0:
		return "" // Fault says so
	case o.AnswerMissing:
		return "the server's packets are not in the capture"
	case c.reaction != nil && !c.answered():
		return fmt.Sprintf("the server had not answered; the client then sent alert %s", c.reaction)
	case c.reaction != nil:
		return fmt.Sprintf("the client then sent alert %s", c.reaction)
	case o.Version >= tlsname.TLS13:
		return c.encryptedNote(o)
	case c.noCert:
		return "the server asked for a client certificate, and the client sent none"
	case c.warnedBy != "":
		return fmt.Sprintf("the %s sent the warning %s", c.warnedBy, c.warning)
	case o.Kind == AlertSent || o.Version != 0:
		return ""
	}
	return c.unansweredNote(o)
}

// encryptedNote is note for a handshake that ended after a ServerHello of TLS 1.3.
func (c *connection) encryptedNote(o Outcome) string {
	switch client := c.client; {
	case client.answered == 1 && client.longest == alertLen:
		return "the client's last record has the size of an encrypted alert"
	case o.Kind != AlertSent:
		return "TLS 1.3 encrypts what follows the ServerHello: the reason cannot be seen"
	}
	return ""
}

// unansweredNote is note for a handshake that ended before a ServerHello.
func (c *connection) unansweredNote(o Outcome) string {
	switch {
	case o.HelloRetry != 0:
		return "the server asked for another key share (HelloRetryRequest), and the handshake went no further"
	case c.answered():
		return "the server's answer has no ServerHello"
	case o.Kind == NoAnswer && c.acknowledged():
		return "the server's TCP acknowledged the ClientHello"
	case o.Kind == Closed || o.Kind == Reset:
		return "the server had not answered"
	}
	return ""
}

// answered reports whether the server sent something other than its part of what precedes
// TLS.
func (c *connection) answered() bool {
	sent := c.other(c.client).bytes
	return sent > 0 && (len(c.preludes) == 0 || sent > c.hello.answers || c.server != nil || c.retry != 0)
}

// unseen reports whether the client acknowledged more of the server's bytes than the
// capture has, apart from a FIN, or any although the capture has no packet of the server.
func (c *connection) unseen() bool {
	server := c.other(c.client)
	s := &server.stream
	return s.acked != 0 && (server.packets == 0 || s.begun && int32(s.acked-s.next) > 1)
}

// acknowledged reports whether the server's TCP has all that the client sent.
func (c *connection) acknowledged() bool {
	s := &c.client.stream
	return s.begun && s.acked != 0 && int32(s.acked-s.next) >= 0
}
