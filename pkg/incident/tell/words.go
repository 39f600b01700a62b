package tell

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/incident"
	"tlswatch/pkg/tlsname"
)

func share(c incident.Counts) string {
	if c.Connections == 0 {
		return "0.0 %"
	}
	return text.Share(float64(c.Failed) / float64(c.Connections))
}

func counts(c incident.Counts) string {
	return text.Count(c.Failed) + " of " + text.Count(c.Connections)
}

func addresses(p incident.Population) string { return text.Counted(p.Clients, "address", "addresses") }

// in says that several clients are in few networks.
func in(p incident.Population) string {
	if p.Networks == 0 || p.Clients < 5 || 2*p.Networks > p.Clients {
		return ""
	}
	return " in " + text.Plural(p.Networks, "network")
}

// clock writes a time without its zone, and without its date where all of the
// story lies within one day or the date was said.
func (t *teller) clock(at time.Time) string {
	day := t.date(at)
	if day == t.day || day == t.date(t.s.First) && day == t.date(t.s.Last) {
		return t.local(at).Format("15:04")
	}
	return t.local(at).Format("2006-01-02 15:04")
}

func (t *teller) date(at time.Time) string { return t.local(at).Format(time.DateOnly) }

// end writes the end of a span or bracket that begins at from.
func (t *teller) end(from, to time.Time) string {
	if t.date(from) == t.date(to) {
		return text.Glue(t.local(to).Format("15:04") + " " + t.zone(to))
	}
	return t.at(to)
}

func (t *teller) at(at time.Time) string { return text.Glue(t.clock(at) + " " + t.zone(at)) }

// span writes "09:00 to 11:00 UTC".
func (t *teller) span(from, to time.Time) string {
	return text.Glue(t.clock(from) + " to " + t.end(from, to))
}

// exactly writes a time with its date and second.
func (t *teller) exactly(at time.Time) string {
	return text.Glue(t.local(at).Format("2006-01-02 15:04:05") + " " + t.zone(at))
}

func (t *teller) local(at time.Time) time.Time {
	if t.o.Location == nil {
		return at.UTC()
	}
	return at.In(t.o.Location)
}

func (t *teller) zone(at time.Time) string {
	name := t.local(at).Format("MST")
	if strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-") { // a zone without a name
		return "UTC" + name
	}
	return name
}

// within writes when something happened, "at 10:20 UTC" or "between 10:12 and
// 10:25 UTC".
func (t *teller) within(b incident.Bracket) string {
	switch {
	case b.After.IsZero():
		return "by " + t.at(b.Until)
	case b.Until.Sub(b.After) <= time.Minute || t.clock(b.After) == t.clock(b.Until):
		return "at " + t.at(b.Until)
	}
	return "between " + text.Glue(t.clock(b.After)) + " and " + t.end(b.After, b.Until)
}

// listeners names the load balancer and its listeners: "shop-prod:443". Of an
// identifier or ARN, it has the load balancer's name only.
func listeners(i *incident.Incident) string {
	name := i.LoadBalancer
	if parts := strings.Split(name, "/"); len(parts) >= 3 {
		name = parts[len(parts)-2]
	}
	var ports []string
	for _, port := range i.Ports {
		ports = append(ports, strconv.Itoa(int(port)))
	}
	const most = 3
	switch list := strings.Join(ports, ","); {
	case len(ports) > most:
		return strings.TrimSpace(safe(name, 32) + " (" + text.Plural(len(ports), "listener") + ")")
	case name == "" && list == "":
		return "One listener"
	case name == "":
		return "Port " + list
	case list == "":
		return safe(name, 32)
	default:
		return safe(name, 32) + ":" + list
	}
}

// safe makes a name from the log harmless wherever it is shown, at most so many
// characters long. It can be taken for neither a URL nor an account number.
func safe(name string, most int) string {
	name = strings.Map(func(r rune) rune {
		if r == ':' || r == '/' {
			return '?'
		}
		return r
	}, text.Name(located.ReplaceAllString(name, "?")))
	if len(name) > most {
		name = name[:most-3] + "..."
	}
	return strings.TrimSpace(name)
}

