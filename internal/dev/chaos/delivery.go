package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"
)

// An event announces objects. It has one identity over all its deliveries.
type event struct {
	name    string // for the trace
	id      string // request id or message id
	queued  bool   // a message of the queue, not an asynchronous invocation
	payload []byte // the event, or the message's body
	objects []*logObject
	delay   time.Duration // until it is sent
	twice   bool          // delivered twice at the same time

	mu       sync.Mutex
	attempts int
	open     int       // deliveries that have not ended well
	visible  time.Time // of a message: when it can be received
	dead     bool      // of a message: in the dead-letter queue
}

// makeEvents announces each object once to three times, in any order, some of
// them together.
func (w *world) makeEvents(r *rand.Rand) {
	var all []*logObject
	for _, o := range w.objects {
		for range 1 + r.IntN(3) {
			all = append(all, o)
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for len(all) > 0 {
		n := 1
		if r.IntN(5) == 0 {
			n = min(1+r.IntN(3), len(all))
		}
		e := &event{id: uuid(r), queued: w.trouble.group.batches || r.IntN(2) == 0, objects: all[:n:n], open: 1}
		e.name = fmt.Sprintf("%c%d", map[bool]rune{true: 'q', false: 'a'}[e.queued], len(w.events))
		if e.twice = r.IntN(12) == 0 && (w.patient || !e.queued); e.twice && !e.queued {
			e.open = 2
		}
		e.delay = time.Duration(r.IntN(200)) * time.Millisecond
		if r.IntN(6) == 0 {
			e.delay += time.Duration(r.IntN(1500)) * time.Millisecond
		}
		e.payload = s3Event(r, e.objects)
		if n == 1 && e.queued && r.IntN(3) == 0 {
			e.payload = eventBridge(r, e.objects[0])
		}
		w.events = append(w.events, e)
		all = all[n:]
	}
}

func uuid(r *rand.Rand) string {
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48))
}

type object = map[string]any

// encode makes JSON of what certainly is.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// s3Event is S3's notification.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
func s3Event(r *rand.Rand, objects []*logObject) []byte {
	var records []object
	for _, o := range objects {
		records = append(records, object{
			"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": region, "eventTime": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
			"eventName": []string{"ObjectCreated:Put", "ObjectCreated:CompleteMultipartUpload"}[r.IntN(2)],
			"s3": object{
				"s3SchemaVersion": "1.0", "bucket": object{"name": logBucket, "arn": "arn:aws:s3:::" + logBucket},
				"object": object{"key": url.QueryEscape(o.key), "size": len(o.body), "eTag": o.etag, "sequencer": fmt.Sprintf("%016X", r.Uint64())},
			},
		})
	}
	return encode(object{"Records": records})
}

// eventBridge is EventBridge's.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
func eventBridge(r *rand.Rand, o *logObject) []byte {
	return encode(object{
		"version": "0", "id": uuid(r), "detail-type": "Object Created", "source": "aws.s3", "account": account, "region": region,
		"time": time.Now().UTC().Format(time.RFC3339), "resources": []string{"arn:aws:s3:::" + logBucket},
		"detail": object{
			"version": "0", "bucket": object{"name": logBucket}, "reason": "PutObject",
			"object": object{"key": o.key, "size": len(o.body), "etag": o.etag, "sequencer": fmt.Sprintf("%016X", r.Uint64())},
		},
	})
}

// deliver sends all events: those of the queue in batches, the others each on
// their own, and waits until each ended well or is a dead letter.
func (w *world) deliver() {
	var all sync.WaitGroup
	for _, e := range w.events {
		if e.queued {
			e.visible = time.Now().Add(e.delay)
			continue
		}
		for range e.open {
			all.Go(func() { w.deliverAsync(e) })
		}
	}
	r := rand.New(rand.NewPCG(w.seed, 2))
	for range 1 + r.IntN(4) {
		poller := rand.New(rand.NewPCG(w.seed, r.Uint64()))
		all.Go(func() { w.poll(poller) })
	}
	all.Wait()
}

