package metric

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/rollup"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const loadBalancer = "app/my-loadbalancer/1234567890abcdef"

var (
	start      = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC) // of the generated logs
	now        = start.Add(6 * time.Minute)
	everything = Options{Breakdowns: all, ClientMinFailed: 5, ClientTop: 10}
	all        = Breakdowns{Port: true, Protocol: true, Cipher: true, KeyExchange: true, Reason: true, Client: true, Latency: true}
)

func summarize(t *testing.T, log string) *rollup.Summary {
	s := rollup.New(rollup.Options{IPv6Prefix: 64})
	r := connlog.NewReader(strings.NewReader(log))
	for {
		var e connlog.Entry
		err := r.Read(&e)
		var pe *connlog.ParseError
		switch {
		case err == nil:
			s.Add(&e)
		case err == io.EOF:
			return s
		case errors.As(err, &pe):
			s.AddMalformed()
		default:
			t.Fatal(err)
		}
	}
}

func makeLog(t *testing.T, o connlogtest.Options) string {
	var log bytes.Buffer
	if err := connlogtest.Write(&log, o); err != nil {
		t.Fatal(err)
	}
	return log.String()
}

// TestGolden publishes the logs in testdata. Each has a golden file with one line
// per datum.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, name := range files {
		log, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data, stale := Data(summarize(t, string(log)), loadBalancer, now, Options{Breakdowns: all, ClientMinFailed: 2, ClientTop: 1})
		var out strings.Builder
		for _, d := range data {
			fmt.Fprintln(&out, line(d))
		}
		fmt.Fprintf(&out, "%+v\n", stale)
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

func line(d Datum) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", d.Time.Format("15:04"), d.Name)
	for _, dim := range d.Dimensions {
		fmt.Fprintf(&b, " %s=%s", dim.Name, dim.Value)
	}
	fmt.Fprintf(&b, " %s", d.Unit)
	for i, v := range d.Values {
		fmt.Fprintf(&b, " %vx%v", d.Counts[i], v)
	}
	return b.String()
}

// A sum is a series in CloudWatch.
type sum struct{ Sum, Samples float64 }

// sums adds up data over all minutes, by name and dimensions.
func sums(data []Datum) map[string]sum {
	m := make(map[string]sum)
	for _, d := range data {
		k := d.Name
		for _, dim := range d.Dimensions {
			k += " " + dim.Name + "=" + dim.Value
		}
		s := m[k]
		for i, v := range d.Values {
			s.Sum += v * d.Counts[i]
			s.Samples += d.Counts[i]
		}
		m[k] = s
	}
	return m
}

// count computes the sums of everything except latencies and clients directly
// from the text of a log. A number that is published as one value per minute has
// one sample per minute.
func count(log string) map[string]sum {
	m := make(map[string]sum)
	minutes := make(map[string]bool)
	for l := range strings.Lines(log) {
		f := append(connlogtest.Reference(strings.TrimSuffix(l, "\n")), "", "", "", "")
		protocol, cipher, status, group := or(f[4]), or(f[5]), f[10], or(f[12])
		number := func(key string, n float64) {
			s := m[key]
			s.Sum += n
			if at := f[0][:len("2006-01-02T15:04")] + key; !minutes[at] {
				minutes[at] = true
				s.Samples++
			}
			m[key] = s
		}
		lb := " LoadBalancer=" + loadBalancer
		if f[4] == "" && status == "" {
			number("PlaintextConnections"+lb, 1)
			continue
		}
		number("Connections"+lb, 1)
		number("Connections"+lb+" Protocol="+protocol, 1)
		number("Connections"+lb+" Protocol="+protocol+" Cipher="+cipher, 1)
		number("Connections"+lb+" KeyExchange="+group, 1)
		failed := 0.0
		if reason, ok := strings.CutPrefix(status, "Failed:"); ok {
			failed = 1
			number("FailedNegotiations"+lb+" Reason="+or(reason), 1)
		}
		for _, dims := range []string{"", lb, lb + " ListenerPort=" + f[3], lb + " Protocol=" + protocol, lb + " Protocol=" + protocol + " Cipher=" + cipher} {
			s := m["FailedNegotiations"+dims]
			m["FailedNegotiations"+dims] = sum{s.Sum + failed, s.Samples + 1}
		}
	}
	return m
}

