package report

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"tlswatch/internal/cli/captures"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
	"tlswatch/pkg/clienthello"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/report"
	"tlswatch/pkg/secpolicy"
)

// captured joins handshakes in packet captures with lines of logs that lack details, by
// client address, port and time.
type captured struct {
	stats      clienthello.Stats
	summary    *captures.Summary
	handshakes int
	byClient   map[netip.AddrPort][]capturedHandshake
	offers     map[string]*capturedOffer // by their text: clients repeat themselves

	mu      sync.Mutex // guards what follows
	joined  map[joinedLine]uint64
	missing uint64
}

type capturedHandshake struct {
	time  time.Time
	offer *capturedOffer
}

type capturedOffer struct {
	report.Offer
	judged *secpolicy.Offer // nil if the ClientHello is not whole
	half   bool             // the server did not acknowledge all of it
}

// joinedLine is the key by which lines are counted.
type joinedLine struct {
	client                   netip.Addr
	protocol, cipher, status string
	loadBalancer             string
	port                     uint16
	offer                    *capturedOffer
}

// joinTime is how far the times of a line and its ClientHello may differ: the line has
// the end of the negotiation, and clocks differ.
const joinTime = time.Minute

// readCaptured reads captures. Logs are read after them.
func readCaptured(ctx context.Context, paths []string) (*captured, error) {
	c := &captured{
		summary:  captures.NewSummary(),
		byClient: make(map[netip.AddrPort][]capturedHandshake),
		offers:   make(map[string]*capturedOffer),
		joined:   make(map[joinedLine]uint64),
	}
	tracker := clienthello.NewTracker(clienthello.Options{}, func(h *clienthello.Handshake) error {
		c.add(h)
		return nil
	})
	err := captures.Read(ctx, tracker, paths, nil)
	err = cmp.Or(err, tracker.Close())
	c.stats = tracker.Stats()
	return c, err
}

// remarks tells the user what in the captures was left out.
func (c *captured) remarks() []string {
	s := c.stats
	s.Plaintext = 0 // not part of a report
	return captures.Remarks(s)
}

func (c *captured) add(h *clienthello.Handshake) {
	c.summary.Add(h)
	if c.handshakes++; c.handshakes > report.MaxKeys {
		return
	}
	offer := newCapturedOffer(h)
	text := fmt.Sprint(offer.Offer)
	if known := c.offers[text]; known != nil {
		offer = known
	}
	c.offers[text] = offer
	c.byClient[h.Client] = append(c.byClient[h.Client], capturedHandshake{h.Time, offer})
	if h.Peer != h.Client { // a log may have the proxy's address
		c.byClient[h.Peer] = append(c.byClient[h.Peer], capturedHandshake{h.Time, offer})
	}
}

// newCapturedOffer converts a handshake for a report.
func newCapturedOffer(h *clienthello.Handshake) *capturedOffer {
	o := &capturedOffer{Offer: report.Offer{Outcome: captures.Outcome(h), Versions: []string{}, CipherSuites: []string{}, Groups: []string{}, KeyShares: []string{}}}
	hello := h.Hello
	o.half = h.Outcome.HalfDelivered != nil
	if h.Fault != nil {
		o.Outcome += "; " + h.Fault.Error()
	}
	if hello == nil {
		return o
	}
	o.ServerName = hello.ServerName
	if h.Fault == nil || len(hello.SupportedVersions) > 0 { // else supported_versions may have been behind
		o.Versions = command.Names(hello.Versions())
	}
	o.CipherSuites, o.Groups, o.KeyShares = command.Names(hello.CipherSuites), command.Names(hello.Groups), command.Names(hello.KeyShares)
	if h.Fault == nil {
		o.JA4, o.Software = hello.JA4(), captures.SoftwareOf(hello).Text
		judged := captures.OfferOf(hello)
		o.judged = &judged
	}
	return o
}

