package main

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/functiontest"
	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/lambda"
	"tlswatch/internal/localaws/s3"
	"tlswatch/pkg/logkey"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

const bucket = "amzn-s3-demo-logging-bucket"

// A rig is the running function with the services around it.
type rig struct {
	t      *testing.T
	stack  *localaws.Stack
	lambda *lambda.Function
	topic  string
	log    *awstest.Buffer
}

// newRig starts the function with settings on top of the defaults.
func newRig(t *testing.T, settings map[string]string) *rig {
	t.Helper()
	return startRig(t, settings, lambda.Options{Timeout: 20 * time.Second})
}

func startRig(t *testing.T, settings map[string]string, o lambda.Options) *rig {
	t.Helper()
	r := &rig{t: t, stack: awstest.Stack(t, localaws.Options{}, bucket), log: new(awstest.Buffer)}
	r.topic = r.stack.SNS.CreateTopic("alerts")
	env := map[string]string{"ALERT_TOPIC_ARN": r.topic, "AWS_LAMBDA_LOG_FORMAT": "JSON"}
	maps.Copy(env, settings)
	o.Output = r.log
	r.lambda = functiontest.Start(t, r.stack, "processor", env, o)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the function:\n%s", r.log)
		}
	})
	return r
}

// wait lets all asynchronous events end, retries included.
func (r *rig) wait() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if err := r.lambda.Wait(ctx); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) put(key string, body []byte) s3.ObjectCreated {
	r.t.Helper()
	o, err := r.stack.S3.Put(bucket, key, body)
	if err != nil {
		r.t.Fatal(err)
	}
	return o
}

// notify sends the event of S3 for some objects, asynchronously, and waits.
func (r *rig) notify(objects ...s3.ObjectCreated) {
	r.t.Helper()
	if _, err := r.lambda.InvokeAsync(s3.Event(objects...)); err != nil {
		r.t.Fatal(err)
	}
	r.wait()
}

// errors returns the errors of all invocations, "" for a success.
func (r *rig) errors() []string {
	var list []string
	for _, i := range r.lambda.Invocations() {
		if i.Error != nil {
			list = append(list, i.Error.Error())
		} else {
			list = append(list, "")
		}
	}
	return list
}

// makeLog makes a log object of the period that just ended.
func makeLog(t *testing.T, seed uint64, lines int, loadBalancer string) connlogtest.Object {
	t.Helper()
	o, err := connlogtest.NewObject("us-east-2", time.Now().UTC().Truncate(logkey.Period), connlogtest.Options{Seed: seed, Lines: lines, LoadBalancer: loadBalancer})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// checkSums compares what CloudWatch has with what it should have of the logs.
func (r *rig) checkSums(logs ...connlogtest.Object) {
	r.t.Helper()
	functiontest.WantSums(r.t, functiontest.Reference(logs...), functiontest.Sums(r.stack))
}

// logText ends the function, which completes its log, and returns the log.
func (r *rig) logText() string {
	r.t.Helper()
	if err := r.lambda.Close(); err != nil {
		r.t.Fatal(err)
	}
	return r.log.String()
}

// logLines ends the function and returns its log lines with the given message.
func (r *rig) logLines(message string) []map[string]any {
	r.t.Helper()
	var list []map[string]any
	for line := range strings.Lines(r.logText()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["message"] == message {
			list = append(list, m)
		}
	}
	return list
}
