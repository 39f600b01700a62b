package connlog

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"

	"tlswatch/pkg/logkey"
)

// entries reads a log that has only valid lines.
func entries(t *testing.T, text string) (list []Entry, format string) {
	t.Helper()
	r := NewReader(strings.NewReader(text))
	for {
		var e Entry
		err := r.Read(&e)
		if err == io.EOF {
			return list, r.Format()
		}
		if err != nil {
			t.Fatalf("%v in\n%.2000s", err, text)
		}
		c := &e.ClientCert
		for _, b := range []*[]byte{&c.Subject, &c.Validity, &c.Serial, &e.TraceID, &e.ServerName} {
			*b = bytes.Clone(*b)
		}
		list = append(list, e)
	}
}

func made(t testing.TB, o connlogtest.Options) string {
	t.Helper()
	var b strings.Builder
	if err := connlogtest.Write(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// without clears the fields that were not written.
func without(e Entry, fields []int) Entry {
	var has [maxFields]bool
	for _, f := range fields {
		has[f] = true
	}
	c := &e.ClientCert
	for i, drop := range []func(){
		1:  func() { e.Client = netip.Addr{} },
		2:  func() { e.ClientPort = 0 },
		3:  func() { e.ListenerPort = 0 },
		4:  func() { e.Protocol = "" },
		5:  func() { e.Cipher = "" },
		6:  func() { e.HandshakeLatency, e.HasLatency = 0, false },
		7:  func() { c.Subject = nil },
		8:  func() { c.Validity, c.NotBefore, c.NotAfter = nil, time.Time{}, time.Time{} },
		9:  func() { c.Serial = nil },
		11: func() { e.TraceID = nil },
		12: func() { e.KeyExchange = "" },
		13: func() { e.LoadBalancer = "" },
		14: func() { e.Node = "" },
	} {
		if drop != nil && !has[i] {
			drop()
		}
	}
	return e
}

// A log has the same entries in every format, with the fields in any order. Omitted
// fields are absent.
func TestForms(t *testing.T) {
	native := made(t, connlogtest.Options{Seed: 7, Lines: 150})
	lines := strings.Split(strings.TrimSuffix(native, "\n"), "\n")
	whole, format := entries(t, native)
	if format != "connection log of an Application Load Balancer" || len(whole) != len(lines) {
		t.Fatalf("%d entries of a %s", len(whole), format)
	}
	for _, form := range connlogtest.Forms {
		t.Run(form.Name, func(t *testing.T) {
			for seed := range uint64(8) {
				fields := connlogtest.AllFields()
				if seed > 0 {
					fields = connlogtest.SomeFields(rand.New(rand.NewPCG(seed, 1)))
				}
				if seed > 0 && form.Whole {
					break
				}
				got, format := entries(t, form.Format(lines, fields))
				if !strings.HasPrefix(format, "connection log of an Application Load Balancer") {
					t.Errorf("format is %q", format)
				}
				want := make([]Entry, len(whole))
				for i, e := range whole {
					want[i] = without(e, fields)
				}
				if d := cmp.Diff(want, got, diffEntry...); d != "" {
					t.Fatalf("fields %v: -want +got\n%s", fields, d)
				}
			}
		})
	}
}

// Compares the TLS log of a Network Load Balancer, made of the connections of a
// connection log, with the reference.
func TestTLSLogReference(t *testing.T) {
	native := strings.Split(strings.TrimSuffix(made(t, connlogtest.Options{Seed: 9, Lines: 500}), "\n"), "\n")
	log := connlogtest.TLSLog(native, "net/a/1")
	if len(log) < 400 {
		t.Fatalf("%d lines", len(log))
	}
	got, _ := entries(t, strings.Join(log, "\n"))
	for i, line := range log {
		if problem := differs(&got[i], connlogtest.ReferenceTLS(line)); problem != "" {
			t.Fatalf("%s\n%s", line, problem)
		}
	}
}

// differs compares an entry with the fields of the reference.
func differs(e *Entry, want []string) string {
	when, _ := time.Parse(time.RFC3339, want[0])
	client, _ := netip.ParseAddr(strings.Trim(want[1], "[]"))
	port := func(s string) uint16 { n, _ := strconv.ParseUint(s, 10, 16); return uint16(n) }
	switch {
	case !e.Time.Equal(when), e.Client != client.Unmap(), e.ClientPort != port(want[2]), e.ListenerPort != port(want[3]),
		e.Protocol != want[4], e.Cipher != want[5], e.HasLatency != (want[6] != ""),
		string(e.ClientCert.Subject) != want[7], string(e.ClientCert.Validity) != want[8], string(e.ClientCert.Serial) != want[9],
		e.Status != want[10], string(e.TraceID) != want[11], e.KeyExchange != want[12], e.LoadBalancer != want[13], e.Node != want[14]:
		return fmt.Sprintf("parser: %+v\nreference: %q", *e, want)
	}
	return ""
}

// FuzzTLSLog compares the parser of TLS logs with the reference, which does not
// support quotes.
func FuzzTLSLog(f *testing.F) {
	native := strings.Split(strings.TrimSuffix(made(f, connlogtest.Options{Lines: 20}), "\n"), "\n")
	seeds := append(connlogtest.TLSLog(native, "net/a/1"), tlsFirst, tlsALPN, tlsFailed)
	if len(seeds) < 10 {
		f.Fatal("no seeds")
	}
	for _, line := range seeds {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		quoted := strings.Split(line, " ")
		quoted = slices.Delete(quoted, min(20, len(quoted)), min(21, len(quoted))) // without the ALPN list
		if !strings.HasPrefix(line, "tls ") || len(line) > MaxLineBytes || strings.ContainsAny(line, "\n\r") || strings.Contains(strings.Join(quoted, ""), `"`) {
			return
		}
		l := lines{parser: new(Parser), kind: tlsLog, columns: tlsLog.order(), delimiter: []byte(" ")}
		var e Entry
		err := l.parse([]byte(line), &e)
		want := connlogtest.ReferenceTLS(line)
		if (err == nil) != (want != nil) {
			t.Fatalf("%q\nparser: %v\nreference: %q", line, err, want)
		}
		if err != nil {
			return
		}
		if strings.HasPrefix(e.Status, FailedPrefix+ReasonAlert) && strings.HasPrefix(want[10], FailedPrefix+ReasonAlert) {
			want[10] = e.Status // the reference knows few names
		}
		if problem := differs(&e, want); problem != "" {
			t.Fatalf("%q\n%s", line, problem)
		}
	})
}

// Lines of the TLS log of a Network Load Balancer: documented ones, and one found in
// a public repository.
const (
	tlsFirst  = `tls 2.0 2018-12-20T02:59:40 net/my-network-loadbalancer/c6e77e28c25b2234 g3d4b5e8bb8464cd 72.21.218.154:51341 172.100.100.185:443 5 2 98 246 - arn:aws:acm:us-east-2:671290407336:certificate/2a108f19-aded-46b0-8493-c63eb1ef4a99 - ECDHE-RSA-AES128-SHA tlsv12 - my-network-loadbalancer-c6e77e28c25b2234.elb.us-east-2.amazonaws.com - - - 2018-12-20T02:59:30`
	tlsALPN   = `tls 2.0 2020-04-01T08:51:42 net/my-network-loadbalancer/c6e77e28c25b2234 g3d4b5e8bb8464cd 72.21.218.154:51341 172.100.100.185:443 5 2 98 246 - arn:aws:acm:us-east-2:671290407336:certificate/2a108f19-aded-46b0-8493-c63eb1ef4a99 - ECDHE-RSA-AES128-SHA tlsv12 - my-network-loadbalancer-c6e77e28c25b2234.elb.us-east-2.amazonaws.com h2 h2 "h2","http/1.1" 2020-04-01T08:51:20`
	tlsFailed = `tls 2.0 2024-10-25T17:33:59 net/a/c88927aafc9abafe 52878890095341b5 192.168.131.39:2817 10.0.0.1:80 0 - 0 0 - - - - - - - - - - 2024-10-25T17:33:59`
)

func tlsEntry() Entry {
	return Entry{
		Time:             at("2020-04-01T08:51:20Z"),
		Client:           netip.MustParseAddr("72.21.218.154"),
		ClientPort:       51341,
		ListenerPort:     443,
		Protocol:         "TLSv1.2",
		Cipher:           "ECDHE-RSA-AES128-SHA",
		HandshakeLatency: 2 * time.Millisecond,
		HasLatency:       true,
		Status:           StatusSuccess,
		LoadBalancer:     "net/my-network-loadbalancer/c6e77e28c25b2234",
		Node:             "172.100.100.185",
		ServerName:       []byte("my-network-loadbalancer-c6e77e28c25b2234.elb.us-east-2.amazonaws.com"),
	}
}

func TestTLSLog(t *testing.T) {
	vary := func(f func(*Entry)) Entry { e := tlsEntry(); f(&e); return e }
	swap := func(old, new string) string {
		if !strings.Contains(tlsALPN, old) {
			t.Fatalf("%q is not in the line", old)
		}
		return strings.Replace(tlsALPN, old, new, 1)
	}
	failed := func(reason string) func(*Entry) {
		return func(e *Entry) { e.Status, e.HandshakeLatency, e.HasLatency = FailedPrefix+reason, 0, false }
	}
	for _, test := range []struct {
		name, line string
		want       Entry
	}{
		{"documented in 2018", tlsFirst, vary(func(e *Entry) { e.Time = at("2018-12-20T02:59:30Z") })},
		{"documented, with ALPN", tlsALPN, tlsEntry()},
		{"seen, failed", tlsFailed, Entry{
			Time: at("2024-10-25T17:33:59Z"), Client: netip.MustParseAddr("192.168.131.39"), ClientPort: 2817, ListenerPort: 80,
			Status: "Failed:HandshakeNotCompleted", LoadBalancer: "net/a/c88927aafc9abafe", Node: "10.0.0.1",
		}},
		{"no creation time", strings.TrimSuffix(tlsALPN, " 2020-04-01T08:51:20"), vary(func(e *Entry) { e.Time = at("2020-04-01T08:51:42Z") })},
		{"creation time missing", swap(" 2020-04-01T08:51:20", " -"), vary(func(e *Entry) { e.Time = at("2020-04-01T08:51:42Z") })},
		{"up to the protocol version", tlsFirst[:strings.Index(tlsFirst, " - my-network")], vary(func(e *Entry) {
			e.Time, e.ServerName = at("2018-12-20T02:59:40Z"), nil
		})},
		{"times that say UTC, and fractions", swap("2020-04-01T08:51:20", "2020-04-01T08:51:20.25Z"), vary(func(e *Entry) { e.Time = at("2020-04-01T08:51:20.25Z") })},
		{"client rejects the certificate", swap("5 2 98 246 -", "5 - 98 246 46"), vary(failed("ClientAlert:certificate_unknown"))},
		{"client rejects the certificate afterwards", swap("5 2 98 246 -", "5 2 98 246 48"), vary(failed("ClientAlert:unknown_ca"))},
		{"client says goodbye", swap("5 2 98 246 -", "5 2 98 246 0"), tlsEntry()},
		{"client gives up", swap("5 2 98 246 -", "5 - 98 246 90"), vary(failed("ClientAlert:user_canceled"))},
		{"alert of the future", swap("5 2 98 246 -", "5 - 98 246 200"), vary(failed("ClientAlert:200"))},
		{"handshake of no millisecond", swap("5 2 98", "5 0 98"), vary(func(e *Entry) { e.HandshakeLatency = 0 })},
		{"tlsv10", swap("tlsv12", "tlsv10"), vary(func(e *Entry) { e.Protocol = "TLSv1" })},
		{"tlsv11", swap("tlsv12", "tlsv11"), vary(func(e *Entry) { e.Protocol = "TLSv1.1" })},
		{"tlsv13", swap("tlsv12", "tlsv13"), vary(func(e *Entry) { e.Protocol = "TLSv1.3" })},
		{"tlsv14", swap("tlsv12", "tlsv14"), vary(func(e *Entry) { e.Protocol = "tlsv14" })},
		{"key exchange", swap("tlsv12 -", "tlsv12 X25519MLKEM768"), vary(func(e *Entry) { e.KeyExchange = "X25519MLKEM768" })},
		{"ALPN list that was cut", swap(`"h2","http/1.1"`, `"h2","http/1`), tlsEntry()},
		{"IPv6", swap("72.21.218.154:51341", "2001:db8::1:51341"), vary(func(e *Entry) { e.Client = netip.MustParseAddr("2001:db8::1") })},
		{"IPv6 in brackets", swap("72.21.218.154:51341", "[2001:db8::1]:51341"), vary(func(e *Entry) { e.Client = netip.MustParseAddr("2001:db8::1") })},
		{"no client", swap("72.21.218.154:51341", "-"), vary(func(e *Entry) { e.Client, e.ClientPort = netip.Addr{}, 0 })},
		{"unknown tail", tlsALPN + ` - "x y" "broken`, tlsEntry()},
	} {
		got, format := entries(t, test.line)
		if d := cmp.Diff([]Entry{test.want}, got, diffEntry...); d != "" || !strings.HasPrefix(format, "TLS access log of a Network Load Balancer") {
			t.Errorf("%s: %s -want +got\n%s", test.name, format, d)
		}
	}
}

// A certificate whose validity and serial number have another form is still a
// connection.
func TestOddCertificate(t *testing.T) {
	const certificate = `,"leaf_client_cert_validity":"x","leaf_client_cert_serial_number":"0A:1B"}`
	r := NewReader(strings.NewReader(`{"time":"2026-09-23T07:11:27Z","tls_verify_status":"Failed:ClientCertExpired","leaf_client_cert_subject":"CN=a"` + certificate))
	var e Entry
	if err := r.Read(&e); err != nil {
		t.Fatal(err)
	}
	if c := e.ClientCert; !e.Failed() || string(c.Subject) != "CN=a" || c.Validity != nil || c.Serial != nil || !c.NotAfter.IsZero() {
		t.Errorf("%+v", e)
	}
}

// Logs with a malformed line: its error by line number, field and kind.
func TestMalformedForms(t *testing.T) {
	const header = "#Version: 1.0\n#Fields: time client_ip tls_protocol tls_verify_status\n"
	const names = `{"time":"2026-09-23T07:11:27Z","tls_verify_status":"Success"}` + "\n"
	swap := func(old, new string) string {
		if !strings.Contains(tlsALPN, old) {
			t.Fatalf("%q is not in the line", old)
		}
		return tlsALPN + "\n" + strings.Replace(tlsALPN, old, new, 1)
	}
	for _, test := range []struct {
		name, log string
		line      int
		field     string
		kind      error
	}{
		{"w3c: too few fields", header + "2026-09-23T07:11:27Z 192.0.2.1 TLSv1.2", 3, "", errFieldNumber},
		{"w3c: too many fields", header + "2026-09-23T07:11:27Z 192.0.2.1 TLSv1.2 Success -", 3, "", errFieldNumber},
		{"w3c: two spaces", header + "2026-09-23T07:11:27Z 192.0.2.1  Success", 3, "tls_protocol", errEmpty},
		{"w3c: time", header + "2026-09-23 192.0.2.1 TLSv1.2 Success", 3, "time", errTime},
		{"w3c: no time", header + "- 192.0.2.1 TLSv1.2 Success", 3, "time", errTime},
		{"w3c: address", header + "2026-09-23T07:11:27Z 192.0.2 TLSv1.2 Success", 3, "client_ip", errAddr},
		{"w3c: quote", header + `2026-09-23T07:11:27Z 192.0.2.1 "TLSv1.2 Success`, 3, "tls_protocol", errQuote},
		{"w3c: no header", "#Version: 1.0\n2026-09-23T07:11:27Z 192.0.2.1 TLSv1.2 Success", 2, "", errNoHeader},
		{"w3c: no time in the header", "#Fields: client_ip tls_verify_status\n192.0.2.1 Success", 2, "time", errMissing},
		{"w3c: long line", header + strings.Repeat("x", MaxLineBytes+1), 3, "", errLineTooLong},
		{"json: cut", names + `{"time":"2026-09-23T07:11:27Z","tls_veri`, 2, "", errJSON},
		{"json: not closed", names + `{"time":"2026-09-23T07:11:27Z"`, 2, "", errJSON},
		{"json: something behind it", names + `{"time":"2026-09-23T07:11:27Z"} {}`, 2, "", errJSON},
		{"json: array", names + `[]`, 2, "", errJSON},
		{"json: load balancer", names + `{"time":"2026-09-23T07:11:27Z","elb":"app/a\u0001/1"}`, 2, "elb", errLoadBalancer},
		{"json: no time", names + `{"tls_verify_status":"Success"}`, 2, "time", errMissing},
		{"json: time is null", names + `{"time":null}`, 2, "time", errTime},
		{"json: time", names + `{"time":179000000}`, 2, "time", errTime},
		{"json: port", names + `{"time":"2026-09-23T07:11:27Z","listener_port":65536}`, 2, "listener_port", errPort},
		{"json: latency", names + `{"time":"2026-09-23T07:11:27Z","tls_handshake_latency":"fast"}`, 2, "tls_handshake_latency", errLatency},
		{"json: object for a value", names + `{"time":"2026-09-23T07:11:27Z","client_ip":{"v4":"192.0.2.1"}}`, 2, "client_ip", errJSON},
		{"json: bad escape", names + `{"time":"2026-09-23T07:11:27Z\x"}`, 2, "", errJSON},
		{"json: control character", names + "{\"time\":\"2026-09-23T07:11:27Z\t\"}", 2, "", errJSON},
		{"tab: too few fields", "2026-09-23T07:11:27Z\t192.0.2.1\t1", 1, "", errFieldCount},
		{"tab: port", strings.ReplaceAll(fields15, " ", "\t") + "\n" + strings.Replace(strings.ReplaceAll(fields15, " ", "\t"), "64326", "x", 1), 2, "client_port", errPort},
		{"tab: shifted fields", strings.ReplaceAll(fields15, " ", "\t") + "\n" + strings.Replace(strings.ReplaceAll(fields15, " ", "\t"), `"-"`, "\"CN=a\"\tb\"", 1), 2, "elb", errLoadBalancer},
		{"tab: quote in the validity", strings.ReplaceAll(fields15, " ", "\t") + "\n" + strings.Replace(strings.ReplaceAll(fields15, " ", "\t"), "\t-\t-\t", "\tb\"\t-\t", 1), 2, "", errQuote},
		{"tab: validity in the next field", strings.ReplaceAll(fields15, " ", "\t") + "\n" + strings.Replace(strings.ReplaceAll(fields15, " ", "\t"), "\"-\"\t-\t-", "\"CN=a\"\t\"v\"\tNotBefore=1;NotAfter=2", 1), 2, "leaf_client_cert_serial_number", errQuote},
		{"tab: validity at the end", strings.ReplaceAll(fields15, " ", "\t") + "\n" + strings.ReplaceAll(fields15, " ", "\t") + "\t\"x\"\tNotBefore=1;NotAfter=2", 2, "", errQuote},
		{"tls: load balancer", swap("net/my-network-loadbalancer", "net/my\x01network-loadbalancer"), 2, "elb", errLoadBalancer},
		{"tls: too few fields", tlsALPN + "\n" + tlsALPN[:strings.Index(tlsALPN, " 172.")], 2, "", errFieldCount},
		{"tls: time", swap("08:51:42", "08:61:42"), 2, "time", errTime},
		{"tls: no time", swap("2020-04-01T08:51:42", "-"), 2, "time", errTime},
		{"tls: creation time", swap("08:51:20", "8:51:20"), 2, "tls_connection_creation_time", errTime},
		{"tls: client", swap("72.21.218.154:51341", "72.21.218:51341"), 2, "client:port", errEndpoint},
		{"tls: client port", swap("72.21.218.154:51341", "72.21.218.154:x"), 2, "client:port", errEndpoint},
		{"tls: no client port", swap("72.21.218.154:51341", "72.21.218.154"), 2, "client:port", errEndpoint},
		{"tls: listener port", swap("172.100.100.185:443", "172.100.100.185:99999"), 2, "destination:port", errEndpoint},
		{"tls: handshake time", swap("5 2 98", "5 -2 98"), 2, "tls_handshake_time", errMilliseconds},
		{"tls: alert", swap("98 246 -", "98 246 256"), 2, "incoming_tls_alert", errTLSAlert},
		{"tls: two spaces", swap(" 246 ", "  246 "), 2, "sent_bytes", errEmpty},
	} {
		r := NewReader(strings.NewReader(test.log))
		_, malformed, err := readAll(r)
		if err != nil || len(malformed) != 1 {
			t.Errorf("%s: %q and %v, want one malformed line", test.name, malformed, err)
			continue
		}
		if got := malformed[0].(*ParseError); got.Line != test.line || got.Field != test.field || !errors.Is(got, test.kind) {
			t.Errorf("%s:\n got %v\nwant line %d: %s: %v", test.name, got, test.line, test.field, test.kind)
		}
	}
}

// Other logs are refused by name.
func TestRefused(t *testing.T) {
	for _, test := range []struct{ log, format string }{
		{`http 2026-09-23T07:17:32.454551Z app/k8s-tileserver-617dd1df30/98e3a879de9d6b42 216.180.246.224:25824 - -1 -1 -1 400 - 0 272 "- http://k8s-tileserver-617dd1df30-606955064.us-east-1.elb.amazonaws.com:80- -" "-" - - - "-" "-" "-" - 2026-09-23T07:17:31.697000Z "-" "-" "-" "-" "-" "-" "-" TID_7d15a1935077a44b91952330c3dc3ed8 "-" "-" "-" 100.51.96.60 "-" "-"`, logkey.AccessLog},
		{`h2 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 10.0.1.252:48160 10.0.0.66:9000 0.000 0.002 0.000 200 200 5 257 "GET https://10.0.2.105:773/ HTTP/2.0" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2`, logkey.AccessLog},
		{`http 2025-10-31T12:44:59.875678Z 0.019584011 172.31.20.97:80 HCLogsTestIPs PASS 200 -`, logkey.HealthCheckLog},
		{`2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.38.0" - -`, logkey.ClassicLog},
		{"#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method\n2019-12-04\t21:02:31\tLAX1\t392\t192.0.2.100\tGET", notCloudFront},
		{`{"date":"2026-09-23","time":"07:17:32","x-edge-location":"LAX1"}`, notCloudFront},
		{`{"timestamp":1576280412771,"formatVersion":1,"webaclId":"arn:aws:wafv2:ap-southeast-2:111122223333:regional/webacl/STMTest/1EXAMPLE","action":"BLOCK"}`, notWAF},
		{"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK", notFlowLog},
		{`2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK`, notFlowLog},
		{`{"Records":[{"eventVersion":"1.08","userIdentity":{}}]}`, notCloudTrail},
		{`{"version":"1.100000","account_id":"111122223333","query_name":"example.com.","srcaddr":"10.0.0.1"}`, notResolver},
		{`79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be amzn-s3-demo-bucket1 [06/Feb/2019:00:00:38 +0000] 192.0.2.3 - 3E57427F3EXAMPLE REST.GET.VERSIONING - "GET /?versioning HTTP/1.1" 200`, notS3Log},
		{`{"type":"https","time":"2026-09-23T07:17:32.454551Z","elb":"app/a/1","client:port":"192.0.2.1:1","ssl_protocol":"TLSv1.2"}`, logkey.AccessLog},
		{"#Fields: type time elb client_port ssl_cipher ssl_protocol\nhttps", logkey.AccessLog},
		{`{"level":"INFO","message":"hello"}`, notJSON},
		{"{\n  \"time\": 1\n}\n", notJSON},
		{"#Fields: a b c\n1 2 3\n", notFields},
		{"PAR1\x15\x00\x15\n\x00", notParquet},
		{"PAR1" + strings.Repeat("\x00", 3*MaxLineBytes), notParquet},
		{"PK\x03\x04\x14", "ZIP archive"},
		{"\x28\xb5\x2f\xfd\x04", "zstd-compressed file"},
		{"<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>", notMarkup},
		{"Enable AccessLog for ELB: my-loadbalancer at 2014-02-15T23:40:00Z", logkey.TestFile},
	} {
		r := NewReader(bytes.NewReader(gzipped(test.log)))
		entries, malformed, err := readAll(r)
		var refused *FormatError
		if !errors.As(err, &refused) || refused.Format != test.format || entries > 0 || len(malformed) > 0 {
			t.Errorf("%.80q: %d entries, malformed %v, error %v; want it refused as %s", test.log, entries, malformed, err, test.format)
			continue
		}
		var e Entry
		if again := r.Read(&e); again != err {
			t.Errorf("%.80q: then %v", test.log, again)
		}
		r.Reset(strings.NewReader(docSuccess))
		if err := r.Read(&e); err != nil {
			t.Errorf("after a Reset: %v", err)
		}
	}
}

// The first line that shows the format decides. A malformed first line decides
// nothing.
func TestDetectionLate(t *testing.T) {
	for name, log := range map[string]string{
		"connection log": "garbage\n" + fields15,
		"TLS log":        "tl\n" + tlsALPN,
		"JSON":           `{"time":"2026-` + "\n" + `{"time":"2026-09-23T07:11:27Z","tls_verify_status":"Success"}`,
		"header":         "\n\ntime\tclient_ip\ttls_protocol\n2026-09-23T07:11:27Z\t192.0.2.1\tTLSv1.2\n",
		"W3C twice":      "#Fields: time tls_protocol\n2026-09-23T07:11:27Z TLSv1.2\n#Fields: tls_protocol,time\nTLSv1.2,2026-09-23T07:11:27Z\nx",
		"header again":   "time,tls_protocol\n2026-09-23T07:11:27Z,TLSv1.2\ntime,tls_protocol\n2026-09-23T07:11:27Z,TLSv1.2\nx",
	} {
		r := NewReader(strings.NewReader(log))
		n, malformed, err := readAll(r)
		want, bad := 1, 1
		switch name {
		case "header":
			bad = 0
		case "W3C twice", "header again":
			want = 2
		}
		if n != want || len(malformed) != bad || err != nil {
			t.Errorf("%s: %d entries, malformed %v, %v", name, n, malformed, err)
		}
	}
}

// formSeeds are logs of all supported formats.
func formSeeds(f *testing.F) []string {
	files, err := filepath.Glob("testdata/*.log")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	var seeds []string
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, string(data))
	}
	lines := strings.Split(strings.TrimSuffix(made(f, connlogtest.Options{Lines: 4}), "\n"), "\n")
	r := rand.New(rand.NewPCG(1, 1))
	for _, form := range connlogtest.Forms {
		fields := connlogtest.AllFields()
		seeds = append(seeds, form.Format(lines, fields))
		if !form.Whole {
			seeds = append(seeds, form.Format(lines, connlogtest.SomeFields(r)))
		}
	}
	return append(seeds, tlsFirst+"\n"+tlsALPN+"\n"+tlsFailed)
}