// asyncAttempts is how often Lambda tries an asynchronous event.
const asyncAttempts = 3

// deliverAsync invokes the function for an event as Lambda does, with shorter
// pauses.
//
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
func (w *world) deliverAsync(e *event) {
	time.Sleep(e.delay)
	for range asyncAttempts {
		if w.attempt(e, e.id, e.payload).ok {
			e.finish()
			return
		}
		time.Sleep(w.randomPause(60))
	}
	w.note("%s is a dead letter", e.name)
}

func (e *event) finish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open--
}

func (e *event) finished() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open == 0
}

// attempt invokes the function for one event.
func (w *world) attempt(e *event, requestID string, payload []byte) answer {
	e.mu.Lock()
	e.attempts++
	name := fmt.Sprintf("%s/%d", e.name, e.attempts)
	e.mu.Unlock()
	return w.invoke(w.invocation(name, requestID, payload))
}

// invocation makes one with a deadline. Amid faults, Lambda may kill it before,
// or later than it said.
func (w *world) invocation(name, requestID string, payload []byte) *invocation {
	r := w.random()
	told := time.Duration(2000+r.IntN(4000)) * time.Millisecond
	i := &invocation{name: name, id: requestID, payload: payload, told: told, limit: told, answer: make(chan answer, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trouble.calm {
		return i
	}
	switch r.IntN(12) {
	case 0:
		i.limit -= told / 2
	case 1:
		i.limit += told / 2
	case 2: // hardly any time
		i.told /= 5
	}
	return i
}

// random draws from the seed, in the order in which it happens to be asked.
func (w *world) random() *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble.calls["draws"]++
	return w.trouble.random("draws", w.trouble.calls["draws"])
}

func (w *world) randomPause(most int) time.Duration { return pause(w.random(), most) }

// maxReceives is how often a message is received before it is a dead letter.
const maxReceives = 6

// poll receives batches of messages until all are deleted or dead.
func (w *world) poll(r *rand.Rand) {
	for {
		batch, left := w.receive(1+r.IntN(10), r)
		switch {
		case len(batch) > 0:
			w.deliverBatch(batch)
		case !left:
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// receive takes up to n messages, in any order, out of view for a while. Some
// come into view again while the function is still at work on them.
func (w *world) receive(n int, r *rand.Rand) (batch []*event, left bool) {
	for _, i := range r.Perm(len(w.events)) {
		e := w.events[i]
		e.mu.Lock()
		if !e.queued || e.open == 0 || e.dead {
			e.mu.Unlock()
			continue
		}
		left = true
		if len(batch) < n && time.Now().After(e.visible) {
			if e.attempts == maxReceives {
				e.dead = true
				w.note("%s is a dead letter", e.name)
			} else {
				e.attempts++
				e.visible = time.Now().Add(time.Hour)
				if e.twice && e.attempts == 1 {
					e.visible = time.Now().Add(pause(r, 40))
				}
				batch = append(batch, e)
			}
		}
		e.mu.Unlock()
	}
	return batch, left
}

// deliverBatch invokes the function for messages, and deletes those that its
// answer does not name as failed.
//
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func (w *world) deliverBatch(batch []*event) {
	name := ""
	for _, e := range batch {
		e.mu.Lock()
		name += fmt.Sprintf("+%s/%d", e.name, e.attempts)
		e.mu.Unlock()
	}
	a := w.invoke(w.invocation(name[1:], uuid(w.random()), queueEvent(batch)))
	failed := failedItems(a, batch)
	for _, e := range batch {
		e.mu.Lock()
		if failed[e.id] {
			e.visible = time.Now().Add(w.randomPause(80))
		} else {
			e.open = 0 // deleted, whatever another delivery comes to
		}
		e.mu.Unlock()
	}
}

// failedItems are the messages of a batch that stay in the queue: all of them if
// the function failed, or if it names what is not in the batch.
func failedItems(a answer, batch []*event) map[string]bool {
	all := make(map[string]bool)
	for _, e := range batch {
		all[e.id] = true
	}
	var reply struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if !a.ok || len(a.body) > 0 && json.Unmarshal(a.body, &reply) != nil {
		return all
	}
	failed := make(map[string]bool)
	for _, f := range reply.BatchItemFailures {
		if !all[f.ItemIdentifier] {
			return all
		}
		failed[f.ItemIdentifier] = true
	}
	return failed
}

// queueEvent is the event of a queue's event source mapping.
//
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
func queueEvent(batch []*event) []byte {
	var records []object
	for _, e := range batch {
		e.mu.Lock()
		received := e.attempts
		e.mu.Unlock()
		records = append(records, object{
			"messageId": e.id, "receiptHandle": "chaos", "body": string(e.payload), "messageAttributes": object{},
			"attributes":  object{"ApproximateReceiveCount": fmt.Sprint(received), "SentTimestamp": fmt.Sprint(time.Now().UnixMilli())},
			"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:" + region + ":" + account + ":chaos", "awsRegion": region,
		})
	}
	return encode(object{"Records": records})
}

// drain sends dead letters again: first amid faults, then without any. Each has
// to end well, if need be after the leases of those that were killed.
func (w *world) drain() {
	w.redriveAll()
	w.mu.Lock()
	w.trouble.calm = true
	w.mu.Unlock()
	idle, waited := 0, false // rounds without progress
	for left := w.unfinished(); len(left) > 0; {
		w.redriveAll()
		before := len(left)
		left = w.unfinished()
		if idle++; len(left) < before {
			idle = 0
		}
		switch {
		case idle == maxIdle && w.patient && !waited:
			w.waitForLeases()
			idle, waited = 0, true
		case idle == maxIdle:
			for _, e := range left {
				w.violateNow("stuck", "%s does not end well, without any faults", e.name)
			}
			return
		}
	}
}

// maxIdle is after how many rounds without progress there will be none.
const maxIdle = 4

// skew is how much longer than they say leases are honoured.
const skew = 2 * time.Minute

// waitForLeases waits until no claim of a killed process is valid any more. Other
// seeds run meanwhile.
func (w *world) waitForLeases() {
	w.mu.Lock()
	until := w.lastDeadline.Add(skew + time.Second)
	w.trace("waits %v for leases to end", time.Until(until).Round(time.Second))
	w.mu.Unlock()
	<-w.harness.running
	time.Sleep(time.Until(until))
	w.harness.running <- struct{}{}
}

func (w *world) redriveAll() {
	var all sync.WaitGroup
	for _, e := range w.unfinished() {
		all.Go(func() { w.redrive(e) })
	}
	all.Wait()
}

func (w *world) unfinished() (left []*event) {
	for _, e := range w.events {
		if !e.finished() {
			left = append(left, e)
		}
	}
	return left
}

// redrive invokes the function with the record of the failed invocation, or with
// the message under its own id, as "tlswatch redrive" does. SQS itself moves
// messages back into the queue under new ids.
func (w *world) redrive(e *event) {
	payload := encode(object{
		"version": "1.0", "timestamp": time.Now().UTC().Format(time.RFC3339), "requestPayload": json.RawMessage(e.payload),
		"requestContext": object{"requestId": e.id, "functionArn": "arn:aws:lambda:" + region + ":" + account + ":function:chaos:$LATEST",
			"condition": "RetriesExhausted", "approximateInvokeCount": asyncAttempts},
	})
	if e.queued {
		if r := w.random(); w.patient && r.IntN(2) == 0 {
			e.id = uuid(r)
			w.note("%s is moved back into the queue under a new id", e.name)
		}
		payload = queueEvent([]*event{e})
	}
	a := w.attempt(e, uuid(w.random()), payload)
	if a.ok && (!e.queued || !failedItems(a, []*event{e})[e.id]) {
		e.finish()
	}
}