func or(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func TestSums(t *testing.T) {
	for seed := range uint64(4) {
		for _, fields := range []int{11, 12, 13, 15} {
			log := makeLog(t, connlogtest.Options{Seed: seed, Fields: fields, Lines: 3000})
			data, stale := Data(summarize(t, log), loadBalancer, now, everything)
			checkData(t, data)
			if stale != (Stale{}) {
				t.Errorf("got %+v", stale)
			}
			got := sums(data)
			maps.DeleteFunc(got, func(k string, _ sum) bool {
				return strings.HasPrefix(k, HandshakeLatency) || strings.Contains(k, " Client=")
			})
			if d := cmp.Diff(count(log), got); d != "" {
				t.Fatalf("seed %d, %d fields: -want +got\n%s", seed, fields, d)
			}
		}
	}
}

// TestLatencySums checks that HandshakeLatency has a sample for each line with a
// latency, and that its sum is within the relative error.
func TestLatencySums(t *testing.T) {
	log := makeLog(t, connlogtest.Options{Lines: 5000})
	want := make(map[string]sum)
	for l := range strings.Lines(log) {
		f := connlogtest.Reference(strings.TrimSuffix(l, "\n"))
		seconds, err := strconv.ParseFloat(f[6], 64)
		if err != nil {
			continue
		}
		for _, k := range []string{"", " Protocol=" + or(f[4])} {
			k = "HandshakeLatency LoadBalancer=" + loadBalancer + k
			want[k] = sum{want[k].Sum + seconds, want[k].Samples + 1}
		}
	}
	data, _ := Data(summarize(t, log), loadBalancer, now, everything)
	got := sums(data)
	maps.DeleteFunc(got, func(k string, _ sum) bool { return !strings.HasPrefix(k, HandshakeLatency) })
	if len(got) != len(want) {
		t.Errorf("got %d series, want %d", len(got), len(want))
	}
	for k, w := range want {
		if g := got[k]; g.Samples != w.Samples || math.Abs(g.Sum-w.Sum) > w.Sum*rollup.RelativeError {
			t.Errorf("%s: got %+v, want %+v", k, g, w)
		}
	}
}

// TestClients checks that the failures of all values of Client add up to the load
// balancer's, in every minute.
func TestClients(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	generated := summarize(t, makeLog(t, connlogtest.Options{Lines: 3000}))
	crowded := rollup.New(rollup.Options{})
	hostile(rollup.MaxClients*8, time.Millisecond, func(e *connlog.Entry) { crowded.Add(e) })
	if crowded.OtherClients.Failed == 0 {
		t.Fatal("no clients beyond the bound")
	}
	for name, s := range map[string]*rollup.Summary{"generated": generated, "crowded": crowded} {
		rounds := 20
		if name == "crowded" { // each takes long
			rounds = 3
		}
		for range rounds {
			o := Options{Breakdowns: Breakdowns{Client: true}, ClientMinFailed: 1 + r.IntN(20), ClientTop: r.IntN(30)}
			data, _ := Data(s, loadBalancer, now, o)
			want, got := make(map[time.Time]float64), make(map[time.Time]float64)
			named := make(map[string]float64)
			for _, d := range data {
				switch failed := sums([]Datum{d}); {
				case len(d.Dimensions) == 2 && d.Dimensions[1].Name == Client:
					for _, s := range failed {
						got[d.Time] += s.Sum
						named[d.Dimensions[1].Value] += s.Sum
					}
				case d.Name == FailedNegotiations && len(d.Dimensions) == 1:
					for _, s := range failed {
						if s.Sum > 0 {
							want[d.Time] = s.Sum
						}
					}
				}
			}
			maps.DeleteFunc(got, func(_ time.Time, n float64) bool { return n == 0 }) // a failing client without failures in this minute
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%s, %+v: -want +got\n%s", name, o, d)
			}
			delete(named, Other)
			if len(named) > o.ClientTop {
				t.Errorf("%s, %+v: %d clients are named", name, o, len(named))
			}
			for _, c := range s.FailingClients()[:len(named)] {
				if n, ok := named[Value(c.Client.String())]; !ok || n != float64(c.Failed) || n < float64(o.ClientMinFailed) {
					t.Errorf("%s, %+v: client %v has %v failures of %d", name, o, c.Client, n, c.Failed)
				}
			}
		}
	}
}

