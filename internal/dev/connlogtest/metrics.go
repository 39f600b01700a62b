package connlogtest

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// A Sum is the sum and the number of samples of a metric over all time.
type Sum struct{ Sum, Samples float64 }

// Metrics returns what tlswatch publishes for the lines of one load balancer's log,
// counted in the slow and obvious way. Keys are the metric and its dimensions, as in
// "Name LoadBalancer=app/a/1 Protocol=TLSv1.2". Client values follow the default
// settings: the ten clients with most failures if they have at least five, IPv6 by
// /64. HandshakeLatency has only the number of samples. Invalid lines count as
// MalformedLines. Lines that begin with "tls" are of a Network Load Balancer's TLS
// log.
func Metrics(lines []string, loadBalancer string) map[string]Sum {
	t := tally{
		lb:   " LoadBalancer=" + loadBalancer,
		sums: make(map[string]Sum), clients: make(map[string]client), perMinute: make(map[string]map[string]float64),
	}
	for _, line := range lines {
		f := Reference(line)
		if strings.HasPrefix(line, "tls ") {
			f = ReferenceTLS(line)
		}
		if f == nil {
			t.add("MalformedLines", 1, 0)
			continue
		}
		t.count(append(f, make([]string, 13)...))
	}
	for name, minutes := range t.perMinute {
		for _, n := range minutes {
			t.add(name, n, 1)
		}
	}
	t.addClients()
	return t.sums
}

type client struct{ ok, failed float64 }

// A tally is the work of Metrics under way.
type tally struct {
	lb        string // the dimension LoadBalancer
	sums      map[string]Sum
	clients   map[string]client
	perMinute map[string]map[string]float64 // metrics published as one number a minute
}

func (t *tally) add(name string, value, samples float64) {
	s := t.sums[name]
	t.sums[name] = Sum{s.Sum + value, s.Samples + samples}
}

// count counts the fields of one line.
func (t *tally) count(f []string) {
	minute, port, protocol, cipher, latency, status, group := f[0][:16], f[3], f[4], f[5], f[6], f[10], f[12]
	one := func(name string) {
		if t.perMinute[name] == nil {
			t.perMinute[name] = make(map[string]float64)
		}
		t.perMinute[name][minute]++
	}
	if status == "" && protocol == "" {
		one("PlaintextConnections" + t.lb)
		return
	}
	tls, suite := " Protocol="+cmp.Or(protocol, "none"), " Cipher="+cmp.Or(cipher, "none")
	one("Connections" + t.lb)
	one("Connections" + t.lb + tls)
	one("Connections" + t.lb + tls + suite)
	one("Connections" + t.lb + " KeyExchange=" + cmp.Or(group, "none"))
	c, value := t.clients[clientName(f[1])], 0.0
	if reason, failed := strings.CutPrefix(status, "Failed:"); failed {
		value = 1
		c.failed++
		one("FailedNegotiations" + t.lb + " Reason=" + reason)
	} else {
		c.ok++
	}
	t.clients[clientName(f[1])] = c
	for _, dims := range []string{"", t.lb, t.lb + " ListenerPort=" + port, t.lb + tls, t.lb + tls + suite} {
		t.add("FailedNegotiations"+dims, value, 1)
	}
	if latency != "" {
		t.add("HandshakeLatency"+t.lb, 0, 1)
		t.add("HandshakeLatency"+t.lb+tls, 0, 1)
	}
}

// addClients adds the failing clients' metrics.
func (t *tally) addClients() {
	var failing []string
	for name, c := range t.clients {
		if c.failed > 0 {
			failing = append(failing, name)
		}
	}
	slices.SortFunc(failing, func(a, b string) int {
		return cmp.Or(cmp.Compare(t.clients[b].failed, t.clients[a].failed), prefix(a).Addr().Compare(prefix(b).Addr()))
	})
	for i, name := range failing {
		c := t.clients[name]
		if i >= 10 || c.failed < 5 {
			name = "other"
		}
		t.add("FailedNegotiations"+t.lb+" Client="+name, c.failed, c.failed+c.ok)
	}
}

// clientName returns an IPv4 address, or the /64 of an IPv6 address.
func clientName(s string) string {
	a := netip.MustParseAddr(strings.Trim(s, "[]")).Unmap()
	if a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}

func prefix(name string) netip.Prefix {
	if p, err := netip.ParsePrefix(name); err == nil {
		return p
	}
	a := netip.MustParseAddr(name)
	return netip.PrefixFrom(a, a.BitLen())
}
