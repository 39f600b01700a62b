package tlsclient

import (
	"fmt"
	"slices"
	"strings"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// Basis is why a ClientHello can be from a client.
type Basis string

const (
	byJA4   Basis = "ja4"   // the same JA4 fingerprint
	byOffer Basis = "offer" // the same versions, cipher suites, groups and signature schemes, in the same order
	noBasis Basis = "unknown"
)

// A Match is which known clients a ClientHello can be from.
type Match struct {
	Basis   Basis
	Clients []*Client // all that match; none for noBasis

	// Closest are the clients whose offers differ in the fewest values, for noBasis. There
	// are none if that is more than a few.
	Closest []Close
}

// Close is a client whose offer differs little from a ClientHello.
type Close struct {
	Client      *Client
	Differences []string // of the ClientHello, such as "no x448"; empty if only the order differs
}

// Identify returns the known clients with the JA4 fingerprint of a ClientHello. If
// there is none, it returns those with the same offer: the fingerprint also depends on
// the server's name and on resumed sessions. An empty fingerprint is none. The offer has
// no signalling values among its suites.
func Identify(ja4 string, o secpolicy.Offer) Match {
	m := Match{Basis: noBasis}
	for i := range clients {
		if ja4 != "" && clients[i].JA4 == ja4 {
			m.Basis = byJA4
			m.Clients = append(m.Clients, &clients[i])
		}
	}
	if m.Clients != nil {
		return m
	}
	least := maxDifferences
	o.Versions = slices.DeleteFunc(slices.Clone(o.Versions), func(v tlsname.Version) bool { return !v.Known() })
	o.Groups, o.SignatureSchemes = withoutGREASE(o.Groups), withoutGREASE(o.SignatureSchemes)
	for i := range clients {
		c := &clients[i]
		n := c.distance(o, least)
		switch {
		case n == 0 && c.sameOrder(o):
			m.Basis = byOffer
			m.Clients = append(m.Clients, c)
			continue
		case n > least:
			continue
		case n < least:
			least, m.Closest = n, nil
		}
		m.Closest = append(m.Closest, Close{c, c.differences(o)})
	}
	if m.Clients != nil {
		m.Closest = nil
	}
	return m
}

// maxDifferences is how many values may differ from those of a client that is close.
const maxDifferences = 4

// distance counts the values that only one side offers. It stops above most.
func (c *Client) distance(o secpolicy.Offer, most int) int {
	n := distance(o.Suites, c.Offer.Suites, most)
	if n <= most {
		n += distance(o.Groups, c.Offer.Groups, most-n)
	}
	if n <= most {
		n += distance(o.SignatureSchemes, c.Offer.SignatureSchemes, most-n)
	}
	if n <= most {
		n += distance(o.Versions, c.Offer.Versions, most-n)
	}
	return n
}

func distance[T comparable](a, b []T, most int) int {
	n := max(len(a)-len(b), len(b)-len(a))
	if n > most {
		return n
	}
	n = 0
	for _, lists := range [][2][]T{{a, b}, {b, a}} {
		for _, v := range lists[0] {
			if !slices.Contains(lists[1], v) {
				if n++; n > most {
					return n
				}
			}
		}
	}
	return n
}

// differences describes the values that only one side offers.
func (c *Client) differences(o secpolicy.Offer) []string {
	return slices.Concat(
		differences(o.Versions, c.Offer.Versions), differences(o.Suites, c.Offer.Suites),
		differences(o.Groups, c.Offer.Groups), differences(o.SignatureSchemes, c.Offer.SignatureSchemes))
}

func differences[T interface {
	comparable
	fmt.Stringer
}](offered, known []T) []string {
	var list []string
	for _, v := range known {
		if !slices.Contains(offered, v) {
			list = append(list, "no "+v.String())
		}
	}
	for _, v := range offered {
		if !slices.Contains(known, v) {
			list = append(list, "also "+v.String())
		}
	}
	return list
}

// sameOrder reports whether the lists of suites, groups and signature schemes are the
// same.
func (c *Client) sameOrder(o secpolicy.Offer) bool {
	return slices.Equal(o.Suites, c.Offer.Suites) && slices.Equal(o.Groups, c.Offer.Groups) && slices.Equal(o.SignatureSchemes, c.Offer.SignatureSchemes)
}

// withoutGREASE drops the values of RFC 8701.
func withoutGREASE[T ~uint16](list []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return tlsname.IsGREASE(uint16(v)) })
}

// String returns the match as a clause, such as "like Chrome 73 to 79 (same JA4)". It
// begins with "unknown" if no client matches.
func (m *Match) String() string {
	switch {
	case m.Basis == byJA4:
		return "like " + bounded(m.Clients) + " (same JA4)"
	case m.Basis == byOffer:
		return "like " + bounded(m.Clients) + " (same offer)"
	case m.Closest == nil:
		return "unknown"
	}
	var list []*Client
	first := m.Closest[0].Differences
	differ := strings.Join(first, ", ")
	for _, c := range m.Closest {
		if list = append(list, c.Client); !slices.Equal(c.Differences, first) {
			differ = fmt.Sprintf("%d values differ", len(first))
		}
	}
	if len(first) == 0 {
		differ = "another order"
	}
	return "unknown; closest: " + bounded(list) + " (" + differ + ")"
}

// maxPrograms is how many programs a sentence names.
const maxPrograms = 4

// bounded enumerates the names of clients.
func bounded(list []*Client) string {
	names := Names(list)
	if len(names) > maxPrograms+1 {
		names = append(names[:maxPrograms:maxPrograms], fmt.Sprintf("%d more programs", len(names)-maxPrograms))
	}
	return enumerate(names)
}
