package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"path"
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
	"tlswatch/pkg/alert"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/posture"
	"tlswatch/pkg/s3store"
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
	store s3store.Store
	mu    sync.Mutex
	at    time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	stack := awstest.Start(t, localaws.Options{}, "state")
	return &world{t: t, stack: stack, store: newStore(t, "state"), at: start}
}

func newStore(t *testing.T, bucket string) s3store.Store {
	t.Helper()
	return s3store.Store{Client: s3.NewFromConfig(awstest.Config(t)), Bucket: bucket}
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

// ledger returns the ledger of another function.
func (w *world) ledger() *ledger.Ledger { return newLedger(w.store, w.now) }

func newLedger(s ledger.Store, now func() time.Time) *ledger.Ledger {
	return ledger.New(s, ledger.Options{Now: now, Sleep: pipeline.Sleep})
}

func claim(owner string, object int, failed uint64) ledger.Claim {
	return ledger.Claim{
		Bucket: "logs", Key: fmt.Sprintf("object-%d", object), ETag: "e",
		LoadBalancer: lb, PeriodEnd: period, Owner: owner, Window: alert.Window{Failed: failed},
	}
}

func (w *world) claim(c ledger.Claim) ledger.Ticket {
	w.t.Helper()
	ticket, err := w.ledger().Claim(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return ticket
}

func (w *world) commit(ticket ledger.Ticket) {
	w.t.Helper()
	if err := w.ledger().Commit(w.t.Context(), ticket); err != nil {
		w.t.Fatal(err)
	}
}

func TestClaim(t *testing.T) {
	w := newWorld(t)
	first := w.claim(claim("event-1", 1, 5))
	if first.State != ledger.Claimed || first.TakenOver {
		t.Fatalf("the first claim is %+v", first)
	}
	if other := w.claim(claim("event-2", 1, 5)); other.State != ledger.Busy {
		t.Errorf("another event's claim of the same object is %v", other.State)
	}
	if other := w.claim(claim("event-2", 2, 5)); other.State != ledger.Claimed {
		t.Errorf("a claim of another object is %v", other.State)
	}
	batch := claim("event-3", 1, 5)
	batch.Batch = []string{"event-0", "event-1"}
	if other := w.claim(batch); other.State != ledger.Claimed || !other.TakenOver {
		t.Errorf("a claim that another event of the batch left is %+v", other)
	}
	first = w.claim(claim("event-3", 1, 5))
	w.claim(claim("", 3, 5))
	for _, owner := range []string{"", "event-2"} { // the first may never finish
		if other := w.claim(claim(owner, 3, 5)); other.State != ledger.Busy {
			t.Errorf("%q meets the claim of a caller without a name: %v", owner, other.State)
		}
	}
	released := w.claim(claim("event-1", 4, 5))
	if err := w.ledger().Release(t.Context(), released); err != nil {
		t.Fatal(err)
	}
	if next := w.claim(claim("event-2", 4, 5)); next.State != ledger.Claimed || next.TakenOver {
		t.Errorf("a released claim is %+v for the next", next)
	}
	if err := w.ledger().Release(t.Context(), released); err != nil { // too late, and no error
		t.Error(err)
	}
	again := w.claim(claim("event-3", 1, 5))
	if again.State != ledger.Claimed || !again.TakenOver {
		t.Errorf("the event's own retry is %+v", again)
	}
	w.commit(again)
	w.commit(first) // too late, and no error
	for _, owner := range []string{"event-1", "event-2"} {
		if late := w.claim(claim(owner, 1, 5)); late.State != ledger.Published {
			t.Errorf("%s claims a published object: %v", owner, late.State)
		}
	}
}

func TestClaimLease(t *testing.T) {
	w := newWorld(t)
	c := claim("event-1", 1, 5)
	c.Lease = w.now().Add(time.Minute)
	first := w.claim(c)
	w.pass(time.Minute + ledger.Skew)
	if other := w.claim(claim("event-2", 1, 5)); other.State != ledger.Busy || !other.Until.Equal(w.now()) {
		t.Errorf("a lease that may just be running by another clock is %v until %v", other.State, other.Until)
	}
	w.pass(time.Second)
	taker := w.claim(claim("event-2", 1, 5))
	if taker.State != ledger.Claimed || !taker.TakenOver {
		t.Errorf("after the lease: %+v", taker)
	}
	w.commit(first) // it was slow: the taker goes on none the less
	w.commit(taker)
	if late := w.claim(claim("event-3", 1, 5)); late.State != ledger.Published {
		t.Errorf("at last: %v", late.State)
	}
}

// One of many claims at the same moment wins.
func TestClaimRace(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	states := make([]ledger.State, 20)
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
		if s == ledger.Claimed {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d claims won: %v", n, states)
	}
}

// A claim whose reply is lost, and that the SDK sends again and gets a 412 for, is
// not another event's. A commit whose reply is lost is a commit.
func TestLostReplies(t *testing.T) {
	for n := 1; n <= 2; n++ {
		w := newWorld(t)
		w.stack.S3.SetFaults(wire.Fault{Kind: wire.FaultReplyLost}.Once("s3:PutObject", n))
		ticket := w.claim(claim("event-1", 1, 5))
		if ticket.State != ledger.Claimed || ticket.TakenOver {
			t.Errorf("reply %d lost: %+v", n, ticket)
		}
		w.commit(ticket)
		if late := w.claim(claim("event-2", 1, 5)); late.State != ledger.Published {
			t.Errorf("reply %d lost: at last %v", n, late.State)
		}
	}
}

func TestConflictAndSlowDown(t *testing.T) {
	for code, status := range map[string]int{"ConditionalRequestConflict": 409, "SlowDown": 503, "InternalError": 500} {
		w := newWorld(t)
		w.stack.S3.SetFaults(wire.Refuse(status, code).Once("s3:PutObject", 1))
		ticket := w.claim(claim("event-1", 1, 5))
		if ticket.State != ledger.Claimed {
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
	if _, err := newLedger(store, w.now).Claim(t.Context(), claim("e", 1, 5)); err == nil || !strings.Contains(err.Error(), `no state bucket "nowhere"`) {
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
			if err != nil || window.Failed != r.FailedAtMost {
				t.Errorf("%s has %d failures, %v", r.Key, window.Failed, err)
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
	w.claim(claim("event", 1, 1))
	body, _, err := w.store.Get(t.Context(), w.key())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1100 {
		if _, err := w.stack.S3.Put("state", path.Dir(w.key())+fmt.Sprintf("/%032x", i), body); err != nil {
			t.Fatal(err)
		}
	}
	records, err := w.ledger().Records(t.Context(), lb, period.Add(-5*time.Minute), period)
	if err != nil || len(records) != 1101 {
		t.Errorf("%d records, %v", len(records), err)
	}
}

// key is the key of the first record of the period.
func (w *world) key() string {
	w.t.Helper()
	records, err := w.ledger().Records(w.t.Context(), lb, period.Add(-5*time.Minute), period)
	if err != nil || len(records) == 0 {
		w.t.Fatalf("records %v, %v", records, err)
	}
	return records[0].Key
}

func alertClaim(owner string, end int, failed uint64) ledger.AlertClaim {
	return ledger.AlertClaim{
		LoadBalancer: lb, Rule: "failed-negotiations", End: period.Add(time.Duration(end) * time.Minute), Length: 5 * time.Minute,
		Failed: failed, Cooldown: time.Hour, Growth: 3, Owner: owner,
	}
}

func (w *world) raise(a ledger.AlertClaim) ledger.AlertTicket {
	w.t.Helper()
	may, err := w.ledger().MayAlert(w.t.Context(), a)
	if err != nil {
		w.t.Fatal(err)
	}
	ticket, err := w.ledger().RaiseAlert(w.t.Context(), a)
	if err != nil {
		w.t.Fatal(err)
	}
	if may != (ticket.State != ledger.Suppressed) {
		w.t.Errorf("MayAlert says %v, RaiseAlert %v", may, ticket.State)
	}
	return ticket
}

func (w *world) send(a ledger.AlertClaim) {
	w.t.Helper()
	ticket := w.raise(a)
	if ticket.State != ledger.Claimed {
		w.t.Fatalf("alert is %v", ticket.State)
	}
	if err := w.ledger().CommitAlert(w.t.Context(), ticket); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) suppressed(what string, a ledger.AlertClaim) {
	w.t.Helper()
	if ticket := w.raise(a); ticket.State != ledger.Suppressed {
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
	if first.State != ledger.Claimed || first.TakenOver {
		t.Fatalf("first: %+v", first)
	}
	if other := w.raise(alertClaim("b", 5, 1000)); other.State != ledger.Busy || !other.Until.Equal(a.Lease.Add(ledger.Skew)) {
		t.Errorf("while it is being sent: %v until %v", other.State, other.Until)
	}
	again := w.raise(a)
	if again.State != ledger.Claimed || !again.TakenOver {
		t.Errorf("the event's own retry: %+v", again)
	}
	w.pass(time.Minute + ledger.Skew + time.Second)
	taker := w.raise(alertClaim("b", 5, 100))
	if taker.State != ledger.Claimed || !taker.TakenOver {
		t.Errorf("after the lease: %+v", taker)
	}
	for _, ticket := range []ledger.AlertTicket{first, taker, again} {
		if err := w.ledger().CommitAlert(t.Context(), ticket); err != nil {
			t.Error(err)
		}
	}
	w.suppressed("at last", alertClaim("c", 5, 100))
}

// An alert that could not be sent is anybody's at once.
func TestAlertRelease(t *testing.T) {
	w := newWorld(t)
	ticket := w.raise(alertClaim("a", 0, 100))
	if err := w.ledger().ReleaseAlert(t.Context(), ticket); err != nil {
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
			if ticket.State == ledger.Claimed {
				mu.Lock()
				n++
				mu.Unlock()
				if err := w.ledger().CommitAlert(t.Context(), ticket); err != nil {
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
	w.claim(claim("a", 1, 0))
	for _, key := range []string{w.key(), "v1/alerts/" + lb + "/failed-negotiations", "v1/clients/" + lb + "/20261123T10Z"} {
		if _, err := w.stack.S3.Put("state", key, []byte("not JSON")); err != nil {
			t.Fatal(err)
		}
	}
	_, err1 := w.ledger().Claim(t.Context(), claim("a", 1, 0))
	_, err2 := w.ledger().RaiseAlert(t.Context(), alertClaim("a", 0, 1))
	_, err3 := w.ledger().Clients(t.Context(), lb, period, []string{"a"}, 1)
	for _, err := range []error{err1, err2, err3} {
		if err == nil || !strings.Contains(err.Error(), "not a record of tlswatch") {
			t.Errorf("got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.ledger().Claim(ctx, claim("a", 2, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestOldRecords: records of version 1 that an earlier release wrote, with a
// member that is no longer used and without a posture, mean the same.
func TestOldRecords(t *testing.T) {
	w := newWorld(t)
	put := func(key, body string) {
		t.Helper()
		if _, err := w.stack.S3.Put("state", key, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	const object = `,"object":"s3://logs/object-1","owner":"event-1","stable":true,"token":"T","lease":"2026-11-23T10:12:00Z","window":{"account":"1","failed":7,` +
		`"clients":[{"client":"203.0.113.7","connections":9,"failed":7}]},"posture":{"weak":[{"client":"203.0.113.7","n":3}]}}`
	w.claim(claim("", 1, 0))
	key := w.key()
	for _, test := range []struct {
		record string
		owner  string
		want   ledger.State
		taken  bool
	}{
		{`{"state":"published"`, "event-2", ledger.Published, false},
		{`{"state":"claimed"`, "event-2", ledger.Busy, false},
		{`{"state":"claimed"`, "event-1", ledger.Claimed, true},
		{`{"state":"claimed","released":true`, "event-2", ledger.Claimed, false},
	} {
		put(key, test.record+object)
		if got := w.claim(claim(test.owner, 1, 0)); got.State != test.want || got.TakenOver != test.taken {
			t.Errorf("%s: claim of %s: %v, taken over %v", test.record, test.owner, got.State, got.TakenOver)
		}
	}
	put(key, `{"state":"published"`+object)
	r := ledger.NewReader(w.store)
	window, err := r.Window(t.Context(), key)
	if err != nil || window.Failed != 7 || window.Clients[0].Client != "203.0.113.7" {
		t.Errorf("window %+v, %v", window, err)
	}
	if p, err := r.Posture(t.Context(), key); err != nil || cmp.Diff(&posture.Posture{Weak: []posture.Weak{{Client: "203.0.113.7", Connections: 3}}}, p) != "" {
		t.Errorf("posture %+v, %v", p, err)
	}
	put(key, `{"state":"published","object":"s3://logs/object-1","owner":"event-1","window":{"failed":1}}`)
	if p, err := r.Posture(t.Context(), key); err != nil || p != nil {
		t.Errorf("posture %+v, %v", p, err)
	}

	put("v1/alerts/"+lb+"/failed-negotiations", `{"state":"pending","owner":"a","stable":true,"token":"T","lease":"2026-11-23T10:12:00Z","sent":"2026-11-23T10:06:00Z",`+
		`"alerted":[{"end":"2026-11-23T10:00:00Z","failed":100}],"pending":{"end":"2026-11-23T10:05:00Z","failed":300}}`)
	w.suppressed("in the cooldown", alertClaim("b", 0, 299))
	if got := w.raise(alertClaim("b", 0, 300)); got.State != ledger.Busy {
		t.Errorf("a pending alert: %v", got.State)
	}
	if got := w.raise(alertClaim("a", 0, 300)); got.State != ledger.Claimed || !got.TakenOver {
		t.Errorf("its own: %+v", got)
	}
	put("v1/clients/"+lb+"/20261123T10Z", `{"clients":["a","b"]}`)
	if granted, err := w.ledger().Clients(t.Context(), lb, period, []string{"b", "c"}, 2); err != nil || cmp.Diff([]string{"b"}, granted) != "" {
		t.Errorf("granted %q, %v", granted, err)
	}
}
