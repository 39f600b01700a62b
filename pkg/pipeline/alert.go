package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/secpolicy"
)

// maxAlertAge is how old a window may be to be worth an alert. An alert about an
// older one, as in a backfill or a late redrive, would report the past, and start a
// cooldown for the present.
const maxAlertAge = 24 * time.Hour

// Pauses between looks at another event's work: each is twice as long as the one
// before, up to maxPause.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// alerts are the result of evaluating the rules.
type alerts struct {
	sent       int
	suppressed int   // by earlier alerts
	maybeTwice bool  // whether one of them may have been sent twice
	policyErr  error // why an alert does not name the policies of listeners
	err        error
}

func (a *alerts) add(b alerts) {
	a.sent += b.sent
	a.suppressed += b.suppressed
	a.maybeTwice = a.maybeTwice || b.maybeTwice
	a.policyErr = errors.Join(a.policyErr, b.policyErr)
	a.err = errors.Join(a.err, b.err)
}

// alert evaluates the rules for the objects that are published, also by earlier
// events: those may have crashed before they evaluated the rules. Tasks of the same
// load balancer and period share the result.
func (p *Pipeline) alert(ctx context.Context, tasks []*task, shared *invocation) {
	type period struct {
		lb  string
		end time.Time
	}
	done := make(map[period]error)
	for _, t := range tasks {
		if t.err() != nil || t.reading.skipped != "" {
			continue
		}
		if p.Ledger == nil {
			t.alerts = p.alertObject(ctx, t)
			continue
		}
		at := period{t.reading.key.LoadBalancer, t.reading.key.PeriodEnd}
		if err, ok := done[at]; ok {
			t.alerts.err = err
			continue
		}
		t.alerts = p.alertPeriod(ctx, t, shared)
		done[at] = t.alerts.err
	}
}

// alertObject evaluates the rules for a single object.
func (p *Pipeline) alertObject(ctx context.Context, t *task) (all alerts) {
	if p.tooOld(t.reading.key.PeriodEnd) {
		return alerts{}
	}
	for _, rule := range p.Rules {
		if a := rule.Evaluate(t.claim.window); a != nil {
			policies, policyErr := p.policies(ctx, t.reading.key)
			result := alerts{policyErr: policyErr}
			if result.maybeTwice, result.err = p.send(ctx, a, policies); result.err == nil {
				result.sent = 1
			}
			all.add(result)
		}
	}
	return all
}

// alertPeriod evaluates the rules for all windows that contain the period of an
// object, over the objects of all nodes.
func (p *Pipeline) alertPeriod(ctx context.Context, t *task, shared *invocation) (all alerts) {
	if len(p.Rules) == 0 {
		return alerts{}
	}
	var longest time.Duration
	for _, rule := range p.Rules {
		longest = max(longest, rule.Window)
	}
	end := t.reading.key.PeriodEnd
	records, err := p.Ledger.Records(ctx, t.reading.key.LoadBalancer, end.Add(-longest), end.Add(longest-logkey.Period))
	if err != nil {
		return alerts{err: err}
	}
	w := newWindows(p.Ledger, records, p.Rules)
	for _, rule := range p.Rules {
		all.add(p.alertRule(ctx, t, rule, w, shared))
	}
	return all
}

// A candidate is a window that meets a rule.
type candidate struct {
	alert *alert.Alert
	claim ledger.AlertClaim
}

// alertRule evaluates one rule. Of the windows that meet it and that no earlier
// alert makes unnecessary, it alerts about the one with most failures.
func (p *Pipeline) alertRule(ctx context.Context, t *task, rule alert.Rule, w *windows, shared *invocation) (all alerts) {
	// The list of records says which windows can meet the rule at all, and the
	// state of the alert whether that matters now. Usually both say no.
	var claims []ledger.AlertClaim
	for end := t.reading.key.PeriodEnd; end.Before(t.reading.key.PeriodEnd.Add(rule.Window)); end = end.Add(logkey.Period) {
		if p.tooOld(end) {
			continue
		}
		if failed := w.failedAtMost(end, rule.Window); failed > 0 && failed >= rule.MinFailed {
			claims = append(claims, ledger.AlertClaim{
				LoadBalancer: t.reading.key.LoadBalancer, Rule: rule.Name, End: end, Length: rule.Window, Failed: failed,
				Cooldown: rule.Cooldown, Growth: rule.Growth, Owner: t.job.Owner, Batch: shared.owners, Lease: p.lease(ctx),
			})
		}
	}
	if len(claims) == 0 {
		return alerts{}
	}
	may, err := p.Ledger.MayAlert(ctx, claims...)
	switch {
	case err != nil:
		return alerts{err: err}
	case !may:
		return alerts{suppressed: 1}
	}
	met, err := candidates(ctx, rule, claims, w)
	if err != nil || len(met) == 0 {
		return alerts{err: err}
	}
	policies, policyErr := p.policies(ctx, t.reading.key)
	all.policyErr = policyErr
	for _, m := range met {
		ticket, err := p.raise(ctx, m.claim, shared)
		switch {
		case err != nil:
			all.err = err
		case ticket.State == ledger.Busy:
			all.err = inProgress(ticket.Until)
		case ticket.State == ledger.Suppressed: // another window may not be
			all.suppressed++
			continue
		default:
			all.add(p.sendClaimed(ctx, m.alert, policies, ticket))
		}
		return all
	}
	return all
}

