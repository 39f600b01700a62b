package connlog

import (
	"bytes"
	"time"

	"tlswatch/pkg/connlog/internal/scan"
	"tlswatch/pkg/logkey"
)

// A record is an entry in the making, of fields that come in any order.
type record struct {
	p       *Parser
	e       *Entry
	hasTime bool

	// Of TLS logs only; see finishTLS.
	ended     time.Time // end of the connection
	hasEnded  bool
	handshake bool // there is a field that tells whether the handshake succeeded
	alert     int  // that the client sent, plus 1; 0 if none
}

// set hands a field to its setter, unless it is absent.
func (r *record) set(set setter, text []byte) error {
	if len(text) == 0 || len(text) == 1 && text[0] == '-' {
		text = nil
	}
	return set(r, text)
}

func (r *record) setTime(text []byte) error {
	t, ok := r.p.minute.parseTime(text)
	if !ok {
		return errTime
	}
	r.e.Time, r.hasTime = t, true
	return nil
}

func (r *record) setClient(text []byte) (err error) {
	if text == nil {
		return nil
	}
	var ok bool
	if r.e.Client, ok = scan.Addr(text); !ok {
		return errAddr
	}
	return nil
}

func (r *record) setClientPort(text []byte) error   { return setPort(&r.e.ClientPort, text) }
func (r *record) setListenerPort(text []byte) error { return setPort(&r.e.ListenerPort, text) }

func setPort(port *uint16, text []byte) (err error) {
	var ok bool
	if *port, ok = scan.Port(text); !ok {
		return errPort
	}
	return nil
}

func (r *record) name(s *string, text []byte) error {
	*s = r.p.names.intern(text)
	return nil
}

func (r *record) setLatency(text []byte) error {
	if text == nil {
		return nil
	}
	var ok bool
	if r.e.HandshakeLatency, ok = scan.Seconds(text); !ok {
		return errLatency
	}
	r.e.HasLatency = true
	return nil
}

func (r *record) setValidity(text []byte) error {
	if text == nil {
		return nil
	}
	c := &r.e.ClientCert
	var ok bool
	if c.NotBefore, c.NotAfter, ok = parseValidity(text); !ok {
		return errValidity
	}
	c.Validity = text
	return nil
}

func (r *record) setSerial(text []byte) error {
	if text != nil && !isSerial(text) {
		return errSerial
	}
	r.e.ClientCert.Serial = text
	return nil
}

func (r *record) setLoadBalancer(text []byte) error {
	if string(text) != r.p.loadBalancer {
		if text != nil && !logkey.IsLoadBalancer(text) {
			return errLoadBalancer
		}
		r.p.loadBalancer = r.p.names.intern(text)
	}
	r.e.LoadBalancer = r.p.loadBalancer
	return nil
}

// setClientEndpoint sets address and port from "192.0.2.1:51341".
func (r *record) setClientEndpoint(text []byte) error {
	host, port, ok := cutEndpoint(text)
	if !ok {
		return errEndpoint
	}
	if host != nil {
		if r.e.Client, ok = scan.Addr(host); !ok {
			return errEndpoint
		}
	}
	if r.e.ClientPort, ok = scan.Port(port); !ok {
		return errEndpoint
	}
	return nil
}

// setListenerEndpoint sets node and listener port: a client connects to an
// address of the load balancer and the port of a listener, or to an endpoint of
// a VPC that forwards to these.
func (r *record) setListenerEndpoint(text []byte) error {
	host, port, ok := cutEndpoint(text)
	if !ok {
		return errEndpoint
	}
	if r.e.ListenerPort, ok = scan.Port(port); !ok {
		return errEndpoint
	}
	return r.name(&r.e.Node, host)
}

// cutEndpoint cuts at the last colon; an IPv6 address may be bare or in
// brackets. Nothing comes of nothing.
func cutEndpoint(text []byte) (host, port []byte, ok bool) {
	if text == nil {
		return nil, nil, true
	}
	i := bytes.LastIndexByte(text, ':')
	if i <= 0 || i == len(text)-1 {
		return nil, nil, false
	}
	return text[:i], text[i+1:], true
}
