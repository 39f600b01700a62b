package connlog

import (
	"cmp"
	"strconv"
	"time"

	"tlswatch/pkg/connlog/internal/scan"
	"tlswatch/pkg/tlsname"
)

// Reason codes for entries of the TLS log of a Network Load Balancer, which has no
// reason codes.
const (
	// ReasonNoHandshake is for a handshake that was not completed and in which the
	// client sent no alert: the load balancer refused it, or the client sent nothing
	// or disconnected.
	ReasonNoHandshake = "HandshakeNotCompleted"

	// ReasonAlert is for a connection on which the client sent an alert. The alert
	// follows by its name in RFC 8446, section 6, such as "certificate_unknown", or
	// by its number.
	ReasonAlert = "ClientAlert:"
)

// tlsLog is the access log of a Network Load Balancer, which has entries only for
// TLS listeners.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-access-logs.html
var tlsLog = &kind{
	name: "TLS access log of a Network Load Balancer",
	fields: []string{
		"type", "version", "time", "elb", "listener", "client:port", "destination:port",
		"connection_time", "tls_handshake_time", "received_bytes", "sent_bytes", "incoming_tls_alert",
		"chosen_cert_arn", "chosen_cert_serial", "tls_cipher", "tls_protocol_version", "tls_keyexchange",
		"domain_name", "alpn_fe_protocol", "alpn_be_protocol", "alpn_client_preference_list",
		"tls_connection_creation_time",
	},
	min: 16, // up to the protocol version
	setters: map[string]setter{
		"time":                         (*builder).setEnded,
		"elb":                          (*builder).setLoadBalancer,
		"client:port":                  (*builder).setClientEndpoint,
		"client_port":                  (*builder).setClientEndpoint,
		"destination:port":             (*builder).setListenerEndpoint,
		"destination_port":             (*builder).setListenerEndpoint,
		"tls_handshake_time":           (*builder).setHandshakeTime,
		"incoming_tls_alert":           (*builder).setAlert,
		"tls_cipher":                   func(b *builder, text []byte) error { return b.name(&b.e.Cipher, text) },
		"tls_protocol_version":         (*builder).setProtocolVersion,
		"tls_keyexchange":              func(b *builder, text []byte) error { return b.name(&b.e.KeyExchange, text) },
		"tls_named_group":              func(b *builder, text []byte) error { return b.name(&b.e.KeyExchange, text) }, // its former name
		"domain_name":                  func(b *builder, text []byte) error { b.e.ServerName = text; return nil },
		"tls_connection_creation_time": (*builder).setCreated,
	},
	own: func(name string) bool {
		switch name {
		case "tls_handshake_time", "tls_protocol_version", "incoming_tls_alert", "tls_connection_creation_time":
			return true
		}
		return false
	},
}

// setEnded keeps the time when the connection ended, in case there is none of its
// start.
func (b *builder) setEnded(text []byte) (err error) {
	b.ended, err = parseLocalTime(text)
	b.hasEnded = err == nil
	return err
}

func (b *builder) setCreated(text []byte) (err error) {
	if text == nil {
		return nil
	}
	b.e.Time, err = parseLocalTime(text)
	b.hasTime = err == nil
	return err
}

// parseLocalTime parses a time in UTC with or without Z. These logs have none:
// "2020-04-01T08:51:42".
func parseLocalTime(text []byte) (time.Time, error) {
	var buf [48]byte
	if n := len(text); n > 0 && n < len(buf) && text[n-1] != 'Z' {
		copy(buf[:], text)
		buf[n] = 'Z'
		text = buf[:n+1]
	}
	t, ok := scan.Time(text)
	if !ok {
		return t, errTime
	}
	return t, nil
}

// setHandshakeTime reads milliseconds. A handshake that failed, or never began, has
// no time.
func (b *builder) setHandshakeTime(text []byte) error {
	b.handshake = true
	if text == nil {
		return nil
	}
	ms, ok := scan.Seconds(text)
	if !ok {
		return errMilliseconds
	}
	b.e.HandshakeLatency, b.e.HasLatency = ms/1000, true
	return nil
}

func (b *builder) setAlert(text []byte) error {
	if text == nil {
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 8)
	if err != nil {
		return errTLSAlert
	}
	b.alert = int(n) + 1
	return nil
}

// protocolVersions maps the names in this log to those in connection logs and
// security policies.
var protocolVersions = map[string]string{"tlsv10": "TLSv1", "tlsv11": "TLSv1.1", "tlsv12": "TLSv1.2", "tlsv13": "TLSv1.3"}

func (b *builder) setProtocolVersion(text []byte) error {
	if name, ok := protocolVersions[string(text)]; ok {
		b.e.Protocol = name
		return nil
	}
	return b.name(&b.e.Protocol, text)
}

// finishTLS derives the time and the status. A connection failed if its handshake
// has no time, or if the client sent an alert that is an error: a client may reject
// the server's certificate after the load balancer has finished.
func (b *builder) finishTLS() {
	e := b.e
	if !b.hasTime && b.hasEnded {
		e.Time, b.hasTime = b.ended, true
	}
	alert := byte(b.alert - 1)
	switch {
	case b.alert > 0 && !isClosure(alert), b.alert > 0 && b.handshake && !e.HasLatency:
		e.Status = alertStatus[alert]
		e.HandshakeLatency, e.HasLatency = 0, false
	case e.HasLatency:
		e.Status = StatusSuccess
	case b.handshake:
		e.Status = FailedPrefix + ReasonNoHandshake
	}
}

// isClosure reports whether an alert ends a connection normally.
func isClosure(alert byte) bool { return alert == 0 || alert == 90 || alert == 100 }

// alertStatus is the status of an entry by the alert of the client.
var alertStatus = func() (list [256]string) {
	for i := range list {
		name := cmp.Or(tlsname.Alert(byte(i)), strconv.Itoa(i))
		list[i] = FailedPrefix + ReasonAlert + name
	}
	return list
}()
