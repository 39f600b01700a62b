// Package connlogtest serves tests and benchmarks. It writes connection logs from a
// seed ([Write]) and parses them in the slow and obvious way ([Reference]), so that
// tests can compare the fast parser with it. It uses none of the code that it tests.
package connlogtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Options describe a log. Zero values mean the defaults.
type Options struct {
	Seed         uint64
	Lines        int           // default 1000
	Start        time.Time     // time of the first line; default 2026-11-23 10:00 UTC
	Duration     time.Duration // from the first line to the last; default 5 minutes
	Clients      int           // number of ordinary clients; default Lines/20+1
	Fields       int           // 11, 12, 13 or 15; default 15
	LoadBalancer string        // default app/my-loadbalancer/1234567890abcdef
	Node         string        // default 192.0.2.10
}

func (o Options) withDefaults() Options {
	if o.Lines == 0 {
		o.Lines = 1000
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	}
	if o.Duration == 0 {
		o.Duration = 5 * time.Minute
	}
	if o.Clients == 0 {
		o.Clients = o.Lines/20 + 1
	}
	if o.Fields == 0 {
		o.Fields = 15
	}
	if o.LoadBalancer == "" {
		o.LoadBalancer = "app/my-loadbalancer/1234567890abcdef"
	}
	if o.Node == "" {
		o.Node = "192.0.2.10"
	}
	return o
}

// A kind of client: its share of the lines, and what they look like.
type kind struct {
	weight   int // lines in 1000
	client   func(*rand.Rand, Options) netip.Addr
	port     int
	protocol string
	cipher   string
	group    string
	subject  string // client certificate; "" for none
	validity string
	status   string
}

const (
	gcm128     = "ECDHE-RSA-AES128-GCM-SHA256"
	gcm256     = "ECDHE-RSA-AES256-GCM-SHA384"
	tls13      = "TLS_AES_128_GCM_SHA256"
	validLong  = "NotBefore=2026-01-02T19:17:20Z;NotAfter=2027-01-02T19:17:20Z"
	validEnded = "NotBefore=2026-01-02T19:17:20Z;NotAfter=2026-04-02T19:17:20Z"
)

// The mix: 83 % successes, failures with and without a negotiated protocol,
// some mutual TLS with spaces and escapes in the subject, some plain HTTP.
var kinds = []kind{
	{430, anyClient, 443, "TLSv1.3", tls13, "X25519MLKEM768", "", "", "Success"},
	{180, anyClient, 443, "TLSv1.3", tls13, "x25519", "", "", "Success"},
	{150, anyClient, 443, "TLSv1.2", gcm128, "secp256r1", "", "", "Success"},
	{40, v6Client, 443, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "x25519", "", "", "Success"},
	{30, fewClients(198, 51, 100, 20, 6), 8443, "TLSv1.2", gcm256, "secp384r1", "CN=device-17.example.com,OU=IT,O=Company LLC,L=City,ST=State,C=US", validLong, "Success"},
	{35, anyClient, 80, "-", "-", "-", "", "", "-"},
	{52, fewClients(203, 0, 113, 7, 3), 443, "TLSv1.2", "ECDHE-RSA-AES256-SHA", "-", "", "", "Failed:UnmappedConnectionError"},
	{12, fewClients(203, 0, 113, 40, 2), 443, "TLSv1.1", "ECDHE-RSA-AES128-SHA", "-", "", "", "Failed:UnmappedConnectionError"},
	{20, fewClients(198, 51, 100, 40, 2), 8443, "TLSv1.2", gcm256, "secp384r1", "CN=till-4.example.com,O=Sm\\\"ith \\, Sons,C=GB", validEnded, "Failed:ClientCertExpired"},
	{6, fewClients(198, 51, 100, 60, 1), 8443, "TLSv1.2", gcm256, "secp384r1", "CN=unknown,O=Elsewhere", validLong, "Failed:ClientCertUntrusted"},
	{8, v6Legacy, 443, "TLSv1.2", "AES256-SHA", "-", "", "", "Failed:UnmappedConnectionError"},
	{37, scanner, 443, "-", "-", "-", "", "", "Failed:UnmappedConnectionError"},
}

// anyClient picks from a population in which a few clients make most connections.
func anyClient(r *rand.Rand, o Options) netip.Addr {
	u := r.Float64()
	n := uint32(u * u * u * float64(o.Clients))
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// fewClients picks from n consecutive addresses, the first one more often.
func fewClients(a, b, c, first byte, n uint32) func(*rand.Rand, Options) netip.Addr {
	return func(r *rand.Rand, _ Options) netip.Addr {
		return netip.AddrFrom4([4]byte{a, b, c, first + byte(r.Uint32N(n)*r.Uint32N(2))})
	}
}

func v6Client(r *rand.Rand, _ Options) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, byte(r.Uint32N(40)), 0, 0, 15: byte(r.Uint32N(200))})
}

// v6Legacy is one household whose devices change their interface identifiers.
func v6Legacy(r *rand.Rand, _ Options) netip.Addr {
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8, 0xbe, 0xef, 0, 1}
	for i := 8; i < 16; i++ {
		a[i] = byte(r.Uint32())
	}
	return netip.AddrFrom16(a)
}

// scanner connects once from each of many addresses.
func scanner(r *rand.Rand, _ Options) netip.Addr {
	return netip.AddrFrom4([4]byte{100, 64 + byte(r.Uint32N(64)), byte(r.Uint32()), byte(r.Uint32())})
}

// Log returns what [Write] writes.
func Log(o Options) []byte {
	var b bytes.Buffer
	Write(&b, o) // a Buffer does not fail
	return b.Bytes()
}

// Write writes a log. The same options give the same bytes.
func Write(w io.Writer, o Options) error {
	o = o.withDefaults()
	r := rand.New(rand.NewPCG(o.Seed, 0x9e3779b97f4a7c15))
	bw := bufio.NewWriterSize(w, 1<<16)
	for i := range o.Lines {
		at := o.Start.Add(time.Duration(float64(o.Duration-time.Second) * float64(i) / float64(o.Lines)))
		k := pick(r)
		latency, subject, validity, serial := "-", `"-"`, "-", "-"
		if k.status == "Success" {
			latency = fmt.Sprintf("%.3f", 0.002+0.04*r.ExpFloat64())
		}
		if k.subject != "" {
			subject, validity, serial = `"`+k.subject+`"`, k.validity, fmt.Sprintf("%016X", r.Uint64())
		}
		fmt.Fprintf(bw, "%s %s %d %d %s %s %s %s %s %s %s",
			at.Format("2006-01-02T15:04:05.000000Z"), k.client(r, o), 1024+r.IntN(64000), k.port,
			k.protocol, k.cipher, latency, subject, validity, serial, k.status)
		if o.Fields >= 12 {
			fmt.Fprintf(bw, " TID_%016x%016x", r.Uint64(), r.Uint64())
		}
		if o.Fields >= 13 {
			bw.WriteString(" " + k.group)
		}
		if o.Fields >= 15 {
			bw.WriteString(" " + o.LoadBalancer + " " + o.Node)
		}
		bw.WriteByte('\n')
	}
	return bw.Flush()
}

// pick returns a random kind of client by weight.
func pick(r *rand.Rand) kind {
	n := r.IntN(1000)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			return k
		}
	}
	return kinds[0]
}
