package pipeline

import (
	"context"
	"errors"
	"slices"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/posture"
)

// A claim is the result of claiming an object that was read, and what is to be
// published about it.
type claim struct {
	duplicate string // why there is nothing to publish about the load balancer
	ticket    ledger.Ticket
	held      bool // the ticket must be committed or released
	busy      bool // another event has a live claim; err says so
	err       error

	window    alert.Window // for rules, without a ledger
	data      []metric.Datum
	stale     metric.Stale
	processor metric.Processor
	failing   []FailingClient
	took      time.Duration // to ask the ledger
}

// duplicateInBatch is the claim of an object that this invocation has claimed.
func duplicateInBatch() claim {
	return claim{duplicate: "in this batch", processor: metric.Processor{DuplicateObjects: 1}}
}

// claimTask claims the object of a task, unless this invocation has. The summary is
// kept only for another try.
func (p *Pipeline) claimTask(ctx context.Context, t *task, shared *invocation) {
	version := t.reading.version()
	if first := shared.claimed[version]; first != nil && t.reading.summary != nil {
		t.first, t.claim = first, duplicateInBatch()
	} else {
		t.claim = p.claim(ctx, t.job, t.reading, shared.owners)
	}
	if t.claim.held {
		shared.claimed[version] = t
	}
	if !t.claim.busy {
		t.reading.summary = nil
	}
}

// claimBusy waits for the claims of other events, which usually end in a moment, as
// long as there is patience and time. This invocation's own claims are published
// before, so that two invocations do not wait for each other.
func (p *Pipeline) claimBusy(ctx context.Context, tasks []*task, shared *invocation) {
	free := func(t *task) bool { return !t.claim.busy }
	busy := slices.DeleteFunc(slices.Clone(tasks), free)
	for pause := firstPause; len(busy) > 0; pause = min(2*pause, maxPause) {
		if shared.pace.tooSlow(ctx, p.Now().Add(pause)) || !p.wait(ctx, pause, shared) {
			return
		}
		for _, t := range busy {
			p.claimTask(ctx, t, shared)
		}
		p.publishTasks(ctx, busy)
		busy = slices.DeleteFunc(busy, free)
	}
}

// claim claims an object that was read, and prepares what is to be published.
func (p *Pipeline) claim(ctx context.Context, j Job, r reading, owners []string) claim {
	switch {
	case r.err != nil:
		return claim{}
	case r.skipped != "":
		return claim{processor: metric.Processor{ObjectsSkipped: 1}}
	}
	window := alert.Observe(r.summary, r.key, r.object.URI(), p.PublishClients, countedReasons(p.Rules)...)
	c := p.ask(ctx, j, r, window, owners)
	if c.err != nil || c.duplicate != "" {
		return c
	}
	o := p.MetricOptions
	only, left, err := p.clients(ctx, r)
	if err != nil {
		c.held = false
		c.err = errors.Join(err, p.release(ctx, c.ticket))
		return c
	}
	o.Only = only
	c.processor.ClientsOverBudget += left
	if p.ReportClients {
		c.failing = failingClients(r.summary)
	}
	now := p.Now()
	c.data, c.stale = metric.Data(r.summary, r.key.LoadBalancer, now, o)
	c.processor.Processed(r.key.PeriodEnd, now, r.malformed)
	if p.Ledger == nil {
		c.window = window
	}
	return c
}

// ask asks the ledger whether to publish an object.
func (p *Pipeline) ask(ctx context.Context, j Job, r reading, window alert.Window, owners []string) (c claim) {
	if p.Ledger == nil {
		return claim{}
	}
	start := p.Now()
	defer func() { c.took = p.Now().Sub(start) }()
	c.ticket, c.err = p.Ledger.Claim(ctx, ledger.Claim{
		Bucket: r.object.Bucket, Key: r.object.Key, ETag: r.object.ETag, LoadBalancer: r.key.LoadBalancer, PeriodEnd: r.key.PeriodEnd,
		Owner: j.Owner, Batch: owners, Lease: p.lease(ctx), Window: window, Posture: posture.Observe(r.summary, p.PublishClients),
	})
	switch {
	case c.err != nil:
	case c.ticket.State == ledger.Busy:
		c.busy, c.err = true, inProgress(c.ticket.Until)
	case c.ticket.State == ledger.Published:
		c.duplicate = "published"
		c.processor.DuplicateObjects++
	default:
		c.held = true
		if c.ticket.TakenOver {
			c.processor.UncertainRepublishes++
		}
	}
	return c
}

// lease returns the end of this process at the latest.
func (p *Pipeline) lease(ctx context.Context) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	return deadline.Add(p.Margin)
}

// clients reserves dimension values for the clients to be named, and returns how
// many of them the budget leaves out.
func (p *Pipeline) clients(ctx context.Context, r reading) (_ *metric.ClientSet, left int, _ error) {
	wanted := metric.TopClients(r.summary, p.MetricOptions)
	if p.Ledger == nil || len(wanted) == 0 || p.Now().Sub(r.key.PeriodEnd) > metric.MaxAge {
		return nil, 0, nil
	}
	hour := r.key.PeriodEnd.Add(-logkey.Period).Truncate(time.Hour)
	granted, err := p.Ledger.Clients(ctx, r.key.LoadBalancer, hour, wanted, p.ClientBudget)
	if err != nil {
		return nil, 0, err
	}
	return &metric.ClientSet{Names: granted, Hour: hour}, len(wanted) - len(granted), nil
}

// commit records that the object of a ticket is published.
func (p *Pipeline) commit(ctx context.Context, t ledger.Ticket) error {
	return p.finish(ctx, 3, func(ctx context.Context) error { return p.Ledger.Commit(ctx, t) })
}

// release gives a claim back of which certainly nothing was published.
func (p *Pipeline) release(ctx context.Context, t ledger.Ticket) error {
	return p.finish(ctx, 3, func(ctx context.Context) error { return p.Ledger.Release(ctx, t) })
}
