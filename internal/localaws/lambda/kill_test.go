//go:build unix

package lambda

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// traceOf waits until a process works on a request, and returns the trace id.
func (f *Function) traceOf(t *testing.T, requestID string) string {
	t.Helper()
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		for trace, env := range f.working {
			env.mu.Lock()
			current := env.current
			env.mu.Unlock()
			if current == requestID {
				f.mu.Unlock()
				return trace
			}
		}
		f.mu.Unlock()
	}
	t.Fatalf("no process works on %s", requestID)
	return ""
}

// Kill kills the process of one attempt and no other. The retry has a new process
// and the same request id.
func TestKill(t *testing.T) {
	l, _ := startFunction(t, Options{Concurrency: 2, Timeout: time.Minute})
	victim, err := l.InvokeAsync([]byte(`{"sleep":500}`))
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.InvokeAsync([]byte(`{"sleep":500}`))
	if err != nil {
		t.Fatal(err)
	}
	trace := l.traceOf(t, victim)
	l.traceOf(t, other)
	if !l.Kill(trace) {
		t.Fatal("no process killed")
	}
	if l.Kill(trace) || l.Kill("Root=1-0-0") {
		t.Error("killed twice, or killed for an unknown trace id")
	}
	l.mustWait(t)
	var traces []string
	for _, inv := range l.Invocations() {
		traces = append(traces, inv.TraceID)
		switch first := inv.TraceID == trace; {
		case first && (inv.RequestID != victim || inv.Attempt != 1 || inv.Exit != "signal: killed" || inv.Error == nil || inv.Error.kind != "Runtime.ExitError"):
			t.Errorf("killed: %+v, %v", inv, inv.Error)
		case !first && (inv.Error != nil || inv.Exit != ""):
			t.Errorf("not killed: %+v, %v", inv, inv.Error)
		case !first && inv.RequestID == victim && inv.Attempt != 2:
			t.Errorf("retry: %+v", inv)
		}
	}
	slices.Sort(traces)
	if len(slices.Compact(traces)) != 3 {
		t.Errorf("trace ids %q of three attempts", traces)
	}
	if l.Kill(traces[0]) {
		t.Error("killed a process that was done")
	}
}

// A process that is killed right after its response does not get the next event.
func TestKillLate(t *testing.T) {
	l, _ := startFunction(t, Options{RetryDelays: []time.Duration{}, Timeout: time.Minute})
	for i := range 15 {
		id, err := l.InvokeAsync([]byte(`{"sleep":20}`))
		if err != nil {
			t.Fatal(err)
		}
		next, err := l.InvokeAsync([]byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		trace := l.traceOf(t, id)
		time.Sleep(18*time.Millisecond + time.Duration(i)*400*time.Microsecond)
		killed := l.Kill(trace)
		l.mustWait(t)
		for _, inv := range l.Invocations() {
			if inv.RequestID == next && (inv.Error != nil || inv.Exit != "") {
				t.Errorf("the next event failed: %v", inv.Error)
			}
			if inv.RequestID == id && killed != (inv.Exit == "signal: killed") {
				t.Errorf("killed %v, exit %q", killed, inv.Exit)
			}
		}
	}
}

// The function gets the trace id of its attempt.
func TestTraceID(t *testing.T) {
	l, _ := startFunction(t, Options{})
	for range 2 {
		r := l.mustInvoke(t, `{"do":"env"}`)
		all := l.Invocations()
		var environ []string
		if err := json.Unmarshal(r.Payload, &environ); err != nil {
			t.Fatal(err)
		}
		if want := "_X_AMZN_TRACE_ID=" + all[len(all)-1].TraceID; !slices.Contains(environ, want) {
			t.Errorf("no %s in the environment %q", want, environ)
		}
	}
}