// sets returns the dimension sets of data by name of metric.
func sets(data []Datum) map[string]bool {
	m := make(map[string]bool)
	for _, d := range data {
		k := d.Name + " " + string(d.Unit)
		for _, dim := range d.Dimensions {
			k += " " + dim.Name
		}
		m[k] = true
	}
	return m
}

func TestDefinitions(t *testing.T) {
	want := make(map[string]bool)
	for _, d := range Definitions {
		if d.Meaning == "" {
			t.Errorf("%s has no description", d.Name)
		}
		for _, dims := range d.Dimensions {
			k := strings.Join(append([]string{d.Name, string(d.Unit)}, dims...), " ")
			if want[k] {
				t.Errorf("%s is defined twice", k)
			}
			want[k] = true
		}
	}
	data, _ := Data(summarize(t, makeLog(t, connlogtest.Options{})), loadBalancer, now, everything)
	var p Processor
	p.Processed(start, now, 0)
	p.ClientsOverBudget++
	if d := cmp.Diff(want, sets(append(data, p.Data(now)...))); d != "" {
		t.Errorf("-defined +published\n%s", d)
	}
}

func TestBreakdowns(t *testing.T) {
	s := summarize(t, makeLog(t, connlogtest.Options{}))
	always := []string{
		"Connections Count LoadBalancer", "FailedNegotiations Count", "FailedNegotiations Count LoadBalancer",
		"HandshakeLatency Seconds LoadBalancer", "PlaintextConnections Count LoadBalancer",
	}
	for list, more := range map[string][]string{
		"none":        nil,
		"port":        {"FailedNegotiations Count LoadBalancer ListenerPort"},
		"protocol":    {"Connections Count LoadBalancer Protocol", "FailedNegotiations Count LoadBalancer Protocol"},
		"cipher":      {"Connections Count LoadBalancer Protocol Cipher", "FailedNegotiations Count LoadBalancer Protocol Cipher"},
		"keyexchange": {"Connections Count LoadBalancer KeyExchange"},
		"reason":      {"FailedNegotiations Count LoadBalancer Reason"},
		"client":      {"FailedNegotiations Count LoadBalancer Client"},
		"latency":     {"HandshakeLatency Seconds LoadBalancer Protocol"},
		"reason, port": {
			"FailedNegotiations Count LoadBalancer ListenerPort", "FailedNegotiations Count LoadBalancer Reason",
		},
	} {
		b, err := ParseBreakdowns(list)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := Data(s, loadBalancer, now, Options{Breakdowns: b, ClientTop: 10})
		got := slices.Sorted(maps.Keys(sets(data)))
		want := slices.Sorted(slices.Values(slices.Concat(always, more)))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", list, d)
		}
	}
	if b, err := ParseBreakdowns("all"); err != nil || b != all {
		t.Errorf("all: got %+v, %v", b, err)
	}
	for _, list := range []string{"", "ciphers", "port,", "all,port", "port,none", "Port"} {
		if b, err := ParseBreakdowns(list); err == nil || b != (Breakdowns{}) {
			t.Errorf("%q: got %+v, %v", list, b, err)
		}
	}
}

