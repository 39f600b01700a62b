package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/pipeline"
)

const lb = "app/shop/50dc6c495c0c9188"

var (
	start  = time.Date(2026, 11, 23, 10, 7, 0, 0, time.UTC)
	period = time.Date(2026, 11, 23, 10, 5, 0, 0, time.UTC)
)

// A world is a state bucket with a clock that only tests move.
type world struct {
	t     *testing.T
	stack *localaws.Stack
	store S3
	mu    sync.Mutex
	at    time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	stack := awstest.Start(t, localaws.Options{}, "state")
	return &world{t: t, stack: stack, store: newStore(t, "state"), at: start}
}

func newStore(t *testing.T, bucket string) S3 {
	t.Helper()
	return S3{Client: s3.NewFromConfig(awstest.Config(t)), Bucket: bucket}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func (w *world) ledger() *Ledger { return New(w.store, Options{Now: w.now}) }

func claim(owner string, object int, failed uint64) pipeline.Claim {
	return pipeline.Claim{
		Object:       pipeline.Object{Bucket: "logs", Key: fmt.Sprintf("object-%d", object), ETag: "e"},
		LoadBalancer: lb, PeriodEnd: period, Owner: owner, Failed: failed,
		Window: json.RawMessage(fmt.Sprintf(`{"failed":%d}`, failed)),
	}
}

func (w *world) claim(c pipeline.Claim) pipeline.Ticket {
	w.t.Helper()
	ticket, err := w.ledger().Claim(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return ticket
}

func (w *world) commit(ticket pipeline.Ticket) {
	w.t.Helper()
	if err := ticket.Commit(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func TestClaim(t *testing.T) {
	w := newWorld(t)
	first := w.claim(claim("event-1", 1, 5))
	if first.State != pipeline.Claimed || first.TakenOver {
		t.Fatalf("the first claim is %+v", first)
	}
	if other := w.claim(claim("event-2", 1, 5)); other.State != pipeline.Busy {
		t.Errorf("another event's claim of the same object is %v", other.State)
	}
	if other := w.claim(claim("event-2", 2, 5)); other.State != pipeline.Claimed {
		t.Errorf("a claim of another object is %v", other.State)
	}
	w.claim(claim("", 3, 5))
	for _, owner := range []string{"", "event-2"} { // nobody answers for the first
		if other := w.claim(claim(owner, 3, 5)); other.State != pipeline.Busy {
			t.Errorf("%q meets the claim of a caller without a name: %v", owner, other.State)
		}
	}
	released := w.claim(claim("event-1", 4, 5))
	if err := released.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if next := w.claim(claim("event-2", 4, 5)); next.State != pipeline.Claimed || next.TakenOver {
		t.Errorf("a released claim is %+v for the next", next)
	}
	if err := released.Release(t.Context()); err != nil { // too late, and no error
		t.Error(err)
	}
	again := w.claim(claim("event-1", 1, 5))
	if again.State != pipeline.Claimed || !again.TakenOver {
		t.Errorf("the event's own retry is %+v", again)
	}
	w.commit(again)
	w.commit(first) // too late, and no error
	for _, owner := range []string{"event-1", "event-2"} {
		if late := w.claim(claim(owner, 1, 5)); late.State != pipeline.Published {
			t.Errorf("%s claims a published object: %v", owner, late.State)
		}
	}
}

func TestClaimLease(t *testing.T) {
	w := newWorld(t)
	c := claim("event-1", 1, 5)
	c.Lease = w.now().Add(time.Minute)
	first := w.claim(c)
	w.pass(time.Minute + Skew)
	if other := w.claim(claim("event-2", 1, 5)); other.State != pipeline.Busy {
		t.Errorf("a lease that may just be running by another clock is %v", other.State)
	}
	w.pass(time.Second)
	taker := w.claim(claim("event-2", 1, 5))
	if taker.State != pipeline.Claimed || !taker.TakenOver {
		t.Errorf("after the lease: %+v", taker)
	}
	w.commit(first) // it was slow: the taker goes on none the less
	w.commit(taker)
	if late := w.claim(claim("event-3", 1, 5)); late.State != pipeline.Published {
		t.Errorf("at last: %v", late.State)
	}
}

// One of many claims at the same moment wins.
func TestClaimRace(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	states := make([]pipeline.TicketState, 20)
	for i := range states {
		wg.Go(func() {
			ticket, err := w.ledger().Claim(t.Context(), claim(fmt.Sprint("event-", i), 1, 5))
			if err != nil {
				t.Error(err)
			}
			states[i] = ticket.State
		})
	}
	wg.Wait()
	n := 0
	for _, s := range states {
		if s == pipeline.Claimed {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d claims won: %v", n, states)
	}
}

// A lost answer to our own write, which the SDK then meets as a 412, is not
// somebody else's claim; and a commit whose answer is lost is one.
func TestLostReplies(t *testing.T) {
	for n := 1; n <= 2; n++ {
		w := newWorld(t)
		w.stack.S3.SetFaults(wire.Fault{Kind: wire.FaultReplyLost}.Once("s3:PutObject", n))
		ticket := w.claim(claim("event-1", 1, 5))
		if ticket.State != pipeline.Claimed || ticket.TakenOver {
			t.Errorf("reply %d lost: %+v", n, ticket)
		}
		w.commit(ticket)
		if late := w.claim(claim("event-2", 1, 5)); late.State != pipeline.Published {
			t.Errorf("reply %d lost: at last %v", n, late.State)
		}
	}
}

func TestConflictAndSlowDown(t *testing.T) {
	for code, status := range map[string]int{"ConditionalRequestConflict": 409, "SlowDown": 503, "InternalError": 500} {
		w := newWorld(t)
		w.stack.S3.SetFaults(wire.Refuse(status, code).Once("s3:PutObject", 1))
		ticket := w.claim(claim("event-1", 1, 5))
		if ticket.State != pipeline.Claimed {
			t.Errorf("%s: %v", code, ticket.State)
		}
		w.commit(ticket)
		if records, err := w.ledger().Records(t.Context(), lb, period.Add(-time.Minute), period); err != nil || len(records) != 1 {
			t.Errorf("%s: %v, %v", code, records, err)
		}
	}
}

func TestForbidden(t *testing.T) {
	w := newWorld(t)
	w.stack.S3.SetFaults(func(string, int) wire.Fault { return wire.Refuse(403, "AccessDenied") })
	_, err := w.ledger().Claim(t.Context(), claim("event-1", 1, 5))
	if err == nil || !strings.Contains(err.Error(), "s3:PutObject") || !strings.Contains(err.Error(), `"state"`) {
		t.Errorf("got %v", err)
	}
	w.stack.S3.SetFaults(nil)
	store := newStore(t, "nowhere")
	if _, err := New(store, Options{Now: w.now}).Claim(t.Context(), claim("e", 1, 5)); err == nil || !strings.Contains(err.Error(), `no state bucket "nowhere"`) {
		t.Errorf("got %v", err)
	}
}

func TestRecords(t *testing.T) {
	w := newWorld(t)
	for i, p := range []int{0, 5, 5, 10, 60} {
		c := claim("event", i, uint64(100*i))
		c.PeriodEnd = period.Add(time.Duration(p) * time.Minute)
		w.claim(c)
	}
	other := claim("event", 9, 9)
	other.LoadBalancer += "0" // a name that begins like ours
	w.claim(other)

	for _, test := range []struct {
		from, until int
		want        []uint64
	}{
		{-5, 0, []uint64{0}},
		{0, 5, []uint64{100, 200}},
		{-5, 10, []uint64{0, 100, 200, 300}},
		{10, 55, nil},
		{0, 60, []uint64{100, 200, 300, 400}},
	} {
		records, err := w.ledger().Records(t.Context(), lb, period.Add(time.Duration(test.from)*time.Minute), period.Add(time.Duration(test.until)*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, r := range records {
			got = append(got, r.FailedAtMost)
			window, err := w.ledger().Window(t.Context(), r.Key)
			if err != nil || string(window) != fmt.Sprintf(`{"failed":%d}`, r.FailedAtMost) {
				t.Errorf("%s holds %s, %v", r.Key, window, err)
			}
		}
		slices.Sort(got)
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%d to %d: -want +got\n%s", test.from, test.until, d)
		}
	}
}

// More records than a page of a list holds.
func TestRecordsPages(t *testing.T) {
	w := newWorld(t)
	for i := range 1100 {
		body, err := encode(record{State: claimed, Window: json.RawMessage(`{}`)}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.stack.S3.Put("state", fmt.Sprintf("%s%032x", periodKey(lb, period), i), body); err != nil {
			t.Fatal(err)
		}
	}
	records, err := w.ledger().Records(t.Context(), lb, period.Add(-5*time.Minute), period)
	if err != nil || len(records) != 1100 {
		t.Errorf("%d records, %v", len(records), err)
	}
}

func TestLevel(t *testing.T) {
	last := 0
	for _, f := range []uint64{0, 1, 99, 100, 101, 510, 511, 512, 513, 1000, 1001, 123_456, 10_000_000, 1 << 37, math.MaxUint64} {
		l := level(f)
		if l < last || l >= levels {
			t.Errorf("level of %d is %d, after %d", f, l, last)
		}
		last = l
		most := atMost(l)
		if f < 1<<37 && (most < f || float64(most) > float64(f)*1.05 || f < exactLevels && most != f) {
			t.Errorf("at most %d of %d", most, f)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		f := uint64(r.Uint32()) >> r.IntN(32)
		if most := atMost(level(f)); most < f || float64(most) > float64(f)*1.05 {
			t.Fatalf("at most %d of %d", most, f)
		}
	}
}

func TestEncode(t *testing.T) {
	for n := range 3000 {
		r := record{Object: strings.Repeat("x", n%1500), Window: json.RawMessage(`{}`)}
		body, err := encode(r, uint64(n))
		if err != nil {
			t.Fatal(err)
		}
		var back record
		if err := json.Unmarshal(body, &back); err != nil || back.Object != r.Object {
			t.Fatalf("%q: %v", body, err)
		}
		if got := atMost(len(body) % levels); got < uint64(n) {
			t.Fatalf("the size %d says at most %d failures, not %d", len(body), got, n)
		}
	}
}

func alertClaim(owner string, end int, failed uint64) pipeline.AlertClaim {
	return pipeline.AlertClaim{
		LoadBalancer: lb, Rule: "failed-negotiations", End: period.Add(time.Duration(end) * time.Minute), Length: 5 * time.Minute,
		Failed: failed, Cooldown: time.Hour, Growth: 3, Owner: owner,
	}
}

func (w *world) raise(a pipeline.AlertClaim) pipeline.AlertTicket {
	w.t.Helper()
	may, err := w.ledger().MayAlert(w.t.Context(), a)
	if err != nil {
		w.t.Fatal(err)
	}
	ticket, err := w.ledger().RaiseAlert(w.t.Context(), a)
	if err != nil {
		w.t.Fatal(err)
	}
	if may != (ticket.State != pipeline.Published) {
		w.t.Errorf("MayAlert says %v, RaiseAlert %v", may, ticket.State)
	}
	return ticket
}

func (w *world) send(a pipeline.AlertClaim) {
	w.t.Helper()
	ticket := w.raise(a)
	if ticket.State != pipeline.Claimed {
		w.t.Fatalf("alert is %v", ticket.State)
	}
	if err := ticket.Commit(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) suppressed(what string, a pipeline.AlertClaim) {
	w.t.Helper()
	if ticket := w.raise(a); ticket.State != pipeline.Published {
		w.t.Errorf("%s: %v, want suppressed", what, ticket.State)
	}
}

func TestAlertOnce(t *testing.T) {
	w := newWorld(t)
	w.send(alertClaim("a", 0, 100))
	w.suppressed("the same window", alertClaim("b", 0, 100))
	w.suppressed("its own event again", alertClaim("a", 0, 100))
	w.suppressed("the same window, grown by less", alertClaim("b", 0, 299))
	w.suppressed("another window in the cooldown", alertClaim("b", 5, 299))
	w.send(alertClaim("b", 5, 300)) // three times as many
	w.suppressed("after that", alertClaim("c", 10, 899))
	w.suppressed("the first window, three times its own but not the last", alertClaim("c", 0, 400))
	w.pass(59 * time.Minute)
	w.suppressed("still in the cooldown", alertClaim("c", 60, 899))
	w.pass(2 * time.Minute)
	w.suppressed("the first window, after the cooldown", alertClaim("c", 0, 100))
	w.suppressed("the second, after the cooldown", alertClaim("c", 5, 300))
	w.send(alertClaim("c", 10, 100))                                 // a late one that was never alerted
	w.suppressed("a window alerted before", alertClaim("d", 5, 500)) // more than three times the last, less than three times its own
}

func TestAlertPending(t *testing.T) {
	w := newWorld(t)
	a := alertClaim("a", 0, 100)
	a.Lease = w.now().Add(time.Minute)
	first := w.raise(a)
	if first.State != pipeline.Claimed || first.TakenOver {
		t.Fatalf("first: %+v", first)
	}
	if other := w.raise(alertClaim("b", 5, 1000)); other.State != pipeline.Busy {
		t.Errorf("while it is being sent: %v", other.State)
	}
	again := w.raise(a)
	if again.State != pipeline.Claimed || !again.TakenOver {
		t.Errorf("the event's own retry: %+v", again)
	}
	w.pass(time.Minute + Skew + time.Second)
	taker := w.raise(alertClaim("b", 5, 100))
	if taker.State != pipeline.Claimed || !taker.TakenOver {
		t.Errorf("after the lease: %+v", taker)
	}
	for _, ticket := range []pipeline.AlertTicket{first, taker, again} {
		if err := ticket.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	}
	w.suppressed("at last", alertClaim("c", 5, 100))
}

// An alert that could not be sent is anybody's at once.
func TestAlertRelease(t *testing.T) {
	w := newWorld(t)
	ticket := w.raise(alertClaim("a", 0, 100))
	if err := ticket.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.send(alertClaim("b", 5, 100))
}

func TestAlertRace(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	n := 0
	for i := range 20 {
		wg.Go(func() {
			ticket, err := w.ledger().RaiseAlert(t.Context(), alertClaim(fmt.Sprint("event-", i), 5*(i%2), 100))
			if err != nil {
				t.Error(err)
				return
			}
			if ticket.State == pipeline.Claimed {
				mu.Lock()
				n++
				mu.Unlock()
				if err := ticket.Commit(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n != 1 {
		t.Errorf("%d alerts", n)
	}
}

func TestAlertLostReplies(t *testing.T) {
	for n := 1; n <= 2; n++ {
		w := newWorld(t)
		w.stack.S3.SetFaults(wire.Fault{Kind: wire.FaultReplyLost}.Once("s3:PutObject", n))
		w.send(alertClaim("a", 0, 100))
		w.suppressed("after that", alertClaim("b", 0, 100))
	}
}

func TestClients(t *testing.T) {
	w := newWorld(t)
	get := func(hour int, wanted ...string) []string {
		t.Helper()
		granted, err := w.ledger().Clients(t.Context(), lb, period.Add(time.Duration(hour)*time.Hour), wanted, 3)
		if err != nil {
			t.Fatal(err)
		}
		return granted
	}
	for _, test := range []struct {
		hour         int
		wanted, want []string
	}{
		{0, []string{"a", "b"}, []string{"a", "b"}},
		{0, []string{"b", "c", "d"}, []string{"b", "c"}},
		{0, []string{"d"}, nil},
		{1, []string{"d"}, []string{"d"}},
		{0, nil, nil},
	} {
		if d := cmp.Diff(test.want, get(test.hour, test.wanted...)); d != "" {
			t.Errorf("%v: -want +got\n%s", test.wanted, d)
		}
	}
	calls := w.stack.Calls.Counts()["s3:PutObject"]
	get(0, "a", "b", "c")
	if n := w.stack.Calls.Counts()["s3:PutObject"]; n != calls {
		t.Error("what was granted before is written again")
	}
}

func TestClientsRace(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	all := make(map[string]bool)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			granted, err := w.ledger().Clients(t.Context(), lb, period, []string{fmt.Sprint("a", i), fmt.Sprint("b", i%3)}, 10)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, c := range granted {
				all[c] = true
			}
		})
	}
	wg.Wait()
	if len(all) != 10 {
		t.Errorf("%d values in use, the budget is 10", len(all))
	}
}

// What does not look like a record is an error, and no reason to go on.
func TestStrangeRecord(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{periodKey(lb, period) + objectID(claim("", 1, 0).Object), alertKey(lb, "failed-negotiations"), clientsPrefix + lb + "/" + period.Format(hourTime)} {
		if _, err := w.stack.S3.Put("state", key, []byte("not JSON")); err != nil {
			t.Fatal(err)
		}
	}
	_, err1 := w.ledger().Claim(t.Context(), claim("a", 1, 0))
	_, err2 := w.ledger().RaiseAlert(t.Context(), alertClaim("a", 0, 1))
	_, err3 := w.ledger().Clients(t.Context(), lb, period, []string{"a"}, 1)
	for _, err := range []error{err1, err2, err3} {
		if err == nil || !strings.Contains(err.Error(), "no record of tlswatch") {
			t.Errorf("got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.ledger().Claim(ctx, claim("a", 2, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
