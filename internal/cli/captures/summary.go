package captures

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/clienthello"
)

// maxClients bounds the clients that a Summary counts apart.
const maxClients = 10_000

// A Summary counts handshakes by how they ended, and what large ClientHellos did to each
// client. Its size is bounded.
type Summary struct {
	handshakes int64
	causes     map[string]int64
	clients    map[netip.Addr]*clientState
	others     int64 // handshakes of clients beyond maxClients
}

// clientState is what a Summary knows of one client.
type clientState struct {
	clientCounts
	failed  netip.AddrPort // the server of the last large ClientHello, if it did not answer
	retries int            // handshakes in a row that ended after a HelloRetryRequest
}

// clientCounts are the handshakes of a client.
type clientCounts struct {
	Client        string `json:"client"`
	Handshakes    int64  `json:"handshakes"`
	Negotiated    int64  `json:"negotiated"`
	PostQuantum   int64  `json:"postQuantum"`   // with post-quantum key shares
	SmallestHello int    `json:"smallestHello"` // bytes, record headers included
	LargestHello  int    `json:"largestHello"`
	HalfDelivered int64  `json:"halfDelivered"`
	// Retries without post-quantum key shares, to the server that did not answer an
	// attempt with them, and how many of them were negotiated.
	Retries           int64 `json:"retriesWithoutPostQuantum"`
	RetriesNegotiated int64 `json:"retriesNegotiated"`
	HelloRetries      int64 `json:"helloRetryRequests"` // handshakes with a HelloRetryRequest
	HelloRetryLoops   int64 `json:"helloRetryLoops"`    // of them, those in a loop
}

// NewSummary returns an empty Summary.
func NewSummary() *Summary {
	return &Summary{causes: make(map[string]int64), clients: make(map[netip.Addr]*clientState)}
}

// Add counts a handshake.
func (s *Summary) Add(h *clienthello.Handshake) {
	s.handshakes++
	s.causes[h.Cause()]++
	address := h.Client.Addr()
	c := s.clients[address]
	if c == nil {
		if len(s.clients) == maxClients {
			s.others++
			return
		}
		c = &clientState{clientCounts: clientCounts{Client: address.String()}}
		s.clients[address] = c
	}
	c.add(h)
}

// loopLength is how many handshakes in a row that end after a HelloRetryRequest are a loop.
const loopLength = 3

func (c *clientState) add(h *clienthello.Handshake) {
	o := h.Outcome
	negotiated, postQuantum := o.Kind == clienthello.Negotiated, h.PostQuantum()
	c.Handshakes++
	if negotiated {
		c.Negotiated++
	}
	if h.Size > 0 {
		c.LargestHello = max(c.LargestHello, h.Size)
		if c.SmallestHello == 0 || h.Size < c.SmallestHello {
			c.SmallestHello = h.Size
		}
	}
	if o.HalfDelivered != nil {
		c.HalfDelivered++
	}
	if postQuantum {
		c.PostQuantum++
	}
	switch {
	case postQuantum || o.HalfDelivered != nil:
		c.failed = netip.AddrPort{}
		if !negotiated && o.Kind != clienthello.AlertSent && o.Version == 0 && !o.AnswerMissing && h.Server.IsValid() {
			c.failed = h.Server
		}
	case c.failed == h.Server && h.Hello != nil && h.Fault == nil:
		c.Retries++
		if negotiated {
			c.RetriesNegotiated++
			c.failed = netip.AddrPort{}
		}
	}
	switch {
	case o.HelloRetry == 0:
		c.retries = 0
		return
	case negotiated:
		c.retries = 0
	default:
		c.retries++
	}
	c.HelloRetries++
	if o.HelloRetries > 1 || c.retries >= loopLength {
		c.HelloRetryLoops++
	}
}

// A Cause is how many handshakes ended in one way.
type Cause struct {
	Cause string `json:"cause"`
	Count int64  `json:"count"`
}

// Causes returns how the handshakes ended, most frequent first.
func (s *Summary) Causes() []Cause {
	list := []Cause{}
	for cause, n := range s.causes {
		list = append(list, Cause{cause, n})
	}
	slices.SortFunc(list, func(a, b Cause) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Cause, b.Cause))
	})
	return list
}

// ranked returns the counts of clients: first those with half-delivered ClientHellos, then
// those with the largest.
func (s *Summary) ranked() []clientCounts {
	list := []clientCounts{}
	for _, address := range slices.SortedFunc(maps.Keys(s.clients), netip.Addr.Compare) {
		list = append(list, s.clients[address].clientCounts)
	}
	slices.SortStableFunc(list, func(a, b clientCounts) int {
		return cmp.Or(cmp.Compare(b.HalfDelivered, a.HalfDelivered), cmp.Compare(b.HelloRetryLoops, a.HelloRetryLoops), cmp.Compare(b.LargestHello, a.LargestHello), cmp.Compare(b.Handshakes, a.Handshakes))
	})
	return list
}