func TestStale(t *testing.T) {
	oldest := now.Add(clockMargin - MaxAge).Truncate(time.Minute)
	newest := now.Add(MaxAhead - clockMargin).Truncate(time.Minute)
	for _, test := range []struct {
		name string
		at   time.Time
		want Stale
	}{
		{"now", now, Stale{}},
		{"oldest", oldest, Stale{}},
		{"too old", oldest.Add(-time.Minute), Stale{TooOld: 3}},
		{"just too old", oldest.Add(-1), Stale{TooOld: 3}},
		{"newest", newest, Stale{}},
		{"newest, at its end", newest.Add(time.Minute - 1), Stale{}},
		{"too new", newest.Add(time.Minute), Stale{TooNew: 3}},
		{"year 0", time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), Stale{TooOld: 3}},
		{"year 9999", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), Stale{TooNew: 3}},
	} {
		s := rollup.New(rollup.Options{})
		for _, status := range []string{"Success", "Failed:X", ""} {
			s.Add(&connlog.Entry{Time: test.at, Status: status, HasLatency: status == "Success"})
		}
		data, stale := Data(s, loadBalancer, now, everything)
		if stale != test.want || (len(data) == 0) != (test.want != Stale{}) {
			t.Errorf("%s: got %+v and %d data", test.name, stale, len(data))
		}
		for _, d := range data {
			if !d.Time.Equal(test.at.Truncate(time.Minute)) {
				t.Errorf("%s: got %v", test.name, d.Time)
			}
			if !d.Time.After(now.Add(-MaxAge)) || !d.Time.Before(now.Add(MaxAhead)) {
				t.Errorf("%s: CloudWatch refuses %v", test.name, d.Time)
			}
		}
	}
}

func TestValue(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", "none"},
		{" ", "none"},
		{"   ", "none"},
		{"TLSv1.3", "TLSv1.3"},
		{" a b ", " a b "},
		{":a", ":a"},
		{"a\x00b\tc\x7f", "a?b?c?"},
		{"\n", "?"},
		{"zwölf", "zw?lf"},
		{"a\xff\xfeb", "a??b"},
		{strings.Repeat("x", 1023), strings.Repeat("x", 1023)},
		{strings.Repeat("x", 1024), strings.Repeat("x", 1024)},
		{strings.Repeat("x", 1025), strings.Repeat("x", 1024)},
		{strings.Repeat("ö", 2000), strings.Repeat("?", 1024)},
		{strings.Repeat(" ", 1024) + "x", "none"},
	} {
		if got := Value(test.in); got != test.want {
			t.Errorf("%.40q: got %.40q of %d bytes", test.in, got, len(got))
		}
	}
}

func TestBatches(t *testing.T) {
	plain := Datum{Name: Connections, Unit: Count, Values: []float64{1}, Counts: []float64{1}}
	wide := Datum{Name: HandshakeLatency, Unit: Seconds, Values: make([]float64, MaxValues), Counts: make([]float64, MaxValues)}
	perBatch := (MaxBytes - requestSize) / size(wide)
	if perBatch < 2 || perBatch >= MaxData {
		t.Fatalf("%d wide data in a batch", perBatch)
	}
	for _, test := range []struct {
		n    int
		of   Datum
		want []int
	}{
		{0, plain, nil},
		{1, plain, []int{1}},
		{MaxData - 1, plain, []int{MaxData - 1}},
		{MaxData, plain, []int{MaxData}},
		{MaxData + 1, plain, []int{MaxData, 1}},
		{2*MaxData + 1, plain, []int{MaxData, MaxData, 1}},
		{perBatch, wide, []int{perBatch}},
		{perBatch + 1, wide, []int{perBatch, 1}},
		{2*perBatch + 1, wide, []int{perBatch, perBatch, 1}},
	} {
		data := make([]Datum, test.n)
		for i := range data {
			data[i] = test.of
			data[i].Time = time.Unix(int64(i), 0)
		}
		batches := Batches(data)
		var got []int
		for _, b := range batches {
			got = append(got, len(b))
			bytes := requestSize
			for _, d := range b {
				bytes += size(d)
			}
			if bytes > MaxBytes {
				t.Errorf("%d %s: batch of %d bytes", test.n, test.of.Name, bytes)
			}
		}
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%d %s: -want +got\n%s", test.n, test.of.Name, d)
		}
		if d := cmp.Diff(slices.Concat(batches...), slices.Clip(data)); d != "" && test.n > 0 {
			t.Errorf("%d %s: not the same data as before\n%s", test.n, test.of.Name, d)
		}
		for _, b := range batches {
			_ = append(b, Datum{Name: "mine"}) // must not touch the next batch
		}
		if slices.ContainsFunc(data, func(d Datum) bool { return d.Name == "mine" }) {
			t.Errorf("%d %s: batches share their memory", test.n, test.of.Name)
		}
	}
}

