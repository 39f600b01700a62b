package tell

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/incident"
)

// incident tells all of an incident.
func (t *teller) incident(i *incident.Incident) []Part {
	parts := []Part{{Topic: Where, Text: listeners(i) + ": " + t.headline(i) + "."}}
	t.day = t.date(i.Onset.Until)
	defer func() { t.day = "" }()
	add := func(topic Topic, rank int, text string) {
		if text != "" {
			parts = append(parts, Part{topic, text, rank})
		}
	}
	add(Who, rankWho, t.hit(i))
	for _, text := range t.changed(i) {
		add(What, rankChanged, text)
	}
	add(What, rankCause, t.cause(i))
	if i.End != nil && i.Shape != incident.Flapping {
		over := i.End.Until
		if kind(i) == incident.Scan { // which nobody waits for to succeed
			over = i.End.After
		}
		add(What, rankChanged, "Over since "+t.at(over)+".")
	}
	add(Do, rankDo, t.remedies(i))
	if c := i.Certificate; c != nil && c.Next != nil && !t.o.HideClients {
		add(What, rankMore, "Next to expire: "+subject(c.Next.Subject)+" on "+t.local(c.Next.NotAfter).Format(time.DateOnly)+".")
	}
	add(Who, rankMore, software(i))
	return append(parts, t.others(i)...)
}

// software tells which programs the largest cohort that worked can be, "" if that is
// unknown.
func software(i *incident.Incident) string {
	for _, c := range i.Cohorts {
		if c.Before != nil && c.Software != "" {
			return text.Plural(c.WorkedBefore, "client") + " negotiated " + protocol(c.Before.Protocol) + " with " + safe(c.Before.Cipher, 40) + " before: " + text.Printable(c.Software) + "."
		}
	}
	return ""
}

// kind is the kind of the first cause.
func kind(i *incident.Incident) incident.Kind {
	causes, _ := certainty(i)
	if len(causes) == 0 {
		return incident.Unknown
	}
	return causes[0].Kind
}

// headline tells from what to what, and since when.
func (t *teller) headline(i *incident.Incident) string {
	all, failures := failing(i)
	switch k := kind(i); {
	case k == incident.CertificateExpired && i.Certificate != nil:
		return t.expired(i.Certificate)
	case allAlong(i):
		return text.Counted(all, "client fails", "clients fail") + " all along, " + t.span(t.s.First, t.s.Last) + ": " + ofFailures(failures, i)
	case k == incident.Scan && i.End != nil:
		return text.Plural(failures, "failure") + " from " + text.Counted(all, "address", "addresses") + ", " + t.span(i.Onset.After, i.End.After)
	case k == incident.Scan:
		return text.Plural(failures, "failure") + " from " + text.Counted(all, "address", "addresses") + " since " + t.at(i.Onset.Until)
	case k == incident.OneClient && all == 1:
		return cmp.Or(t.client(i), "one client") + " began to fail " + t.within(i.Onset)
	}
	return t.rise(i)
}

// failing is the clients that fail in the incident, and their failures.
func failing(i *incident.Incident) (clients int, failures uint64) {
	for _, p := range []incident.Population{i.WorkedBefore, i.NeverWorked, i.FailedBefore} {
		clients += p.Clients
		failures += p.Failures
	}
	return clients, failures
}

// allAlong reports whether the incident has no onset.
func allAlong(i *incident.Incident) bool {
	return i.Shape == incident.Throughout || kind(i) == incident.Steady || i.Onset.Until.IsZero()
}

func (t *teller) expired(c *incident.Certificate) string {
	name, serial := "a client certificate", ""
	if !t.o.HideClients {
		name, serial = "the certificate of "+subject(c.Subject), " (serial "+safe(c.Serial, 24)+")"
	}
	return name + " expired at " + t.exactly(c.NotAfter) + serial
}

// rise tells how the share of failures changed.
func (t *teller) rise(i *incident.Incident) string {
	before, since := share(i.Before), share(i.Since)
	both := " (" + counts(i.Before) + " connections, then " + counts(i.Since) + ")"
	switch {
	case i.Before.Connections == 0:
		return since + " of TLS connections fail since " + t.at(i.Onset.Until) + " or before (" + counts(i.Since) + "); nothing earlier was read"
	case before == since || i.Since.Failed*i.Before.Connections <= i.Before.Failed*i.Since.Connections:
		clients, _ := failing(i)
		if i.WorkedBefore.Clients > 0 {
			clients = i.WorkedBefore.Clients
		}
		return text.Plural(clients, "client") + " began to fail " + t.within(i.Onset) + "; " + counts(i.Before) + " connections failed before, " + counts(i.Since) + " since"
	case i.Shape == incident.Flapping:
		return "TLS failures come and go since " + t.at(i.Onset.Until) + ", from " + before + " to " + since + both
	case i.End != nil:
		return since + " of TLS connections failed from " + t.span(i.Onset.Until, i.End.Until) + " (" + counts(i.Since) + "), and " + before + " before (" + counts(i.Before) + ")"
	case i.Shape == incident.Ramp:
		return "TLS failures climb since about " + t.at(i.Onset.Until) + ", from " + before + " to " + since + both
	}
	return "TLS failures rose from " + before + " to " + since + " " + t.within(i.Onset) + both
}

func ofFailures(n uint64, i *incident.Incident) string {
	return text.Count(n) + " of " + text.Plural(i.Since.Failed, "failure")
}

