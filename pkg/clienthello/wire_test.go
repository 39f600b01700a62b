package clienthello

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tlswatch/pkg/clienthello/capture"
)

// A flight is what one end of a real connection wrote at once.
type flight struct {
	client bool
	data   []byte
}

// A tap records the bytes of a connection.
type tap struct {
	net.Conn
	client bool
	log    *tapLog
}

type tapLog struct {
	mu      sync.Mutex
	flights []flight
}

func (t *tap) Write(b []byte) (int, error) {
	t.log.mu.Lock()
	t.log.flights = append(t.log.flights, flight{t.client, slices.Clone(b)})
	t.log.mu.Unlock()
	return t.Conn.Write(b)
}

var certificate = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"alb.example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
})

// exchange runs a handshake, a request and a reply between real TLS implementations. It
// returns what they wrote until the end or the first error.
func exchange(t testing.TB, client, server *tls.Config) []flight {
	t.Helper()
	cert, err := certificate()
	if err != nil {
		t.Fatal(err)
	}
	client, server = client.Clone(), server.Clone()
	if client.ServerName == "" {
		client.ServerName = "alb.example.test"
	}
	server.Certificates = []tls.Certificate{cert}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	a, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	log := new(tapLog)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := tls.Server(&tap{b, false, log}, server)
		defer b.Close()
		request := make([]byte, 100)
		n, err := s.Read(request)
		if err == nil {
			s.Write(bytes.ToUpper(request[:n]))
		}
	}()
	c := tls.Client(&tap{a, true, log}, client)
	if _, err := c.Write([]byte("ping")); err == nil {
		c.Read(make([]byte, 100))
	}
	a.Close()
	<-done
	return log.flights
}

func trusting() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// Flights of ordinary connections, made once.
var (
	hybrid    = sync.OnceValue(func() []flight { return exchange(new(testing.T), trusting(), &tls.Config{}) })
	classical = sync.OnceValue(func() []flight {
		c := trusting()
		c.MaxVersion = tls.VersionTLS12
		return exchange(new(testing.T), c, &tls.Config{})
	})
)

// A packet is an IP packet at a time.
type packet struct {
	at time.Time
	ip []byte
}

// A script makes the packets of a TCP connection.
type script struct {
	ends    [2]netip.AddrPort // client, server
	seq     [2]uint32
	at      time.Time
	packets []packet
	options []layers.TCPOption
}

var start = time.Date(2026, 11, 25, 10, 0, 0, 123456000, time.UTC)

func newScript(client, server string) *script {
	return &script{ends: [2]netip.AddrPort{netip.MustParseAddrPort(client), netip.MustParseAddrPort(server)}, seq: [2]uint32{0xfffffe00, 77}, at: start}
}

// usual is a script between the addresses that most tests use.
func usual() *script { return newScript("198.51.100.77:40000", "198.51.100.10:443") }

const fin, syn, rst, ack = capture.FIN, capture.SYN, capture.RST, capture.ACK

func index(client bool) int {
	if client {
		return 0
	}
	return 1
}

// segment adds a packet with the given sequence number.
func (s *script) segment(client bool, flags uint8, seq uint32, data []byte) {
	from, to := index(client), index(!client)
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(s.ends[from].Port()), DstPort: layers.TCPPort(s.ends[to].Port()),
		Seq: seq, Window: 65535, Options: s.options,
		FIN: flags&fin != 0, SYN: flags&syn != 0, RST: flags&rst != 0, ACK: flags&ack != 0, PSH: len(data) > 0,
	}
	if tcp.ACK {
		tcp.Ack = s.seq[to]
	}
	s.packets = append(s.packets, packet{s.at, ipPacket(s.ends[from].Addr(), s.ends[to].Addr(), layers.IPProtocolTCP, tcp, data)})
	s.at = s.at.Add(time.Millisecond)
}

func (s *script) open() *script {
	s.segment(true, syn, s.seq[0], nil)
	s.seq[0]++
	s.segment(false, syn|ack, s.seq[1], nil)
	s.seq[1]++
	s.segment(true, ack, s.seq[0], nil)
	return s
}