// TestFitOne checks FitOne against Batches of the data and a processor's.
func TestFitOne(t *testing.T) {
	wide := Datum{Name: HandshakeLatency, Unit: Seconds, Values: make([]float64, MaxValues), Counts: make([]float64, MaxValues)}
	plain := Datum{Name: Connections, Unit: Count, Values: []float64{1}, Counts: []float64{1}}
	fits, fitsNot := 0, 0
	for _, of := range []Datum{plain, wide} {
		most := min(MaxData, MaxBytes/size(of))
		for lags := range 4 * MaxValues {
			p := &Processor{ClientsOverBudget: lags % 2}
			for i := range lags {
				p.Lags = append(p.Lags, time.Duration(i)*time.Second)
			}
			for n := most - 14; n <= most; n++ {
				data := slices.Repeat([]Datum{of}, n)
				want := len(Batches(slices.Concat(data, p.Data(time.Unix(0, 0))))) == 1
				if got := FitOne(data, p); got != want {
					t.Fatalf("%d %s and %d lags: %v, want %v", n, of.Name, lags, got, want)
				}
				if want {
					fits++
				} else {
					fitsNot++
				}
			}
		}
	}
	if fits < 1000 || fitsNot < 1000 {
		t.Errorf("%d fit, %d do not", fits, fitsNot)
	}
}

// hostile calls add with entries that each have new names and a new client.
func hostile(lines int, step time.Duration, add func(*connlog.Entry)) {
	for i := range lines {
		name := fmt.Sprintf("\x00ö %d", i)
		e := connlog.Entry{
			Time:             start.Add(time.Duration(i) * step),
			Client:           netip.AddrFrom16([16]byte{0x20, 1, 12: byte(i >> 24), 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}),
			ListenerPort:     uint16(i),
			Protocol:         name,
			Cipher:           name,
			KeyExchange:      " ",
			Status:           "Failed:" + name,
			HandshakeLatency: time.Duration(i) * time.Millisecond,
			HasLatency:       true,
		}
		switch i % 9 {
		case 3:
			e.Status = connlog.StatusSuccess
		case 4:
			e.Status, e.Protocol = "", ""
		case 5:
			e.Status = name
		case 6:
			e.Protocol, e.Cipher, e.KeyExchange, e.Client = strings.Repeat("\xff", 3000), "", "", netip.Addr{}
		case 7:
			e.Status = "Failed:"
		}
		add(&e)
	}
}

// TestHostile checks that CloudWatch accepts the data of any log.
func TestHostile(t *testing.T) {
	for _, step := range []time.Duration{0, time.Second, -time.Minute, time.Minute} {
		s := rollup.New(rollup.Options{})
		var tls, failed float64
		hostile(50_000, step, func(e *connlog.Entry) {
			s.Add(e)
			if e.TLS() {
				tls++
			}
			if e.Failed() {
				failed++
			}
		})
		data, stale := Data(s, "app/\x00ö/1", now, everything)
		checkData(t, data)
		if got := sums(data)["FailedNegotiations"]; stale == (Stale{}) && got != (sum{failed, tls}) {
			t.Errorf("step %v: got %v, want %v failed of %v", step, got, failed, tls)
		}
	}
	// Clients of the current minute come after more minutes than MaxCells.
	s := rollup.New(rollup.Options{})
	hostile(3*rollup.MaxCells, -time.Minute, func(e *connlog.Entry) { s.Add(e) })
	hostile(100, 0, func(e *connlog.Entry) { s.Add(e) })
	data, _ := Data(s, loadBalancer, now, everything)
	checkData(t, data)
}

