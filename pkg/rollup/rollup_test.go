package rollup

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/connlog"
)

// readEntries returns the entries of a log, without the memory that Add must not keep.
func readEntries(tb testing.TB, r io.Reader) []connlog.Entry {
	var entries []connlog.Entry
	z := connlog.NewReader(r)
	for {
		var e connlog.Entry
		err := z.Read(&e)
		var pe *connlog.ParseError
		switch {
		case err == io.EOF:
			return entries
		case errors.As(err, &pe):
			continue
		case err != nil:
			tb.Fatal(err)
		}
		e.ClientCert, e.TraceID = connlog.ClientCert{}, nil
		entries = append(entries, e)
	}
}

// A projection is everything in a Summary, in a form to compare.
type projection struct {
	Lines, Malformed, Plaintext, OtherFailed uint64
	First, Last, FirstFailed, LastFailed     time.Time
	Totals, OtherClients                     Counts
	Cells                                    map[Cell]uint64
	Latencies                                map[LatencyKey]Histogram
	ClientMinutes                            map[ClientMinute]Counts
	FailingClients                           []ClientCounts
	Failures                                 []Negotiation
}

func project(s *Summary) projection {
	p := projection{
		s.Lines, s.Malformed, s.Plaintext, s.OtherFailed,
		s.first, s.Last, s.FirstFailed, s.LastFailed,
		s.Totals, s.OtherClients,
		maps.Collect(s.Cells), make(map[LatencyKey]Histogram), maps.Collect(s.ClientMinutes), s.FailingClients(), s.Failures(),
	}
	for k, h := range s.Latencies {
		p.Latencies[k] = *h
	}
	return p
}

var diffOptions = []gocmp.Option{
	gocmp.AllowUnexported(Histogram{}),
	gocmp.Comparer(func(a, b Client) bool { return a == b }),
	gocmp.Comparer(func(a, b float64) bool { return a == b }),
}

func client(s string) Client {
	if s == "" {
		return Client{}
	}
	if !strings.Contains(s, "/") {
		a := netip.MustParseAddr(s)
		return Client(netip.PrefixFrom(a, a.BitLen()))
	}
	return Client(netip.MustParsePrefix(s))
}

func histogram(latencies ...time.Duration) Histogram {
	var h Histogram
	for _, d := range latencies {
		h.add(d)
	}
	return h
}

