package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/notice"
)

// alert evaluates the rules for what the tasks have published, and for what
// they found published: whoever published it may have died before this.
func (p *Pipeline) alert(ctx context.Context, tasks []*task) {
	type period struct {
		lb  string
		end time.Time
	}
	done := make(map[period]error)
	for _, t := range tasks {
		if t.Err != nil || t.Skipped != "" {
			continue
		}
		at := period{t.Key.LoadBalancer, t.Key.PeriodEnd}
		err, ok := done[at]
		if p.Ledger == nil {
			err = p.alertObject(ctx, t)
		} else if !ok {
			err = p.alertPeriod(ctx, t)
			done[at] = err
		}
		t.Err = err
	}
}

// alertObject evaluates the rules for a single object.
func (p *Pipeline) alertObject(ctx context.Context, t *task) error {
	var failed []error
	if p.tooOld(t.Key.PeriodEnd) {
		return nil
	}
	for _, rule := range p.Rules {
		if a := rule.Evaluate(t.window); a != nil {
			t.Alerts++
			twice, err := p.send(ctx, a, p.policies(ctx, t))
			t.AlertTakenOver = t.AlertTakenOver || twice
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// alertPeriod evaluates the rules for all windows that the object's period is
// part of, over the objects of all nodes.
func (p *Pipeline) alertPeriod(ctx context.Context, t *task) error {
	if len(p.Rules) == 0 {
		return nil
	}
	var longest time.Duration
	for _, rule := range p.Rules {
		longest = max(longest, rule.Window)
	}
	end := t.Key.PeriodEnd
	records, err := p.Ledger.Records(ctx, t.Key.LoadBalancer, end.Add(-longest), end.Add(longest-connlog.Period))
	if err != nil {
		return err
	}
	w := newWindows(p.Ledger, records, p.Rules)
	var failed []error
	for _, rule := range p.Rules {
		failed = append(failed, p.alertRule(ctx, t, rule, w))
	}
	return errors.Join(failed...)
}

// alertRule evaluates one rule. Of several windows that meet it, the one with
// most failures is alerted, of those that no earlier alert makes needless.
func (p *Pipeline) alertRule(ctx context.Context, t *task, rule alert.Rule, w *windows) error {
	// The list alone says which windows can meet the rule at all, and the
	// alert's state whether that matters now. Usually that is the end of it.
	var claims []ledger.AlertClaim
	for end := t.Key.PeriodEnd; end.Before(t.Key.PeriodEnd.Add(rule.Window)); end = end.Add(connlog.Period) {
		if p.tooOld(end) {
			continue
		}
		if failed := w.failedAtMost(end, rule.Window); failed > 0 && failed >= rule.MinFailed {
			claims = append(claims, ledger.AlertClaim{
				LoadBalancer: t.Key.LoadBalancer, Rule: rule.Name, End: end, Length: rule.Window, Failed: failed,
				Cooldown: rule.Cooldown, Growth: rule.Growth, Owner: t.job.Owner, Batch: t.owners, Lease: p.lease(ctx),
			})
		}
	}
	if len(claims) == 0 {
		return nil
	}
	may, err := p.Ledger.MayAlert(ctx, claims...)
	if err != nil {
		return err
	}
	if !may {
		t.Suppressed++
		return nil
	}
	type candidate struct {
		alert *alert.Alert
		claim ledger.AlertClaim
	}
	var met []candidate
	for _, c := range claims {
		window, err := w.at(ctx, c.End, rule)
		if err != nil {
			return err
		}
		if a := rule.Evaluate(window); a != nil {
			c.Failed = a.Failed
			met = append(met, candidate{a, c})
		}
	}
	slices.SortStableFunc(met, func(a, b candidate) int { return cmp.Compare(b.claim.Failed, a.claim.Failed) })
	var policies ListenerPolicies
	if len(met) > 0 {
		policies = p.policies(ctx, t)
	}
	for _, m := range met {
		ticket, err := p.raise(ctx, t, m.claim)
		switch {
		case err != nil:
			return err
		case ticket.State == ledger.Published: // suppressed, as others may not be
			t.Suppressed++
			continue
		case ticket.State == ledger.Busy:
			return inProgress(ticket.Until)
		}
		var twice bool
		err = p.finish(ctx, 2, func(ctx context.Context) (err error) {
			twice, err = p.send(ctx, m.alert, policies)
			return err
		})
		t.AlertTakenOver = t.AlertTakenOver || ticket.TakenOver || twice
		switch {
		case errors.Is(err, ErrNothingSent):
			return errors.Join(err, p.finish(ctx, 3, func(ctx context.Context) error { return p.Ledger.ReleaseAlert(ctx, ticket) }))
		case err != nil: // it stays pending, so that the retry reports the take-over
			return err
		}
		t.Alerts++
		return p.finish(ctx, 3, func(ctx context.Context) error { return p.Ledger.CommitAlert(ctx, ticket) })
	}
	return nil
}

// firstPause is the first wait for an alert that another event is about to
// send; each further one is twice as long.
const firstPause = 100 * time.Millisecond

// raise asks the ledger whether to alert. While another event is about to send
// an alert of the same rule and load balancer, which usually takes a moment, it
// waits for the outcome as long as there is patience.
func (p *Pipeline) raise(ctx context.Context, t *task, c ledger.AlertClaim) (ledger.AlertTicket, error) {
	for pause := firstPause; ; pause *= 2 {
		ticket, err := p.Ledger.RaiseAlert(ctx, c)
		if err != nil || ticket.State != ledger.Busy || t.patience < pause {
			return ticket, err
		}
		t.patience -= pause
		if p.Sleep(ctx, pause) != nil {
			return ticket, nil
		}
	}
}

// MaxAlertAge is how old a window may be to be worth an alert. Beyond, as in a
// backfill or the redrive of old dead letters, it would tell of the past, and
// start a cooldown for what happens now.
const MaxAlertAge = 24 * time.Hour

// tooOld reports whether a window that ended at end is not worth an alert.
func (p *Pipeline) tooOld(end time.Time) bool { return p.Now().Sub(end) > MaxAlertAge }

// send publishes an alert, and reports whether it may have done so twice.
func (p *Pipeline) send(ctx context.Context, a *alert.Alert, policies ListenerPolicies) (twice bool, err error) {
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

// windows are sums of the records around a period. Each record is read when a
// window needs it, added up with the others of its period, and forgotten.
type windows struct {
	ledger  *ledger.Ledger
	records []ledger.Record
	reasons [][]string // the reasons that rules count, without duplicates
	periods map[time.Time][]*alert.Sum
	sums    map[windowKey]alert.Window
}

// A windowKey identifies a sum that rules share.
type windowKey struct {
	end     time.Time
	length  time.Duration
	reasons int // index in windows.reasons
}

func newWindows(l *ledger.Ledger, records []ledger.Record, rules []alert.Rule) *windows {
	w := &windows{ledger: l, records: records, periods: make(map[time.Time][]*alert.Sum), sums: make(map[windowKey]alert.Window)}
	for _, r := range rules {
		if w.index(r.Reasons) < 0 {
			w.reasons = append(w.reasons, r.Reasons)
		}
	}
	return w
}

func (w *windows) index(reasons []string) int {
	return slices.IndexFunc(w.reasons, func(known []string) bool { return slices.Equal(known, reasons) })
}

func within(t, end time.Time, length time.Duration) bool {
	return t.After(end.Add(-length)) && !t.After(end)
}

// failedAtMost bounds the failures in a window.
func (w *windows) failedAtMost(end time.Time, length time.Duration) uint64 {
	var sum uint64
	for _, r := range w.records {
		if within(r.PeriodEnd, end, length) {
			sum += r.FailedAtMost
		}
	}
	return sum
}

// at adds up what a rule counts in a window.
func (w *windows) at(ctx context.Context, end time.Time, rule alert.Rule) (alert.Window, error) {
	key := windowKey{end, rule.Window, w.index(rule.Reasons)}
	if sum, ok := w.sums[key]; ok {
		return sum, nil
	}
	var sum alert.Sum
	var last time.Time
	for _, r := range w.records {
		if r.PeriodEnd.Equal(last) || !within(r.PeriodEnd, end, rule.Window) {
			continue
		}
		last = r.PeriodEnd
		period, err := w.period(ctx, last)
		if err != nil {
			return alert.Window{}, err
		}
		sum.AddSum(period[key.reasons])
	}
	window := sum.Window(end, rule.Window)
	w.sums[key] = window
	return window, nil
}

// period adds up the records of a period, for each list of reasons.
func (w *windows) period(ctx context.Context, end time.Time) ([]*alert.Sum, error) {
	if sums, ok := w.periods[end]; ok {
		return sums, nil
	}
	sums := make([]*alert.Sum, len(w.reasons))
	for i := range sums {
		sums[i] = new(alert.Sum)
	}
	for _, r := range w.records {
		if !r.PeriodEnd.Equal(end) {
			continue
		}
		window, err := w.ledger.Window(ctx, r.Key)
		if err != nil {
			return nil, err
		}
		for i, reasons := range w.reasons {
			sums[i].Add(window.Only(reasons))
		}
	}
	w.periods[end] = sums
	return sums, nil
}
