package connlogtest

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// A Sum is what CloudWatch should make of one metric over all time.
type Sum struct{ Sum, Samples float64 }

// Metrics counts, the slow and obvious way, what tlswatch publishes of the
// lines of one load balancer's log: sums and numbers of samples by metric and
// dimensions, written as "Name LoadBalancer=app/a/1 Protocol=TLSv1.2". Client
// values follow the default settings: the ten clients with most failures if
// they have five or more, IPv6 by /64. For HandshakeLatency only the number of
// samples is there. It counts lines that are no entries as MalformedLines. Lines
// that begin with "tls" are of the TLS log of a Network Load Balancer.
func Metrics(lines []string, loadBalancer string) map[string]Sum {
	sums := make(map[string]Sum)
	add := func(name string, value float64, samples float64) {
		s := sums[name]
		sums[name] = Sum{s.Sum + value, s.Samples + samples}
	}
	lb := " LoadBalancer=" + loadBalancer
	type client struct{ ok, failed float64 }
	clients := make(map[string]client)
	perMinute := make(map[string]map[string]float64) // metrics published as one number a minute
	count := func(name, minute string) {
		if perMinute[name] == nil {
			perMinute[name] = make(map[string]float64)
		}
		perMinute[name][minute]++
	}
	for _, line := range lines {
		f := Reference(line)
		if strings.HasPrefix(line, "tls ") {
			f = ReferenceTLS(line)
		}
		if f == nil {
			add("MalformedLines", 1, 0)
			continue
		}
		for len(f) < 13 {
			f = append(f, "")
		}
		minute, port, protocol, cipher, latency, status, group := f[0][:16], f[3], f[4], f[5], f[6], f[10], f[12]
		if status == "" && protocol == "" {
			count("PlaintextConnections"+lb, minute)
			continue
		}
		tls, suite := " Protocol="+cmp.Or(protocol, "none"), " Cipher="+cmp.Or(cipher, "none")
		count("Connections"+lb, minute)
		count("Connections"+lb+tls, minute)
		count("Connections"+lb+tls+suite, minute)
		count("Connections"+lb+" KeyExchange="+cmp.Or(group, "none"), minute)
		reason, failed := strings.CutPrefix(status, "Failed:")
		one := 0.0
		who := clients[clientName(f[1])]
		if failed {
			one = 1
			who.failed++
			count("FailedNegotiations"+lb+" Reason="+reason, minute)
		} else {
			who.ok++
		}
		clients[clientName(f[1])] = who
		for _, dims := range []string{"", lb, lb + " ListenerPort=" + port, lb + tls, lb + tls + suite} {
			add("FailedNegotiations"+dims, one, 1)
		}
		if latency != "" {
			add("HandshakeLatency"+lb, 0, 1)
			add("HandshakeLatency"+lb+tls, 0, 1)
		}
	}
	for name, minutes := range perMinute {
		for _, n := range minutes {
			add(name, n, 1)
		}
	}
	var failing []string
	for name, c := range clients {
		if c.failed > 0 {
			failing = append(failing, name)
		}
	}
	slices.SortFunc(failing, func(a, b string) int {
		return cmp.Or(cmp.Compare(clients[b].failed, clients[a].failed), prefix(a).Addr().Compare(prefix(b).Addr()))
	})
	for i, name := range failing {
		c := clients[name]
		if i >= 10 || c.failed < 5 {
			name = "other"
		}
		add("FailedNegotiations"+lb+" Client="+name, c.failed, c.failed+c.ok)
	}
	return sums
}

// clientName is the address, or the /64 of an IPv6 address.
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
