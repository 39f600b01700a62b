package capture

import (
	"cmp"
	"fmt"
	"slices"
)

// A layer is where the number of a [Kind] is from.
type layer uint8

const (
	etherType          layer = iota
	serviceAccessPoint       // of IEEE 802.2
	snapProtocol
	addressFamily // of a loopback interface
	pppProtocol
	mplsChannel
	greProtocol
	erspanFrame
	ipProtocol
	udpDatagram
	linkType
	otherKind
)

// A Kind is what a packet carries that is not looked into: the number of a protocol that
// is not read.
type Kind struct {
	layer  layer
	number uint16
}

var layerNames = map[layer]string{
	etherType: "EtherType 0x%04X", serviceAccessPoint: "LLC 0x%02X", snapProtocol: "SNAP 0x%04X", addressFamily: "address family %d",
	pppProtocol: "PPP 0x%04X", mplsChannel: "MPLS channel 0x%04X", greProtocol: "GRE 0x%04X", erspanFrame: "ERSPAN frame type %d",
	ipProtocol: "IP protocol %d", linkType: "link type %d",
}

var kindNames = map[Kind]string{
	{etherType, 0x0806}: "ARP", {etherType, 0x8035}: "RARP", {etherType, 0x88cc}: "LLDP", {etherType, 0x88e5}: "MACsec",
	{etherType, 0x8863}: "PPPoE discovery", {etherType, 0x888e}: "802.1X", {etherType, 0x8809}: "LACP", {etherType, 0x88f7}: "PTP",
	{etherType, 0x8808}: "Ethernet flow control", {etherType, 0x8902}: "Ethernet OAM", {etherType, 0x88e7}: "802.1ah", {etherType, 0x894f}: "NSH",
	{serviceAccessPoint, 0x42}: "STP", {serviceAccessPoint, 0xfe}: "IS-IS", {serviceAccessPoint, 0xe0}: "IPX", {serviceAccessPoint, 0xff}: "IPX",
	{snapProtocol, 0x2000}: "CDP", {snapProtocol, 0x010b}: "PVST",
	{pppProtocol, 0xc021}: "PPP LCP", {pppProtocol, 0x8021}: "PPP IPCP", {pppProtocol, 0x8057}: "PPP IPv6CP", {pppProtocol, 0xc023}: "PPP PAP",
	{pppProtocol, 0xc223}: "PPP CHAP", {pppProtocol, 0x00fd}: "PPP compressed or encrypted",
	{greProtocol, 0x0000}: "GRE keepalive", {greProtocol, 0x6400}: "EoIP",
	{ipProtocol, 1}: "ICMP", {ipProtocol, 2}: "IGMP", {ipProtocol, 50}: "ESP", {ipProtocol, 58}: "ICMPv6", {ipProtocol, 59}: "IPv6 without payload",
	{ipProtocol, 88}: "EIGRP", {ipProtocol, 89}: "OSPF", {ipProtocol, 103}: "PIM", {ipProtocol, 112}: "VRRP", {ipProtocol, 115}: "L2TP", {ipProtocol, 132}: "SCTP",
	{udpDatagram, 0}: "UDP", {otherKind, 0}: "other",
}

// String returns the name of the protocol, or where its number is from and the number.
func (k Kind) String() string {
	if name := kindNames[k]; name != "" {
		return name
	}
	return fmt.Sprintf(layerNames[k.layer], k.number)
}

// maxKinds bounds the kinds that are counted apart.
const maxKinds = 256

// skip counts a packet that is not looked into.
func (d *Decoder) skip(l layer, number uint16) {
	k := Kind{l, number}
	if _, known := d.skipped[k]; !known && len(d.skipped) >= maxKinds {
		k = Kind{otherKind, 0}
	}
	if d.skipped == nil {
		d.skipped = make(map[Kind]int64)
	}
	d.skipped[k]++
}

// A Count is how many packets of a kind there were.
type Count struct {
	Kind    Kind
	Packets int64
}

// Skipped returns how many packets were not looked into, by kind, most first.
func (d *Decoder) Skipped() []Count {
	var list []Count
	for k, n := range d.skipped {
		list = append(list, Count{k, n})
	}
	slices.SortFunc(list, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Kind.layer, b.Kind.layer), cmp.Compare(a.Kind.number, b.Kind.number))
	})
	return list
}
