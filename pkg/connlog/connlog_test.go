package connlog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/inflate"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Lines that AWS documents, and lines found in public repositories.
const (
	docSuccess = `2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 "CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US" NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z FEF257372D5C14D4 Success TID_3180a73013c8ca4bac2f731159d4b0fe`
	docFailed  = `2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 - "CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US" NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z FEF257372D5C14D4 Failed:ClientCertUntrusted TID_1c71a68d70587445ad5127ff8b2687d7`
	plainHTTP  = `2025-07-18T12:51:25.299253Z 52.34.228.235 38910 80 - - - "-" - - - TID_3f9ddfa803beb546812b02872b46c30b`
	fields15   = `2026-09-23T07:11:27.691358Z 49.36.71.40 64326 443 TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 0.337 "-" - - Success TID_9f39d9aa6a47774d97089313f949866b secp256r1 app/k8s-tileserver-617dd1df30/98e3a879de9d6b42 3.228.177.57`
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

// docEntry is the documented line as an entry, which the table below varies.
func docEntry() Entry {
	return Entry{
		Time:             at("2023-10-04T17:05:15.514108Z"),
		Client:           netip.MustParseAddr("203.0.113.1"),
		ClientPort:       36280,
		ListenerPort:     443,
		Protocol:         "TLSv1.2",
		Cipher:           "ECDHE-RSA-AES128-GCM-SHA256",
		HandshakeLatency: 4036 * time.Millisecond,
		HasLatency:       true,
		ClientCert: ClientCert{
			Subject:   []byte("CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US"),
			Validity:  []byte("NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z"),
			NotBefore: at("2023-09-21T22:43:21Z"),
			NotAfter:  at("2026-06-17T22:43:21Z"),
			Serial:    []byte("FEF257372D5C14D4"),
		},
		Status:  StatusSuccess,
		TraceID: []byte("TID_3180a73013c8ca4bac2f731159d4b0fe"),
	}
}

var diffEntry = []cmp.Option{cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}

func TestParse(t *testing.T) {
	vary := func(f func(*Entry)) Entry { e := docEntry(); f(&e); return e }
	swap := func(old, new string) string {
		if !strings.Contains(docSuccess, old) {
			t.Fatalf("%q is not in the line", old)
		}
		return strings.Replace(docSuccess, old, new, 1)
	}
	tests := []struct {
		name, line string
		want       Entry
	}{
		{"12 fields", docSuccess, docEntry()},
		{"failed", docFailed, vary(func(e *Entry) {
			e.HandshakeLatency, e.HasLatency = 0, false
			e.Status, e.TraceID = "Failed:ClientCertUntrusted", []byte("TID_1c71a68d70587445ad5127ff8b2687d7")
		})},
		{"11 fields", swap(" TID_3180a73013c8ca4bac2f731159d4b0fe", ""), vary(func(e *Entry) { e.TraceID = nil })},
		{"11 fields and a space", swap(" TID_3180a73013c8ca4bac2f731159d4b0fe", " "), vary(func(e *Entry) { e.TraceID = nil })},
		{"13 fields", docSuccess + " X25519MLKEM768", vary(func(e *Entry) { e.KeyExchange = "X25519MLKEM768" })},
		{"14 fields", docSuccess + " secp256r1 app/a/1", vary(func(e *Entry) { e.KeyExchange, e.LoadBalancer = "secp256r1", "app/a/1" })},
		{"15 fields", docSuccess + " secp256r1 app/a/1 192.0.2.1", vary(func(e *Entry) {
			e.KeyExchange, e.LoadBalancer, e.Node = "secp256r1", "app/a/1", "192.0.2.1"
		})},
		{"unknown tail", docSuccess + ` - - - "-" - "new field" "and a broken one`, docEntry()},
		{"quote in an unknown field", docSuccess + ` secp256r1 app/a/1 192.0.2.1 a"b`, vary(func(e *Entry) {
			e.KeyExchange, e.LoadBalancer, e.Node = "secp256r1", "app/a/1", "192.0.2.1"
		})},
		{"placeholder before a field is released", docSuccess + ` -`, docEntry()},
		{"quoted placeholder", docSuccess + ` "-"`, docEntry()},
		{"plain HTTP", plainHTTP, Entry{
			Time: at("2025-07-18T12:51:25.299253Z"), Client: netip.MustParseAddr("52.34.228.235"),
			ClientPort: 38910, ListenerPort: 80, TraceID: []byte("TID_3f9ddfa803beb546812b02872b46c30b"),
		}},
		{"space in the subject", swap("O=endEntity", "O=Company LLC"), vary(func(e *Entry) {
			e.ClientCert.Subject = []byte("CN=amazondomains.com,O=Company LLC,L=Seattle,ST=Washington,C=US")
		})},
		{"escaped quote in the subject", swap("O=endEntity", `O=the \"best\" \\`), vary(func(e *Entry) {
			e.ClientCert.Subject = []byte(`CN=amazondomains.com,O=the \"best\" \\,L=Seattle,ST=Washington,C=US`)
		})},
		{"invalid UTF-8 and NUL in the subject", swap("O=endEntity", "O=\xff\x00"), vary(func(e *Entry) {
			e.ClientCert.Subject = []byte("CN=amazondomains.com,O=\xff\x00,L=Seattle,ST=Washington,C=US")
		})},
		{"quotes on other fields", `"2023-10-04T17:05:15.514108Z" "203.0.113.1" "36280" "443" "TLSv1.2" "ECDHE-RSA-AES128-GCM-SHA256" "4.036" ` + docSuccess[strings.Index(docSuccess, `"CN`):], docEntry()},
		{"quoted status", swap("Success", `"Failed:ClientCertExpired"`), vary(func(e *Entry) { e.Status = "Failed:ClientCertExpired" })},
		{"unquoted dash for the subject", `2023-10-04T17:05:15Z 203.0.113.1 1 443 - - - - - - Failed:UnmappedConnectionError`, Entry{
			Time: at("2023-10-04T17:05:15Z"), Client: netip.MustParseAddr("203.0.113.1"), ClientPort: 1, ListenerPort: 443, Status: "Failed:UnmappedConnectionError",
		}},
		{"IPv6", swap("203.0.113.1", "2001:DB8::1"), vary(func(e *Entry) { e.Client = netip.MustParseAddr("2001:db8::1") })},
		{"bracketed IPv6", swap("203.0.113.1", "[2001:db8::1]"), vary(func(e *Entry) { e.Client = netip.MustParseAddr("2001:db8::1") })},
		{"IPv4 in IPv6", swap("203.0.113.1", "::ffff:203.0.113.1"), docEntry()},
		{"no client", swap("203.0.113.1 36280 443", "- - -"), vary(func(e *Entry) { e.Client, e.ClientPort, e.ListenerPort = netip.Addr{}, 0, 0 })},
		{"unknown names", swap("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256", "TLSv9 KYBER!"), vary(func(e *Entry) { e.Protocol, e.Cipher = "TLSv9", "KYBER!" })},
		{"whole seconds", swap("15.514108Z", "15Z"), vary(func(e *Entry) { e.Time = at("2023-10-04T17:05:15Z") })},
		{"more than nanoseconds", swap("15.514108Z", "15.51410812345Z"), vary(func(e *Entry) { e.Time = at("2023-10-04T17:05:15.514108123Z") })},
		{"1970", swap("2023-10-04T", "1970-01-01T"), vary(func(e *Entry) { e.Time = at("1970-01-01T17:05:15.514108Z") })},
		{"2099", swap("2023-10-04T", "2099-12-31T"), vary(func(e *Entry) { e.Time = at("2099-12-31T17:05:15.514108Z") })},
		{"zero latency", swap("4.036", "0.000"), vary(func(e *Entry) { e.HandshakeLatency = 0 })},
		{"validity without its first name", swap("NotBefore=", "from="), vary(func(e *Entry) {
			e.ClientCert.Validity, e.ClientCert.NotBefore, e.ClientCert.NotAfter = nil, time.Time{}, time.Time{}
		})},
		{"validity without its second name", swap(";NotAfter=", ";"), vary(func(e *Entry) {
			e.ClientCert.Validity, e.ClientCert.NotBefore, e.ClientCert.NotAfter = nil, time.Time{}, time.Time{}
		})},
		{"serial number with colons", swap("FEF2", "FE:F2"), vary(func(e *Entry) { e.ClientCert.Serial = nil })},
		{"serial number without digits", swap("FEF257372D5C14D4", "-0x"), vary(func(e *Entry) { e.ClientCert.Serial = nil })},
		{"strange validity", swap("NotAfter=2026-06-17T22:43:21Z", "NotAfter=never"), vary(func(e *Entry) {
			e.ClientCert.Validity = []byte("NotBefore=2023-09-21T22:43:21Z;NotAfter=never")
			e.ClientCert.NotBefore, e.ClientCert.NotAfter = time.Time{}, time.Time{}
		})},
	}
	var p Parser
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := Entry{Protocol: "left over", HasLatency: true}
			if err := p.Parse([]byte(test.line), &got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, got, diffEntry...); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	long := strings.Repeat("9", 100)
	tests := []struct {
		line  string
		field string
		kind  error
		text  string
	}{
		{``, "", errFieldCount, ""},
		{`x`, "", errFieldCount, "x"},
		{docSuccess[:strings.Index(docSuccess, " Success")], "", errFieldCount, docSuccess[:64] + "..."},
		{strings.Replace(docSuccess, "2023-10-04T", "2023-02-30T", 1), "timestamp", errTime, "2023-02-30T17:05:15.514108Z"},
		{strings.Replace(docSuccess, "17:05:15", "24:05:15", 1), "timestamp", errTime, "2023-10-04T24:05:15.514108Z"},
		{strings.Replace(docSuccess, "17:05:15", "17:05:60", 1), "timestamp", errTime, "2023-10-04T17:05:60.514108Z"},
		{strings.Replace(docSuccess, "514108Z", "514108+01:00", 1), "timestamp", errTime, "2023-10-04T17:05:15.514108+01:00"},
		{strings.Replace(docSuccess, ".514108Z", ".Z", 1), "timestamp", errTime, "2023-10-04T17:05:15.Z"},
		{"\x00" + docSuccess[1:], "timestamp", errTime, "\x00023-10-04T17:05:15.514108Z"},
		{strings.Repeat("\x00", 16) + docSuccess[16:], "timestamp", errTime, strings.Repeat("\x00", 16) + ":15.514108Z"},
		{strings.Replace(docSuccess, "203.0.113.1", "203.0.113", 1), "client_ip", errAddr, "203.0.113"},
		{strings.Replace(docSuccess, "203.0.113.1", "203.0.113.001", 1), "client_ip", errAddr, "203.0.113.001"},
		{strings.Replace(docSuccess, "203.0.113.1", "fe80::1%eth0", 1), "client_ip", errAddr, "fe80::1%eth0"},
		{strings.Replace(docSuccess, "36280", "65536", 1), "client_port", errPort, "65536"},
		{strings.Replace(docSuccess, " 443", " https", 1), "listener_port", errPort, "https"},
		{strings.Replace(docSuccess, " 443", " 443/", 1), "listener_port", errPort, "443/"},
		{strings.Replace(docSuccess, "4.036", "4,036", 1), "tls_handshake_latency", errLatency, "4,036"},
		{strings.Replace(docSuccess, "4.036", long, 1), "tls_handshake_latency", errLatency, long[:64] + "..."},
		{strings.Replace(docSuccess, `C=US" `, `C=US `, 1), "leaf_client_cert_subject", errQuote, `"CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US N...`},
		{strings.Replace(docSuccess, `C=US" `, `C=US"x`, 1), "leaf_client_cert_subject", errQuote, `"CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US"x...`},
		{strings.Replace(docSuccess, " 443 ", "  443 ", 1), "listener_port", errEmpty, docSuccess[strings.Index(docSuccess, " 443"):][:64] + "..."},
		{docSuccess + ` "x`, "tls_keyexchange", errQuote, `"x`},
	}
	var p Parser
	for _, test := range tests {
		var e Entry
		err := p.Parse([]byte(test.line), &e)
		var got *ParseError
		if !errors.As(err, &got) {
			t.Errorf("%q: got %v, want a ParseError", test.line, err)
			continue
		}
		if !errors.Is(err, test.kind) || got.Field != test.field || got.Line != 0 {
			t.Errorf("%q:\n got %v\nwant %q: %v", test.line, err, test.field, test.kind)
		}
		if got.text != test.text {
			t.Errorf("%q: text\n got %q\nwant %q", test.line, got.text, test.text)
		}
	}
}

// A client chooses the subject of its certificate. If the log does not escape a
// quote in it, the following fields are shifted and the line is malformed: a client
// must not choose the outcome of its own connection.
func TestShiftedFields(t *testing.T) {
	const rest = " TID_1c71a68d70587445ad5127ff8b2687d7 secp256r1 app/a/1 192.0.2.1"
	line := strings.Replace(docFailed, " TID_1c71a68d70587445ad5127ff8b2687d7", rest, 1)
	forged := `CN=x" NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z 01 Success` + rest
	subjects := []string{
		`CN=a"b`, `CN=a" b`, `CN=a" `, `" b`, `CN=a" "b`, `CN=a" - b`, `CN=a" - - b`, `CN=a" - - Success`,
		`-" - - Success TID_1c71a68d70587445ad5127ff8b2687d`, // and the quote: as long as a trace ID
		`CN=a" NotBefore=1;NotAfter=2 b`, `CN=a" NotBefore=1;NotAfter=2 01 Success`,
		forged, forged + " x", forged + " x y", forged + ` "x`, forged + ` x "y`, strings.TrimSuffix(forged, "192.0.2.1") + `"n`,
		`CN=a" "v`, `CN=a" NotBefore=1;NotAfter=2 "01`, `CN=a" v "01`, `CN=a" v 01 "Success`, `CN=a" v 01 Success "t`,
		`-" - - Success` + rest + " x", `-" - - Success` + rest + ` "x`,
	}
	for i := range len(forged) {
		if forged[i] == ' ' {
			subjects = append(subjects, forged[:i], forged[:i+1])
		}
	}
	var p Parser
	for _, subject := range subjects {
		for _, line := range []string{line, docFailed, strings.TrimSuffix(docFailed, " TID_1c71a68d70587445ad5127ff8b2687d7")} {
			shifted := strings.Replace(line, "CN=amazondomains.com", subject, 1)
			var e Entry
			if err := p.Parse([]byte(shifted), &e); err == nil {
				t.Errorf("%s\nis taken for %+v", shifted, e)
			}
		}
	}
}

// The load balancer becomes part of object keys, dimensions and messages. A line is
// malformed if it does not have the documented form.
func TestLoadBalancerForm(t *testing.T) {
	long := strings.Repeat("n", 33)
	var p Parser
	for id, ok := range map[string]bool{
		"app/my-loadbalancer/50dc6c495c0c9188": true, "net/a/1": true, "app/" + long[1:] + "/" + long[1:]: true, "-": true, `"app/a/1"`: true,
		"app/a/1\x01": false, "app/\x1b[2J/1": false, "app/a\x00/1": false, "app/a/\u0085": false, "app/\u202e/1": false, "app/a/1\x7f": false,
		"app/" + long + "/1": false, "app/a/" + long: false, "app/a": false, "app//1": false, "app/a/": false, "app/a/1/2": false, "app/a/F": false,
		"gwy/a/1": false, "a": false, "../a/1": false, "app/../1": false, "app/a_b/1": false, `app/"/1`: false, `"app/a b/1"`: false,
	} {
		line := docSuccess + " secp256r1 " + id
		for _, line := range []string{line, line + " 192.0.2.1", line + " 192.0.2.1 new"} {
			var e Entry
			err := p.Parse([]byte(line), &e)
			if (err == nil) != ok || ok && id[0] != '-' && e.LoadBalancer != strings.Trim(id, `"`) {
				t.Errorf("%q: %q, %v", line, e.LoadBalancer, err)
			}
		}
	}
}

const arnPrefix = "arn:aws:elasticloadbalancing:us-east-2:123456789012:loadbalancer/"

// The ARN names the load balancer, too. Any other value invalidates the line, unless
// the caller knows the load balancer. Quotes and shifted fields invalidate it all the
// same, and Reset ends the exception.
func TestIgnoreLoadBalancer(t *testing.T) {
	native := func(elb string) string { return docSuccess + " secp256r1 " + elb + " 192.0.2.1" }
	asJSON := func(elb string) string {
		return `{"time":"2026-09-23T07:11:27Z","tls_verify_status":"Success","tls_protocol":"TLSv1.3","elb":"` + elb + `"}`
	}
	r := NewReader(nil)
	for _, line := range []func(string) string{native, asJSON} {
		for elb, want := range map[string]string{"app/a/1": "app/a/1", arnPrefix + "app/a/1": "app/a/1", arnPrefix + "gwy/a/1": "", "arn:aws": "", "bare-name": "", "app/a/1F": ""} {
			for _, known := range []bool{false, true, false} {
				r.Reset(strings.NewReader(strings.Repeat(line(elb)+"\n", 3)))
				if known {
					r.IgnoreLoadBalancer()
				}
				for range 3 {
					var e Entry
					err := r.Read(&e)
					if ok := known || want != ""; (err == nil) != ok || ok && (e.LoadBalancer != want || e.Status != StatusSuccess) {
						t.Errorf("%q, known %v: %q, %q, %v", line(elb), known, e.LoadBalancer, e.Status, err)
					}
				}
			}
		}
	}
	for _, elb := range []string{`a"b`, `"x`, "x NotBefore=1;NotAfter=2"} {
		r.Reset(strings.NewReader(native(elb)))
		r.IgnoreLoadBalancer()
		if err := r.Read(new(Entry)); !errors.Is(err, errQuote) {
			t.Errorf("%q: %v", elb, err)
		}
	}
}

// Every strict prefix of a line is an error, or lacks optional fields. It is never
// read as something else.
func TestParsePrefixes(t *testing.T) {
	var p Parser
	var e Entry
	eleven := strings.Index(docSuccess, "Success")
	for n := range eleven {
		if err := p.Parse([]byte(docSuccess[:n]), &e); err == nil {
			t.Errorf("accepted the first %d bytes: %q", n, docSuccess[:n])
		}
	}
}

func TestEntryMethods(t *testing.T) {
	for _, test := range []struct {
		status, protocol string
		tls, failed      bool
		reason           string
	}{
		{"", "", false, false, ""},
		{"", "TLSv1.3", true, false, ""},
		{"Success", "TLSv1.3", true, false, ""},
		{"Failed:X", "", true, true, "X"},
		{"Failed:", "", true, true, ""},
		{"Failure", "", true, false, ""},
	} {
		e := Entry{Status: test.status, Protocol: test.protocol}
		if e.TLS() != test.tls || e.Failed() != test.failed || e.Reason() != test.reason {
			t.Errorf("%+v: got TLS %v, Failed %v, Reason %q", test, e.TLS(), e.Failed(), e.Reason())
		}
	}
}

func gzipped(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.Bytes()
}

// readAll reads to the end and returns the number of entries and all errors.
func readAll(r *Reader) (entries int, malformed []error, err error) {
	var e Entry
	for {
		err := r.Read(&e)
		var pe *ParseError
		switch {
		case err == nil:
			entries++
		case err == io.EOF:
			return entries, malformed, nil
		case errors.As(err, &pe):
			malformed = append(malformed, err)
		default:
			return entries, malformed, err
		}
	}
}

func TestReader(t *testing.T) {
	junk := string(gzipped(strings.Repeat("binary \x00\xff", 100)))
	big := strings.Replace(docSuccess, "O=endEntity", "O="+strings.Repeat("x", 1<<20), 1)
	limit := strings.Replace(docSuccess, "O=endEntity", "O=", 1)
	limit = strings.Replace(limit, "O=", "O="+strings.Repeat("x", MaxLineBytes-len(limit)), 1)
	tests := []struct {
		name      string
		in        string
		entries   int
		malformed []string // by line number and kind
		lines     int
	}{
		{"empty", "", 0, nil, 0},
		{"one byte", "\x1f", 0, []string{"1 " + errFieldCount.Error()}, 1},
		{"no line feed at the end", docSuccess, 1, nil, 1},
		{"line feeds", docSuccess + "\n" + docFailed + "\n", 2, nil, 2},
		{"carriage returns", docSuccess + "\r\n" + docFailed + "\r\n" + docFailed + "\r", 3, nil, 3},
		{"blank lines", "\n\r\n" + docSuccess + "\n\n", 1, nil, 4},
		{"runs of blank lines", strings.Repeat("\n", 21) + docSuccess + strings.Repeat("\r\n", 11) + "\n\r\n\n" + docFailed + "\nx", 2, []string{"37 " + errFieldCount.Error()}, 37},
		{"malformed among good", docSuccess + "\nx\n" + docFailed, 2, []string{"2 " + errFieldCount.Error()}, 3},
		{"NUL bytes", docSuccess + "\n\x00\x00\n" + docFailed, 2, []string{"2 " + errFieldCount.Error()}, 3},
		{"1 MiB line", docSuccess + "\n" + big + "\n" + docFailed + "\n", 2, []string{"2 " + errLineTooLong.Error()}, 3},
		{"1 MiB line at the end", docSuccess + "\n" + big, 1, []string{"2 " + errLineTooLong.Error()}, 2},
		{"line at the limit", limit + "\r\n" + limit, 2, nil, 2},
		{"line over the limit", limit + "x\n" + docSuccess, 1, []string{"1 " + errLineTooLong.Error()}, 2},
		{"binary junk", junk[10:], 0, []string{"1 " + errFieldCount.Error()}, 1},
	}
	forms := []struct {
		name string
		make func(string) io.Reader
	}{
		{"plain", func(s string) io.Reader { return strings.NewReader(s) }},
		{"gzip", func(s string) io.Reader { return bytes.NewReader(gzipped(s)) }},
		{"gzip of two members", func(s string) io.Reader {
			return bytes.NewReader(append(gzipped(s[:len(s)/2]), gzipped(s[len(s)/2:])...))
		}},
		{"gzip byte by byte", func(s string) io.Reader { return iotest.OneByteReader(bytes.NewReader(gzipped(s))) }},
		{"plain in halves", func(s string) io.Reader { return iotest.HalfReader(strings.NewReader(s)) }},
		{"plain, data with EOF", func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) }},
	}
	alone, ahead := NewReader(strings.NewReader("")), NewReader(strings.NewReader(""), ReadAhead)
	for i := range 2 * len(tests) {
		test, r, suffix := tests[i/2], alone, ""
		if i%2 == 1 {
			r, suffix = ahead, ", read ahead"
		}
		for _, form := range forms {
			t.Run(test.name+"/"+form.name+suffix, func(t *testing.T) {
				r.Reset(form.make(test.in))
				entries, malformed, err := readAll(r)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, err := range malformed {
					pe := err.(*ParseError)
					got = append(got, fmt.Sprint(pe.Line, " ", pe.Err))
				}
				if entries != test.entries || cmp.Diff(test.malformed, got) != "" || r.Lines() != test.lines || r.Bytes() != int64(len(test.in)) {
					t.Errorf("got %d entries, malformed %q, %d lines, %d bytes\nwant %d, %q, %d, %d",
						entries, got, r.Lines(), r.Bytes(), test.entries, test.malformed, test.lines, len(test.in))
				}
			})
		}
	}
}

