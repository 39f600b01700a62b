package forecast

import (
	"tlswatch/pkg/secpolicy"
)

// A Forecast is a forecast in the form of --format json.
type Forecast struct {
	From        string      `json:"from"` // as --policy has it, or "unknown"
	To          string      `json:"to"`
	Connections classCounts `json:"connections"`
	Clients     classCounts `json:"clients"` // that have connections of the class
	Breaking    []Breaking  `json:"breaking"`
	Undecided   []Undecided `json:"undecided"` // why it cannot be told
	Plaintext   uint64      `json:"plaintextConnections"`
	Notes       []string    `json:"notes"`
}

type classCounts struct {
	KeepsWorking    uint64 `json:"keepsWorking"`
	Breaks          uint64 `json:"breaks"`
	Unknown         uint64 `json:"unknown"`
	WouldBeAccepted uint64 `json:"wouldBeAccepted"`
	StillRefused    uint64 `json:"stillRefused"`
}

type Breaking struct {
	Client      string `json:"client"`
	Protocol    string `json:"protocol"`
	Cipher      string `json:"cipher"`
	Connections uint64 `json:"connections"`
	Reason      string `json:"reason"`
}

type Undecided struct {
	Reason      string `json:"reason"`
	Connections uint64 `json:"connections"`
}

func newForecast(from, to string, f *secpolicy.Forecast, notes []string) Forecast {
	r := Forecast{
		From: from, To: to, Plaintext: f.Plaintext, Notes: append([]string{}, notes...),
		Connections: classCounts{f.Connections[secpolicy.KeepsWorking], f.Connections[secpolicy.Breaks], f.Connections[secpolicy.CannotTell],
			f.Connections[secpolicy.WouldBeAccepted], f.Connections[secpolicy.StillRefused]},
		Clients: classCounts{uint64(f.Clients[secpolicy.KeepsWorking]), uint64(f.Clients[secpolicy.Breaks]), uint64(f.Clients[secpolicy.CannotTell]),
			uint64(f.Clients[secpolicy.WouldBeAccepted]), uint64(f.Clients[secpolicy.StillRefused])},
		Breaking: []Breaking{}, Undecided: []Undecided{},
	}
	for _, b := range f.Breaking {
		r.Breaking = append(r.Breaking, Breaking(b))
	}
	for _, u := range f.Unknown {
		r.Undecided = append(r.Undecided, Undecided(u))
	}
	return r
}