// One entry, and everything that counts it.
func TestAdd(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 4, 59, 999_999_999, time.UTC)
	minute := Minute(at.Unix() / 60)
	success := connlog.Entry{
		Time: at, Client: netip.MustParseAddr("203.0.113.7"), ClientPort: 1, ListenerPort: 443, Protocol: "TLSv1.3",
		Cipher: "TLS_AES_128_GCM_SHA256", KeyExchange: "x25519", HandshakeLatency: 7 * time.Millisecond, HasLatency: true,
		Status: connlog.StatusSuccess, LoadBalancer: "app/a/1", Node: "192.0.2.1",
	}
	successful := projection{
		Lines: 1, First: at, Last: at, Totals: Counts{1, 0},
		Cells:         map[Cell]uint64{{minute, 443, "TLSv1.3", "TLS_AES_128_GCM_SHA256", "x25519", "Success"}: 1},
		Latencies:     map[LatencyKey]Histogram{{minute, "TLSv1.3"}: histogram(7 * time.Millisecond)},
		ClientMinutes: map[ClientMinute]Counts{{client("203.0.113.7"), minute}: {1, 0}},
	}
	clientIs := func(a string) func(*connlog.Entry) {
		return func(e *connlog.Entry) { e.Client = netip.MustParseAddr(a) }
	}
	becomes := func(a string) func(*projection) {
		return func(p *projection) { p.ClientMinutes = map[ClientMinute]Counts{{client(a), minute}: {1, 0}} }
	}
	timeIs := func(when time.Time) func(*connlog.Entry) { return func(e *connlog.Entry) { e.Time = when } }
	minuteIs := func(when time.Time, m Minute) func(*projection) {
		return func(p *projection) {
			p.First, p.Last = when, when
			p.Cells = map[Cell]uint64{{m, 443, "TLSv1.3", "TLS_AES_128_GCM_SHA256", "x25519", "Success"}: 1}
			p.Latencies = map[LatencyKey]Histogram{{m, "TLSv1.3"}: histogram(7 * time.Millisecond)}
			p.ClientMinutes = map[ClientMinute]Counts{{client("203.0.113.7"), m}: {1, 0}}
		}
	}
	failed := func(p *projection, f Negotiation) {
		f.Count = 1
		p.FirstFailed, p.LastFailed = p.First, p.Last
		p.Totals.Failed = 1
		p.Cells = map[Cell]uint64{{minute, f.ListenerPort, f.Protocol, f.Cipher, "", f.Status}: 1}
		p.Latencies = nil
		p.ClientMinutes = map[ClientMinute]Counts{{f.Client, minute}: {1, 1}}
		p.FailingClients = []ClientCounts{{f.Client, Counts{1, 1}}}
		p.Failures = []Negotiation{f}
	}
	before1970 := time.Date(1969, 12, 31, 23, 59, 59, 1, time.UTC)
	year0 := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	year2099 := time.Date(2099, 12, 31, 23, 59, 0, 0, time.UTC)
	tests := []struct {
		name   string
		prefix int
		entry  func(*connlog.Entry)
		want   func(*projection)
	}{
		{"success", 0, func(*connlog.Entry) {}, func(*projection) {}},
		{"failed with protocol", 0, func(e *connlog.Entry) {
			e.Status, e.KeyExchange, e.HasLatency = "Failed:ClientCertExpired", "", false
		}, func(p *projection) {
			failed(p, Negotiation{Client: client("203.0.113.7"), ListenerPort: 443, Protocol: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", Status: "Failed:ClientCertExpired"})
		}},
		{"failed without protocol", 0, func(e *connlog.Entry) {
			e.Status, e.Protocol, e.Cipher, e.KeyExchange, e.HasLatency = "Failed:UnmappedConnectionError", "", "", "", false
		}, func(p *projection) {
			failed(p, Negotiation{Client: client("203.0.113.7"), ListenerPort: 443, Status: "Failed:UnmappedConnectionError"})
		}},
		{"failed by an absent client", 0, func(e *connlog.Entry) {
			*e = connlog.Entry{Time: at, Status: "Failed:"}
		}, func(p *projection) { failed(p, Negotiation{Status: "Failed:"}) }},
		{"plaintext", 0, func(e *connlog.Entry) {
			*e = connlog.Entry{Time: at, Client: e.Client, ListenerPort: 80}
		}, func(p *projection) {
			*p = projection{Lines: 1, Plaintext: 1, First: at, Last: at, Cells: map[Cell]uint64{{Minute: minute, ListenerPort: 80}: 1}}
		}},
		{"no status, with protocol", 0, func(e *connlog.Entry) { e.Status = "" }, func(p *projection) {
			p.Cells = map[Cell]uint64{{minute, 443, "TLSv1.3", "TLS_AES_128_GCM_SHA256", "x25519", ""}: 1}
		}},
		{"unknown status", 0, func(e *connlog.Entry) { e.Status = "Failure" }, func(p *projection) {
			p.Cells = map[Cell]uint64{{minute, 443, "TLSv1.3", "TLS_AES_128_GCM_SHA256", "x25519", "Failure"}: 1}
		}},
		{"no latency", 0, func(e *connlog.Entry) { e.HandshakeLatency, e.HasLatency = 0, false }, func(p *projection) { p.Latencies = nil }},
		{"zero latency", 0, func(e *connlog.Entry) { e.HandshakeLatency = 0 }, func(p *projection) {
			p.Latencies = map[LatencyKey]Histogram{{minute, "TLSv1.3"}: histogram(0)}
		}},
		{"absent client", 0, func(e *connlog.Entry) { e.Client = netip.Addr{} }, becomes("")},
		{"absent client, grouped", 64, func(e *connlog.Entry) { e.Client = netip.Addr{} }, becomes("")},
		{"IPv4 is never grouped", 8, func(*connlog.Entry) {}, becomes("203.0.113.7")},
		{"IPv6", 0, clientIs("2001:db8:1:2:3:4:5:6"), becomes("2001:db8:1:2:3:4:5:6")},
		{"IPv6 by /64", 64, clientIs("2001:db8:1:2:3:4:5:6"), becomes("2001:db8:1:2::/64")},
		{"IPv6 by /48", 48, clientIs("2001:db8:1:2:3:4:5:6"), becomes("2001:db8:1::/48")},
		{"IPv6 by /1", 1, clientIs("ffff::1"), becomes("8000::/1")},
		{"IPv6 by /127", 127, clientIs("2001:db8::ffff"), becomes("2001:db8::fffe/127")},
		{"IPv6, no such prefix", 129, clientIs("2001:db8::1"), becomes("2001:db8::1")},
		{"IPv4 in IPv6", 0, clientIs("::ffff:203.0.113.7"), becomes("203.0.113.7")},
		{"IPv4 in IPv6 is never grouped", 64, clientIs("::ffff:203.0.113.7"), becomes("203.0.113.7")},
		{"before 1970", 0, timeIs(before1970), minuteIs(before1970, -1)},
		{"a whole minute before 1970", 0, timeIs(time.Unix(-120, 0).UTC()), minuteIs(time.Unix(-120, 0).UTC(), -2)},
		{"year 0", 0, timeIs(year0), minuteIs(year0, Minute(year0.Unix()/60))},
		{"year 2099", 0, timeIs(year2099), minuteIs(year2099, Minute(year2099.Unix()/60))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := success
			test.entry(&e)
			want := successful
			test.want(&want)
			s := New(Options{IPv6Prefix: test.prefix})
			s.Add(&e)
			got := project(s)
			if d := gocmp.Diff(normal(want), normal(got), diffOptions...); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			for k := range got.Cells {
				if k.TLS() != e.TLS() || k.Failed() != e.Failed() {
					t.Errorf("cell has TLS %v, Failed %v", k.TLS(), k.Failed())
				}
				if d := e.Time.Sub(k.Minute.Time()); d < 0 || d >= time.Minute {
					t.Errorf("%v is counted in minute %v", e.Time, k.Minute.Time())
				}
			}
		})
	}
}

