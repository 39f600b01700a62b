package handshake

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A scenario is a way in which a log can mislead a prediction.
type scenario struct {
	Name  string
	build func(w *world)
}

// A trial is a log of clients of one load balancer, the question about it, and the
// right answers.
type trial struct {
	Policy       string // for --policy, "" for none
	To           string
	Certificates []string // for --certificate
	Log          []byte
	Clients      map[string]truth // by address
}

// A truth counts the lines of a client: those that succeeded and those that failed,
// by whether the program behind each connects under the new policy.
type truth struct{ Keeps, Breaks, Fixed, Fails int }

// A world is a run in the making. A scenario changes what it needs to.
type world struct {
	*rand.Rand
	policies map[string]*policy
	ports    []port
	to       *policy // as the data have it
	names    []certificate
	listener listener
	client   func(i int) []client // the programs behind an address
	glitch   float64              // chance that a client falls back although nothing is wrong, at any visit but its first
	resumes  bool
	known    bool // the question names the policies
}

// A port is a listener, and its policies in turn.
type port struct {
	number  int
	from    *policy // as the question names it
	actual  *policy
	earlier *policy   // nil if the policy never changed
	change  time.Time // when it did
}

// scenarios are all of them. Each must hold for any number of clients.
var scenarios = []scenario{
	{"base", func(w *world) {
		from := w.policies["ELBSecurityPolicy-"+common[w.IntN(len(common))]]
		w.ports[0].from, w.ports[0].actual = from, from.actual(w.Rand)
		w.to = w.policies["ELBSecurityPolicy-"+common[w.IntN(len(common))]]
	}},
	{"any policies", func(*world) {}},
	{"2016-08 to TLS13-1-2", func(w *world) {
		w.ports[0].from = w.policies["ELBSecurityPolicy-2016-08"]
		w.ports[0].actual = w.ports[0].from
		w.to = w.policies["ELBSecurityPolicy-TLS13-1-2-2021-06"]
	}},
	{"unknown current policy", func(w *world) { w.known = false }},
	{"ports", func(w *world) {
		p := w.any()
		w.ports = append(w.ports, port{number: 8443, from: p, actual: p.actual(w.Rand)})
	}},
	{"NAT", func(w *world) {
		w.client = func(int) []client { return []client{newClient(w.Rand), newClient(w.Rand), newClient(w.Rand)} }
	}},
	{"policy changed within", func(w *world) {
		p := &w.ports[0]
		p.earlier, p.change = w.any().actual(w.Rand), start.Add(span/4).Add(time.Duration(w.Int64N(int64(span/2))))
		if w.IntN(4) == 0 { // the question names the earlier one
			other := w.any()
			p.earlier, p.actual = p.actual, other.actual(w.Rand)
		}
	}},
	{"mutual TLS", func(w *world) {
		w.listener.mutual = true
		w.client = func(i int) []client {
			c := newClient(w.Rand)
			c.certificate = newCertificate(w.Rand, i)
			return []client{c}
		}
	}},
	{"certificates by SNI", func(w *world) { w.names = []certificate{{rsa: true}, {curve: "secp256r1"}} }},
	{"two certificates, one untrusted", func(w *world) {
		w.names = []certificate{{rsa: true, curve: "secp256r1"}}
		w.client = func(int) []client {
			c := newClient(w.Rand)
			c.distrusts = []string{"", "", "rsa", "ecdsa"}[w.IntN(4)]
			return []client{c}
		}
	}},
	{"curve", func(w *world) {
		w.names = []certificate{{rsa: w.IntN(2) == 0, curve: nist[w.IntN(3)]}}
	}},
	{"x25519 only", func(w *world) {
		w.client = func(int) []client {
			c := newClient(w.Rand)
			if w.IntN(2) == 0 {
				c.groups, c.shares = []string{"x25519"}, []string{"x25519"}
			}
			return []client{c}
		}
	}},
	{"fallback", func(w *world) {
		w.glitch = 0.1
		w.client = func(int) []client {
			c := newClient(w.Rand)
			c.lowest, c.fallsBack, c.scsv = tls10, true, w.IntN(2) == 0
			return []client{c}
		}
	}},
	{"resumption", func(w *world) { w.resumes = true }},
	{"HelloRetryRequest", func(w *world) {
		w.client = func(int) []client {
			c := newClient(w.Rand)
			c.shares = some(w.Rand, []string{"secp521r1"}, 0.5) // a share that few policies take first, or none
			return []client{c}
		}
	}},
}