// FuzzFormats checks that a stream is read to its end or refused, that each line is
// blank, an entry, malformed or a directive, and that an entry written as JSON is
// read as the same entry.
func FuzzFormats(f *testing.F) {
	for _, seed := range formSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, log string) {
		r := NewReader(strings.NewReader(log))
		for lines := 0; ; {
			var e Entry
			err := r.Read(&e)
			var pe *ParseError
			var fe *FormatError
			switch {
			case err == io.EOF, errors.As(err, &fe) && fe.Format != "", errors.Is(err, ErrCorrupt):
				return
			case errors.As(err, &pe):
				if pe.Line <= lines || pe.Err == nil || len(pe.text) > maxErrorText+3 {
					t.Fatalf("after line %d: %#v", lines, pe)
				}
			case err != nil:
				t.Fatal(err)
			default:
				roundTrip(t, &e)
			}
			if r.Lines() <= lines {
				t.Fatalf("line %d came after line %d", r.Lines(), lines)
			}
			lines = r.Lines()
		}
	})
}

// roundTrip writes an entry as the JSON of a connection log and reads it again.
func roundTrip(t *testing.T, e *Entry) {
	if y := e.Time.Year(); y < 0 || y > 9999 {
		return
	}
	want := *e
	want.ServerName = nil
	m := map[string]any{
		"time": e.Time.Format(time.RFC3339Nano), "tls_protocol": e.Protocol, "tls_cipher": e.Cipher, "tls_verify_status": e.Status,
		"client_port": e.ClientPort, "listener_port": e.ListenerPort, "tls_keyexchange": e.KeyExchange, "elb": e.LoadBalancer, "ip_address": e.Node,
		"leaf_client_cert_subject": string(e.ClientCert.Subject), "leaf_client_cert_validity": string(e.ClientCert.Validity),
		"leaf_client_cert_serial_number": string(e.ClientCert.Serial), "conn_trace_id": string(e.TraceID), "client_ip": "",
	}
	for _, v := range m {
		if s, ok := v.(string); ok && (!utf8.ValidString(s) || s == "-") {
			return // JSON has no other text; a quoted "\-" and the like
		}
	}
	if e.Client.IsValid() {
		m["client_ip"] = e.Client.String()
	}
	if e.HasLatency {
		m["tls_handshake_latency"] = fmt.Sprintf("%d.%09d", e.HandshakeLatency/time.Second, e.HandshakeLatency%time.Second)
	}
	line, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if len(line) > MaxLineBytes {
		return
	}
	var got Entry
	if err := NewReader(bytes.NewReader(line)).Read(&got); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if d := cmp.Diff(want, got, diffEntry...); d != "" {
		t.Fatalf("%s -want +got\n%s", line, d)
	}
}