// hit tells which clients fail, and how many of the failures are theirs.
func (t *teller) hit(i *incident.Incident) string {
	n := i.WorkedBefore
	then := verb(n.Clients, "now fails", "now fail")
	if i.End != nil {
		then = "then failed"
	}
	worked := " worked until " + t.at(i.Onset.After) + ", "
	if i.Onset.After.IsZero() {
		worked = " worked before, "
	}
	p := i.NeverWorked
	switch k := kind(i); {
	case k == incident.Scan:
		return "None of these " + addresses(p) + in(p) + " ever succeeded. No client that worked before fails."
	case allAlong(i) && n.Clients > 0:
		return text.Counted(n.Clients, "of them also succeeds", "of them also succeed") + " now and then."
	case allAlong(i):
		clients, failures := failing(i)
		if k == incident.CertificateExpired {
			return text.Counted(clients, "client fails", "clients fail") + " all along: " + ofFailures(failures, i) + "."
		}
		return verb(clients, "It was not seen working.", "None of them was seen working.")
	case n.Clients > 0 && i.Shape == incident.Ramp:
		return text.Plural(n.Clients, "client") + in(n) + " stopped working one after another: " + ofFailures(n.Failures, i) + "."
	case n.Clients == 1 && k == incident.OneClient:
		return "It" + worked + then + ": " + ofFailures(n.Failures, i) + "."
	case n.Clients > 0:
		return text.Plural(n.Clients, "client") + in(n) + worked + then + ": " + ofFailures(n.Failures, i) + "."
	case p.Clients > 0:
		return text.Plural(p.Clients, "client") + in(p) + " never seen working: " + ofFailures(p.Failures, i) + "."
	}
	return ""
}

// changed tells what the logs show beside the failures.
func (t *teller) changed(i *incident.Incident) (list []string) {
	if gone := traits(i.Vanished); gone != "" {
		list = append(list, "Gone since then: "+gone+".")
	}
	if fresh := traits(i.Appeared); fresh != "" {
		list = append(list, "New since then: "+fresh+".")
	}
	switch k := kind(i); {
	case (k == incident.ListenerCertificate || k == incident.ClientRelease) && len(i.Cohorts) > 0 && i.Cohorts[0].Now.Cipher != "":
		list = append(list, "They fail after agreeing on a cipher suite.")
	case k == incident.OneClient && len(i.Cohorts) > 0 && i.Cohorts[0].Crowd:
		list = append(list, "Other programs behind its address still work.")
	}
	return list
}

// cause tells what explains the incident, and how sure that is.
func (t *teller) cause(i *incident.Incident) string {
	causes, sure := certainty(i)
	var names []string
	for _, c := range causes[:min(len(causes), 3)] {
		if name := Cause(i, c.Kind); name != "" && !(c.Kind == incident.CertificateExpired && i.Certificate != nil) {
			names = append(names, name)
		}
	}
	switch {
	case len(names) > 0:
	case kind(i) == incident.Unknown:
		return "Cause unknown: the logs show no change that explains it."
	default:
		return ""
	}
	label := map[incident.Certainty]string{incident.Certain: "Cause: ", incident.Likely: "Probable cause: "}[sure]
	return cmp.Or(label, "Possible cause: ") + strings.Join(names, ", or ") + "."
}

// Cause names a kind of cause of an incident, "" for Steady and Unknown.
func Cause(i *incident.Incident, k incident.Kind) string {
	switch k {
	case incident.PolicyChange:
		return policyChange(i)
	case incident.ListenerCertificate:
		return "a new listener certificate or chain"
	case incident.TrustStoreChange:
		return "a changed trust store or revocation list"
	case incident.CertificateExpired:
		return "an expired client certificate"
	case incident.ClientRelease:
		return "a new release of these clients"
	case incident.ClientRollout:
		return "a gradual roll-out on these clients, not the load balancer"
	case incident.Scan:
		return "a scan"
	case incident.OneClient:
		return "a change at this client or in its network"
	}
	return ""
}

// policyChange says which way the listener's policy changed.
func policyChange(i *incident.Incident) string {
	switch {
	case len(i.Appeared) == 0:
		return "a stricter security policy on the listener"
	case len(i.Vanished) == 0:
		return "a security policy that allows more on the listener"
	}
	return "another security policy on the listener"
}

// others tells which failing clients do not belong to those that stopped working.
func (t *teller) others(i *incident.Incident) (parts []Part) {
	if i.WorkedBefore.Clients == 0 || allAlong(i) {
		return nil
	}
	if p := i.NeverWorked; p.Clients > 0 {
		part := Part{Apart, text.Counted(p.Clients, "scanner or new customer", "scanners or new customers") + ", never seen working: " + text.Plural(p.Failures, "failure") + ".", rankOthers}
		if p.Failures > i.WorkedBefore.Failures { // without them, the failures stay unexplained
			part.rank = rankWho
		}
		parts = append(parts, part)
	}
	if p := i.FailedBefore; p.Clients > 0 {
		parts = append(parts, Part{Apart, text.Plural(p.Clients, "client") + " that failed before too: " + text.Plural(p.Failures, "failure") + ".", rankOthers})
	}
	return parts
}

// Heading tells where, from what to what, and since when, in one sentence.
func Heading(s *incident.Story, i *incident.Incident, o Options) string {
	t := teller{s: s, o: o}
	return plain(listeners(i) + ": " + t.headline(i) + ".")
}

// apart tells a further incident in one sentence.
func (t *teller) apart(i *incident.Incident) string {
	where := listeners(i)
	if first := &t.s.Incidents[0]; i.LoadBalancer == first.LoadBalancer && i.LoadBalancer != "" && len(i.Ports) == 1 {
		where = strconv.Itoa(int(i.Ports[0]))
	}
	if c := i.Certificate; c != nil && kind(i) == incident.CertificateExpired && !t.o.HideClients {
		return where + ", " + subject(c.Subject) + ": certificate expired " + t.at(c.NotAfter) + "."
	}
	return where + ": " + t.headline(i) + "."
}

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
