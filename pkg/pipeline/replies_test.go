package pipeline_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tlswatch/internal/dev/docpart"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
)

// A reply is what the function receives for a request: the first of its kind, or
// every one.
type reply struct {
	name  string
	every bool
	fault
}

var throttling = [3]wire.Fault{wire.Refuse(503, "SlowDown"), wire.Refuse(400, "Throttling"), wire.Refuse(400, "Throttled")}

var replies = []reply{
	{"200", false, fault{}},
	{"200 with a truncated body", false, fault{damage: of(wire.FaultReplyCut)}},
	{"throttling, once", false, fault{codes: throttling}},
	{"throttling, every time", true, fault{codes: throttling}},
	{"an error of validation or permission", true, fault{codes: errors3(403, "AccessDenied", "AccessDenied", "AuthorizationError")}},
	{"another 4xx", false, fault{codes: errors3(400, "RequestAborted", "RequestAborted", "RequestAborted")}},
	{"5xx, and the request was not applied", false, fault{codes: errors3(504, "GatewayTimeout", "GatewayTimeout", "GatewayTimeout")}},
	{"5xx, and the request was applied", false, fault{codes: [3]wire.Fault{wire.Replace(500, "InternalError"), wire.Replace(503, "ServiceUnavailable"), wire.Replace(502, "BadGateway")}}},
	{"none: no connection", false, fault{damage: damage{refused: true}}},
	{"none, and the request was not applied", false, fault{damage: of(wire.FaultReset)}},
	{"none, and the request was applied", false, fault{damage: of(wire.FaultReplyLost)}},
	{"none before the deadline", false, fault{damage: damage{Fault: wire.Fault{Delay: time.Hour}}, timeOut: true}},
}

// outcome runs an event that receives a reply for a kind of request, and says
// what the reply leaves open.
func (r reply) outcome(t *testing.T, call string) string {
	f := newFleet(t)
	job := f.job(t, load{ok: 20, failed: 5})
	var again atomic.Bool
	besides := map[string]damage{call: {hook: func() { again.Store(true) }}}
	first := f.attempt(t, []pipeline.Job{job}, call, r.fault, r.every, besides)[0]
	defer func() {
		if copies, told := f.connections(lb)/25, f.total(metric.UncertainRepublishes); copies < 1 || copies > 1+told {
			t.Errorf("%d times in CloudWatch, UncertainRepublishes is %d", copies, told)
		}
	}()
	if first.Err == nil {
		text := "accepted"
		if again.Load() {
			text = "sent again"
		}
		if first.AlertTakenOver {
			text += "; the log says that the alert may have been sent twice"
		}
		if n := len(f.SNS.Messages()); n != 1 && !first.AlertTakenOver {
			t.Errorf("%d alerts", n)
		}
		return text
	}
	other := f.Run(t.Context(), another(job))[0]
	if !errors.Is(other.Err, pipeline.ErrInProgress) {
		if other.Err != nil || other.TakenOver || other.AlertTakenOver {
			t.Errorf("another event: %+v", other)
		}
		return "fails; nothing is open"
	}
	retry := f.run(t, job)[0]
	switch {
	case retry.TakenOver && f.total(metric.UncertainRepublishes) == 1:
		return "fails; the retry takes the claim over, and counts that"
	case retry.AlertTakenOver:
		return "fails; the retry takes the alert over, and the log says so"
	}
	t.Errorf("the retry: %+v", retry)
	return "fails"
}

// TestReplies holds the table in docs/ledger.md of replies and what they leave
// open.
func TestReplies(t *testing.T) {
	calls := []string{putMetrics, publish, putClaim, putCommit}
	var table strings.Builder
	table.WriteString("| reply | `PutMetricData` | `Publish` | `PutObject` of a claim | `PutObject` of a commit |\n|---|---|---|---|---|\n")
	for _, r := range replies {
		fmt.Fprintf(&table, "| %s |", r.name)
		for _, call := range calls {
			t.Run(r.name+", "+call, func(t *testing.T) { fmt.Fprintf(&table, " %s |", r.outcome(t, call)) })
		}
		table.WriteString("\n")
	}
	const page = "../../docs/ledger.md"
	if *update {
		if err := docpart.Write(page, "replies", table.String()); err != nil {
			t.Fatal(err)
		}
	} else if err := docpart.Check(page, "replies", table.String()); err != nil {
		t.Error(err)
	}
}
