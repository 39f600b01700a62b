package connlog

import (
	"bytes"
	"time"

	"tlswatch/pkg/connlog/internal/scan"
	"tlswatch/pkg/logkey"
)

// A builder fills an entry from fields in any order.
type builder struct {
	p       *Parser
	e       *Entry
	hasTime bool

	// Of TLS logs only; see finishTLS.
	ended     time.Time // end of the connection
	hasEnded  bool
	handshake bool // there is a field that shows whether the handshake succeeded
	alert     int  // sent by the client, plus 1; 0 for none
}

// set calls the setter of a field, with nil for an absent one.
func (b *builder) set(set setter, text []byte) error {
	if len(text) == 0 || len(text) == 1 && text[0] == '-' {
		text = nil
	}
	return set(b, text)
}

func (b *builder) setTime(text []byte) error {
	t, ok := b.p.minute.parseTime(text)
	if !ok {
		if t, ok = scan.OtherTime(text); !ok {
			return errTime
		}
	}
	b.e.Time, b.hasTime = t, true
	return nil
}

func (b *builder) setClient(text []byte) (err error) {
	if text == nil {
		return nil
	}
	var ok bool
	if b.e.Client, ok = scan.Addr(text); !ok {
		return errAddr
	}
	return nil
}

func (b *builder) setClientPort(text []byte) error   { return setPort(&b.e.ClientPort, text) }
func (b *builder) setListenerPort(text []byte) error { return setPort(&b.e.ListenerPort, text) }

func setPort(port *uint16, text []byte) (err error) {
	var ok bool
	if *port, ok = scan.Port(text); !ok {
		return errPort
	}
	return nil
}

func (b *builder) name(s *string, text []byte) error {
	*s = b.p.names.intern(text)
	return nil
}

func (b *builder) setLatency(text []byte) error {
	if text == nil {
		return nil
	}
	var ok bool
	if b.e.HandshakeLatency, ok = scan.Seconds(text); !ok {
		return errLatency
	}
	b.e.HasLatency = true
	return nil
}

func (b *builder) setValidity(text []byte) error {
	b.e.ClientCert.setValidity(text)
	return nil
}

func (b *builder) setSerial(text []byte) error {
	b.e.ClientCert.setSerial(text)
	return nil
}

func (b *builder) setLoadBalancer(text []byte) error {
	if string(text) != b.p.loadBalancer {
		id, ok := logkey.LoadBalancerID(text)
		switch {
		case text != nil && !ok && b.p.lbOptional:
			return nil
		case text != nil && !ok:
			return errLoadBalancer
		}
		b.p.loadBalancer = b.p.names.intern(id)
	}
	b.e.LoadBalancer = b.p.loadBalancer
	return nil
}

// setClientEndpoint sets address and port from "192.0.2.1:51341".
func (b *builder) setClientEndpoint(text []byte) error {
	host, port, ok := cutEndpoint(text)
	if !ok {
		return errEndpoint
	}
	if host != nil {
		if b.e.Client, ok = scan.Addr(host); !ok {
			return errEndpoint
		}
	}
	if b.e.ClientPort, ok = scan.Port(port); !ok {
		return errEndpoint
	}
	return nil
}

// setListenerEndpoint sets node and listener port: a client connects to an address
// of the load balancer and the port of a listener, or to a VPC endpoint that
// forwards to these.
func (b *builder) setListenerEndpoint(text []byte) error {
	host, port, ok := cutEndpoint(text)
	if !ok {
		return errEndpoint
	}
	if b.e.ListenerPort, ok = scan.Port(port); !ok {
		return errEndpoint
	}
	return b.name(&b.e.Node, host)
}

// cutEndpoint cuts at the last colon; an IPv6 address may be bare or in
// brackets. Without text there is neither host nor port.
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
