package report_test

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/report"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func logText(t testing.TB, o connlogtest.Options) string {
	t.Helper()
	var b strings.Builder
	if err := connlogtest.Write(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// collect adds the lines up with so many workers in turn.
func collect(t testing.TB, o report.Options, text string, workers int) *report.Collector {
	t.Helper()
	c := report.New(o)
	var ws []*report.Worker
	for range workers {
		ws = append(ws, c.Worker())
	}
	r := connlog.NewReader(strings.NewReader(text))
	var e connlog.Entry
	for i := 0; ; i++ {
		err := r.Read(&e)
		if err == io.EOF {
			break
		}
		if err == nil {
			ws[i%workers].Add(&e)
		}
	}
	for _, w := range ws {
		w.Close()
	}
	return c
}

// reference counts in the slow and obvious way what the contract of the JSON
// names, from fields as connlogtest reads them.
func reference(text string) map[string]any {
	type counts struct{ connections, failed int }
	var total counts
	plain := 0
	lists := make(map[string]map[string]*counts)
	count := func(list, key string, failed bool) {
		if lists[list] == nil {
			lists[list] = make(map[string]*counts)
		}
		c := lists[list][key]
		if c == nil {
			c = new(counts)
			lists[list][key] = c
		}
		c.connections++
		if failed {
			c.failed++
		}
	}
	var latencies []float64
	var first, last string
	for line := range strings.Lines(text) {
		f := connlogtest.Reference(strings.TrimSuffix(line, "\n"))
		if f == nil {
			continue
		}
		for i := range f {
			f[i] = cmp.Or(f[i], "-")
		}
		for len(f) < 15 {
			f = append(f, "-")
		}
		failed := strings.HasPrefix(f[10], "Failed:")
		total.connections++
		if failed {
			total.failed++
			count("failedNegotiations", strings.Join([]string{f[1], f[4], f[5], f[10]}, "|"), true)
		}
		if f[10] == "-" && f[4] == "-" {
			plain++
		}
		count("byStatus", f[10], failed)
		count("byProtocol", f[4], failed)
		count("byCipher", f[4]+"|"+f[5], failed)
		count("byKeyExchange", f[12], failed)
		count("byListenerPort", f[3], failed)
		count("byLoadBalancer", f[13], failed)
		count("byMinute", f[0][:16]+":00Z", failed)
		count("failedClients", f[1], failed)
		if f[6] != "-" {
			s, _ := strconv.ParseFloat(f[6], 64)
			latencies = append(latencies, s)
		}
		if first == "" || f[0] < first {
			first = f[0]
		}
		last = max(last, f[0])
	}
	slices.Sort(latencies)
	rank := func(q float64) float64 { return latencies[int(q*float64(len(latencies))+0.999999)-1] }
	want := map[string]any{
		"connections": total.connections, "failed": total.failed, "plaintextConnections": plain, "tlsConnections": total.connections - plain,
		"first": instant(first), "last": instant(last),
		"handshakeLatency": map[string]any{"count": len(latencies), "p50": rank(.5), "p90": rank(.9), "p99": rank(.99), "max": latencies[len(latencies)-1]},
	}
	for list, rows := range lists {
		var keys []string
		for k := range rows {
			if list != "failedClients" || rows[k].failed > 0 {
				keys = append(keys, k)
			}
		}
		slices.SortFunc(keys, func(a, b string) int {
			x, y := rows[a], rows[b]
			switch list {
			case "byMinute":
				return cmp.Compare(a, b)
			case "failedClients", "failedNegotiations":
				ac, ar, _ := strings.Cut(a, "|")
				bc, br, _ := strings.Cut(b, "|")
				return cmp.Or(cmp.Compare(y.failed, x.failed), netip.MustParseAddr(ac).Compare(netip.MustParseAddr(bc)), cmp.Compare(ar, br))
			case "byListenerPort":
				return cmp.Or(cmp.Compare(y.connections, x.connections), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
			}
			// "-" stands for nothing, which comes first.
			return cmp.Or(cmp.Compare(y.connections, x.connections), cmp.Compare(strings.ReplaceAll(a, "-|", "|"), strings.ReplaceAll(b, "-|", "|")))
		})
		list2 := []any{}
		for _, k := range keys {
			c := rows[k]
			parts := strings.Split(k, "|")
			row := map[string]any{"connections": c.connections, "failed": c.failed}
			switch list {
			case "byStatus":
				row = map[string]any{"status": k, "count": c.connections}
			case "byProtocol":
				row["protocol"] = k
			case "byCipher":
				row["protocol"], row["cipher"] = parts[0], parts[1]
			case "byKeyExchange":
				row["keyExchange"] = k
			case "byListenerPort":
				row["port"], _ = strconv.Atoi(k)
			case "byLoadBalancer":
				row["loadBalancer"] = k
			case "byMinute":
				row["minute"] = k
			case "failedClients":
				row["client"] = k
			case "failedNegotiations":
				row = map[string]any{"client": parts[0], "protocol": parts[1], "cipher": parts[2], "status": parts[3], "count": c.failed}
			}
			list2 = append(list2, row)
		}
		want[list] = list2
	}
	return want
}

func instant(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

// normal makes any JSON comparable.
func normal(t testing.TB, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var n any
	if err := json.Unmarshal(data, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// contract keeps of got the members that want has, in lists of objects too.
func contract(got, want any) any {
	switch want := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		kept := make(map[string]any)
		for k := range want {
			kept[k] = contract(g[k], want[k])
		}
		return kept
	case []any:
		g, _ := got.([]any)
		kept := []any{}
		for i := range g {
			if len(want) > 0 {
				kept = append(kept, contract(g[i], want[min(i, len(want)-1)]))
			}
		}
		return kept
	}
	return got
}

// The JSON equals a count in the obvious way, whatever the number of workers.
func TestEqualsReference(t *testing.T) {
	for _, o := range []connlogtest.Options{{Seed: 1, Lines: 20_000}, {Seed: 2, Lines: 3000, Fields: 11}, {Seed: 3, Lines: 500, Fields: 12, Duration: 5 * time.Hour}} {
		text := logText(t, o) + "malformed\n"
		want := normal(t, reference(text))
		for _, workers := range []int{1, 2, 7} {
			var b bytes.Buffer
			if err := collect(t, report.Options{}, text, workers).Result(report.Source{}, 0).WriteJSON(&b); err != nil {
				t.Fatal(err)
			}
			var got any
			if err := json.Unmarshal(b.Bytes(), &got); err != nil {
				t.Fatalf("%v in %s", err, &b)
			}
			if d := gocmp.Diff(want, contract(got, want)); d != "" {
				t.Fatalf("seed %d, %d workers: -reference +got\n%s", o.Seed, workers, d)
			}
		}
	}
}

// lines makes a log line.
func line(at time.Time, client, rest string) string {
	return at.Format("2006-01-02T15:04:05.000000Z") + " " + client + " 36280 443 " + rest + "\n"
}

const (
	good = `TLSv1.3 TLS_AES_128_GCM_SHA256 0.010 "-" - - Success TID_1 x25519 app/a/1 192.0.2.1`
	bad  = `TLSv1.2 ECDHE-RSA-AES256-SHA - "-" - - Failed:UnmappedConnectionError TID_1 - app/a/1 192.0.2.1`
)

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// Up to MaxKeys failing clients are exact, however many others there are.
func TestExactToTheBound(t *testing.T) {
	c := report.New(report.Options{})
	w := c.Worker()
	failing := uint32(report.MaxKeys)
	e := connlog.Entry{Time: start, Protocol: "TLSv1.2", Cipher: "X", Status: "Success"}
	add := func(n uint32, status string, times int) {
		e.Client, e.Status = netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), status
		for range times {
			w.Add(&e)
		}
	}
	const bad = "Failed:UnmappedConnectionError"
	for n := range failing {
		add(n, bad, 1+int(n%3))
		add(failing+2*n, "Success", 1)
		add(failing+2*n+1, "Success", 1)
	}
	for n := range failing { // whose rows move now and then, when others make room
		add(3*failing+n, "Success", 1)
		add(n, bad, 1)
	}
	w.Close()
	r := c.Result(report.Source{}, 0)
	if len(r.FailedClients) != int(failing) || len(r.FailedNegotiations) != int(failing) || r.TotalFailedClients != int(failing) {
		t.Fatalf("%d clients, %d negotiations", len(r.FailedClients), len(r.FailedNegotiations))
	}
	for _, x := range r.FailedClients {
		a := netip.MustParseAddr(x.Client).As4()
		n := uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
		if x.Failed != uint64(2+n%3) {
			t.Fatalf("%s failed %d times, want %d", x.Client, x.Failed, 2+n%3)
		}
	}
	for _, a := range r.Approximate {
		if a.List == "failedClients" || a.List == "failedNegotiations" {
			t.Errorf("marked as approximate: %+v", a)
		}
	}
}

// Clients that do not fail are exact too, when those that do need more than half
// of the room.
func TestExactBesideFailing(t *testing.T) {
	c := report.New(report.Options{})
	w := c.Worker()
	const each = report.MaxKeys * 9 / 10
	for n := range uint32(2 * each) {
		e := connlog.Entry{Time: start, Protocol: "TLSv1.2", Client: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), Status: "Failed:X"}
		if n%2 == 0 {
			e.Status, e.HandshakeLatency, e.HasLatency = "Success", time.Duration(n)*time.Millisecond, true
		}
		w.Add(&e)
	}
	w.Close()
	if r := c.Result(report.Source{}, 0); len(r.Approximate) > 0 {
		t.Errorf("approximate: %+v", r.Approximate)
	}
}

// Counts do not depend on how many combinations of values there are, nor on the
// order in which they come, and a connection without a latency has none.
func TestManyCombinations(t *testing.T) {
	const ports = 5000
	c := report.New(report.Options{})
	w := c.Worker()
	client := netip.MustParseAddr("192.0.2.1")
	add := func(port int) {
		w.Add(&connlog.Entry{Time: start, Client: client, Protocol: "TLSv1.2", Status: "Success", ListenerPort: uint16(port)})
		w.Add(&connlog.Entry{Time: start, Client: client, Protocol: "TLSv1.2", Status: "Success", ListenerPort: uint16(port), HandshakeLatency: 100 * time.Millisecond, HasLatency: true})
	}
	for port := range ports {
		add(port)
	}
	for port := range ports {
		add(ports - 1 - port)
	}
	w.Close()
	r := c.Result(report.Source{}, 0)
	if len(r.ByListenerPort) != ports || r.Connections != 4*ports {
		t.Errorf("%d connections on %d ports", r.Connections, len(r.ByListenerPort))
	}
	for _, p := range r.ByListenerPort {
		if p.Connections != 4 {
			t.Fatalf("%d connections on port %d, want 4", p.Connections, p.Port)
		}
	}
	if want := []report.ClientLatency{{Client: "192.0.2.1", Connections: 2 * ports, Mean: 0.1, Max: 0.1}}; !slices.Equal(r.SlowestClients, want) {
		t.Errorf("slowest: %+v, want %+v", r.SlowestClients, want)
	}
}

// Entries with the same hint, which differ in a single name, are told apart.
func TestNamesOfOneHint(t *testing.T) {
	for field, set := range map[string]func(*connlog.Entry, string){
		"protocol":      func(e *connlog.Entry, s string) { e.Protocol = s },
		"cipher":        func(e *connlog.Entry, s string) { e.Cipher = s },
		"key exchange":  func(e *connlog.Entry, s string) { e.KeyExchange = s },
		"status":        func(e *connlog.Entry, s string) { e.Status = s },
		"load balancer": func(e *connlog.Entry, s string) { e.LoadBalancer = s },
	} {
		c := report.New(report.Options{})
		w := c.Worker()
		for _, name := range []string{"xAB", "xBA", "xAB", "xBA"} { // of the same length, and the same sum of letters
			e := connlog.Entry{Time: start, Protocol: "p", Cipher: "c", KeyExchange: "k", Status: "s", LoadBalancer: "l"}
			set(&e, name)
			w.Add(&e)
		}
		w.Close()
		r := c.Result(report.Source{}, 0)
		got := make(map[string]uint64)
		for _, x := range r.ByProtocol {
			got[x.Protocol] += x.Connections
		}
		for _, x := range r.ByCipher {
			got[x.Cipher] += x.Connections
		}
		for _, x := range r.ByKeyExchange {
			got[x.KeyExchange] += x.Connections
		}
		for _, x := range r.ByStatus {
			got[x.Status] += x.Count
		}
		for _, x := range r.ByLoadBalancer {
			got[x.LoadBalancer] += x.Connections
		}
		if got["xAB"] != 2 || got["xBA"] != 2 {
			t.Errorf("%s: %v", field, got)
		}
	}
}

// Beyond the bound, the clients with most failures are there, their counts
// within the error that is given, and sums are exact.
func TestApproximate(t *testing.T) {
	c := report.New(report.Options{})
	w := c.Worker()
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 1, 1<<24-1)
	truth := make(map[netip.Addr]uint64)
	e := connlog.Entry{Time: start, Protocol: "TLSv1.2", Cipher: "X", Status: "Failed:UnmappedConnectionError"}
	const lines = 1_500_000
	for range lines {
		n := uint32(zipf.Uint64())
		e.Client = netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
		truth[e.Client]++
		w.Add(&e)
	}
	w.Close()
	if len(truth) <= 2*report.MaxKeys {
		t.Fatalf("only %d clients", len(truth))
	}
	got := c.Result(report.Source{}, 0)
	bounds := make(map[string]uint64)
	for _, a := range got.Approximate {
		bounds[a.List] = a.Error
	}
	if bounds["failedClients"] == 0 || bounds["failedNegotiations"] == 0 || bounds["failedClients"] > lines/(report.MaxKeys/2) {
		t.Errorf("errors %v", bounds)
	}
	if got.Failed != lines || got.Connections != lines {
		t.Errorf("%d of %d failed", got.Failed, got.Connections)
	}
	for _, x := range got.FailedClients {
		if n := truth[netip.MustParseAddr(x.Client)]; x.Failed > n || x.Failed+bounds["failedClients"] < n {
			t.Fatalf("%s: %d, in truth %d, error %d", x.Client, x.Failed, n, bounds["failedClients"])
		}
	}
	seen := make(map[string]uint64)
	for _, x := range got.FailedNegotiations {
		seen[x.Client] = x.Count
	}
	for a, n := range truth {
		if n > bounds["failedNegotiations"] && seen[a.String()]+bounds["failedNegotiations"] < n {
			t.Fatalf("%v: %d, in truth %d, error %d", a, seen[a.String()], n, bounds["failedNegotiations"])
		}
	}
}

// Memory is bounded whatever comes: millions of clients, endless names,
// subjects and years.
func TestMemory(t *testing.T) {
	before := heap()
	c := report.New(report.Options{Heat: true})
	w := c.Worker()
	junk := strings.Repeat("x", 300)
	subject := []byte("CN=00000000," + strings.Repeat("y", 1000))
	e := connlog.Entry{HasLatency: true}
	for n := range uint32(1_000_000) {
		name := strconv.Itoa(int(n)) + junk
		e.Client = netip.AddrFrom16([16]byte{0x20, 1, 12: byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		e.Time = start.Add(time.Duration(n) * time.Hour)
		e.HandshakeLatency = time.Duration(n) * time.Millisecond
		e.Status = "Success"
		if n%2 == 0 {
			e.Status = "Failed:UnmappedConnectionError"
		}
		if n < 300_000 {
			e.Protocol, e.Cipher, e.KeyExchange, e.LoadBalancer = strings.Clone(name[:20]), name, "", ""
			copy(subject[3:], fmt.Sprintf("%08d", n))
			e.ClientCert.Subject = subject
		} else {
			e.Protocol, e.Cipher, e.ClientCert.Subject = "TLSv1.2", "X", nil
		}
		w.Add(&e)
	}
	w.Close()
	used := heap() - before
	r := c.Result(report.Source{}, 10)
	runtime.KeepAlive(c)
	if used > 56<<20 {
		t.Errorf("%d MB in use", used>>20)
	}
	if r.Connections != 1_000_000 || r.Failed != 500_000 || len(r.Approximate) < 5 || r.MinutesPerRow <= 1 {
		t.Errorf("%d connections, %d failed, approximate %v, %d minutes per row", r.Connections, r.Failed, r.Approximate, r.MinutesPerRow)
	}
	var sum report.Counts
	for _, m := range r.ByMinute {
		sum.Connections += m.Connections
		sum.Failed += m.Failed
	}
	if sum != (report.Counts{Connections: 1_000_000, Failed: 500_000}) || len(r.ByMinute) > report.MaxKeys {
		t.Errorf("over time: %+v in %d rows", sum, len(r.ByMinute))
	}
	t.Logf("%d MB in use, approximate %+v", used>>20, r.Approximate)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestSubnets(t *testing.T) {
	text := line(start, "10.1.2.3", bad) + line(start, "10.1.2.4", bad) + line(start, "10.1.3.4", bad) +
		line(start, "2001:db8:0:1::5", bad) + line(start, "2001:db8:0:1::6", bad) + line(start, "-", bad)
	r := collect(t, report.Options{IPv4Prefix: 24, IPv6Prefix: 64}, text, 1).Result(report.Source{}, 0)
	var got []string
	for _, x := range r.FailedClients {
		got = append(got, fmt.Sprint(x.Client, " ", x.Failed))
	}
	if want := []string{"10.1.2.0/24 2", "2001:db8:0:1::/64 2", "- 1", "10.1.3.0/24 1"}; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Hashes hide who, and still tell clients apart; another key gives others.
func TestAnonymize(t *testing.T) {
	log := strings.Repeat(line(start, "203.0.113.7", strings.Replace(bad, `"-" - -`, `"CN=secret" NotBefore=2026-01-01T00:00:00Z;NotAfter=2027-01-01T00:00:00Z 01`, 1)), 3) +
		line(start, "203.0.113.8", bad) + line(start, "203.0.113.9", good)
	source := report.Source{MalformedLines: 1, Malformed: []report.MalformedLine{{Object: "x.log", Line: 7, Error: `too few fields: "203.0.113.7 secret"`}}}
	show := func(key string) string {
		var b bytes.Buffer
		r := collect(t, report.Options{AnonymizeKey: []byte(key), Heat: true}, log, 2).Result(source, 0)
		if err := r.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		if err := r.WriteText(&b, text.Screen{}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	a := show("one")
	for _, secret := range []string{"203.0.113", "secret"} {
		if strings.Contains(a, secret) {
			t.Errorf("%q is in the report:\n%s", secret, a)
		}
	}
	if a != show("one") || a == show("two") {
		t.Error("the hashes are not those of the key")
	}
	if !strings.Contains(a, `"anonymized": true`) || !strings.Contains(a, "client-") || !strings.Contains(a, "subject-") {
		t.Errorf("no hashes in\n%s", a)
	}
}

// hostile is what clients may have the log say.
const hostile = `TLSv1.2 <script>alert(1)</script> - "=HYPERLINK(\"http://evil\")\,\"x\"<img src=x onerror=alert(2)>` + "\x1b[31m" + `" NotBefore=2026-01-01T00:00:00Z;NotAfter=2026-12-01T00:00:00Z 01 Failed:</script><b>&` + "\u202e" + ` TID_1 @SUM(A1) app/a/1 192.0.2.1`

// No text of clients becomes a formula in CSV, or a control sequence on a
// terminal.
func TestInjection(t *testing.T) {
	r := collect(t, report.Options{}, line(start, "203.0.113.7", hostile), 1).Result(report.Source{MalformedLines: 1, Malformed: []report.MalformedLine{{Object: "+x\n.log", Line: 1, Error: "\x1b]0;title\a"}}}, 0)
	r.AddCaptured(report.Captured{}, []report.CapturedOffer{{
		Client: "203.0.113.7", Protocol: "TLSv1.2\x1b[31m", Cipher: "@SUM(A1)", Status: "Failed:\u202e",
		Offer: report.Offer{ServerName: "=1\x1b[0m", Outcome: "+\a", Verdict: "\x1b"},
	}}, 0)
	for _, name := range report.Sections() {
		var b bytes.Buffer
		if err := r.WriteCSV(&b, name); err != nil {
			t.Fatal(err)
		}
		for cell := range strings.FieldsFuncSeq(b.String(), func(r rune) bool { return r == ',' || r == '\n' || r == '"' }) {
			if cell != "-" && strings.ContainsRune("=+@-\t\r", rune(cell[0])) {
				t.Errorf("%s: cell %q in %s", name, cell, &b)
			}
		}
	}
	var b bytes.Buffer
	if err := r.WriteText(&b, text.Screen{Width: 200}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\a\u202e") {
		t.Errorf("control characters in %q", &b)
	}
	if err := r.WriteCSV(io.Discard, "nothing"); err == nil || !strings.Contains(err.Error(), "want one of summary, status") {
		t.Errorf("unknown section: %v", err)
	}
}

// What comes back from CSV is what the log said, with an apostrophe where a
// spreadsheet would see a formula.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"ECDHE-RSA-AES256-SHA", "=1+1", "+1", "-", "-1", "@SUM(A1)", "\t=1", "\r\n=1", `"`, `a","=b`, "\x00", "\u202e", "'=1"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, cipher, subject string) {
		c := report.New(report.Options{})
		w := c.Worker()
		w.Add(&connlog.Entry{Time: start, Protocol: "TLSv1.2", Cipher: cipher, Status: "Failed:X", ClientCert: connlog.ClientCert{Subject: []byte(subject)}})
		w.Close()
		r := c.Result(report.Source{}, 0)
		for section, column := range map[string]int{"ciphers": 1, "certificates": 0} {
			var b bytes.Buffer
			if err := r.WriteCSV(&b, section); err != nil {
				t.Fatal(err)
			}
			rows, err := csv.NewReader(&b).ReadAll()
			if err != nil {
				t.Fatalf("%s: %v", section, err)
			}
			for _, row := range rows[1:] {
				for _, cell := range row {
					if cell != "" && cell != "-" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
						t.Errorf("%s: cell %q", section, cell)
					}
				}
				want := map[string]string{"ciphers": cipher, "certificates": subject}[section]
				if len(want) <= 128 && !strings.Contains(want, "\r") && want != "" && row[column] != want && row[column] != "'"+want {
					t.Errorf("%s: %q became %q", section, want, row[column])
				}
			}
		}
	})
}

// The forms of one result.
func TestGolden(t *testing.T) {
	log := logText(t, connlogtest.Options{Seed: 7, Lines: 2000, Duration: 50 * time.Minute}) +
		line(start, "192.0.2.99", strings.Replace(good, `"-" - -`, `"CN=ends soon" NotBefore=2026-01-01T00:00:00Z;NotAfter=2026-12-01T00:00:00Z 01`, 1))
	source := report.Source{
		Objects: 12, OutsideObjects: 3, Bytes: 1_234_567, Lines: 2003, MalformedLines: 1002,
		Skipped:       []report.SkippedCount{{Reason: connlog.NotAccessLog, Count: 2}},
		Malformed:     []report.MalformedLine{{Object: "logs/conn_log_1.log.gz", Line: 17, Error: `client_ip: not an IP address: "x"`}},
		FailedObjects: []report.FailedObject{{Object: "logs/cut.log.gz", Error: "gzip data is cut"}}, Partial: true,
	}
	c := collect(t, report.Options{ByListener: true}, log, 1)
	c.Diagnose("ELBSecurityPolicy-TLS13-1-2-2021-06", func(f report.Failure) report.Diagnosis {
		if f.Cipher == "ECDHE-RSA-AES256-SHA" && f.Port == 443 && f.LoadBalancer != "" {
			return report.Diagnosis{ID: "cipher-not-in-policy", Cause: "The policy does not accept ECDHE-RSA-AES256-SHA, which is the best that the client offered.", Remedy: "Update the client. ELBSecurityPolicy-2016-08 accepts it, but gives up forward secrecy for all."}
		}
		return report.Diagnosis{ID: "other", Cause: "Something else: " + f.Status}
	})
	r := c.Result(source, 5)
	forms := map[string]func(io.Writer) error{
		"report.json":    r.WriteJSON,
		"report.txt":     func(w io.Writer) error { return r.WriteText(w, text.Screen{}) },
		"wide-color.txt": func(w io.Writer) error { return r.WriteText(w, text.Screen{Width: 130, Color: true}) },
		"ascii.txt":      func(w io.Writer) error { return r.WriteText(w, text.Screen{Width: 60, ASCII: true}) },
		"sections.csv": func(w io.Writer) error {
			for _, s := range report.Sections() {
				fmt.Fprintf(w, "# %s\n", s)
				if err := r.WriteCSV(w, s); err != nil {
					return err
				}
			}
			return nil
		},
	}
	// Colours take no room.
	for width := 40; width < 140; width += 7 {
		var plain, colored bytes.Buffer
		if err := errors.Join(r.WriteText(&plain, text.Screen{Width: width}), r.WriteText(&colored, text.Screen{Width: width, Color: true})); err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff(plain.String(), regexp.MustCompile(`\x1b\[\d*m`).ReplaceAllString(colored.String(), "")); d != "" {
			t.Errorf("width %d, colours: -without +with\n%s", width, d)
		}
	}
	for name, write := range forms {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff(string(want), b.String()); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
		columns := map[string]int{"report.txt": 80, "ascii.txt": 60}[name]
		for l := range strings.Lines(b.String()) {
			if n := len([]rune(strings.TrimSuffix(l, "\n"))); n > columns && columns > 0 {
				t.Errorf("%d columns: %s", n, l)
			}
		}
	}
}

// Each number of a cause that people see has its cause, however many there are;
// programs get them all.
func TestManyCauses(t *testing.T) {
	const causes = 30
	c := report.New(report.Options{})
	w := c.Worker()
	for i := range causes {
		for client := range 10 {
			w.Add(&connlog.Entry{Time: start, Client: netip.AddrFrom4([4]byte{10, 0, byte(i), byte(client)}), Protocol: "TLSv1.2", Cipher: fmt.Sprint("C", i), Status: "Failed:X"})
		}
	}
	for range 5 { // the rarest of all, and the most frequent of one client
		w.Add(&connlog.Entry{Time: start, Client: netip.MustParseAddr("192.0.2.1"), Protocol: "TLSv1.2", Cipher: "RARE", Status: "Failed:X"})
	}
	w.Close()
	c.Diagnose("P", func(f report.Failure) report.Diagnosis {
		return report.Diagnosis{ID: "x", Cause: "Caused by " + f.Cipher + "."}
	})
	r := c.Result(report.Source{}, 3)
	if r.FailedNegotiations[0].Cipher != "RARE" || r.Diagnoses[causes].Cause != "Caused by RARE." {
		t.Fatalf("%+v, %+v", r.FailedNegotiations, r.Diagnoses)
	}
	var table, page, data bytes.Buffer
	if err := errors.Join(r.WriteText(&table, text.Screen{}), r.WriteHTML(&page), r.WriteJSON(&data)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  RARE          X       [21]\n", "  [21] 5 failures of 1 client\n      Caused by RARE.\n  and 10 more; json and csv have them all\n"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in\n%s", want, &table)
		}
	}
	if n := strings.Count(page.String(), "Caused by"); n != 21 || !strings.Contains(page.String(), `<td class="n" data-v="21">21</td>`) || !strings.Contains(page.String(), "and 10 more; json and csv have them all") {
		t.Errorf("%d causes on the page", n)
	}
	if n := strings.Count(data.String(), `"cause":`); n != causes+1 {
		t.Errorf("%d causes in JSON", n)
	}
}

// Of logs that could not be read, the page has as many as a reader can take,
// and programs get them all.
func TestManyFailedLogs(t *testing.T) {
	var source report.Source
	for i := range 2000 {
		source.FailedObjects = append(source.FailedObjects, report.FailedObject{Object: fmt.Sprintf("logs/%d.log.gz", i), Error: "gzip data is cut"})
	}
	source.TotalFailedObjects = 3000 // of which some are not even listed
	r := report.New(report.Options{}).Result(source, 0)
	var page, data, list bytes.Buffer
	if err := errors.Join(r.WriteHTML(&page), r.WriteJSON(&data), r.WriteCSV(&list, "failed-objects")); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(page.String(), ".log.gz"); n != 500 || !strings.Contains(page.String(), "3,000 logs could not be read to the end") || !strings.Contains(page.String(), "and 2,500 more; json and csv have them all") {
		t.Errorf("%d logs on the page", n)
	}
	if n, m := strings.Count(data.String(), ".log.gz"), strings.Count(list.String(), ".log.gz"); n != 2000 || m != 2000 {
		t.Errorf("%d logs in JSON, %d in CSV", n, m)
	}
}

// Each entry counts in its own minute, whatever the time of the first one, and
// the order of those that follow.
func TestMinutes(t *testing.T) {
	for _, first := range []string{
		"0001-01-01T02:00:00Z", "1969-12-31T23:59:59.9Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:59.999999999Z",
		"2026-11-25T10:00:59.5Z", "9999-12-31T23:59:59.5Z",
	} {
		at, err := time.Parse(time.RFC3339, first)
		if err != nil {
			t.Fatal(err)
		}
		c := report.New(report.Options{})
		w := c.Worker()
		want := make(map[time.Time]uint64)
		for _, after := range []time.Duration{0, time.Second, -time.Minute, time.Minute, -time.Hour + time.Millisecond, -time.Hour, 0} {
			e := connlog.Entry{Time: at.Add(after)}
			w.Add(&e)
			want[e.Time.Truncate(time.Minute)]++
		}
		w.Close()
		r := c.Result(report.Source{}, 0)
		got := make(map[time.Time]uint64)
		for _, m := range r.ByMinute {
			got[m.Minute] = m.Connections
		}
		if d := gocmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", first, d)
		}
		if r.First == nil || !r.First.Equal(at.Add(-time.Hour)) || !r.Last.Equal(at.Add(time.Minute)) {
			t.Errorf("%s: from %v to %v", first, r.First, r.Last)
		}
	}
}