// common are the policies of most listeners: the defaults of the console and the API,
// past and present, and what is next to them.
var common = []string{
	"2016-08", "TLS13-1-0-2021-06", "TLS13-1-2-Ext2-2021-06", "TLS13-1-2-Ext1-2021-06", "TLS13-1-2-2021-06", "TLS13-1-2-Res-2021-06",
	"TLS13-1-2-Res-PQ-2025-09", "TLS13-1-2-PQ-2025-09", "TLS13-1-3-2021-06", "FS-1-2-Res-2020-10",
}

// start and span are the time that a log covers.
var start = time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)

const span = 14 * 24 * time.Hour

func (w *world) any() *policy {
	names := slices.Sorted(maps.Keys(w.policies))
	return w.policies[names[w.IntN(len(names))]]
}

// trial simulates a number of addresses at one load balancer.
func (s scenario) trial(r *rand.Rand, policies map[string]*policy, addresses int) trial {
	w := &world{Rand: r, policies: policies, known: true, names: []certificate{{rsa: true}}}
	from := w.any()
	w.to = w.any()
	w.ports = []port{{number: 443, from: from, actual: from.actual(r)}}
	w.listener = listener{ecdsaFirst: r.IntN(2) == 0, needsSHA1: r.IntN(2) == 0}
	w.client = func(int) []client { return []client{newClient(r)} }
	s.build(w)
	run := trial{To: w.to.Name, Clients: make(map[string]truth)}
	if w.known {
		var list []string
		for _, p := range w.ports {
			list = append(list, fmt.Sprintf("%d=%s", p.number, p.from.Name))
		}
		run.Policy = strings.Join(list, ",")
	}
	if len(w.names) == 1 && r.IntN(2) == 0 {
		for _, kind := range []string{"rsa", "ecdsa"} {
			if w.names[0].has(kind) {
				run.Certificates = append(run.Certificates, kind)
			}
		}
	}
	run.Log = w.log(&run, addresses)
	return run
}

// log lets the clients connect, writes the log, and fills in the truth.
func (w *world) log(run *trial, addresses int) []byte {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	future := w.to.actual(w.Rand)
	for i := range addresses {
		address := fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)
		truth := run.Clients[address]
		for _, c := range w.client(i) {
			name := w.names[w.IntN(len(w.names))]
			list := w.listener.connect(future, name, c)
			works := list[len(list)-1].ok
			visits := 1 + w.IntN(4)
			for visit := range visits {
				at := start.Add(time.Duration(w.Int64N(int64(span))))
				port := w.ports[w.IntN(len(w.ports))]
				policy := port.actual
				if port.earlier != nil && at.Before(port.change) {
					policy = port.earlier
				}
				program := c
				if visit > 0 && w.Float64() < w.glitch && c.highest > c.lowest && !c.scsv {
					program.highest--
				}
				for _, o := range w.listener.connect(policy, name, program) {
					group := "-"
					if o.group != "" && !(w.resumes && visit > 0 && o.version < tls13) {
						group = o.group
					}
					lines = append(lines, line{at, text(at, address, port.number, o, group, c.certificate)})
					switch {
					case o.ok && works:
						truth.Keeps++
					case o.ok:
						truth.Breaks++
					case works:
						truth.Fixed++
					default:
						truth.Fails++
					}
					at = at.Add(time.Second)
				}
			}
		}
		run.Clients[address] = truth
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var log []byte
	for _, l := range lines {
		log = append(log, l.text...)
	}
	return log
}

// text returns a line of a connection log.
func text(at time.Time, address string, port int, o outcome, group string, c *clientCertificate) string {
	subject, validity, serial, latency, suite := `"-"`, "-", "-", "-", "-"
	if c != nil {
		subject, validity, serial = `"CN=client"`, "NotBefore=2026-01-01T00:00:00Z;NotAfter=2028-01-01T00:00:00Z", c.serial
	}
	if o.ok {
		latency = "0.010"
	}
	if o.suite != "" {
		suite = o.suite
	}
	return strings.Join([]string{at.Format("2006-01-02T15:04:05.000000Z"), address, "40000", strconv.Itoa(port), versions[o.version], suite, latency,
		subject, validity, serial, o.status, "TID_00000000000000000000000000000001", group, "app/sim/50dc6c495c0c9188", "192.0.2.1"}, " ") + "\n"
}