// candidates returns the windows that meet the rule, most failures first.
func candidates(ctx context.Context, rule alert.Rule, claims []ledger.AlertClaim, w *windows) (met []candidate, _ error) {
	for _, c := range claims {
		window, err := w.at(ctx, c.End, rule)
		if err != nil {
			return nil, err
		}
		if a := rule.Evaluate(window); a != nil {
			c.Failed = a.Failed
			met = append(met, candidate{a, c})
		}
	}
	slices.SortStableFunc(met, func(a, b candidate) int { return cmp.Compare(b.claim.Failed, a.claim.Failed) })
	return met, nil
}

// raise asks the ledger whether to send an alert. While another event's alert of
// the same rule and load balancer is pending, which usually takes a moment, it
// waits as long as there is patience.
func (p *Pipeline) raise(ctx context.Context, c ledger.AlertClaim, shared *invocation) (ledger.AlertTicket, error) {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		ticket, err := p.Ledger.RaiseAlert(ctx, c)
		if err != nil || ticket.State != ledger.Busy || !p.wait(ctx, pause, shared) {
			return ticket, err
		}
	}
}

// wait waits for another event, at most until patience is used up. It reports
// whether it waited.
func (p *Pipeline) wait(ctx context.Context, pause time.Duration, shared *invocation) bool {
	pause = min(pause, shared.patience)
	shared.patience -= pause
	return pause > 0 && p.Sleep(ctx, pause) == nil
}

// sendClaimed sends an alert that this event has claimed. If it is unknown whether
// it was sent, it stays pending, so that the retry reports the take-over.
func (p *Pipeline) sendClaimed(ctx context.Context, a *alert.Alert, policies secpolicy.ListenerPolicies, ticket ledger.AlertTicket) alerts {
	result := alerts{maybeTwice: ticket.TakenOver}
	result.err = p.finish(ctx, 2, func(ctx context.Context) error {
		twice, err := p.send(ctx, a, policies)
		result.maybeTwice = result.maybeTwice || twice
		return err
	})
	switch {
	case result.err == nil:
		result.sent = 1
		result.err = p.finish(ctx, 3, func(ctx context.Context) error { return p.Ledger.CommitAlert(ctx, ticket) })
	case errors.Is(result.err, ErrNothingSent):
		result.err = errors.Join(result.err, p.finish(ctx, 3, func(ctx context.Context) error { return p.Ledger.ReleaseAlert(ctx, ticket) }))
	}
	return result
}

// send publishes an alert, and reports whether it may have done so twice.
func (p *Pipeline) send(ctx context.Context, a *alert.Alert, policies secpolicy.ListenerPolicies) (twice bool, err error) {
	if p.Alerts == nil {
		return false, nil
	}
	m, err := notice.Alert{Alert: a, Policies: policies, Known: p.KnownPolicies}.Message()
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrNothingSent, err)
	}
	if twice, err = p.Alerts.Publish(ctx, m); err != nil {
		return false, fmt.Errorf("publishing alert %s: %w", a.Rule.Name, err)
	}
	return twice, nil
}

// tooOld reports whether a window that ended at end is not worth an alert.
func (p *Pipeline) tooOld(end time.Time) bool { return p.Now().Sub(end) > maxAlertAge }

// countedReasons returns the reasons that rules count. Rules that count only some
// of them count the same.
func countedReasons(rules []alert.Rule) []string {
	for _, r := range rules {
		if len(r.Reasons) > 0 {
			return r.Reasons
		}
	}
	return nil
}