// normal replaces what is empty by nil.
func normal(p projection) projection {
	if len(p.Latencies) == 0 {
		p.Latencies = nil
	}
	if len(p.ClientMinutes) == 0 {
		p.ClientMinutes = nil
	}
	if len(p.Failures) == 0 {
		p.Failures = nil
	}
	if len(p.FailingClients) == 0 {
		p.FailingClients = nil
	}
	return p
}

func TestEmpty(t *testing.T) {
	s := New(Options{})
	if d := gocmp.Diff(normal(projection{Cells: map[Cell]uint64{}}), normal(project(s)), diffOptions...); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	s.AddMalformed()
	if s.Lines != 1 || s.Malformed != 1 {
		t.Errorf("got %d lines, %d malformed", s.Lines, s.Malformed)
	}
}

func TestClientString(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "203.0.113.7": "203.0.113.7", "2001:db8::1": "2001:db8::1", "2001:db8::/64": "2001:db8::/64",
	} {
		if got := client(in).String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// count does what Add does in a slow and obvious way, from the text of a log. Latencies
// are those in the log.
func count(t *testing.T, log string, ipv6Prefix int) (projection, map[LatencyKey][]time.Duration) {
	p := projection{Cells: make(map[Cell]uint64), ClientMinutes: make(map[ClientMinute]Counts)}
	latencies := make(map[LatencyKey][]time.Duration)
	failing := make(map[Client]Counts)
	failures := make(map[Negotiation]uint64)
	for line := range strings.Lines(log) {
		p.Lines++
		f := connlogtest.Reference(strings.TrimSuffix(line, "\n"))
		if f == nil {
			p.Malformed++
			continue
		}
		f = append(f, "", "", "", "") // the fields that old formats lack
		at, err := time.Parse(time.RFC3339, f[0])
		if err != nil {
			t.Fatal(err)
		}
		port, _ := strconv.ParseUint(f[3], 10, 16)
		protocol, cipher, status := f[4], f[5], f[10]
		if p.First.IsZero() || at.Before(p.First) {
			p.First = at
		}
		if at.After(p.Last) {
			p.Last = at
		}
		minute := Minute(math.Floor(float64(at.Unix()) / 60))
		p.Cells[Cell{minute, uint16(port), protocol, cipher, f[12], status}]++
		if status == "" && protocol == "" {
			p.Plaintext++
			continue
		}
		var who Client
		if f[1] != "" {
			a := netip.MustParseAddr(f[1]).Unmap()
			if who = client(a.String()); a.Is6() {
				who = Client(netip.PrefixFrom(a, ipv6Prefix).Masked())
			}
		}
		p.Totals.Connections++
		one := p.ClientMinutes[ClientMinute{who, minute}]
		one.Connections++
		if strings.HasPrefix(status, "Failed:") {
			p.Totals.Failed++
			one.Failed++
			if p.FirstFailed.IsZero() || at.Before(p.FirstFailed) {
				p.FirstFailed = at
			}
			if at.After(p.LastFailed) {
				p.LastFailed = at
			}
			failures[Negotiation{Client: who, ListenerPort: uint16(port), Protocol: protocol, Cipher: cipher, Status: status}]++
		}
		p.ClientMinutes[ClientMinute{who, minute}] = one
		if f[6] != "" {
			d, err := time.ParseDuration(f[6] + "s")
			if err != nil {
				t.Fatal(err)
			}
			latencies[LatencyKey{minute, protocol}] = append(latencies[LatencyKey{minute, protocol}], d)
		}
	}
	for at, c := range p.ClientMinutes {
		sum := failing[at.Client]
		failing[at.Client] = Counts{sum.Connections + c.Connections, sum.Failed + c.Failed}
	}
	for who, c := range failing {
		if c.Failed > 0 {
			p.FailingClients = append(p.FailingClients, ClientCounts{who, c})
		}
	}
	for f, n := range failures {
		f.Count = n
		p.Failures = append(p.Failures, f)
	}
	slices.SortFunc(p.FailingClients, func(a, b ClientCounts) int {
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), netip.Prefix(a.Client).Addr().Compare(netip.Prefix(b.Client).Addr()))
	})
	slices.SortFunc(p.Failures, func(a, b Negotiation) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), netip.Prefix(a.Client).Addr().Compare(netip.Prefix(b.Client).Addr()), cmp.Compare(a.ListenerPort, b.ListenerPort),
			strings.Compare(a.Protocol, b.Protocol), strings.Compare(a.Cipher, b.Cipher), strings.Compare(a.Status, b.Status))
	})
	return p, latencies
}

