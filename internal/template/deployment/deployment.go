// Package deployment runs a stack on this machine: the real function binaries
// between stand-ins for the AWS services, wired by the template's own event rules,
// queues, environment variables and policies. An API call that the policies do not
// allow is denied.
//
// It proves that the parts of the template fit each other and the functions.
// Package localaws says what stand-ins cannot prove.
package deployment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/lambda"
	"tlswatch/internal/localaws/s3"
	"tlswatch/internal/localaws/sqs"
	"tlswatch/internal/localaws/wire"
	"tlswatch/internal/template/sam"
)

// Options are the settings of [Start].
type Options struct {
	Stack *sam.Stack

	// Bootstraps are the functions' executables, by logical id. A function without
	// one does not run.
	Bootstraps map[string]string

	// Buckets are buckets outside the stack that notify EventBridge.
	Buckets []string
	Output  io.Writer // the functions' output; none by default

	now func() time.Time // the services' clock, for tests; time.Now by default
}

// A Deployment is a running stack.
type Deployment struct {
	AWS       *localaws.Stack
	Functions map[string]*lambda.Function // by logical id

	stack *sam.Stack
	roles map[string]sam.Policy // by function

	mu        sync.Mutex
	denied    []string
	failures  []string
	forwarded map[string]int // dead letters by function
}

// Start deploys a stack. It fails where CloudFormation would for lack of a
// permission.
func Start(ctx context.Context, o Options) (*Deployment, error) {
	d := &Deployment{
		Functions: make(map[string]*lambda.Function), stack: o.Stack, roles: make(map[string]sam.Policy),
		forwarded: make(map[string]int),
	}
	var err error
	if d.AWS, err = localaws.Start(ctx, localaws.Options{Region: sam.Region, Now: o.now}); err != nil {
		return nil, err
	}
	if err := d.create(ctx, o); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	d.AWS.SetAuthorize(d.authorize)
	d.AWS.S3.SetOnCreated(func(c s3.ObjectCreated) { d.deliver(c, o.Buckets) })
	return d, nil
}

// Close stops the functions and the services.
func (d *Deployment) Close() error {
	var all []error
	for _, f := range d.Functions {
		all = append(all, f.Close())
	}
	return errors.Join(append(all, d.AWS.Close())...)
}

// create creates the resources in the stack's order.
func (d *Deployment) create(ctx context.Context, o Options) error {
	for _, name := range o.Buckets {
		if err := d.AWS.S3.CreateBucket(name); err != nil {
			return err
		}
	}
	for _, id := range o.Stack.Order {
		r := o.Stack.Resources[id]
		var err error
		switch r.Type {
		case "AWS::S3::Bucket":
			err = d.named(r, d.AWS.S3.CreateBucket)
		case "AWS::SNS::Topic":
			err = d.named(r, func(arn string) error { return same(arn, d.AWS.SNS.CreateTopic(last(arn))) })
		case "AWS::SQS::Queue":
			err = d.createQueue(r)
		case "AWS::Serverless::Function":
			err = d.createFunction(ctx, r, o)
		case "AWS::Lambda::EventSourceMapping":
			err = d.createMapping(ctx, r)
		}
		if err != nil {
			return fmt.Errorf("create %s: %w", id, err)
		}
	}
	if arn := o.Stack.Outputs["AlertTopic"]; o.Stack.ByARN(arn) == nil && arn != "" { // an existing topic
		return same(arn, d.AWS.SNS.CreateTopic(last(arn)))
	}
	return nil
}

func (d *Deployment) named(r *sam.Resource, create func(string) error) error {
	name, err := d.stack.Ref(r)
	if err != nil {
		return err
	}
	return create(name)
}

// last is the last part of an ARN.
func last(arn string) string { return arn[strings.LastIndexAny(arn, ":/")+1:] }

func same(want, got string) error {
	if want != got {
		return fmt.Errorf("expected %s, created %s", want, got)
	}
	return nil
}

func (d *Deployment) createQueue(r *sam.Resource) error {
	o := sqs.QueueOptions{}
	for property, value := range map[string]*time.Duration{"VisibilityTimeout": &o.VisibilityTimeout, "MessageRetentionPeriod": &o.Retention} {
		if r.At(property) == nil {
			continue
		}
		seconds, err := r.Int(property)
		if err != nil {
			return err
		}
		*value = time.Duration(seconds) * time.Second
	}
	if arn := r.Text("RedrivePolicy", "deadLetterTargetArn"); arn != "" {
		dead := d.stack.ByARN(arn)
		if dead == nil {
			return fmt.Errorf("no queue %s", arn)
		}
		var err error
		if o.DeadLetters, err = d.stack.Ref(dead); err != nil {
			return err
		}
		if o.MaxReceives, err = r.Int("RedrivePolicy", "maxReceiveCount"); err != nil {
			return err
		}
	}
	return d.named(r, func(url string) error { return same(url, d.AWS.SQS.CreateQueue(last(url), o)) })
}