// A gzip stream that is truncated anywhere is an error. With a flipped bit, the
// outcome is that of compress/gzip, because some bits of header and padding have no
// meaning; without its magic number, the object is text.
func TestReaderBrokenGzip(t *testing.T) {
	var log bytes.Buffer
	if err := connlogtest.Write(&log, connlogtest.Options{Lines: 60}); err != nil {
		t.Fatal(err)
	}
	whole := gzipped(log.String())
	r := NewReader(nil)
	for n := 2; n < len(whole); n++ {
		r.Reset(bytes.NewReader(whole[:n]))
		if _, _, err := readAll(r); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d of %d: got %v", n, len(whole), err)
		}
	}
	for bit := range len(whole) * 8 {
		flipped := bytes.Clone(whole)
		flipped[bit/8] ^= 1 << (bit % 8)
		r.Reset(bytes.NewReader(flipped))
		entries, malformed, err := readAll(r)
		z, want := gzip.NewReader(bytes.NewReader(flipped))
		if want == nil {
			_, want = io.Copy(io.Discard, z)
		}
		switch magic := bit/8 < 2; {
		case magic && err == nil && entries == 0 && len(malformed) > 0:
		case !magic && want != nil && errors.Is(err, ErrCorrupt):
		case !magic && want == nil && err == nil && entries == 60:
		default:
			t.Fatalf("bit %d of byte %d: %d entries, %d malformed, error %v; compress/gzip says %v", bit%8, bit/8, entries, len(malformed), err, want)
		}
	}
}

