package report

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Captured counts log lines of failed negotiations, or without a protocol, that
// packet captures explain.
type Captured struct {
	Handshakes int    `json:"handshakes"` // in the captures
	LeftOut    int    `json:"leftOut"`    // handshakes beyond MaxKeys, which are not looked up
	Joined     uint64 `json:"joined"`     // lines with a handshake in the captures
	Missing    uint64 `json:"missing"`    // lines without
	Offers     int    `json:"offers"`     // rows of CapturedOffers if all were listed
}

// CapturedOutcomes say how all handshakes in packet captures ended.
type CapturedOutcomes struct {
	Outcomes      []CapturedCount `json:"outcomes"`      // most frequent first
	Notes         []string        `json:"notes"`         // about clients whose ClientHellos were half-delivered, or that were in a loop
	NotLookedInto []CapturedCount `json:"notLookedInto"` // packets by kind, most first
}

// A CapturedCount is how many handshakes or packets are of a kind.
type CapturedCount struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

// A CapturedOffer is what packet captures show a client to offer in connections
// about which the log says little.
type CapturedOffer struct {
	Client   string `json:"client"`
	Protocol string `json:"protocol"` // as in the log
	Cipher   string `json:"cipher"`
	Status   string `json:"status"`
	Count    uint64 `json:"count"`
	Offer
}

// An Offer is the ClientHello of a handshake, and how the handshake ended.
type Offer struct {
	ServerName   string   `json:"serverName"`
	Versions     []string `json:"versions"`
	CipherSuites []string `json:"cipherSuites"` // named as in logs and policies, in the order offered
	Groups       []string `json:"groups"`
	KeyShares    []string `json:"keyShares"`
	JA4          string   `json:"ja4"`      // empty if the ClientHello is incomplete
	Software     string   `json:"software"` // known programs that it can be from; begins with "unknown" if there are none
	Outcome      string   `json:"outcome"`
	Verdict      string   `json:"verdict,omitempty"` // by the security policy
}

// Client returns an address as the Result names it: itself, its block or a hash.
func (c *Collector) Client(a netip.Addr) string {
	return c.client(addrOf(a, c.v4mask, c.v6mask))
}

// AddCaptured adds what captures show. It keeps the top most frequent offers; 0
// means all.
func (r *Result) AddCaptured(c Captured, offers []CapturedOffer, top int) {
	slices.SortStableFunc(offers, func(a, b CapturedOffer) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Client, b.Client), strings.Compare(a.JA4, b.JA4), strings.Compare(a.Outcome, b.Outcome),
			strings.Compare(a.Status, b.Status), strings.Compare(a.Protocol, b.Protocol), strings.Compare(a.Cipher, b.Cipher),
			strings.Compare(a.ServerName, b.ServerName), strings.Compare(a.Verdict, b.Verdict), slices.Compare(a.CipherSuites, b.CipherSuites))
	})
	c.Offers = len(offers)
	if top > 0 && len(offers) > top {
		offers = offers[:top]
	}
	r.Captured, r.CapturedOffers = &c, offers
}