// What the first line shows about the format stays valid when its buffer is reused.
func TestFormatOutlivesItsLine(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(made(t, connlogtest.Options{Seed: 21, Lines: 20_000}), "\n"), "\n")
	for name, log := range map[string][]string{
		"TLS log":             connlogtest.TLSLog(slices.Clone(lines), "net/edge/50dc6c495c0c9188"),
		"tabs without header": strings.Split(strings.ReplaceAll(strings.Join(lines, "\n"), " ", "\t"), "\n"),
	} {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		io.WriteString(z, strings.Join(log, "\n")+"\n")
		z.Close()
		if list, _ := entries(t, packed.String()); len(list) != len(log) {
			t.Errorf("%s: %d entries of %d lines", name, len(list), len(log))
		}
	}
}

// Lines of other formats cost no memory once names are known.
func TestFormatsAllocations(t *testing.T) {
	list := strings.Split(strings.TrimSuffix(made(t, connlogtest.Options{Lines: 2000}), "\n"), "\n")
	logs := []string{strings.Join(connlogtest.TLSLog(list, "net/a/1"), "\n")}
	for _, form := range connlogtest.Forms {
		logs = append(logs, form.Format(list, connlogtest.AllFields()))
	}
	r := NewReader(nil)
	for _, log := range logs {
		n := testing.AllocsPerRun(3, func() {
			r.Reset(strings.NewReader(log))
			var e Entry
			for r.Read(&e) == nil {
			}
		})
		if n > 100 {
			t.Errorf("%v allocations for 2000 lines of a %s", n, r.Format())
		}
	}
}

// BenchmarkFormats reads the same connections in other formats, for comparison with
// BenchmarkReader/plain.
func BenchmarkFormats(b *testing.B) {
	const n = 20_000
	native := made(b, connlogtest.Options{Lines: n, Clients: 50_000})
	list := strings.Split(strings.TrimSuffix(native, "\n"), "\n")
	logs := map[string]string{"native": native, "tls log": strings.Join(connlogtest.TLSLog(list, "net/a/1"), "\n")}
	for _, form := range connlogtest.Forms {
		logs[form.Name] = form.Format(list, connlogtest.AllFields())
	}
	for _, name := range []string{"native", "tls log", "plain, tab", "w3c, space", "json", "json, numbers and nulls"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(logs[name])))
			b.ReportAllocs()
			r := NewReader(nil)
			var e Entry
			for b.Loop() {
				r.Reset(strings.NewReader(logs[name]))
				for r.Read(&e) == nil {
				}
				if r.Lines() < n*9/10 {
					b.Fatalf("read %d lines", r.Lines())
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(r.Lines()), "ns/line")
		})
	}
}