// client returns the address of the first client of the cohorts, "" if clients
// are hidden.
func (t *teller) client(i *incident.Incident) string {
	if t.o.HideClients || len(i.Cohorts) == 0 || len(i.Cohorts[0].Examples) == 0 {
		return ""
	}
	name := i.Cohorts[0].Examples[0]
	if a, err := netip.ParseAddr(name); err == nil && a.Zone() == "" {
		return a.String()
	}
	if p, err := netip.ParsePrefix(name); err == nil {
		return p.String()
	}
	return safe(name, 32)
}

// subject returns the common name of a certificate, or its subject without one.
func subject(s string) string {
	for part := range strings.SplitSeq(s, ",") {
		if name, ok := strings.CutPrefix(strings.TrimSpace(part), "CN="); ok && name != "" {
			return safe(name, 40)
		}
	}
	return safe(s, 40)
}

// traits names protocols, cipher suites and groups: the suites that have a
// property in common by that property.
func traits(list []incident.Trait) string {
	var names []string
	suites := make(map[string][]string)
	for _, trait := range list {
		switch {
		case trait.Protocol != "":
			names = append(names, protocol(trait.Protocol))
		case trait.Cipher != "":
			kind := suiteKind(trait.Cipher)
			suites[kind] = append(suites[kind], safe(trait.Cipher, 40))
		case trait.KeyExchange != "":
			names = append(names, safe(trait.KeyExchange, 30))
		}
	}
	for _, kind := range []string{cbc, rsaKeyExchange, "other"} {
		switch n := len(suites[kind]); {
		case n == 1:
			names = append(names, suites[kind][0])
		case n > 1 && kind == cbc:
			names = append(names, text.Count(n)+" CBC suites")
		case n > 1 && kind == rsaKeyExchange:
			names = append(names, text.Count(n)+" RSA key exchange suites")
		case n > 1:
			names = append(names, text.Count(n)+" suites such as "+suites[kind][0])
		}
	}
	const most = 4
	if more := len(names) - most; more > 0 {
		names = append(names[:most], text.Count(more)+" more")
	}
	return and(names)
}

const rsaKeyExchange, cbc = "RSA", "CBC"

func suiteKind(name string) string {
	suite, err := tlsname.ParseSuite(name)
	switch {
	case err != nil || !suite.Known():
	case suite.KeyExchange() == rsaKeyExchange:
		return rsaKeyExchange
	case strings.HasSuffix(suite.Encryption(), "CBC"):
		return cbc
	}
	return "other"
}

// protocol writes TLSv1 as people do: TLS 1.0.
func protocol(name string) string {
	v, err := tlsname.ParseVersion(name)
	if err != nil || v < tlsname.TLS10 || v > tlsname.TLS13 {
		return safe(name, 20)
	}
	return fmt.Sprintf("TLS 1.%d", v-tlsname.TLS10)
}

// and writes "a, b and c".
func and(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " and " + list[last]
}

// sentence ends a clause with a full stop.
func sentence(s string) string {
	if s == "" || strings.ContainsRune(".!?", rune(s[len(s)-1])) {
		return s
	}
	return s + "."
}

// certainty returns the first cause with all that look like it in the logs, and how sure
// they are. A changed policy needs something that vanished or appeared, a
// scan that no client which worked before fails, and only one cause can be
// certain.
func certainty(i *incident.Incident) ([]incident.Cause, incident.Certainty) {
	causes := slices.DeleteFunc(slices.Clone(i.Causes), func(c incident.Cause) bool {
		return c.Kind == incident.PolicyChange && len(i.Vanished)+len(i.Appeared) == 0 ||
			c.Kind == incident.Scan && i.WorkedBefore.Clients > 0
	})
	if len(causes) == 0 {
		return nil, incident.Possible
	}
	sure := causes[0].Certainty
	n := 1
	for n < len(causes) && causes[n].Certainty == sure {
		n++
	}
	if n > 1 && sure == incident.Certain {
		sure = incident.Likely
	}
	return causes[:n], sure
}