// makeLog returns a generated log with some unusual lines.
func makeLog(t *testing.T, o connlogtest.Options) string {
	var log bytes.Buffer
	if err := connlogtest.Write(&log, o); err != nil {
		t.Fatal(err)
	}
	log.WriteString("not an entry\n" +
		"2026-11-23T10:01:00Z - - - - - - - - - Failed:UnmappedConnectionError\n" +
		"2026-11-23T10:01:00Z ::ffff:203.0.113.7 1 443 TLSv1.2 AES256-SHA 0.000 - - - Failed:X\n" +
		"1969-12-31T23:59:59.5Z 2001:db8::1 1 443 TLSv1.2 AES256-SHA 1000000 - - - -\n" +
		"2099-01-01T00:00:00Z 203.0.113.7 1 443 TLSv9 - - - - - Success\n")
	return log.String()
}

// fold adds a log to a Summary.
func fold(t *testing.T, s *Summary, log string) {
	r := connlog.NewReader(strings.NewReader(log))
	for {
		var e connlog.Entry
		err := r.Read(&e)
		var pe *connlog.ParseError
		switch {
		case err == nil:
			s.Add(&e)
		case err == io.EOF:
			return
		case errors.As(err, &pe):
			s.AddMalformed()
		default:
			t.Fatal(err)
		}
	}
}