func (d *Deployment) createFunction(ctx context.Context, r *sam.Resource, o Options) error {
	bootstrap, ok := o.Bootstraps[r.ID]
	if !ok {
		return nil
	}
	policy, err := d.stack.Role(r.Text("Role"))
	if err != nil {
		return err
	}
	d.roles[r.ID] = policy
	timeout, err := r.Int("Timeout")
	if err != nil {
		return err
	}
	memory, err := r.Int("MemorySize")
	if err != nil {
		return err
	}
	name, err := d.stack.Ref(r)
	if err != nil {
		return err
	}
	env := d.AWS.Env()
	if variables, ok := r.At("Environment", "Variables").(sam.Tree); ok {
		for name, value := range variables {
			env[name] = fmt.Sprint(value)
		}
	}
	env["AWS_ACCESS_KEY_ID"] = r.ID // tells authorize which function makes a request
	env["AWS_LAMBDA_LOG_FORMAT"] = r.Text("LoggingConfig", "LogFormat")
	env["AWS_LAMBDA_LOG_LEVEL"] = r.Text("LoggingConfig", "ApplicationLogLevel")
	delays := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond}
	if r.At("EventInvokeConfig", "MaximumRetryAttempts") != nil {
		retries, err := r.Int("EventInvokeConfig", "MaximumRetryAttempts")
		if err != nil {
			return err
		}
		delays = delays[:min(retries, len(delays))]
	}
	d.Functions[r.ID], err = lambda.Start(ctx, lambda.Options{
		Bootstrap: bootstrap, Name: name, Region: sam.Region, Env: env, Handler: r.Text("Handler"),
		MemoryMB: memory, Timeout: time.Duration(timeout) * time.Second, Concurrency: 2, RetryDelays: delays, Output: o.Output,
	})
	return err
}

func (d *Deployment) createMapping(ctx context.Context, r *sam.Resource) error {
	queue := d.stack.ByARN(r.Text("EventSourceArn"))
	if queue == nil {
		return fmt.Errorf("no queue %s", r.Text("EventSourceArn"))
	}
	id, function := d.function(r.Text("FunctionName"))
	if function == nil {
		return fmt.Errorf("no function %s", r.Text("FunctionName"))
	}
	for _, action := range []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"} {
		if !d.authorize(wire.Access{AccessKeyID: id, Action: action, Resource: r.Text("EventSourceArn")}) {
			return fmt.Errorf("the function's role does not allow %s", action)
		}
	}
	size, err := r.Int("BatchSize")
	if err != nil {
		return err
	}
	url, err := d.stack.Ref(queue)
	if err != nil {
		return err
	}
	function.MapQueue(ctx, d.AWS.SQS, lambda.QueueMapping{
		Queue: url, BatchSize: size, Window: 200 * time.Millisecond, // instead of seconds, so that tests are fast
		ReportBatchItemFailures: slices.Contains(sam.List(r.At("FunctionResponseTypes")), any("ReportBatchItemFailures")),
	})
	return nil
}

// function finds a running function by its name.
func (d *Deployment) function(name string) (id string, f *lambda.Function) {
	for id, f := range d.Functions {
		if r := d.stack.Resources[id]; r != nil {
			if ref, err := d.stack.Ref(r); err == nil && ref == name {
				return id, f
			}
		}
	}
	return "", nil
}

// authorize reports whether the policy of the function that makes a request
// allows it. Only functions make requests.
func (d *Deployment) authorize(a wire.Access) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	ok := d.roles[a.AccessKeyID].Allows(sam.Request{Action: a.Action, Resource: a.Resource, Context: a.Context})
	if !ok {
		denied := fmt.Sprintf("%s may not %s on %s", a.AccessKeyID, a.Action, a.Resource)
		if len(a.Context) > 0 {
			denied += fmt.Sprintf(" with %v", a.Context)
		}
		d.denied = append(d.denied, denied)
	}
	return ok
}

