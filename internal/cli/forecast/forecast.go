package forecast

import (
	"tlswatch/pkg/secpolicy"
)

// A Forecast is the result as --format json prints it.
type Forecast struct {
	From        string                `json:"from"` // as --policy has it, or "unknown"
	To          string                `json:"to"`
	Connections classCounts           `json:"connections"`
	Clients     classCounts           `json:"clients"` // that have connections of the class
	Breaking    []secpolicy.Breaking  `json:"breaking"`
	Undecided   []secpolicy.Undecided `json:"undecided"` // why the outcome is unknown
	Plaintext   uint64                `json:"plaintextConnections"`
	Notes       []string              `json:"notes"`
}

// classCounts are counts by class, under the names of [secpolicy.Class].
type classCounts struct {
	KeepsWorking uint64 `json:"keepsWorking"`
	Breaks       uint64 `json:"breaks"`
	Unknown      uint64 `json:"unknown"`
	Fixed        uint64 `json:"fixed"`
	StillFails   uint64 `json:"stillFails"`

	// The names until now, for one more version.
	WouldBeAccepted uint64 `json:"wouldBeAccepted"` // Fixed
	StillRefused    uint64 `json:"stillRefused"`    // StillFails
}

func newClassCounts(of func(secpolicy.Class) uint64) classCounts {
	fixed, fails := of(secpolicy.Fixed), of(secpolicy.StillFails)
	return classCounts{of(secpolicy.KeepsWorking), of(secpolicy.Breaks), of(secpolicy.Unknown), fixed, fails, fixed, fails}
}

// A Row has the counts of a class.
type Row struct {
	Class                secpolicy.Class
	Connections, Clients uint64
}

// Rows are the classes in the order in which people are shown them.
func (f *Forecast) Rows() []Row {
	return []Row{
		{secpolicy.KeepsWorking, f.Connections.KeepsWorking, f.Clients.KeepsWorking},
		{secpolicy.Breaks, f.Connections.Breaks, f.Clients.Breaks},
		{secpolicy.Fixed, f.Connections.Fixed, f.Clients.Fixed},
		{secpolicy.StillFails, f.Connections.StillFails, f.Clients.StillFails},
		{secpolicy.Unknown, f.Connections.Unknown, f.Clients.Unknown},
	}
}

func newForecast(from, to string, f *secpolicy.Forecast, notes []string) Forecast {
	return Forecast{
		From: from, To: to, Plaintext: f.Plaintext, Notes: append([]string{}, notes...),
		Connections: newClassCounts(func(c secpolicy.Class) uint64 { return f.Connections[c] }),
		Clients:     newClassCounts(func(c secpolicy.Class) uint64 { return uint64(f.Clients[c]) }),
		Breaking:    append([]secpolicy.Breaking{}, f.Breaking...),
		Undecided:   append([]secpolicy.Undecided{}, f.Undecided...),
	}
}