// send adds data in segments of at most size bytes.
func (s *script) send(client bool, data []byte, size int) {
	for chunk := range slices.Chunk(data, size) {
		s.segment(client, ack, s.seq[index(client)], chunk)
		s.seq[index(client)] += uint32(len(chunk))
	}
}

func (s *script) end(client bool, flag uint8) {
	s.segment(client, flag|ack, s.seq[index(client)], nil)
	s.seq[index(client)]++
}

// play adds a whole connection.
func (s *script) play(flights []flight, size int) *script {
	s.open()
	for _, f := range flights {
		s.send(f.client, f.data, size)
	}
	s.end(true, fin)
	s.end(false, fin)
	return s
}

func serialize(l ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, l...); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func ipPacket(src, dst netip.Addr, protocol layers.IPProtocol, transport gopacket.SerializableLayer, data []byte) []byte {
	if src.Is4() {
		return serialize(&layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}, transport, gopacket.Payload(data))
	}
	return serialize(&layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}, transport, gopacket.Payload(data))
}

func etherType(ip []byte) layers.EthernetType {
	if ip[0]>>4 == 4 {
		return layers.EthernetTypeIPv4
	}
	return layers.EthernetTypeIPv6
}

var mac = net.HardwareAddr{2, 0, 0, 0, 0, 1}

func ethernet(ip []byte) []byte {
	return serialize(&layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: etherType(ip)}, gopacket.Payload(ip))
}

// pcapOf writes packets as a pcap file.
func pcapOf(link layers.LinkType, frame func([]byte) []byte, packets []packet) []byte {
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	if err := w.WriteFileHeader(262144, link); err != nil {
		panic(err)
	}
	for _, p := range packets {
		data := p.ip
		if frame != nil {
			data = frame(p.ip)
		}
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: p.at, CaptureLength: len(data), Length: len(data)}, data); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func ethernetPcap(packets []packet) []byte {
	return pcapOf(layers.LinkTypeEthernet, ethernet, packets)
}

// snapped is ethernetPcap with a snap length.
func snapped(packets []packet, length int) []byte {
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	w.WriteFileHeader(uint32(length), layers.LinkTypeEthernet)
	for _, p := range packets {
		data := ethernet(p.ip)
		w.WritePacket(gopacket.CaptureInfo{Timestamp: p.at, CaptureLength: min(length, len(data)), Length: len(data)}, data[:min(length, len(data))])
	}
	return b.Bytes()
}

// track reads captures and returns what a Tracker reports about them.
func track(t testing.TB, o Options, captures ...[]byte) ([]*Handshake, Stats) {
	t.Helper()
	var all []*Handshake
	tracker := NewTracker(o, func(h *Handshake) error {
		all = append(all, h)
		return nil
	})
	for _, c := range captures {
		if err := tracker.Read(t.Context(), bytes.NewReader(c)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tracker.Close(); err != nil {
		t.Fatal(err)
	}
	checkEmpty(t, tracker)
	return all, tracker.Stats()
}

// checkEmpty checks that a closed Tracker has released everything.
func checkEmpty(t testing.TB, tracker *Tracker) {
	t.Helper()
	if tracker.held != 0 || tracker.waitingCost != 0 || len(tracker.waiting) != 0 || tracker.open.oldest != nil {
		t.Errorf("after Close: %d bytes held, %d wait, %d handshakes", tracker.held, tracker.waitingCost, len(tracker.waiting))
	}
}

// one is track for a capture of one handshake.
func one(t testing.TB, captures ...[]byte) *Handshake {
	t.Helper()
	all, stats := track(t, Options{}, captures...)
	if len(all) != 1 {
		t.Fatalf("%d handshakes, want 1; %+v", len(all), stats)
	}
	return all[0]
}

func equal[A, B ~uint16](t *testing.T, what string, got []A, want []B) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a A, b B) bool { return uint16(a) == uint16(b) }) {
		t.Errorf("%s: got %x, want %x", what, got, want)
	}
}