// A goroutine that decompresses ahead gives the same lines, of any length. It ends
// with the stream, or when the Reader is reset.
func TestReaderPipelined(t *testing.T) {
	var log strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		log.WriteString(strings.Replace(docSuccess, "O=endEntity", "O="+strings.Repeat("x", random.IntN(1<<(5+random.IntN(13)))), 1) + "\n")
		log.WriteString(strings.Repeat(docFailed+"\n", random.IntN(100)))
	}
	packed := gzipped(log.String())
	alone, ahead := NewReader(nil), NewReader(nil, ReadAhead)
	for _, data := range [][]byte{packed, packed[:len(packed)-100], append(packed, "garbage"...)} {
		alone.Reset(bytes.NewReader(data))
		entries, malformed, err := readAll(alone)
		ahead.Reset(bytes.NewReader(data))
		entries2, malformed2, err2 := readAll(ahead)
		if entries != entries2 || fmt.Sprint(malformed) != fmt.Sprint(malformed2) || fmt.Sprint(err) != fmt.Sprint(err2) || ahead.Bytes() != alone.Bytes() {
			t.Errorf("got %d entries, %d malformed, error %v; want %d, %d, %v", entries2, len(malformed2), err2, entries, len(malformed), err)
		}
		if len(malformed) == 0 {
			t.Error("no line is too long")
		}
	}
	before := runtime.NumGoroutine()
	var e Entry
	for range 100 {
		ahead.Reset(bytes.NewReader(packed))
		if err := ahead.Read(&e); err != nil {
			t.Fatal(err)
		}
	}
	ahead.Reset(nil)
	for range 1000 { // the last one may still be ending
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// Text beyond the limit has its own error: the object is not corrupt.
func TestReaderLimit(t *testing.T) {
	log := strings.Repeat(docSuccess+"\n", 5000)
	for _, data := range [][]byte{[]byte(log), gzipped(log)} {
		for _, ahead := range []bool{false, true} {
			for limit, want := range map[int64]error{0: nil, 1: ErrTooLarge, int64(len(log)) - 1: ErrTooLarge, int64(len(log)): nil} {
				options := []Option{Limit(limit)}
				if ahead {
					options = append(options, ReadAhead)
				}
				r := NewReader(bytes.NewReader(data), options...)
				n, _, err := readAll(r)
				if !errors.Is(err, want) || errors.Is(err, ErrCorrupt) || want == nil && n != 5000 || r.Bytes() > limit+inflate.MaxKeep*2 && want != nil {
					t.Errorf("limit %d: %d entries of %d bytes, error %v", limit, n, r.Bytes(), err)
				}
			}
		}
	}
}

// An error of the underlying reader is returned, so that a broken transfer is not
// taken for a corrupt object.
func TestReaderSourceError(t *testing.T) {
	lost := errors.New("connection lost")
	for _, data := range [][]byte{nil, gzipped(docSuccess)[:20], []byte(docSuccess), []byte(docSuccess + "\n" + docFailed)} {
		r := NewReader(io.MultiReader(bytes.NewReader(data), iotest.ErrReader(lost)))
		_, _, err := readAll(r)
		if !errors.Is(err, lost) || errors.Is(err, ErrCorrupt) {
			t.Errorf("after %d bytes: got %v", len(data), err)
		}
	}
}

func TestReaderGarbageAfterGzip(t *testing.T) {
	r := NewReader(bytes.NewReader(append(gzipped(docSuccess+"\n"), "garbage"...)))
	if n, _, err := readAll(r); n != 1 || !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %d entries, error %v", n, err)
	}
}

