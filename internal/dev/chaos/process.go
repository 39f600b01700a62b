package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a running function, which works on one invocation at a time.
type process struct {
	id    int
	world *world
	cmd   *exec.Cmd
	work  chan *invocation
	gone  chan struct{} // closed when the process has ended and its output is read

	mu      sync.Mutex
	current *invocation
	killed  bool
}

// An invocation is one attempt at an event.
type invocation struct {
	name     string // for the trace: the event and the attempt
	id       string // Lambda's request id
	payload  []byte
	told     time.Duration // until the deadline that the function sees
	limit    time.Duration // until Lambda kills it
	deadline time.Time     // from told, when it begins
	answer   chan answer   // has room for one
}

// An answer is how an invocation ended.
type answer struct {
	ok   bool
	body []byte // what the function returned, or its error
}

// startProcess runs the function with the endpoints of this process alone, so
// that each request says whose it is.
func (w *world) startProcess() (*process, error) {
	p := &process{world: w, work: make(chan *invocation), gone: make(chan struct{})}
	p.id = w.harness.register(p)
	services := fmt.Sprintf("http://%s/p/%d/", w.harness.services, p.id)
	env := map[string]string{
		"AWS_LAMBDA_RUNTIME_API": fmt.Sprintf("%s/p/%d/runtime", w.harness.runtime, p.id), "_HANDLER": "bootstrap", "AWS_LAMBDA_LOG_FORMAT": "JSON",
		"AWS_LAMBDA_FUNCTION_NAME": "chaos", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
		"AWS_REGION": region, "AWS_ACCESS_KEY_ID": "chaos", "AWS_SECRET_ACCESS_KEY": "chaos", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_ENDPOINT_URL_S3": services + "s3", "AWS_ENDPOINT_URL_SNS": services + "sns",
		"AWS_ENDPOINT_URL_CLOUDWATCH": services + "cloudwatch",
		"STATE_BUCKET":                stateBucket, "ALERT_TOPIC_ARN": topic,
	}
	for name, value := range w.settings {
		env[name] = value
	}
	p.cmd = exec.Command(w.harness.bootstrap)
	for name, value := range env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	out := &logLines{p: p}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.mu.Lock() // it may ask for work before cmd.Process is known
	err := p.cmd.Start()
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	go func() {
		err := p.cmd.Wait()
		if !p.wasKilled() {
			w.violateNow("crash", "process %d ended by itself: %v", p.id, err)
		}
		w.harness.forget(p)
		close(p.gone)
	}()
	return p, nil
}

// kill ends the process, with nothing of it left when it returns, and reports
// whether it was alive.
func (p *process) kill() bool {
	p.mu.Lock()
	was := p.killed
	p.killed = true
	p.mu.Unlock()
	if !was {
		p.cmd.Process.Kill() // an error means that it has ended
	}
	<-p.gone
	return !was
}

func (p *process) wasKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}

// freeze stops the process, and thaws it after some time.
func (p *process) freeze(d time.Duration) {
	p.signal(syscall.SIGSTOP)
	time.AfterFunc(d, func() { p.signal(syscall.SIGCONT) })
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.killed {
		p.cmd.Process.Signal(s) // an error means that it has ended
	}
}

// by names the attempt that the process is at.
func (p *process) by() (string, sender) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil {
		return "nobody", sender{process: p.id}
	}
	return p.current.name, sender{p.id, p.current.id}
}

// runtime is the Lambda Runtime API.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func (p *process) runtime(rw http.ResponseWriter, r *http.Request, path string) {
	const invocations = "/2018-06-01/runtime/invocation/"
	what, ok := strings.CutPrefix(path, invocations)
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return // it was killed
	case ok && r.Method == http.MethodGet && what == "next":
		p.next(rw, r)
	case ok && r.Method == http.MethodPost && strings.HasSuffix(what, "/response"):
		p.finish(rw, strings.TrimSuffix(what, "/response"), answer{true, body})
	case ok && r.Method == http.MethodPost && strings.HasSuffix(what, "/error"):
		p.finish(rw, strings.TrimSuffix(what, "/error"), answer{false, body})
	default:
		p.world.violateNow("crash", "process %d: %s %s: %s", p.id, r.Method, path, body)
		rw.WriteHeader(http.StatusForbidden)
	}
}