func TestReference(t *testing.T) {
	for seed := range uint64(3) {
		for _, fields := range []int{11, 12, 13, 15} {
			for _, prefix := range []int{64, 128} {
				log := makeLog(t, connlogtest.Options{Seed: seed, Fields: fields, Lines: 3000})
				want, latencies := count(t, log, prefix)
				s := New(Options{IPv6Prefix: prefix})
				fold(t, s, log)
				got := project(s)
				compareLatencies(t, latencies, got.Latencies)
				got.Latencies = nil
				if d := gocmp.Diff(want, got, diffOptions...); d != "" {
					t.Fatalf("seed %d, %d fields, prefix %d: -want +got\n%s", seed, fields, prefix, d)
				}
			}
		}
	}
}

func latenciesIn(h *Histogram) (sum uint64) {
	for _, n := range h.Values() {
		sum += n
	}
	return sum
}

func compareLatencies(t *testing.T, want map[LatencyKey][]time.Duration, got map[LatencyKey]Histogram) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("got %d distributions, want %d", len(got), len(want))
	}
	for k, all := range want {
		h := got[k]
		slices.Sort(all)
		if n := latenciesIn(&h); n != uint64(len(all)) {
			t.Fatalf("%v: got %d latencies, want %d", k, n, len(all))
		}
		for value, n := range h.Values() {
			for range n {
				if d := min(all[0], maxTracked).Seconds(); math.Abs(value-d) > d*RelativeError*1.000001 {
					t.Fatalf("%v: got %v s for %v s", k, value, d)
				}
				all = all[1:]
			}
		}
	}
}

// Entries may be added in any order.
func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	o := Options{IPv6Prefix: 64}
	log := makeLog(t, connlogtest.Options{Seed: 7, Lines: 2000})
	whole := New(o)
	fold(t, whole, log)
	want := project(whole)
	entries := readEntries(t, strings.NewReader(log))
	for range 20 {
		r.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		s := New(o)
		for i := range entries {
			s.Add(&entries[i])
			if i%500 == 0 { // what was asked before does not change what is counted
				project(s)
			}
		}
		for range want.Malformed {
			s.AddMalformed()
		}
		if d := gocmp.Diff(want, project(s), diffOptions...); d != "" {
			t.Fatalf("-want +got\n%s", d)
		}
	}
}

// hostile calls add with entries that exceed all bounds: each line has new names,
// another minute and another client.
func hostile(lines int, add func(*connlog.Entry)) {
	base := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for i := range lines {
		id := fmt.Sprintf("%08d", i)
		name := func(s string) string { return s + id + strings.Repeat("x", maxName-len(s)-len(id)) }
		e := connlog.Entry{
			Time:             base.Add(time.Duration(i%20_000) * time.Minute),
			Client:           netip.AddrFrom16([16]byte{0x20, 1, 12: byte(i >> 24), 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}),
			ListenerPort:     uint16(i),
			Protocol:         name("P"),
			Cipher:           name("C"),
			KeyExchange:      name("K"),
			Status:           name("Failed:"),
			HandshakeLatency: time.Duration(i) * time.Millisecond,
			HasLatency:       i%2 == 0,
		}
		switch i % 10 {
		case 6:
			e.Status = connlog.StatusSuccess
		case 7:
			e.Status = ""
		case 8:
			e.Status, e.Protocol = "", ""
		case 9:
			e.Status = name("S")
		}
		add(&e)
	}
}

