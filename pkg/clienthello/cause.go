package clienthello

import "fmt"

// Cause names how a handshake ended in few words, to count many handshakes by it.
func (h *Handshake) Cause() string {
	o := h.Outcome
	switch o.Kind {
	case Negotiated:
		if o.Version == 0 {
			return "negotiated"
		}
		return "negotiated " + o.Version.String()
	case NotTLS:
		if o.By == Client {
			return fmt.Sprintf("client speaks %s, not TLS", h.Protocol)
		}
		return "server does not speak TLS"
	}
	switch {
	case o.HalfDelivered != nil && o.HalfDelivered.LikelyDropped():
		return "half-delivered ClientHello, likely dropped on the way"
	case o.HalfDelivered != nil:
		return "half-delivered ClientHello"
	case o.HelloRetries > 1:
		return "HelloRetryRequest loop"
	case o.AnswerMissing:
		return "the server's packets are not in the capture"
	}
	ended := ""
	switch o.Kind {
	case AlertSent:
		return fmt.Sprintf("%s sent alert %s", o.By, o.Alert)
	case Closed:
		ended = fmt.Sprintf("%s closed the connection", o.By)
	case Reset:
		ended = fmt.Sprintf("%s reset the connection", o.By)
	case NoAnswer:
		return "no answer"
	default:
		ended = "the capture ended first"
	}
	switch {
	case o.Version != 0:
		return ended + ", after the ServerHello"
	case o.HelloRetry != 0:
		return ended + ", after a HelloRetryRequest"
	}
	return ended
}

// PostQuantum reports whether the ClientHello has a key share of a post-quantum group.
func (h *Handshake) PostQuantum() bool {
	if h.Hello == nil {
		return false
	}
	for _, g := range h.Hello.KeyShares {
		if g.PostQuantum() {
			return true
		}
	}
	return false
}
