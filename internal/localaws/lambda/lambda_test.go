package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/s3"
)

// TestMain builds the function of the Lambda tests once.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "localaws")
	if err != nil {
		panic(err)
	}
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", filepath.Join(dir, "bootstrap"), "./testdata/function")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the function: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Setenv("LOCALAWS_TEST_BOOTSTRAP", filepath.Join(dir, "bootstrap"))
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func startFunction(t *testing.T, o Options) (*Function, *awstest.Buffer) {
	t.Helper()
	out := new(awstest.Buffer)
	o.Bootstrap = os.Getenv("LOCALAWS_TEST_BOOTSTRAP")
	o.Output = out
	if o.RetryDelays == nil {
		o.RetryDelays = []time.Duration{time.Millisecond, time.Millisecond}
	}
	l, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(out)
		}
	})
	return l, out
}

func (f *Function) mustInvoke(t *testing.T, event string) Result {
	t.Helper()
	r, err := f.Invoke(t.Context(), []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (f *Function) mustWait(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := f.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

// An answer is the function's response.
type answer struct {
	Hello     string
	RequestID string `json:"requestId"`
	ARN       string
	PID       int
}

func (r Result) answer(t *testing.T) (a answer) {
	t.Helper()
	if r.Error != nil {
		t.Fatal(r.Error)
	}
	if err := json.Unmarshal(r.Payload, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSuccess(t *testing.T) {
	l, out := startFunction(t, Options{Name: "fn", Region: "eu-west-1"})
	first := l.mustInvoke(t, `{"name":"one"}`)
	a := first.answer(t)
	if a.Hello != "one" || a.RequestID != first.RequestID || a.ARN != "arn:aws:lambda:eu-west-1:123456789012:function:fn" || a.ARN != l.arn {
		t.Errorf("answer %+v of %s", a, first.RequestID)
	}
	if b := l.mustInvoke(t, `{"name":"two"}`).answer(t); b.PID != a.PID || b.RequestID == a.RequestID {
		t.Errorf("not the same process, or the same request: %+v, %+v", a, b)
	}
	if _, err := l.InvokeAsync([]byte("{")); err == nil || errors.Is(err, errClosed) {
		t.Errorf("an event that is not JSON: %v", err)
	}
	id, err := l.InvokeAsync([]byte(`{"name":"three"}`))
	if err != nil {
		t.Fatal(err)
	}
	l.mustWait(t)
	all := l.Invocations()
	if len(all) != 3 {
		t.Fatalf("%d invocations", len(all))
	}
	if all[0].init <= 0 || all[1].init != 0 || all[2].RequestID != id || all[2].Attempt != 1 || all[2].Error != nil ||
		string(all[2].Payload) != `{"name":"three"}` || !bytes.Contains(all[2].response, []byte("three")) || all[2].Duration <= 0 || all[2].Exit != "" {
		t.Errorf("invocations %+v", all)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "handling " + id + "\n"; !strings.Contains(out.String(), want) {
		t.Errorf("output %q lacks %q", out, want)
	}
}

// A runtime may ask for its next event before we have read its response.
func TestOutcomeBeforePoll(t *testing.T) {
	for range 200 {
		e := &environment{
			polls:    make(chan chan<- delivery),
			outcomes: make(chan outcome, 1),
			process:  &process{exited: make(chan struct{})},
		}
		first := make(chan delivery)
		e.poll = first
		go func() { // a runtime
			<-first
			e.outcomes <- outcome{response: []byte("done")}
			e.polls <- make(chan delivery)
		}()
		response, err := e.invoke(delivery{id: "a", payload: []byte("{}"), deadline: time.Now().Add(10 * time.Second)}, 10*time.Second, nil)
		if string(response) != "done" || err != nil || e.poll == nil {
			t.Fatalf("%s, %v; asks: %t", response, err, e.poll != nil)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_THE_PARENT", "1")
	l, _ := startFunction(t, Options{MemoryMB: 256, Timeout: 5 * time.Second,
		Env: map[string]string{"MY_SETTING": "x", "AWS_ACCESS_KEY_ID": "mine", "AWS_LAMBDA_RUNTIME_API": "nowhere"}})
	var env []string
	r := l.mustInvoke(t, `{"do":"env"}`)
	if err := json.Unmarshal(r.Payload, &env); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"AWS_LAMBDA_FUNCTION_NAME=function", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"_HANDLER=bootstrap", "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=mine", "MY_SETTING=x", "AWS_EC2_METADATA_DISABLED=true"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is not in %q", want, env)
		}
	}
	for _, v := range env {
		if strings.HasPrefix(v, "SECRET_OF_THE_PARENT=") || strings.HasPrefix(v, "HOME=") {
			t.Errorf("the parent's %s got through", v)
		}
	}
	var left int64
	r = l.mustInvoke(t, `{"do":"deadline"}`)
	if err := json.Unmarshal(r.Payload, &left); err != nil || left > 5000 || left < 4000 {
		t.Errorf("%d ms left, %v", left, err)
	}
}

func TestRetriesAndDeadLetter(t *testing.T) {
	l, _ := startFunction(t, Options{})
	id, err := l.InvokeAsync([]byte(`{"do":"error"}`))
	if err != nil {
		t.Fatal(err)
	}
	l.mustWait(t)
	all := l.Invocations()
	if len(all) != 3 {
		t.Fatalf("%d attempts", len(all))
	}
	for i, inv := range all {
		if inv.RequestID != id || inv.Attempt != i+1 || inv.Error == nil || inv.Error.kind != "failure" || inv.Error.Message != "as told" || inv.Exit != "" {
			t.Errorf("attempt %d: %+v", i+1, inv)
		}
	}
	dead := l.DeadLetters()
	if len(dead) != 1 {
		t.Fatalf("%d dead letters", len(dead))
	}
	document, err := json.Marshal(dead[0])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":"1.0","timestamp":"` + dead[0].Timestamp + `",` +
		`"requestContext":{"requestId":"` + id + `","functionArn":"` + l.arn + `:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":3},` +
		`"requestPayload":{"do":"error"},` +
		`"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},` +
		`"responsePayload":{"errorMessage":"as told","errorType":"failure"}}`
	if string(document) != want {
		t.Errorf("record\n%s\nwant\n%s", document, want)
	}

	if r := l.mustInvoke(t, `{"do":"error"}`); r.Error == nil || len(l.Invocations()) != 4 {
		t.Errorf("a synchronous call: %+v, %d attempts", r, len(l.Invocations())-3)
	}
}

func TestRetrySucceeds(t *testing.T) {
	l, _ := startFunction(t, Options{Env: map[string]string{"TMPDIR": t.TempDir()}})
	if _, err := l.InvokeAsync([]byte(`{"do":"fail-once"}`)); err != nil {
		t.Fatal(err)
	}
	l.mustWait(t)
	all := l.Invocations()
	if len(all) != 2 || all[0].Error == nil || all[1].Error != nil || len(l.DeadLetters()) != 0 {
		t.Errorf("attempts %+v", all)
	}
}

func TestNoRetries(t *testing.T) {
	l, _ := startFunction(t, Options{RetryDelays: []time.Duration{}})
	if _, err := l.InvokeAsync([]byte(`{"do":"error"}`)); err != nil {
		t.Fatal(err)
	}
	l.mustWait(t)
	if len(l.Invocations()) != 1 || len(l.DeadLetters()) != 1 {
		t.Errorf("%d attempts, %d dead letters", len(l.Invocations()), len(l.DeadLetters()))
	}
}

// TestRestarts ends the process in several ways. Each time the next event must
// have a new one.
func TestRestarts(t *testing.T) {
	l, out := startFunction(t, Options{Timeout: time.Second})
	last := l.mustInvoke(t, `{}`).answer(t).PID
	for _, c := range []struct {
		event, kind, message, exit string
	}{
		{`{"do":"panic"}`, "string", "as told", "exit status 1"},
		{`{"do":"exit"}`, "Runtime.ExitError", "Runtime exited with error: exit status 3", "exit status 3"},
		{`{"sleep":5000}`, "Sandbox.Timedout", "Task timed out after 1.00 seconds", "signal: killed"},
		{`{"do":"big"}`, "Function.ResponseSizeTooLarge", "exceeded maximum allowed payload size (6291556 bytes)", "exit status 1"},
	} {
		before := time.Now()
		r := l.mustInvoke(t, c.event)
		took := time.Since(before)
		if r.Error == nil || r.Error.kind != c.kind || !strings.Contains(r.Error.Message, c.message) || !json.Valid(r.Error.payload) {
			t.Errorf("%s: %+v", c.event, r.Error)
		}
		if took > 4*time.Second {
			t.Errorf("%s took %v", c.event, took)
		}
		all := l.Invocations()
		if exit := all[len(all)-1].Exit; exit != c.exit {
			t.Errorf("%s: exit %q, want %q", c.event, exit, c.exit)
		}
		next := l.mustInvoke(t, `{}`).answer(t).PID
		if next == last {
			t.Errorf("%s: the process was used again", c.event)
		}
		last = next
	}
	if !strings.Contains(out.String(), "as told") {
		t.Errorf("output %q lacks the panic", out)
	}
}

func TestInitErrors(t *testing.T) {
	for how, c := range map[string]struct{ kind, message, exit string }{
		"exit":   {"Runtime.ExitError", "exit status 7", "exit status 7"},
		"report": {"Config.Missing", "no settings", ""},
		"hang":   {"Sandbox.Timedout", "timed out after 0.20 seconds", "signal: killed"},
	} {
		t.Run(how, func(t *testing.T) {
			o := Options{Env: map[string]string{"INIT": how}}
			l, out := startFunction(t, o)
			if how == "hang" {
				l.initTimeout = 200 * time.Millisecond
			}
			if _, err := l.InvokeAsync([]byte(`{}`)); err != nil {
				t.Fatal(err)
			}
			l.mustWait(t)
			time.Sleep(20 * time.Millisecond) // for restarts that should not happen
			all := l.Invocations()
			if len(all) != 3 || len(l.DeadLetters()) != 1 {
				t.Fatalf("%d attempts, %d dead letters", len(all), len(l.DeadLetters()))
			}
			for _, inv := range all {
				if inv.Error == nil || inv.Error.kind != c.kind || !strings.Contains(inv.Error.Message, c.message) || c.exit != "" && inv.Exit != c.exit || inv.init <= 0 {
					t.Errorf("attempt %+v: %v", inv, inv.Error)
				}
			}
			if how == "exit" && strings.Count(out.String(), "cannot start\n") != 3 {
				t.Errorf("output %q", out)
			}
		})
	}
	text := filepath.Join(t.TempDir(), "bootstrap")
	if err := os.WriteFile(text, []byte("not a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Start(t.Context(), Options{Bootstrap: text})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if r := l.mustInvoke(t, `{}`); r.Error == nil || r.Error.kind != "Runtime.InvalidEntrypoint" {
		t.Errorf("not executable: %+v", r)
	}
	for _, o := range []Options{{Bootstrap: text + "x"}, {Bootstrap: filepath.Dir(text)}, {Bootstrap: text, RetryDelays: make([]time.Duration, 3)}} {
		if _, err := Start(t.Context(), o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

func TestConcurrency(t *testing.T) {
	l, _ := startFunction(t, Options{Concurrency: 3})
	for range 6 {
		if _, err := l.InvokeAsync([]byte(`{"sleep":200}`)); err != nil {
			t.Fatal(err)
		}
	}
	l.mustWait(t)
	all := l.Invocations()
	pids := make(map[int]bool)
	most := 0
	for _, inv := range all {
		pids[Result{Payload: inv.response}.answer(t).PID] = true
		at := 0
		for _, other := range all {
			if !other.Started.After(inv.Started) && other.Started.Add(other.Duration).After(inv.Started) {
				at++
			}
		}
		most = max(most, at)
	}
	if len(all) != 6 || len(pids) != 3 || most < 2 || most > 3 {
		t.Errorf("%d invocations in %d processes, at most %d at a time", len(all), len(pids), most)
	}
	// Events one after the other use the warm process.
	last := l.mustInvoke(t, `{}`).answer(t).PID
	if next := l.mustInvoke(t, `{}`).answer(t).PID; next != last {
		t.Errorf("process %d after %d", next, last)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Start(ctx, Options{
		Bootstrap:   os.Getenv("LOCALAWS_TEST_BOOTSTRAP"),
		Concurrency: 2,
		Env:         map[string]string{"INIT": "stubborn"}, // ignores SIGTERM
		Timeout:     time.Minute,
		RetryDelays: []time.Duration{time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	l.shutdownGrace = 50 * time.Millisecond
	pid := l.mustInvoke(t, `{}`).answer(t).PID
	if _, err := l.InvokeAsync([]byte(`{"do":"error"}`)); err != nil { // its retry is an hour away
		t.Fatal(err)
	}
	for len(l.Invocations()) < 2 {
		time.Sleep(time.Millisecond)
	}
	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	if _, err := l.Invoke(short, []byte(`{"sleep":60000}`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("gave up with %v", err)
	}
	if err := l.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited with %v", err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := l.Invoke(context.Background(), []byte(`{"sleep":60000}`))
		waiting <- err
	}()
	cancel() // has the effect of Close
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, errClosed) {
		t.Errorf("closed with %v", err)
	}
	if err := l.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := l.InvokeAsync([]byte(`{}`)); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
	if p, err := os.FindProcess(pid); err == nil && p.Signal(syscall.Signal(0)) == nil {
		t.Errorf("process %d is still there", pid)
	}
	awstest.Settle(t, before)
}

// TestStackRunsFunction is the example in package localaws: storing an object
// invokes the function with its event.
func TestStackRunsFunction(t *testing.T) {
	stack := awstest.Start(t, localaws.Options{}, "logs")
	l, _ := startFunction(t, Options{Env: stack.Env()})
	stack.S3.SetOnCreated(func(o s3.ObjectCreated) {
		if _, err := l.InvokeAsync(s3.Event(o)); err != nil {
			t.Error(err)
		}
	})
	if _, err := stack.S3.Put("logs", "a b", []byte("body")); err != nil {
		t.Fatal(err)
	}
	l.mustWait(t)
	all := l.Invocations()
	if len(all) != 1 || all[0].Error != nil || !bytes.Contains(all[0].Payload, []byte(`"key":"a+b"`)) {
		t.Errorf("invocations %+v", all)
	}
}