func TestBounds(t *testing.T) {
	const lines = 200_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := New(Options{})
	want := projection{}
	latencies := uint64(0)
	hostile(lines, func(e *connlog.Entry) {
		s.Add(e)
		want.Lines++
		switch {
		case !e.TLS():
			want.Plaintext++
			return
		case e.Failed():
			want.Totals.Failed++
		}
		want.Totals.Connections++
		if e.HasLatency {
			latencies++
		}
	})
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("summary holds %d MB", (after.HeapAlloc-before.HeapAlloc)>>20)
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 64<<20 {
		t.Errorf("summary holds %d MB", held>>20)
	}
	got := project(s)
	if got.Lines != want.Lines || got.Plaintext != want.Plaintext || got.Totals != want.Totals {
		t.Errorf("got %d lines, %d plaintext, %+v; want %d, %d, %+v", got.Lines, got.Plaintext, got.Totals, want.Lines, want.Plaintext, want.Totals)
	}
	minutes := make(map[Minute]bool)
	failed := make(map[Minute]int64) // of cells without those of clients
	var sum, plain, n uint64
	var totals, clients Counts
	for c, k := range got.Cells {
		minutes[c.Minute] = true
		sum += k
		if !c.TLS() {
			plain += k
			continue
		}
		totals.Connections += k
		if c.Failed() {
			totals.Failed += k
			failed[c.Minute] += int64(k)
		}
		for _, name := range []string{c.Protocol, c.Cipher, c.KeyExchange, c.Status} {
			if len(name) > maxName {
				t.Fatalf("name of %d bytes", len(name))
			}
		}
	}
	if sum != got.Lines || plain != got.Plaintext || totals != got.Totals {
		t.Errorf("cells: %d entries, %d plaintext, %+v", sum, plain, totals)
	}
	for _, h := range got.Latencies {
		n += latenciesIn(&h)
	}
	if n != latencies {
		t.Errorf("got %d latencies, want %d", n, latencies)
	}
	for at, c := range got.ClientMinutes {
		clients.add(c)
		if failed[at.Minute] -= int64(c.Failed); failed[at.Minute] < 0 {
			t.Fatalf("minute %v: more failures by clients than in cells", at.Minute)
		}
	}
	clients.add(got.OtherClients)
	if clients != got.Totals {
		t.Errorf("clients add up to %+v, not %+v", clients, got.Totals)
	}
	failures := got.OtherFailed
	for _, f := range got.Failures {
		failures += f.Count
	}
	if failures != got.Totals.Failed {
		t.Errorf("failures add up to %d, not %d", failures, got.Totals.Failed)
	}
	for _, bound := range []struct {
		what     string
		got, max int
	}{
		{"minutes", len(minutes), maxMinutes + 1},
		{"cells", len(got.Cells), MaxCells + 5*(maxMinutes+1)},
		{"latencies", len(got.Latencies), maxLatencies + maxMinutes + 1},
		{"client minutes", len(got.ClientMinutes), 2 * MaxClients},
		{"failures", len(got.Failures), maxFailures},
	} {
		if bound.got > bound.max {
			t.Errorf("%d %s, bound is %d", bound.got, bound.what, bound.max)
		}
	}
}

// At a bound everything is counted by name. Beyond it, new names count as Other, and
// known ones keep their rows.
func TestCellsAtTheBound(t *testing.T) {
	s := New(Options{})
	e := connlog.Entry{Time: time.Unix(0, 0), ListenerPort: 443, Protocol: "TLSv1.2", Status: connlog.StatusSuccess}
	add := func(cipher string) {
		e.Cipher = cipher
		s.Add(&e)
	}
	for i := range MaxCells {
		add(strconv.Itoa(i))
	}
	add("0")
	if got := maps.Collect(s.Cells); len(got) != MaxCells || got[Cell{0, 443, "TLSv1.2", "0", "", "Success"}] != 2 {
		t.Fatalf("%d cells", len(got))
	}
	add("one too many")
	add("two too many")
	add("1")
	got := maps.Collect(s.Cells)
	if len(got) != MaxCells+1 || got[Cell{0, 0, Other, Other, Other, "Success"}] != 2 || got[Cell{0, 443, "TLSv1.2", "1", "", "Success"}] != 2 {
		t.Errorf("%d cells beyond the bound", len(got))
	}
}

func TestMinutesAtTheBound(t *testing.T) {
	s := New(Options{})
	add := func(m int64) { s.Add(&connlog.Entry{Time: time.Unix(60*m, 0), Status: connlog.StatusSuccess}) }
	for m := range int64(maxMinutes) {
		add(1000 + m)
	}
	add(0)    // always has a place
	add(1)    // has none, counts as 0
	add(1000) // is known
	minutes := make(map[Minute]uint64)
	for c, n := range s.Cells { // whose names are Other beyond MaxCells
		minutes[c.Minute] += n
	}
	if len(minutes) != maxMinutes+1 || minutes[0] != 2 || minutes[1000] != 2 || minutes[Minute(999+maxMinutes)] != 1 {
		t.Errorf("%d minutes, %v in minute 0", len(minutes), minutes[0])
	}
}