// next waits for an invocation. Meanwhile Lambda freezes the process.
func (p *process) next(rw http.ResponseWriter, r *http.Request) {
	frozen := p.world.freezeIdle
	if frozen {
		p.signal(syscall.SIGSTOP)
	}
	select {
	case p.world.idle <- p:
	case <-r.Context().Done():
		return
	}
	var i *invocation
	select {
	case i = <-p.work:
	case <-r.Context().Done():
		return
	}
	if frozen {
		p.signal(syscall.SIGCONT)
	}
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:"+region+":"+account+":function:chaos")
	h.Set("Lambda-Runtime-Trace-Id", fmt.Sprintf("Root=1-%08x-%024x", time.Now().Unix(), p.id))
	rw.Write(i.payload)
}

// finish takes the answer to an invocation. The process can be killed on both
// sides of it, as at any other call.
func (p *process) finish(rw http.ResponseWriter, id string, a answer) {
	p.mu.Lock()
	i := p.current
	p.mu.Unlock()
	if i == nil || i.id != id {
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	f := p.world.fate("runtime", call{operation: "answer"})
	p.world.note("%s answers ok=%v %.300s%s", i.name, a.ok, a.body, f)
	if f.kind == killBefore && p.die(f) {
		panic(http.ErrAbortHandler)
	}
	p.mu.Lock()
	p.current = nil
	p.mu.Unlock()
	i.answer <- a
	if f.kind == killAfter && p.die(f) {
		panic(http.ErrAbortHandler)
	}
	rw.WriteHeader(http.StatusAccepted)
}

// invoke has an invocation done by an idle process, or by a new one, and
// returns when Lambda would know how it ended.
func (w *world) invoke(i *invocation) answer {
	w.slots <- struct{}{}
	defer func() { <-w.slots }()
	for {
		p, err := w.process()
		if err != nil {
			w.violateNow("harness", "starting the function: %v", err)
			return answer{}
		}
		i.deadline = time.Now().Add(i.told)
		p.mu.Lock()
		p.current = i
		p.mu.Unlock()
		select {
		case p.work <- i:
		case <-p.gone: // while it was idle
			continue
		}
		w.begun(i, p)
		if f := w.fate("runtime", call{operation: "work"}); f.kills() {
			time.AfterFunc(f.pause, func() { p.die(f) })
		}
		timer := time.NewTimer(i.limit)
		defer timer.Stop()
		select {
		case a := <-i.answer:
			return a
		case <-timer.C:
			p.die(fault{kind: timeout})
		case <-p.gone:
		}
		select {
		case a := <-i.answer: // it ended behind its answer
			return a
		default:
			return answer{}
		}
	}
}

// process returns one that asks for work.
func (w *world) process() (*process, error) {
	for {
		select {
		case p := <-w.idle:
			select {
			case <-p.gone:
				continue
			default:
				return p, nil
			}
		default:
		}
		p, err := w.startProcess()
		if err != nil {
			return nil, err
		}
		select {
		case p := <-w.idle: // this one, or one that has become idle since
			return p, nil
		case <-p.gone:
			if !p.wasKilled() {
				return nil, fmt.Errorf("process %d ended before it asked for work", p.id)
			}
		}
	}
}

// logLines takes the function's log apart, for the alerts that it says it has
// taken over.
type logLines struct {
	p    *process
	rest []byte
}

func (l *logLines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		l.rest = rest
		l.line(line)
	}
}

func (l *logLines) line(text []byte) {
	w := l.p.world
	var line struct {
		RequestID      string
		LoadBalancer   string
		AlertTakenOver bool
	}
	if json.Unmarshal(text, &line) != nil { // a panic or another end of the Go runtime
		w.violateNow("crash", "process %d: %s", l.p.id, text)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if line.AlertTakenOver {
		w.alertsTold[sender{l.p.id, line.RequestID}] = true
		w.takeOvers[line.LoadBalancer] = true
	}
	w.trace("    log %s", text)
}