// TestNames checks that at most the MaxNames most frequent values of a dimension
// become metrics, and that the sums stay right.
func TestNames(t *testing.T) {
	for _, names := range []int{MaxNames, MaxNames + 1, 3000} {
		s := rollup.New(rollup.Options{})
		connections := make(map[string]float64) // by cipher
		for i := range names {
			name := fmt.Sprint("N", i)
			for range 1 + (names-i)/(names/3) {
				e := connlog.Entry{Time: start, ListenerPort: uint16(i), Protocol: name, Cipher: name, KeyExchange: name, Status: "Failed:" + name}
				s.Add(&e)
				connections[name]++
			}
		}
		options := Options{Breakdowns: all}
		options.Breakdowns.Client = false
		data, _ := Data(s, loadBalancer, now, options)
		checkData(t, data)
		values := make(map[string]map[string]float64) // the connections of each value, by metric and names of dimensions
		for _, d := range data {
			if last := len(d.Dimensions) - 1; last > 0 && (d.Name == Connections || d.Dimensions[last].Name == Reason) {
				key := d.Name
				for _, dim := range d.Dimensions {
					key += " " + dim.Name
				}
				if values[key] == nil {
					values[key] = make(map[string]float64)
				}
				values[key][d.Dimensions[last].Value] += d.Values[0]
			}
		}
		if len(values) != 4 {
			t.Fatalf("breakdowns %v", slices.Collect(maps.Keys(values)))
		}
		for key, of := range values {
			var sum float64
			for value, n := range of {
				sum += n
				if value != Other && n != connections[value] {
					t.Errorf("%d names, %s: %v connections of %s, want %v", names, key, n, value, connections[value])
				}
			}
			if sum != float64(s.Totals.Connections) || len(of) != min(names, MaxNames+1) || of["N0"] == 0 {
				t.Errorf("%d names, %s: %d values with %v connections of %d", names, key, len(of), sum, s.Totals.Connections)
			}
		}
	}
}