// line joins a line of a log. Several goroutines may call it.
func (c *captured) line(e *connlog.Entry) {
	if !e.Failed() && e.Protocol != "" {
		return
	}
	var offer *capturedOffer
	least := joinTime + 1
	for _, h := range c.byClient[netip.AddrPortFrom(e.Client, e.ClientPort)] {
		if apart := e.Time.Sub(h.time).Abs(); apart < least {
			offer, least = h.offer, apart
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if offer == nil {
		if e.TLS() { // plain HTTP has no handshake
			c.missing++
		}
		return
	}
	c.joined[joinedLine{e.Client, e.Protocol, e.Cipher, e.Status, e.LoadBalancer, e.ListenerPort, offer}]++
}

// addTo adds the joined lines to a report, with verdicts if there is a judge.
func (c *captured) addTo(r *report.Result, collector *report.Collector, j *policyflags.Judge, top int) {
	type judged struct {
		policy *secpolicy.Policy
		offer  *capturedOffer
	}
	type row struct { // of a report
		client, protocol, cipher, status, verdict string
		offer                                     *capturedOffer
	}
	counts := report.Captured{Handshakes: c.handshakes, LeftOut: max(c.handshakes-report.MaxKeys, 0), Missing: c.missing}
	verdicts := make(map[judged]string)
	rows := make(map[row]uint64)
	for line, n := range c.joined {
		counts.Joined += n
		verdict := ""
		if j != nil && line.offer.judged != nil {
			key := judged{j.PolicyAt(line.loadBalancer, line.port), line.offer}
			if verdict = verdicts[key]; verdict == "" && key.policy != nil {
				v := captures.Judge(j.Set, key.policy, *line.offer.judged)
				if line.offer.half {
					v = v.NotApplied()
				}
				verdict = v.Text()
				verdicts[key] = verdict
			}
		}
		rows[row{collector.Client(line.client), cmp.Or(line.protocol, "-"), cmp.Or(line.cipher, "-"), cmp.Or(line.status, "-"), verdict, line.offer}] += n
	}
	offers := []report.CapturedOffer{}
	for row, n := range rows {
		o := report.CapturedOffer{Client: row.client, Protocol: row.protocol, Cipher: row.cipher, Status: row.status, Count: n, Offer: row.offer.Offer}
		o.Verdict = row.verdict
		offers = append(offers, o)
	}
	r.AddCaptured(counts, offers, top)
	r.CapturedOutcomes = c.outcomes()
}

// explain adds to a diagnosis how many of its lines had a half-delivered ClientHello, by
// the captures.
func (c *captured) explain(f report.Failure, d report.Diagnosis) report.Diagnosis {
	var joined, half uint64
	for line, n := range c.joined {
		if (report.Failure{Protocol: line.protocol, Cipher: line.cipher, Status: line.status, LoadBalancer: line.loadBalancer, Port: line.port}) != f {
			continue
		}
		joined += n
		if line.offer.half {
			half += n
		}
	}
	if half > 0 {
		d.Cause += fmt.Sprintf(" In the captures, %s of %s had a half-delivered ClientHello: the server did not acknowledge all of it.", text.Count(half), text.Plural(joined, "line"))
		d.Remedy += " Look for a firewall, a proxy or a tunnel with a small MTU on the path of the large ClientHello, and try the client without post-quantum key shares."
	}
	return d
}

// outcomes returns how all handshakes ended.
func (c *captured) outcomes() *report.CapturedOutcomes {
	o := &report.CapturedOutcomes{Outcomes: []report.CapturedCount{}, Notes: c.summary.Notes(), NotLookedInto: []report.CapturedCount{}}
	for _, cause := range c.summary.Causes() {
		o.Outcomes = append(o.Outcomes, report.CapturedCount{Name: cause.Cause, Count: cause.Count})
	}
	for _, kind := range captures.NotLookedInto(c.stats) {
		o.NotLookedInto = append(o.NotLookedInto, report.CapturedCount{Name: kind.Kind, Count: kind.Packets})
	}
	return o
}
