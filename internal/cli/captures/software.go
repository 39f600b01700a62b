package captures

import (
	"tlswatch/pkg/clienthello/tlswire"
	"tlswatch/pkg/tlsclient"
)

// Software is which known programs a ClientHello can be from, as --format json prints
// it.
type Software struct {
	Basis   string   `json:"basis"`   // ja4, offer; unknown if no program matches
	Clients []string `json:"clients"` // all that match
	Closest []string `json:"closest"` // if unknown: those whose offers differ in the fewest values, if any are close
	Text    string   `json:"text"`
}

// SoftwareOf returns the programs that a whole ClientHello can be from.
func SoftwareOf(h *tlswire.ClientHello) *Software {
	m := tlsclient.Identify(h.JA4(), OfferOf(h))
	s := &Software{Basis: string(m.Basis), Clients: []string{}, Closest: []string{}, Text: m.String()}
	for _, c := range m.Clients {
		s.Clients = append(s.Clients, c.String())
	}
	for _, c := range m.Closest {
		s.Closest = append(s.Closest, c.Client.String())
	}
	return s
}