// TestKnownNames checks that invented names, other spellings and unknown numbers do
// not displace known names, even if they are more frequent.
func TestKnownNames(t *testing.T) {
	s := rollup.New(rollup.Options{})
	add := func(n int, protocol, cipher, group string) {
		for range n {
			s.Add(&connlog.Entry{Time: start, ListenerPort: 443, Protocol: protocol, Cipher: cipher, KeyExchange: group, Status: connlog.StatusSuccess})
		}
	}
	for i := range 2 * MaxNames {
		add(3, fmt.Sprint("TLSv1.2-", i), fmt.Sprint("AES128-", i), fmt.Sprintf("0x%04X", 0xE000+i))
	}
	add(2, "tlsv1.2", "ecdhe-rsa-aes128-gcm-sha256", "SECP256R1")
	add(1, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1")
	data, _ := Data(s, loadBalancer, now, Options{Breakdowns: all})
	published := make(map[string]bool)
	for _, d := range data {
		for _, dim := range d.Dimensions {
			published[dim.Name+" "+dim.Value] = true
		}
	}
	for _, name := range []string{"Protocol TLSv1.2", "Cipher ECDHE-RSA-AES128-GCM-SHA256", "KeyExchange secp256r1"} {
		if !published[name] {
			t.Errorf("%s is not published", name)
		}
	}
	for _, name := range []string{"Protocol tlsv1.2", "Cipher ecdhe-rsa-aes128-gcm-sha256", "KeyExchange SECP256R1"} {
		if published[name] {
			t.Errorf("%s is published", name)
		}
	}
}

// checkData checks data against the limits of PutMetricData.
func checkData(t *testing.T, data []Datum) {
	t.Helper()
	defined := make(map[string]bool)
	for _, d := range Definitions {
		for _, dims := range d.Dimensions {
			defined[strings.Join(append([]string{d.Name, string(d.Unit)}, dims...), " ")] = true
		}
	}
	for k := range sets(data) {
		if !defined[k] {
			t.Errorf("%q is not defined", k)
		}
	}
	for i, d := range data {
		if len(d.Values) == 0 || len(d.Values) > MaxValues || len(d.Values) != len(d.Counts) {
			t.Fatalf("%s: %d values, %d counts", d.Name, len(d.Values), len(d.Counts))
		}
		for i, v := range d.Values {
			// A count below zero would be near 2^64.
			if math.IsNaN(v) || v < 0 || v > 1e9 || d.Counts[i] < 1 || d.Counts[i] > 1e9 || slices.Contains(d.Values[:i], v) {
				t.Fatalf("%s", line(d))
			}
		}
		for _, dim := range d.Dimensions {
			if len(dim.Value) > MaxValueLength || strings.Trim(dim.Value, " ") == "" || strings.ContainsFunc(dim.Value, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%s: value %q", dim.Name, dim.Value)
			}
		}
		if !d.Time.Equal(d.Time.Truncate(time.Minute)) || d.Time.Location() != time.UTC {
			t.Fatalf("%s: time %v", d.Name, d.Time)
		}
		if i > 0 && compare(data[i-1], d) >= 0 {
			t.Fatalf("%s\n  comes after or is the same as\n%s", line(data[i-1]), line(d))
		}
	}
	for _, b := range Batches(data) {
		if len(b) > MaxData {
			t.Errorf("batch of %d", len(b))
		}
	}
}

func TestProcessor(t *testing.T) {
	at := now.Add(30 * time.Second)
	minute := now.Format("15:04")
	for _, test := range []struct {
		name string
		p    func(*Processor)
		want []string
	}{
		{"nothing", func(*Processor) {}, []string{
			"ObjectsProcessed Count 1x0", "ObjectsSkipped Count 1x0", "MalformedLines Count 1x0", "DuplicateObjects Count 1x0", "DelayedObjects Count 1x0", "UncertainRepublishes Count 1x0",
		}},
		{"counts", func(p *Processor) { p.ObjectsSkipped, p.DuplicateObjects, p.malformedLines = 2, 3, 4 }, []string{
			"ObjectsProcessed Count 1x0", "ObjectsSkipped Count 1x2", "MalformedLines Count 1x4", "DuplicateObjects Count 1x3", "DelayedObjects Count 1x0", "UncertainRepublishes Count 1x0",
		}},
		{"a budget used up", func(p *Processor) { *p = Processor{ClientsOverBudget: 2}.Plus(Processor{ClientsOverBudget: 1}) }, []string{
			"ObjectsProcessed Count 1x0", "ObjectsSkipped Count 1x0", "MalformedLines Count 1x0", "DuplicateObjects Count 1x0", "DelayedObjects Count 1x0", "UncertainRepublishes Count 1x0",
			"ClientsOverBudget Count 1x3",
		}},
		{"objects", func(p *Processor) {
			p.Processed(at.Add(-delayAfter), at, 5)     // not delayed yet
			p.Processed(at.Add(-delayAfter-1), at, 6)   // delayed
			p.Processed(at.Add(time.Second), at, 0)     // a clock that is off
			p.Processed(at.Add(-90*time.Second), at, 0) // twice the same lag
			p.Processed(at.Add(-90*time.Second), at, 10)
		}, []string{
			"ObjectsProcessed Count 1x5", "ObjectsSkipped Count 1x0", "MalformedLines Count 1x21", "DuplicateObjects Count 1x0", "DelayedObjects Count 1x1", "UncertainRepublishes Count 1x0",
			"ProcessingLag Seconds 1x0 2x90 1x900 1x900.000000001",
		}},
	} {
		var p Processor
		test.p(&p)
		var got []string
		for _, d := range p.Data(at.In(time.FixedZone("elsewhere", 3600))) {
			got = append(got, strings.TrimPrefix(line(d), minute+" "))
		}
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", test.name, d)
		}
	}
}