// The files of testdata are real or documented logs. The golden file of each shows
// how it is read.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		r := NewReader(bytes.NewReader(data))
		var e Entry
		for {
			err := r.Read(&e)
			if err == io.EOF {
				break
			}
			if err != nil {
				fmt.Fprintf(&out, "%v\n", err)
				continue
			}
			fmt.Fprintf(&out, "%s %s:%d -> %d %q %q latency %v %v cert %q %s..%s %q status %q trace %q group %q lb %q node %q name %q\n",
				e.Time.Format(time.RFC3339Nano), e.Client, e.ClientPort, e.ListenerPort, e.Protocol, e.Cipher, e.HandshakeLatency, e.HasLatency,
				e.ClientCert.Subject, e.ClientCert.NotBefore.Format(time.RFC3339), e.ClientCert.NotAfter.Format(time.RFC3339), e.ClientCert.Serial,
				e.Status, e.TraceID, e.KeyExchange, e.LoadBalancer, e.Node, e.ServerName)
		}
		golden := strings.TrimSuffix(name, ".log") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(out.String()), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), out.String()); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
	}
}

func TestNames(t *testing.T) {
	var names names
	for i := range 3 * maxNames {
		text := fmt.Sprintf("name-%d", i)
		if got := names.intern([]byte(text)); got != text {
			t.Fatalf("got %q for %q", got, text)
		}
	}
	if names.n != maxNames {
		t.Errorf("table has %d names, bound is %d", names.n, maxNames)
	}
	long := bytes.Repeat([]byte("x"), maxNameLen+1)
	if got := names.intern(long); got != string(long) {
		t.Errorf("long name came back as %q", got)
	}
	known := []byte("name-7")
	if n := testing.AllocsPerRun(100, func() { names.intern(known) }); n != 0 {
		t.Errorf("%v allocations for a known name", n)
	}
}
