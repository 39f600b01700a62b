package connlog

import (
	"cmp"
	"strconv"
	"time"

	"tlswatch/pkg/connlog/internal/scan"
	"tlswatch/pkg/tlsname"
)

// Reason codes of entries that come from the TLS log of a Network Load
// Balancer, which has none of its own.
const (
	// ReasonNoHandshake is that of a connection without a completed handshake
	// in which the client sent no alert: the load balancer refused it, or the
	// client sent nothing, or went away.
	ReasonNoHandshake = "HandshakeNotCompleted"

	// ReasonAlert, followed by a name of RFC 8446, section 6, such as
	// "certificate_unknown", or by a number, is that of a connection on which
	// the client sent an alert.
	ReasonAlert = "ClientAlert:"
)

// tlsLog is the access log of a Network Load Balancer, which has entries of
// connections to TLS listeners only.
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
		"time":                         (*record).setEnded,
		"elb":                          (*record).setLoadBalancer,
		"client:port":                  (*record).setClientEndpoint,
		"client_port":                  (*record).setClientEndpoint,
		"destination:port":             (*record).setListenerEndpoint,
		"destination_port":             (*record).setListenerEndpoint,
		"tls_handshake_time":           (*record).setHandshakeTime,
		"incoming_tls_alert":           (*record).setAlert,
		"tls_cipher":                   func(r *record, text []byte) error { return r.name(&r.e.Cipher, text) },
		"tls_protocol_version":         (*record).setProtocolVersion,
		"tls_keyexchange":              func(r *record, text []byte) error { return r.name(&r.e.KeyExchange, text) },
		"tls_named_group":              func(r *record, text []byte) error { return r.name(&r.e.KeyExchange, text) }, // its former name
		"domain_name":                  func(r *record, text []byte) error { r.e.ServerName = text; return nil },
		"tls_connection_creation_time": (*record).setCreated,
	},
	tells: func(name string) bool {
		switch name {
		case "tls_handshake_time", "tls_protocol_version", "incoming_tls_alert", "tls_connection_creation_time":
			return true
		}
		return false
	},
}

// setEnded keeps the time at which the connection ended, in case there is no
// better one.
func (r *record) setEnded(text []byte) (err error) {
	r.ended, err = parseLocalTime(text)
	r.hasEnded = err == nil
	return err
}

func (r *record) setCreated(text []byte) (err error) {
	if text == nil {
		return nil
	}
	r.e.Time, err = parseLocalTime(text)
	r.hasTime = err == nil
	return err
}

// parseLocalTime parses a time in UTC that need not say so, as these logs have
// it: "2020-04-01T08:51:42".
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

// setHandshakeTime reads milliseconds. A handshake that was none, or failed,
// has no time.
func (r *record) setHandshakeTime(text []byte) error {
	r.handshake = true
	if text == nil {
		return nil
	}
	ms, ok := scan.Seconds(text)
	if !ok {
		return errMilliseconds
	}
	r.e.HandshakeLatency, r.e.HasLatency = ms/1000, true
	return nil
}

func (r *record) setAlert(text []byte) error {
	if text == nil {
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 8)
	if err != nil {
		return errTLSAlert
	}
	r.alert = int(n) + 1
	return nil
}

// protocolVersions are the names of this log, and those of connection logs and
// security policies.
var protocolVersions = map[string]string{"tlsv10": "TLSv1", "tlsv11": "TLSv1.1", "tlsv12": "TLSv1.2", "tlsv13": "TLSv1.3"}

func (r *record) setProtocolVersion(text []byte) error {
	if name, ok := protocolVersions[string(text)]; ok {
		r.e.Protocol = name
		return nil
	}
	return r.name(&r.e.Protocol, text)
}

// finishTLS derives the time and the status. A connection failed if its
// handshake took no time, or if the client sent an alert that is an error: it
// may reject the server's certificate when the load balancer is done.
func (r *record) finishTLS() {
	e := r.e
	if !r.hasTime && r.hasEnded {
		e.Time, r.hasTime = r.ended, true
	}
	alert := byte(r.alert - 1)
	switch {
	case r.alert > 0 && !farewell(alert), r.alert > 0 && r.handshake && !e.HasLatency:
		e.Status = alertStatus[alert]
		e.HandshakeLatency, e.HasLatency = 0, false
	case e.HasLatency:
		e.Status = StatusSuccess
	case r.handshake:
		e.Status = FailedPrefix + ReasonNoHandshake
	}
}

// farewell reports whether an alert ends a connection in good order.
func farewell(alert byte) bool { return alert == 0 || alert == 90 || alert == 100 }

// alertStatus has the status of an entry by the alert of the client.
var alertStatus = func() (list [256]string) {
	for i := range list {
		name := cmp.Or(tlsname.Alert(byte(i)), strconv.Itoa(i))
		list[i] = FailedPrefix + ReasonAlert + name
	}
	return list
}()
