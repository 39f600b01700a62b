package captures

import (
	"tlswatch/pkg/clienthello/tlswire"
	"tlswatch/pkg/tlsclient"
)

// Software is which known programs a ClientHello can be from, as --format json prints
// it.
type Software struct {
	Basis   string    `json:"basis"`   // ja4, offer; unknown if no program matches
	Clients []string  `json:"clients"` // all that match
	Closest []closest `json:"closest"` // if unknown: those whose offers differ in the fewest values, if any are close
	Text    string    `json:"text"`
}

type closest struct {
	Client      string   `json:"client"`
	Differences []string `json:"differences"` // empty if only the order differs
}

// SoftwareOf returns the programs that a whole ClientHello can be from.
func SoftwareOf(h *tlswire.ClientHello) *Software {
	m := tlsclient.Identify(h.JA4(), OfferOf(h))
	s := &Software{Basis: string(m.Basis), Clients: []string{}, Closest: []closest{}, Text: m.String()}
	for _, c := range m.Clients {
		s.Clients = append(s.Clients, c.String())
	}
	for _, c := range m.Closest {
		s.Closest = append(s.Closest, closest{c.Client.String(), append([]string{}, c.Differences...)})
	}
	return s
}

// A SoftwareCache remembers the programs of ClientHellos with the same fingerprints, of
// which a capture has few. The zero value is empty.
type SoftwareCache struct{ known map[[2]string]*Software }

// maxKnown bounds a SoftwareCache: a client can make up fingerprints.
const maxKnown = 1024

// Of is SoftwareOf. The result is shared.
func (c *SoftwareCache) Of(h *tlswire.ClientHello) *Software {
	key := [2]string{h.JA3(), h.JA4()}
	if s := c.known[key]; s != nil {
		return s
	}
	s := SoftwareOf(h)
	if c.known == nil {
		c.known = make(map[[2]string]*Software)
	}
	if len(c.known) < maxKnown {
		c.known[key] = s
	}
	return s
}
