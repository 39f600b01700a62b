package notice

import (
	"tlswatch/pkg/alert"
	"tlswatch/pkg/secpolicy"
)

// Schema names the form of the JSON document. New versions only add members.
const Schema = "tlswatch.alert/v1"

// A document is the message for machines.
type document struct {
	Schema          string        `json:"schema"`
	Rule            string        `json:"rule"`
	Severity        string        `json:"severity"`
	LoadBalancerARN string        `json:"loadBalancerArn"`
	Threshold       threshold     `json:"threshold"`
	Client          string        `json:"client,omitempty"` // for a rule per client: the one with most failures
	Failed          uint64        `json:"failed"`           // failures that the rule counts
	FailedPercent   float64       `json:"failedPercent"`
	Window          alert.Window  `json:"window"`
	Explanations    []explanation `json:"explanations"` // one for each of the window's groups

	// ListenerPolicies are the known security policies of the groups' listeners,
	// by port.
	ListenerPolicies map[uint16]string `json:"listenerPolicies,omitempty"`
	PolicyChanges    []policyChange    `json:"policyChanges,omitempty"` // for listeners whose policy refuses clients
}

type threshold struct {
	MinFailed        uint64   `json:"minFailed"`
	MinFailedPercent float64  `json:"minFailedPercent"`
	Reasons          []string `json:"reasons,omitempty"`
}

// An explanation says why a group's negotiations failed.
type explanation struct {
	Reason    string                `json:"reason"`
	Diagnosis secpolicy.DiagnosisID `json:"diagnosis"`
	Cause     string                `json:"cause"`  // for people
	Remedy    string                `json:"remedy"` // likewise
}

// A policyChange is the smallest change of a listener's policy that accepts the
// clients that the policy refuses. It is no recommendation: see Weakens.
type policyChange struct {
	Port     uint16   `json:"port"`
	From     string   `json:"from"`
	To       string   `json:"to,omitempty"`      // "" if no policy accepts them
	Weakens  []string `json:"weakens,omitempty"` // "tls-1.0", "no-forward-secrecy"
	Caveats  []string `json:"caveats,omitempty"` // for people: what is not confirmed about From and To
	Prevents uint64   `json:"prevents"`          // failures in the window
	Leaves   uint64   `json:"leaves"`            // failures of clients that To does not accept either
}

func (e *explained) document() document {
	d := document{
		Schema:          Schema,
		Rule:            e.Rule.Name,
		Severity:        e.Severity,
		LoadBalancerARN: e.arn(),
		Client:          e.Client,
		Threshold:       threshold{e.Rule.MinFailed, e.Rule.MinFailedPercent, e.Rule.Reasons},
		Failed:          e.Failed,
		FailedPercent:   e.Percent(),
		Window:          e.Window,
		Explanations:    []explanation{},

		ListenerPolicies: make(map[uint16]string),
	}
	for i, g := range e.Window.Groups {
		if policy := e.Policies.At(g.ListenerPort); policy != "" {
			d.ListenerPolicies[g.ListenerPort] = policy
		}
		d.Explanations = append(d.Explanations, explanation{g.Reason, e.diagnoses[i].ID, e.diagnoses[i].Cause, e.diagnoses[i].Remedy})
	}
	for _, c := range e.changes {
		m := policyChange{Port: c.port, From: c.from.Name, Prevents: c.failed, Leaves: c.beyond}
		if c.to != nil {
			m.To, m.Weakens, m.Caveats = c.to.B.Name, []string{}, secpolicy.Caveats(c.from, c.to.B)
			for _, w := range c.to.Weakens() {
				m.Weakens = append(m.Weakens, w.String())
			}
		}
		d.PolicyChanges = append(d.PolicyChanges, m)
	}
	return d
}
