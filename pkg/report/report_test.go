package report_test

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/reporttest"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/report"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// reference counts what the JSON has in a slow and obvious way, from fields as
// connlogtest reads them.
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
	newest := make(map[string]string) // protocol by client, without post-quantum key exchange
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
		if pq := strings.Contains(f[12], "MLKEM"); !failed && (f[4] == "TLSv1.2" || f[4] == "TLSv1.3" && f[12] != "-") {
			count("nonPostQuantumClients", f[1], pq)
			if !pq {
				newest[f[1]] = max(newest[f[1]], f[4])
			}
		}
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
			switch {
			case list == "failedClients" && rows[k].failed == 0, list == "nonPostQuantumClients" && newest[k] == "":
			default:
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
			case "nonPostQuantumClients":
				return cmp.Or(cmp.Compare(y.connections-y.failed, x.connections-x.failed), netip.MustParseAddr(a).Compare(netip.MustParseAddr(b)))
			case "byListenerPort":
				return cmp.Or(cmp.Compare(y.connections, x.connections), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
			}
			// "-" means no value, which sorts first.
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
			case "nonPostQuantumClients":
				row = map[string]any{"client": k, "connections": c.connections - c.failed, "protocol": newest[k], "postQuantum": c.failed > 0}
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

// normal makes JSON values comparable.
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

// contract keeps the members of got that want has, also in lists of objects.
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

// The JSON equals the reference with any number of workers.
func TestEqualsReference(t *testing.T) {
	for _, o := range []connlogtest.Options{{Seed: 1, Lines: 20_000}, {Seed: 2, Lines: 3000, Fields: 11}, {Seed: 3, Lines: 500, Fields: 12, Duration: 5 * time.Hour}} {
		text := string(connlogtest.Log(o)) + "malformed\n"
		want := normal(t, reference(text))
		for _, workers := range []int{1, 2, 7} {
			var b bytes.Buffer
			if err := reporttest.Collect(t, report.Options{AllClients: true}, text, workers).Result(report.Source{}, 0).WriteJSON(&b); err != nil {
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

// Up to MaxKeys failing clients have exact counts, however many others there are.
func TestExactToTheBound(t *testing.T) {
	c := report.New(report.Options{})
	w := c.Worker()
	failing := uint32(report.MaxKeys)
	e := connlog.Entry{Time: reporttest.Start, Protocol: "TLSv1.2", Cipher: "X", Status: "Success"}
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

// Clients that do not fail have exact counts too while failing ones take more than
// half of the room.
func TestExactBesideFailing(t *testing.T) {
	c := report.New(report.Options{})
	w := c.Worker()
	const each = report.MaxKeys * 9 / 10
	for n := range uint32(2 * each) {
		e := connlog.Entry{Time: reporttest.Start, Protocol: "TLSv1.2", Client: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), Status: "Failed:X"}
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

// Counts do not depend on the number of combinations of values or on their order,
// and a connection without a latency has none.
func TestManyCombinations(t *testing.T) {
	const ports = 5000
	c := report.New(report.Options{})
	w := c.Worker()
	client := netip.MustParseAddr("192.0.2.1")
	add := func(port int) {
		w.Add(&connlog.Entry{Time: reporttest.Start, Client: client, Protocol: "TLSv1.2", Status: "Success", ListenerPort: uint16(port)})
		w.Add(&connlog.Entry{Time: reporttest.Start, Client: client, Protocol: "TLSv1.2", Status: "Success", ListenerPort: uint16(port), HandshakeLatency: 100 * time.Millisecond, HasLatency: true})
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

// Entries with the same hint that differ in one name count separately.
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
			e := connlog.Entry{Time: reporttest.Start, Protocol: "p", Cipher: "c", KeyExchange: "k", Status: "s", LoadBalancer: "l"}
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

// Above the bound, the clients with most failures are listed, with counts within
// the stated error, and sums are exact.
func TestApproximate(t *testing.T) {
	c := report.New(report.Options{})
	w := c.Worker()
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 1, 1<<24-1)
	truth := make(map[netip.Addr]uint64)
	e := connlog.Entry{Time: reporttest.Start, Protocol: "TLSv1.2", Cipher: "X", Status: "Failed:UnmappedConnectionError"}
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

// Memory is bounded for millions of clients, names, subjects and years.
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
		e.Time = reporttest.Start.Add(time.Duration(n) * time.Hour)
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
	text := reporttest.Line(reporttest.Start, "10.1.2.3", reporttest.Bad) + reporttest.Line(reporttest.Start, "10.1.2.4", reporttest.Bad) + reporttest.Line(reporttest.Start, "10.1.3.4", reporttest.Bad) +
		reporttest.Line(reporttest.Start, "2001:db8:0:1::5", reporttest.Bad) + reporttest.Line(reporttest.Start, "2001:db8:0:1::6", reporttest.Bad) + reporttest.Line(reporttest.Start, "-", reporttest.Bad)
	r := reporttest.Collect(t, report.Options{IPv4Prefix: 24, IPv6Prefix: 64}, text, 1).Result(report.Source{}, 0)
	var got []string
	for _, x := range r.FailedClients {
		got = append(got, fmt.Sprint(x.Client, " ", x.Failed))
	}
	if want := []string{"10.1.2.0/24 2", "2001:db8:0:1::/64 2", "- 1", "10.1.3.0/24 1"}; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Hashes hide clients but keep them distinct; another key gives other hashes.
func TestAnonymize(t *testing.T) {
	log := strings.Repeat(reporttest.Line(reporttest.Start, "203.0.113.7", strings.Replace(reporttest.Bad, `"-" - -`, `"CN=secret" NotBefore=2026-01-01T00:00:00Z;NotAfter=2027-01-01T00:00:00Z 01`, 1)), 3) +
		reporttest.Line(reporttest.Start, "203.0.113.8", reporttest.Bad) + reporttest.Line(reporttest.Start, "203.0.113.9", reporttest.Good)
	source := report.Source{MalformedLines: 1, Malformed: []report.MalformedLine{{Object: "x.log", Line: 7, Error: `too few fields: "203.0.113.7 secret"`}}}
	show := func(key string) string {
		var b bytes.Buffer
		r := reporttest.Collect(t, report.Options{AnonymizeKey: []byte(key), Heat: true}, log, 2).Result(source, 0)
		if err := r.WriteJSON(&b); err != nil {
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
		t.Error("the hashes do not depend on the key alone")
	}
	if !strings.Contains(a, `"anonymized": true`) || !strings.Contains(a, "client-") || !strings.Contains(a, "subject-") {
		t.Errorf("no hashes in\n%s", a)
	}
}

// No text that clients chose becomes a formula in CSV.
func TestInjection(t *testing.T) {
	r := reporttest.Collect(t, report.Options{}, reporttest.Line(reporttest.Start, "203.0.113.7", reporttest.Hostile), 1).Result(report.Source{MalformedLines: 1, Malformed: []report.MalformedLine{{Object: "+x\n.log", Line: 1, Error: "\x1b]0;title\a"}}}, 0)
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
	if err := r.WriteCSV(io.Discard, "nothing"); err == nil || !strings.Contains(err.Error(), "want one of summary, status") {
		t.Errorf("unknown section: %v", err)
	}
}

// CSV read back equals the printable form of the log, with an apostrophe before what
// a spreadsheet would take for a formula.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"ECDHE-RSA-AES256-SHA", "=1+1", "+1", "-", "-1", "@SUM(A1)", "\t=1", "\r\n=1", `"`, `a","=b`, "\x00", "\u202e", "'=1", "a;=1", "\u3000=1", "＝1"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, cipher, subject string) {
		c := report.New(report.Options{})
		w := c.Worker()
		w.Add(&connlog.Entry{Time: reporttest.Start, Protocol: "TLSv1.2", Cipher: cipher, Status: "Failed:X", ClientCert: connlog.ClientCert{Subject: []byte(subject)}})
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
				withoutMarks := func(s string) string { return strings.ReplaceAll(s, "'", "") }
				if len(want) <= 128 && want != "" && withoutMarks(row[column]) != withoutMarks(text.Printable(want)) {
					t.Errorf("%s: %q became %q", section, want, row[column])
				}
			}
		}
	})
}

// The golden files are one result in each format.
func TestGolden(t *testing.T) {
	c, source := reporttest.Mixed(t)
	r := c.Result(source, 5)
	forms := map[string]func(io.Writer) error{
		"report.json": r.WriteJSON,
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
	}
}

// Each entry counts in its own minute, whatever the time of the first entry and
// the order of the others.
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

// Without entries there is a result too.
func TestEmpty(t *testing.T) {
	r := report.New(report.Options{Heat: true}).Result(report.Source{}, 0)
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil || !json.Valid(b.Bytes()) || !strings.Contains(b.String(), `"first": null`) || !strings.Contains(b.String(), `"failedClients": []`) {
		t.Errorf("%v: %s", err, &b)
	}
}

// Percentiles are exact within the exact range, and near above it.
func TestLatency(t *testing.T) {
	c := report.New(report.Options{})
	w := c.Worker()
	e := connlog.Entry{Time: reporttest.Start, Protocol: "TLSv1.3", Status: "Success", HasLatency: true}
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
	text := string(connlogtest.Log(connlogtest.Options{Seed: 1, Lines: 100_000, Clients: 50_000}))
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