// Names beyond maxName count as Other. A failure remains a failure.
func TestLongNames(t *testing.T) {
	at := time.Unix(0, 0).UTC()
	long := strings.Repeat("n", 60<<10)
	longest := strings.Repeat("n", maxName)
	for _, test := range []struct{ in, want Cell }{
		{Cell{Protocol: longest, Cipher: longest, KeyExchange: longest, Status: longest}, Cell{Protocol: longest, Cipher: longest, KeyExchange: longest, Status: longest}},
		{Cell{Protocol: longest + "n"}, Cell{Protocol: Other}},
		{Cell{Protocol: long, Cipher: long, KeyExchange: long, Status: long}, Cell{Protocol: Other, Cipher: Other, KeyExchange: Other, Status: Other}},
		{Cell{Status: "Failed:" + long}, Cell{Status: "Failed:" + Other}},
	} {
		s := New(Options{})
		e := connlog.Entry{Time: at, Protocol: test.in.Protocol, Cipher: test.in.Cipher, KeyExchange: test.in.KeyExchange, Status: test.in.Status, HasLatency: true}
		s.Add(&e)
		s.Add(&e)
		if got, want := maps.Collect(s.Cells), map[Cell]uint64{test.want: 2}; !maps.Equal(got, want) {
			t.Errorf("got %d cells for a name of %d bytes: %.200v", len(got), len(test.in.Protocol), got)
		}
		for k := range s.Latencies {
			if k.Protocol != test.want.Protocol {
				t.Errorf("got latencies of %.50q", k.Protocol)
			}
		}
		for _, f := range s.Failures() {
			if f.Protocol != test.want.Protocol || f.Cipher != test.want.Cipher || f.Status != test.want.Status || f.Count != 2 {
				t.Errorf("got failures %.50v", f)
			}
		}
	}
}

// Failing clients are counted by name however many clients succeed.
func TestFailingClientAmongMany(t *testing.T) {
	s := New(Options{})
	e := connlog.Entry{Time: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Protocol: "TLSv1.3", Status: connlog.StatusSuccess}
	for i := range MaxClients + 10 {
		e.Client = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		s.Add(&e)
	}
	e.Client, e.Status = netip.MustParseAddr("192.0.2.7"), connlog.FailedPrefix+"X"
	s.Add(&e)
	failing := s.FailingClients()
	if len(failing) != 1 || failing[0].Client.String() != "192.0.2.7" || s.OtherClients != (Counts{Connections: 10}) {
		t.Errorf("failing %v, others %+v", failing, s.OtherClients)
	}
}

// Entries that differ in a single field are counted apart, even if their hints lead to
// the same place.
func TestCellsOfOneHint(t *testing.T) {
	for field, set := range map[string]func(*connlog.Entry, string){
		"protocol":     func(e *connlog.Entry, s string) { e.Protocol = s },
		"cipher":       func(e *connlog.Entry, s string) { e.Cipher = s },
		"key exchange": func(e *connlog.Entry, s string) { e.KeyExchange = s },
		"status":       func(e *connlog.Entry, s string) { e.Status = s },
		"port":         nil,
	} {
		s := New(Options{})
		a := connlog.Entry{Time: time.Unix(0, 0), ListenerPort: 443, Protocol: "p", Cipher: "c", KeyExchange: "k", Status: "s"}
		b := a
		place := func(e *connlog.Entry) uint64 { return e.Hint() >> (64 - recentBits) }
		if set != nil {
			set(&a, "xAB")
			set(&b, "xBA") // as long, with the same sum of the letters that count
		} else {
			for b.ListenerPort++; place(&a) != place(&b); b.ListenerPort++ {
			}
		}
		if place(&a) != place(&b) {
			t.Fatalf("%s: the hints are not the same", field)
		}
		for range 3 {
			s.Add(&a)
			s.Add(&b)
		}
		cells := 0
		for c, n := range s.Cells {
			if cells++; n != 3 {
				t.Errorf("%s: %d entries of %+v", field, n, c)
			}
		}
		if cells != 2 {
			t.Errorf("%s: %d cells", field, cells)
		}
	}
}