// Without entries there is a result all the same.
func TestEmpty(t *testing.T) {
	r := report.New(report.Options{Heat: true}).Result(report.Source{}, 0)
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil || !json.Valid(b.Bytes()) || !strings.Contains(b.String(), `"first": null`) || !strings.Contains(b.String(), `"failedClients": []`) {
		t.Errorf("%v: %s", err, &b)
	}
	b.Reset()
	if err := r.WriteText(&b, text.Screen{}); err != nil || !strings.HasPrefix(b.String(), "no entries\n0 logs") {
		t.Errorf("%v: %s", err, &b)
	}
}

// The most distinct latencies below the exact range are exact, others near.
func TestLatency(t *testing.T) {
	c := report.New(report.Options{})
	w := c.Worker()
	e := connlog.Entry{Time: start, Protocol: "TLSv1.3", Status: "Success", HasLatency: true}
	for ms := range 100_000 {
		e.HandshakeLatency = time.Duration(ms+1) * time.Millisecond
		w.Add(&e)
	}
	w.Close()
	median := func(ms ...float64) float64 {
		c := report.New(report.Options{})
		w := c.Worker()
		for _, x := range ms {
			e.HandshakeLatency = time.Duration(x * float64(time.Millisecond))
			w.Add(&e)
		}
		w.Close()
		return c.Result(report.Source{}, 0).HandshakeLatency.P50
	}
	for _, x := range []float64{0, 1, 999, 4000, 4095, 4096} {
		if got, want := median(x, x, 9000), x/1000; got != want {
			t.Errorf("median %v, want exactly %v", got, want)
		}
	}
	if got := median(0.6, 9000); got != 0.001 {
		t.Errorf("median %v of a latency that rounds to a millisecond", got)
	}
	l := c.Result(report.Source{}, 0).HandshakeLatency
	for got, want := range map[float64]float64{l.P50: 50, l.P90: 90, l.P99: 99, l.Max: 100} {
		if got < 0.99*want || got > 1.01*want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	text := logText(b, connlogtest.Options{Seed: 1, Lines: 100_000, Clients: 50_000})
	var entries []connlog.Entry
	r := connlog.NewReader(strings.NewReader(text))
	for {
		var e connlog.Entry
		if r.Read(&e) != nil {
			break
		}
		e.ClientCert.Subject = slices.Clone(e.ClientCert.Subject)
		entries = append(entries, e)
	}
	c := report.New(report.Options{})
	w := c.Worker()
	for i := 0; b.Loop(); i++ {
		w.Add(&entries[i%len(entries)])
	}
}