// deliver does what EventBridge does when an object is created.
func (d *Deployment) deliver(c s3.ObjectCreated, outside []string) {
	if !slices.Contains(outside, c.Bucket) {
		on := false
		for _, b := range d.stack.OfType("AWS::S3::Bucket") {
			name, err := d.stack.Ref(b)
			on = on || err == nil && name == c.Bucket && b.At("NotificationConfiguration", "EventBridgeConfiguration", "EventBridgeEnabled") == true
		}
		if !on {
			return
		}
	}
	payload := c.EventBridgeEvent()
	var event sam.Tree
	if err := json.Unmarshal(payload, &event); err != nil {
		d.fail("event of %s: %v", c.Key, err)
		return
	}
	for _, rule := range d.stack.OfType("AWS::Events::Rule") {
		pattern, ok := rule.At("EventPattern").(sam.Tree)
		if !ok || !sam.MatchesEvent(pattern, event) {
			continue
		}
		arn, err := d.stack.ARN(rule)
		if err != nil {
			d.fail("%s: %v", rule.ID, err)
			continue
		}
		for _, t := range sam.List(rule.At("Targets")) {
			target := &sam.Resource{ID: rule.ID, Properties: t.(sam.Tree)}
			if err := d.send(d.stack.ByARN(target.Text("Arn")), arn, payload); err != nil {
				d.fail("%s to %s: %v", rule.ID, target.Text("Arn"), err)
				if err := d.send(d.stack.ByARN(target.Text("DeadLetterConfig", "Arn")), arn, payload); err != nil {
					d.fail("%s, dead letter: %v", rule.ID, err)
				}
			}
		}
	}
}

// send sends an event to a target, if the target allows the rule to.
func (d *Deployment) send(target *sam.Resource, rule string, event []byte) error {
	switch {
	case target == nil:
		return errors.New("no such target")
	case target.Type == "AWS::SQS::Queue":
		if !d.stack.MaySend(target, rule) {
			return fmt.Errorf("%s does not allow the rule to send", target.ID)
		}
		url, err := d.stack.Ref(target)
		if err == nil {
			_, err = d.AWS.SQS.Send(url, string(event), nil)
		}
		return err
	case target.Type == "AWS::Serverless::Function":
		if !d.stack.MayInvoke(target, rule) {
			return fmt.Errorf("%s does not allow the rule to invoke it", target.ID)
		}
		f := d.Functions[target.ID]
		if f == nil {
			return fmt.Errorf("%s does not run", target.ID)
		}
		_, err := f.InvokeAsync(event)
		return err
	}
	return fmt.Errorf("unknown kind of target %s", target.Type)
}

func (d *Deployment) fail(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures = append(d.failures, fmt.Sprintf(format, args...))
}

// Denied returns the requests that were denied.
func (d *Deployment) Denied() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(d.denied)))
}

// Failures returns what could not be delivered.
func (d *Deployment) Failures() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.failures)
}

// Settle waits until the functions are idle and every message in a queue has been
// tried at least once. A message that failed stays hidden for its visibility
// timeout and is not waited for.
func (d *Deployment) Settle(ctx context.Context) error {
	for {
		if err := d.wait(ctx); err != nil {
			return err
		}
		untried := false
		for _, m := range d.stack.OfType("AWS::Lambda::EventSourceMapping") {
			untried = untried || slices.ContainsFunc(d.messages(d.stack.ByARN(m.Text("EventSourceArn"))), func(m sqs.Message) bool { return m.Visible })
		}
		if !untried {
			return d.wait(ctx) // for messages received since
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Left counts the messages in the queues: dead letters, and messages that failed
// and may be retried.
func (d *Deployment) Left() int {
	n := 0
	for _, q := range d.stack.OfType("AWS::SQS::Queue") {
		n += len(d.messages(q))
	}
	return n
}

func (d *Deployment) messages(queue *sam.Resource) []sqs.Message {
	if queue == nil {
		return nil
	}
	url, err := d.stack.Ref(queue)
	if err != nil {
		return nil
	}
	return d.AWS.SQS.Messages(url)
}

// wait returns when the functions are idle and the events they gave up are in the
// on-failure destination.
func (d *Deployment) wait(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(d.Functions)) {
		f := d.Functions[id]
		if err := f.Wait(ctx); err != nil {
			return err
		}
		dead := f.DeadLetters()
		destination := d.stack.Resources[id].Text("EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination")
		for _, letter := range dead[d.forwarded[id]:] {
			queue := d.stack.ByARN(destination)
			if queue == nil || !d.authorize(wire.Access{AccessKeyID: id, Action: "sqs:SendMessage", Resource: destination}) {
				d.fail("%s: an event is lost: sending it to %q is not allowed", id, destination)
				continue
			}
			body, err := json.Marshal(letter)
			if err != nil {
				return err
			}
			url, err := d.stack.Ref(queue)
			if err != nil {
				return err
			}
			if _, err := d.AWS.SQS.Send(url, string(body), nil); err != nil {
				return err
			}
		}
		d.forwarded[id] = len(dead)
	}
	return nil
}
