package clienthello

import (
	"encoding/binary"

	"tlswatch/pkg/clienthello/capture"
	"tlswatch/pkg/clienthello/tlswire"
)

// maxDatagramFlows bounds the flows of QUIC and of DTLS that are counted.
const maxDatagramFlows = 10_000

// datagram detects the protocols over UDP that have a ClientHello too. It reports whether
// the datagram is of such a flow.
func (t *Tracker) datagram(src, dst capture.Endpoint, data []byte) bool {
	flow, _ := capture.FlowOf(src, dst)
	var flows map[capture.Flow]struct{}
	switch {
	case isQUICInitial(data):
		flows = t.quic
	case isDTLSClientHello(data):
		flows = t.dtls
	default:
		_, quic := t.quic[flow]
		_, dtls := t.dtls[flow]
		return quic || dtls
	}
	if len(flows) < maxDatagramFlows {
		flows[flow] = struct{}{}
	}
	return true
}

// isQUICInitial reports whether a datagram begins with an Initial packet of
// QUIC: a long header of type Initial, RFC 9000, Section 17.2.2 and RFC 9369,
// Section 3.2.
func isQUICInitial(b []byte) bool {
	if len(b) < 7 || b[0]&0xc0 != 0xc0 {
		return false
	}
	packetType := b[0] >> 4 & 3
	idLen := int(b[5])
	if idLen > 20 || len(b) < 7+idLen {
		return false
	}
	switch version := binary.BigEndian.Uint32(b[1:]); {
	case version == 1 || version>>8 == 0xff0000: // drafts
		return packetType == 0
	case version == 0x6b3343cf: // version 2
		return packetType == 1
	}
	return false
}

// isDTLSClientHello reports whether a datagram begins with a ClientHello in
// plain DTLS, RFC 9147, Sections 4 and 5.
func isDTLSClientHello(b []byte) bool {
	const headerLen = 13
	return len(b) > headerLen && b[0] == tlswire.RecordHandshake && b[1] == 0xfe && (b[2] == 0xff || b[2] == 0xfd) &&
		int(binary.BigEndian.Uint16(b[11:])) >= 12 && b[headerLen] == tlswire.TypeClientHello
}
