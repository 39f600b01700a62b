package estimate

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tlswatch/pkg/config"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/rollup"
)

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func settings(t *testing.T, env map[string]string) config.Config {
	t.Helper()
	c, err := config.FromEnv(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// object makes one of the period that begins at the given time, with ten
// failures of each client and one success.
func object(lb string, begin time.Time, clients ...string) Object {
	s := rollup.New(rollup.Options{IPv6Prefix: 64})
	ok := connlog.Entry{Time: begin, Client: netip.MustParseAddr("10.0.0.1"), ListenerPort: 443, Protocol: "TLSv1.3",
		Cipher: "TLS_AES_128_GCM_SHA256", KeyExchange: "x25519", Status: "Success", HasLatency: true, HandshakeLatency: time.Millisecond}
	s.Add(&ok)
	for _, c := range clients {
		for range 10 {
			s.Add(&connlog.Entry{Time: begin, Client: netip.MustParseAddr(c), ListenerPort: 443, Status: "Failed:UnmappedConnectionError"})
		}
	}
	return Object{Key: logkey.Key{LoadBalancer: lb, PeriodEnd: begin.Add(logkey.Period)}, StoredBytes: 100, Bytes: 1000, Summary: s}
}

func add(t *testing.T, e *Estimator, objects ...Object) {
	t.Helper()
	for _, o := range objects {
		if err := e.Add(o); err != nil {
			t.Fatal(err)
		}
	}
}

// A pause is time without connections, unless it is long.
func TestSampleCovers(t *testing.T) {
	for _, test := range []struct {
		starts  []time.Duration
		covered time.Duration
		hours   float64
	}{
		{[]time.Duration{0}, 5 * time.Minute, 1},
		{[]time.Duration{0, 0}, 5 * time.Minute, 1},
		{[]time.Duration{55 * time.Minute, 0}, time.Hour, 1},
		{[]time.Duration{0, time.Hour}, 65 * time.Minute, 2},
		{[]time.Duration{0, 6*time.Hour + 5*time.Minute}, 6*time.Hour + 10*time.Minute, 7},
		{[]time.Duration{0, 6*time.Hour + 10*time.Minute}, 10 * time.Minute, 2},
		{[]time.Duration{0, 8760 * time.Hour}, 10 * time.Minute, 2},
	} {
		e := New(settings(t, nil))
		for _, d := range test.starts {
			add(t, e, object("app/a/1", start.Add(d)))
		}
		if s := e.Sample(); s.Covered != test.covered || e.hours() != test.hours {
			t.Errorf("%v: %v in %v hours, want %v in %v", test.starts, s.Covered, e.hours(), test.covered, test.hours)
		}
	}
}

// The order of objects does not matter, nor does a repetition of the sample.
func TestOrder(t *testing.T) {
	var objects []Object
	for i := range 24 {
		objects = append(objects, object(fmt.Sprintf("app/a/%d", i%3), start.Add(time.Duration(i)*25*time.Minute), fmt.Sprintf("203.0.113.%d", i)))
	}
	one, other := New(settings(t, nil)), New(settings(t, nil))
	add(t, one, objects...)
	for i := range objects {
		add(t, other, objects[len(objects)-1-i])
	}
	o := Options{Times: 1, Queue: true, Batch: 10}
	if a, b := one.Month(o), other.Month(o); a != b {
		t.Errorf("forwards  %+v\nbackwards %+v", a, b)
	}
	if n := one.Month(o).Objects; n != 24*730/(9+40.0/60) {
		t.Errorf("%v objects a month", n)
	}
}

// A metric counts by the hours in which it has data.
func TestMetricHours(t *testing.T) {
	e := New(settings(t, nil))
	for hour := range 4 {
		add(t, e, object("app/a/1", start.Add(time.Duration(hour)*time.Hour)))
	}
	add(t, e, object("app/b/1", start))
	// a: Connections 4, FailedNegotiations 4, HandshakeLatency 2; b the same in
	// one hour of four; and 8 for both together.
	want := map[string]float64{always: 3*1.25 + 8, "port": 1.25, "protocol": 2 * 1.25, "cipher": 2 * 1.25, "keyexchange": 1.25, "latency": 1.25}
	if got := e.Metrics(1); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got := e.Metrics(10)[always]; got != 37.5+8 {
		t.Errorf("ten times: %v, want those of no load balancer once", got)
	}
}

func TestClientBudget(t *testing.T) {
	e := New(settings(t, map[string]string{"CLIENT_BUDGET": "3", "CLIENT_TOP": "2"}))
	for i := range 10 {
		add(t, e, object("app/a/1", start.Add(time.Duration(i)*logkey.Period), fmt.Sprintf("203.0.113.%d", 2*i), fmt.Sprintf("203.0.113.%d", 2*i+1)))
	}
	if got := e.Metrics(1)["client"]; got != 4 {
		t.Errorf("%v clients, want three and other", got)
	}
	m := e.Month(Options{Times: 1})
	if first, naming := m.FirstNamings, m.NamingObjects; first != 2*730 || naming != 12*730 {
		t.Errorf("%v new names, %v objects with names in a month", first, naming)
	}
}

// A delivery is spread over Lambda's pollers while it is small, and fills the
// batches when it is large.
func TestQueue(t *testing.T) {
	for n, want := range map[int]float64{1: 1, 4: 4, 30: 5, 100: 10} {
		e := New(settings(t, nil))
		for i := range n {
			add(t, e, object(fmt.Sprintf("app/a/%d", i), start))
		}
		m := e.Month(Options{Times: 1, Queue: true, Batch: 10})
		if m.Batches/8760 != want || m.Requests/8760 != want {
			t.Errorf("%d objects at once: %v batches and %v calls, want %v", n, m.Batches/8760, m.Requests/8760, want)
		}
	}
}

// Every breakdown that a datum can belong to is one that METRIC_BREAKDOWNS
// knows.
func TestBreakdownNames(t *testing.T) {
	e := New(settings(t, nil))
	add(t, e, object("app/a/1", start, "203.0.113.1"))
	var words []string
	for name := range e.Metrics(1) {
		if name != always {
			words = append(words, name)
		}
	}
	if len(words) != 7 {
		t.Errorf("breakdowns %q, want 7", words)
	}
	c := settings(t, map[string]string{"METRIC_BREAKDOWNS": strings.Join(words, ",")})
	if c.Metrics.Breakdowns != settings(t, nil).Metrics.Breakdowns {
		t.Errorf("%q are not all breakdowns", words)
	}
}