// maxNotes bounds the clients of Notes.
const maxNotes = 10

// Notes says which clients have ClientHellos that are not delivered, or are in a loop.
func (s *Summary) Notes() []string {
	notes := []string{}
	for _, c := range s.ranked() {
		if c.HalfDelivered == 0 && c.HelloRetryLoops == 0 || len(notes) == maxNotes {
			break
		}
		var parts []string
		if c.HalfDelivered > 0 {
			parts = append(parts, fmt.Sprintf("%s half-delivered (ClientHellos of %s bytes)", text.Count(c.HalfDelivered), c.sizes()))
		}
		if c.Retries > 0 {
			parts = append(parts, "of the retries without post-quantum key shares, "+c.retriesText())
		}
		if c.HelloRetryLoops > 0 {
			parts = append(parts, text.Plural(c.HelloRetryLoops, "HelloRetryRequest")+" in a loop")
		}
		notes = append(notes, c.Client+": "+strings.Join(parts, "; "))
	}
	return notes
}

// A summaryJSON is a Summary as JSON.
type summaryJSON struct {
	Packets       int64          `json:"packets"`
	Handshakes    int64          `json:"handshakes"`
	Outcomes      []Cause        `json:"outcomes"`
	Clients       []clientCounts `json:"clients"`
	OtherClients  int64          `json:"handshakesOfOtherClients"` // beyond the limit
	NotLookedInto []KindCount    `json:"notLookedInto"`
	Remarks       []string       `json:"remarks"`
}

// A KindCount is how many packets of a kind were not looked into.
type KindCount struct {
	Kind    string `json:"kind"`
	Packets int64  `json:"packets"`
}

// NotLookedInto returns the packets that were not looked into, by kind.
func NotLookedInto(stats clienthello.Stats) []KindCount {
	list := []KindCount{}
	for _, c := range stats.Skipped {
		list = append(list, KindCount{c.Kind.String(), c.Packets})
	}
	return list
}

// WriteJSON writes the summary of captures as one JSON object.
func (s *Summary) WriteJSON(w io.Writer, stats clienthello.Stats) error {
	return text.WriteJSON(w, &summaryJSON{
		Packets: stats.Packets, Handshakes: s.handshakes, Outcomes: s.Causes(), Clients: s.ranked(), OtherClients: s.others,
		NotLookedInto: NotLookedInto(stats), Remarks: append([]string{}, Remarks(stats)...),
	}, " ")
}

// shownClients is how many clients the table has.
const shownClients = 20

// Write writes the summary as tables.
func (s *Summary) Write(w io.Writer, screen text.Screen) error {
	fmt.Fprintf(w, "OUTCOMES of %s\n", text.Plural(s.handshakes, "handshake"))
	outcomes := text.Table{Columns: "rr"}
	for _, c := range s.Causes() {
		outcomes.Add(text.Count(c.Count), text.Percent(c.Count, s.handshakes), c.Cause)
	}
	if err := outcomes.Write(w, screen); err != nil {
		return err
	}
	clients := s.ranked()
	if len(clients) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nCLIENTS%s, with the sizes of their ClientHellos (PQ: post-quantum key shares; HRR: HelloRetryRequests)\n", of(len(clients)))
	table := text.Table{Columns: "lrrrlrll"}
	table.Add("client", "handshakes", "negotiated", "PQ", "bytes", "half-delivered", "retries without PQ", "HRR")
	for _, c := range clients[:min(len(clients), shownClients)] {
		table.Add(c.Client, text.Count(c.Handshakes), text.Count(c.Negotiated), text.Count(c.PostQuantum), c.sizes(), text.Count(c.HalfDelivered), c.retriesText(), c.helloRetries())
	}
	return table.Write(w, screen)
}

func of(all int) string {
	if all <= shownClients {
		return ""
	}
	return fmt.Sprintf(" (%d of %s)", shownClients, text.Count(all))
}

func (c *clientCounts) sizes() string {
	switch {
	case c.LargestHello == 0:
		return "-"
	case c.SmallestHello == c.LargestHello:
		return text.Count(c.LargestHello)
	}
	return text.Count(c.SmallestHello) + " to " + text.Count(c.LargestHello)
}

func (c *clientCounts) retriesText() string {
	if c.Retries == 0 {
		return "-"
	}
	return fmt.Sprintf("%s of %s worked", text.Count(c.RetriesNegotiated), text.Count(c.Retries))
}

func (c *clientCounts) helloRetries() string {
	switch {
	case c.HelloRetries == 0:
		return "-"
	case c.HelloRetryLoops == 0:
		return text.Count(c.HelloRetries)
	}
	return fmt.Sprintf("%s, %s in a loop", text.Count(c.HelloRetries), text.Count(c.HelloRetryLoops))
}
