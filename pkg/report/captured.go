package report

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Captured counts what packet captures know of the lines whose negotiation
// failed, or that have no protocol.
type Captured struct {
	Handshakes int    `json:"handshakes"` // in the captures
	LeftOut    int    `json:"leftOut"`    // of them, beyond MaxKeys: not looked for in the log
	Joined     uint64 `json:"joined"`     // lines that belong to one of them
	Missing    uint64 `json:"missing"`    // lines that belong to none
	Offers     int    `json:"offers"`     // rows of CapturedOffers, without a limit
}

// A CapturedOffer is what a client offered, by a packet capture, in connections
// that the log says little of.
type CapturedOffer struct {
	Client   string `json:"client"`
	Protocol string `json:"protocol"` // as in the log
	Cipher   string `json:"cipher"`
	Status   string `json:"status"`
	Count    uint64 `json:"count"`
	Offer
}

// An Offer is the ClientHello of a handshake, and how that ended.
type Offer struct {
	ServerName   string   `json:"serverName"`
	Versions     []string `json:"versions"`
	CipherSuites []string `json:"cipherSuites"` // as logs and policies name them, in the order offered
	Groups       []string `json:"groups"`
	KeyShares    []string `json:"keyShares"`
	JA4          string   `json:"ja4"` // empty if the ClientHello is not whole
	Outcome      string   `json:"outcome"`
	Verdict      string   `json:"verdict,omitempty"` // of the security policy
}

// Client returns an address as the Result has it: its block, or a hash, if that
// was asked for.
func (c *Collector) Client(a netip.Addr) string {
	return c.client(addrOf(a, c.v4mask, c.v6mask))
}

// AddCaptured adds what captures say, of the offers the first top rows, most
// frequent first; 0 means all.
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
