// Package incident turns the entries of connection logs into the [Story] of what
// happened: when failures began, who was hit, what changed and what undoes it.
//
// The story does not depend on the order of lines, logs or goroutines. Memory is
// bounded whatever the logs hold. The package reads neither clock nor files.
package incident

import "time"

// A Story is what the logs that were read tell about failed negotiations. Its JSON
// is stable: new versions only add members.
type Story struct {
	First time.Time `json:"first"` // time of the first entry
	Last  time.Time `json:"last"`  // time of the last entry
	Counts

	// Incidents are what began, ended or goes on, the one that hits most clients
	// that worked before first. None means that nothing began or ended.
	Incidents []Incident `json:"incidents"`

	// Noise is the failures of addresses that never succeeded, at the rate they
	// always had. No incident includes them.
	Noise Population `json:"noise"`

	// Unexplained is the failures that neither an incident nor Noise includes.
	Unexplained uint64 `json:"unexplained"`

	// Sample is the share of clients that the populations are based on, 1 for all.
	Sample float64 `json:"sample"`

	// Remarks say what the story could not see: logs that were not read, a client
	// sample, a list that was full.
	Remarks []string `json:"remarks,omitempty"`
}

// Counts are TLS connections, and those whose negotiation failed.
type Counts struct {
	Connections uint64 `json:"connections"`
	Failed      uint64 `json:"failed"`
}

// An Incident is one change on one listener, or on several that changed alike.
type Incident struct {
	LoadBalancer string   `json:"loadBalancer"` // "app/NAME/ID"; empty if the log does not name it
	Ports        []uint16 `json:"ports"`        // of the listeners, ascending

	// Causes are what explains the incident, most likely first. Several with the
	// same certainty look alike in the logs.
	Causes []Cause `json:"causes"`

	Shape Shape    `json:"shape"`
	Onset Bracket  `json:"onset"`         // zero for Steady
	End   *Bracket `json:"end,omitempty"` // nil while it goes on

	// Before and Since count all TLS connections of the listeners before the onset, and
	// from the onset to the end, noise included.
	Before Counts `json:"before"`
	Since  Counts `json:"since"`

	// WorkedBefore, NeverWorked and FailedBefore divide the clients that fail in the
	// incident. NeverWorked are scanners or new customers: not told apart.
	WorkedBefore Population `json:"workedBefore"`
	NeverWorked  Population `json:"neverWorked"`
	FailedBefore Population `json:"failedBefore"`

	Cohorts  []Cohort `json:"cohorts"`  // of those clients, most failures first
	Vanished []Trait  `json:"vanished"` // that successful connections no longer have
	Appeared []Trait  `json:"appeared"` // that only successful connections since the onset have

	// Certificate is the client certificate that the incident is about.
	Certificate *Certificate `json:"certificate,omitempty"`

	Remedies []Remedy `json:"remedies"` // the best first
}

// A Cause is a possible reason of an incident.
type Cause struct {
	Kind      Kind      `json:"kind"`
	Certainty Certainty `json:"certainty"`
	Evidence  []string  `json:"evidence"` // clauses for people
	Explains  uint64    `json:"explains"` // failures since the onset
}

// Kind is a kind of change.
type Kind string

const (
	PolicyChange        Kind = "policy-change"        // the listener's security policy
	ListenerCertificate Kind = "listener-certificate" // the listener's certificate or chain
	TrustStoreChange    Kind = "trust-store-change"   // the trust store or its revocation list
	CertificateExpired  Kind = "certificate-expired"  // a client certificate passed its end
	ClientRelease       Kind = "client-release"       // many clients changed at the same time
	ClientRollout       Kind = "client-rollout"       // many clients changed one after another
	Scan                Kind = "scan"                 // addresses that never succeed, above their usual rate
	Steady              Kind = "steady"               // the same clients fail all along
	OneClient           Kind = "one-client"           // a single client or its network stopped working
	Unknown             Kind = "unknown"              // customers are hit, and no kind explains it
)

// Certainty says how sure a cause is.
type Certainty string