// TestProcessorPlus uses literals without field names, so that a new field does not
// compile until it is added here.
func TestProcessorPlus(t *testing.T) {
	p := Processor{1, 2, 3, 4, 5, 6, 7, []time.Duration{8}}
	q := Processor{10, 20, 30, 40, 50, 60, 70, []time.Duration{80}}
	want := Processor{11, 22, 33, 44, 55, 66, 77, []time.Duration{8, 80}}
	if d := cmp.Diff(want, p.Plus(q), cmp.AllowUnexported(Processor{})); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestProcessorManyLags(t *testing.T) {
	for _, n := range []int{MaxValues - 1, MaxValues, MaxValues + 1, 3*MaxValues + 1} {
		var p Processor
		for i := range n {
			p.Processed(now.Add(-time.Duration(i)*time.Second), now, 0)
		}
		var got []int
		samples := 0.0
		for _, d := range p.Data(now) {
			if d.Name == ProcessingLag {
				got = append(got, len(d.Values))
				samples += sums([]Datum{d})[ProcessingLag].Samples
			}
		}
		want := slices.Repeat([]int{MaxValues}, n/MaxValues)
		if n%MaxValues > 0 {
			want = append(want, n%MaxValues)
		}
		if !slices.Equal(got, want) || samples != float64(n) || len(p.Lags) != n {
			t.Errorf("%d lags: got %v values, %v samples", n, got, samples)
		}
	}
}

// TestMerge checks that merged data have the same sums, that each metric,
// dimensions and minute is one datum unless it has more than MaxValues, and that
// the order does not matter.
func TestMerge(t *testing.T) {
	var lists [][]Datum
	for seed := range uint64(6) {
		var log strings.Builder
		if err := connlogtest.Write(&log, connlogtest.Options{Seed: seed, Lines: 400}); err != nil {
			t.Fatal(err)
		}
		data, _ := Data(summarize(t, log.String()), loadBalancer, now, Options{Breakdowns: all, ClientMinFailed: 2, ClientTop: 10})
		lists = append(lists, data)
	}
	type sum struct{ values, samples float64 }
	sums := func(data []Datum) map[string]sum {
		m := make(map[string]sum)
		for _, d := range data {
			k := fmt.Sprint(d.Name, d.Dimensions, d.Unit, d.Time)
			for i, v := range d.Values {
				m[k] = sum{m[k].values + v*d.Counts[i], m[k].samples + d.Counts[i]}
			}
		}
		return m
	}
	merged := Merge(lists...)
	near := cmpopts.EquateApprox(1e-9, 0)
	if d := cmp.Diff(sums(slices.Concat(lists...)), sums(merged), cmp.AllowUnexported(sum{}), near); d != "" {
		t.Errorf("-parts +merged\n%s", d)
	}
	if len(sums(merged)) != len(merged) {
		t.Errorf("%d data for %d metrics and minutes", len(merged), len(sums(merged)))
	}
	slices.Reverse(lists)
	if d := cmp.Diff(sums(merged), sums(Merge(lists...)), cmp.AllowUnexported(sum{}), near); d != "" {
		t.Errorf("-forward +backward\n%s", d)
	}

	// A metric with many values is split at the limit.
	var many [][]Datum
	for i := range 400 {
		many = append(many, []Datum{{Name: Connections, Unit: Count, Time: now, Values: []float64{float64(i)}, Counts: []float64{1}}})
	}
	got := Merge(many...)
	if len(got) != 3 {
		t.Errorf("%d data for 400 values", len(got))
	}
	for _, d := range got {
		if len(d.Values) > MaxValues || len(d.Values) != len(d.Counts) {
			t.Errorf("%d values, %d counts", len(d.Values), len(d.Counts))
		}
	}
}

// TestOnlyClients checks that clients outside the set, or in another hour, are
// summed with the others.
func TestOnlyClients(t *testing.T) {
	log := strings.Join([]string{
		"2026-11-23T10:59:59Z 192.0.2.1 1 443 - - - - - - Failed:X",
		"2026-11-23T11:00:00Z 192.0.2.1 1 443 - - - - - - Failed:X",
		"2026-11-23T11:00:00Z 192.0.2.2 1 443 - - - - - - Failed:X",
	}, "\n")
	s := summarize(t, log)
	o := Options{Breakdowns: all, ClientMinFailed: 1, ClientTop: 10}
	if d := cmp.Diff([]string{"192.0.2.1", "192.0.2.2"}, TopClients(s, o)); d != "" {
		t.Errorf("top clients: -want +got\n%s", d)
	}
	o.Only = &ClientSet{Names: []string{"192.0.2.1"}, Hour: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	data, _ := Data(s, loadBalancer, time.Date(2026, 11, 23, 11, 5, 0, 0, time.UTC), o)
	got := make(map[string]float64)
	for _, d := range data {
		for _, dim := range d.Dimensions {
			if dim.Name == Client {
				got[dim.Value] += d.Counts[0] * d.Values[0]
			}
		}
	}
	if d := cmp.Diff(map[string]float64{"192.0.2.1": 1, Other: 2}, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}
