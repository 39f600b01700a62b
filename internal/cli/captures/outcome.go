package captures

import (
	"fmt"
	"strings"

	"tlswatch/internal/cli/command"
	"tlswatch/pkg/clienthello"
)

// Outcome describes in a sentence how a handshake ended.
func Outcome(h *clienthello.Handshake) string {
	o := h.Outcome
	var text string
	switch o.Kind {
	case clienthello.Negotiated:
		text = "negotiated " + chosen(o)
	case clienthello.AlertSent:
		text = fmt.Sprintf("%s sent alert %s (%s)", o.By, o.Alert, o.Alert.LevelName())
	case clienthello.Closed:
		text = fmt.Sprintf("%s closed the connection (FIN)", o.By)
	case clienthello.Reset:
		text = fmt.Sprintf("%s reset the connection (RST)", o.By)
	case clienthello.NotTLS:
		text = fmt.Sprintf("%s does not speak TLS", o.By)
		if o.By == clienthello.Client {
			text = fmt.Sprintf("%s speaks %s, not TLS", o.By, h.Protocol)
		}
	case clienthello.NoAnswer:
		text = "no answer"
	default:
		text = "the capture ended first"
	}
	if o.Kind != clienthello.Negotiated && o.Version != 0 {
		text += ", after the server chose " + chosen(o)
	}
	if o.HelloRetry != 0 {
		text += fmt.Sprintf("; HelloRetryRequest for %s", o.HelloRetry)
		if h.SecondHello != nil {
			text += ", answered with key shares " + strings.Join(command.Names(h.SecondHello.KeyShares), ", ")
		}
	}
	if o.ClientCertificateRequested {
		text += "; client certificate requested"
	}
	if o.Note != "" {
		text += "; " + o.Note
	}
	return text
}

// chosen describes what the server chose in its ServerHello.
func chosen(o clienthello.Outcome) string {
	if o.Version == 0 {
		return "parameters that are not in the capture"
	}
	text := fmt.Sprintf("%s with %s", o.Version, o.CipherSuite)
	if o.Group != 0 {
		text += fmt.Sprintf(" and %s", o.Group)
	}
	if o.Resumed {
		text += ", resuming a session"
	}
	return text
}
