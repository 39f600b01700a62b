package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// A kind is what happens to a call.
type kind int

const (
	none kind = iota

	// The process is killed.
	killBefore // the call is not applied
	killAfter  // it is applied, and not answered
	killLate   // the process is gone when the call, which was on its way, is applied
	killSoon   // some milliseconds after the answer
	timeout    // its time is over

	// The call is not applied.
	refuse      // an error says so
	resetBefore // the connection is reset

	// The call is applied.
	replace    // an error is answered instead
	resetAfter // the connection is reset
	drop       // the connection is closed
	cut        // only a part of the answer arrives

	stallBefore // no answer, not applied, until the caller gives up
	stallAfter  // no answer, applied
	late        // applied after a while
	slow        // answered after a while
	freeze      // the process stands still for a while, before it gets the answer

	kinds
)

var kindNames = [kinds]string{"", "KILLED before", "KILLED after", "KILLED, then applied", "KILLED soon", "TIMED OUT", "REFUSED", "RESET before", "REPLACED", "RESET after",
	"DROPPED after", "CUT", "STALLED before", "STALLED after", "LATE", "SLOW", "FROZEN"}

// A fault is what is to happen to one call.
type fault struct {
	kind   kind
	status int    // of an error
	code   string // likewise; "" for a page of HTML by a proxy
	pause  time.Duration
}

func (f fault) String() string {
	switch f.kind {
	case none:
		return ""
	case refuse, replace:
		return fmt.Sprintf(" %s by %d %s", kindNames[f.kind], f.status, f.code)
	case killLate, killSoon, late, slow, freeze:
		return fmt.Sprintf(" %s %v", kindNames[f.kind], f.pause.Round(time.Millisecond))
	}
	return " " + kindNames[f.kind]
}

// silences reports whether the answer does not arrive.
func (f fault) silences() bool {
	return f.kills() && f.kind != killSoon || f.kind >= replace && f.kind <= cut || f.kind == stallAfter
}

func (f fault) kills() bool { return f.kind >= killBefore && f.kind <= timeout }

// A weighted is a kind of fault, and how often it is chosen.
type weighted struct {
	kind   kind
	weight int
}

// A group is seeds with the same kinds of trouble.
type group struct {
	name    string
	faults  []weighted
	batches bool     // all events come by the queue, in batches
	focus   []string // operations that are hit often
}

var groups = []group{
	{"batches", []weighted{{refuse, 3}, {resetBefore, 1}, {resetAfter, 1}, {drop, 1}, {cut, 1}, {late, 1}, {slow, 2}, {freeze, 1}}, true, []string{"s3 Put v1/alerts", "sns Publish"}},
	{"accepted", []weighted{{refuse, 3}, {replace, 6}, {slow, 1}}, false, []string{"cloudwatch PutMetricData"}},
	{"everything", []weighted{{refuse, 4}, {replace, 3}, {resetBefore, 1}, {resetAfter, 1}, {drop, 1}, {cut, 1}, {stallBefore, 1}, {stallAfter, 1}, {late, 2}, {slow, 2}, {freeze, 2}}, false, nil},
}

var kills = []weighted{{killBefore, 3}, {killAfter, 4}, {killLate, 1}, {killSoon, 2}}

// A refusal is an error by which a service says that it did nothing.
type refusal struct {
	status int
	code   string
}

var refusals = map[string][]refusal{
	"s3":         {{503, "SlowDown"}, {503, "SlowDown"}, {500, "InternalError"}, {403, "AccessDenied"}, {400, "RequestTimeout"}},
	"cloudwatch": {{400, "Throttling"}, {400, "ThrottlingException"}, {429, "Throttling"}, {500, "InternalServiceFault"}, {503, "ServiceUnavailable"}, {400, "InvalidParameterValue"}, {403, "AccessDenied"}},
	"sns":        {{400, "Throttled"}, {429, "Throttled"}, {500, "InternalError"}, {503, "ServiceUnavailable"}, {403, "AuthorizationError"}, {400, "InvalidParameter"}},
}

// replacements are errors that leave open whether something was done.
var replacements = map[string][]refusal{
	"s3":         {{500, "InternalError"}, {503, "SlowDown"}, {503, "ServiceUnavailable"}, {502, ""}, {504, ""}},
	"cloudwatch": {{500, "InternalServiceFault"}, {503, "ServiceUnavailable"}, {502, ""}, {504, ""}},
	"sns":        {{500, "InternalError"}, {503, "ServiceUnavailable"}, {502, ""}, {504, ""}},
}

// trouble is how likely the faults of a seed are.
type trouble struct {
	seed         uint64
	group        group
	kill, fault  float64 // of a call with an average weight
	most         int     // kills
	calm         bool    // no faults any more
	calls        map[string]int
	kills, other int
}

// fate chooses what happens to the next call of an operation: it depends on the
// seed and on how many of these calls came before.
func (t *trouble) fate(service string, c call) fault {
	name := service + " " + c.operation
	t.calls[name]++
	if t.calm {
		return fault{}
	}
	weight := weights[t.random(name, 0).IntN(len(weights))]
	if slices.Contains(t.group.focus, name) {
		weight = max(weight, 12)
	}
	r := t.random(name, t.calls[name])
	switch x := r.Float64(); {
	case x < min(t.kill*weight, 0.4) && t.kills < t.most:
		return fault{kind: choose(r, kills), pause: pause(r, 30)}
	case service == "runtime" || x > min(t.fault*weight, 0.5)+min(t.kill*weight, 0.4):
		return fault{}
	}
	f := fault{kind: choose(r, t.group.faults), pause: pause(r, 400)}
	var errors []refusal
	switch {
	case f.kind == refuse && c.conditional && r.IntN(4) == 0:
		errors = []refusal{{409, "ConditionalRequestConflict"}}
	case f.kind == refuse:
		errors = refusals[service]
	case f.kind == replace:
		errors = replacements[service]
	default:
		return f
	}
	e := errors[r.IntN(len(errors))]
	f.status, f.code = e.status, e.code
	return f
}

// weights make a seed hard on few operations and easy on most: where every
// attempt fails early, nothing happens that takes several steps.
var weights = []float64{0, 0, 0.1, 0.1, 0.3, 1, 4, 20}

func (t *trouble) random(name string, n int) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, name, " ", n)
	return rand.New(rand.NewPCG(t.seed, h.Sum64()))
}

func choose(r *rand.Rand, list []weighted) kind {
	total := 0
	for _, w := range list {
		total += w.weight
	}
	n := r.IntN(total)
	for _, w := range list {
		if n -= w.weight; n < 0 {
			return w.kind
		}
	}
	panic("unreachable")
}

func pause(r *rand.Rand, most int) time.Duration {
	return time.Duration(r.IntN(most)+1) * time.Millisecond
}