const (
	Certain  Certainty = "certain"  // a reader of the same logs cannot refute it
	Likely   Certainty = "likely"   // the evidence speaks for it, and something else is possible
	Possible Certainty = "possible" // nothing speaks against it
)

// Shape is how failures developed over time.
type Shape string

const (
	Step       Shape = "step"       // began within a minute or so, and goes on
	Ramp       Shape = "ramp"       // clients were hit one after another
	Spike      Shape = "spike"      // began and ended
	Flapping   Shape = "flapping"   // began and ended several times
	Throughout Shape = "throughout" // all along: no onset in the logs
)

// A Bracket contains an instant: not before After, and not after Until.
type Bracket struct {
	After time.Time `json:"after"` // last success of the clients that were hit
	Until time.Time `json:"until"` // their first failure
}

// A Population is clients that have something in common.
type Population struct {
	Clients  int    `json:"clients"`
	Networks int    `json:"networks"` // /24 of IPv4, /64 of IPv6
	Failures uint64 `json:"failures"`
}

// A Cohort is failing clients that fail alike. Clients that negotiate nothing
// now belong to the cohort of what they negotiated before.
type Cohort struct {
	Population
	Reason string      `json:"reason"` // of the failures: "ClientCertExpired"
	Now    Negotiated  `json:"now"`    // in the failed negotiations
	Before *Negotiated `json:"before"` // in their last success; null if they had none

	WorkedBefore int        `json:"workedBefore"`          // of Clients
	LastSuccess  *time.Time `json:"lastSuccess,omitempty"` // the latest of theirs
	Crowd        bool       `json:"crowd"`                 // several programs behind one address: successes and failures side by side
	Examples     []string   `json:"examples"`              // clients, most failures first

	// Software is which known programs Before is consistent with, as a clause; "" if the
	// log does not show it.
	Software string `json:"software,omitempty"`
}

// Negotiated is what a line of the log has, "" for none.
type Negotiated struct {
	Protocol    string `json:"protocol"`
	Cipher      string `json:"cipher"`
	KeyExchange string `json:"keyExchange"`
}

// A Trait is a protocol, cipher suite or key exchange that vanished or appeared.
// One of its names is set.
type Trait struct {
	Negotiated
	Before uint64 `json:"before"` // successful connections with it before the onset
	Since  uint64 `json:"since"`
}

// A Certificate is a client certificate, by its serial number.
type Certificate struct {
	Serial   string    `json:"serial"`
	Subject  string    `json:"subject"` // as in the log
	NotAfter time.Time `json:"notAfter"`

	Next *NextCertificate `json:"next,omitempty"` // of the others that work, the one that expires next
}

// A NextCertificate is a client certificate that still works.
type NextCertificate = struct {
	Subject  string    `json:"subject"`
	NotAfter time.Time `json:"notAfter"`
}

// A Remedy is something to do about an incident.
type Remedy struct {
	Action Action   `json:"action"`
	Policy string   `json:"policy,omitempty"` // for SetPolicy, and for UndoChange if it is known: its full name
	Fixes  uint64   `json:"fixes"`            // failures since the onset
	Of     uint64   `json:"of"`
	Not    []int    `json:"not,omitempty"`    // cohorts that it does not fix, by number
	Allows []string `json:"allows,omitempty"` // weak protocols and cipher suites that the policy in force does not have, if that is known, for people: "TLS 1.0"
	Text   string   `json:"text"`             // for people
}

// Action is a kind of remedy.
type Action string

const (
	UndoChange       Action = "undo"              // of the listener
	SetPolicy        Action = "set-policy"        // that accepts all that were hit
	CheckCertificate Action = "check-certificate" // of the listener, and its chain
	CheckTrustStore  Action = "check-trust-store"
	RenewCertificate Action = "renew-certificate" // of the client
	UpdateClients    Action = "update-clients"
	StopRollout      Action = "stop-rollout"
	BlockAddresses   Action = "block-addresses"
	Nothing          Action = "nothing"
)
