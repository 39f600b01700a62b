package lambda

import (
	"bytes"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"tlswatch/internal/localaws/wire"
)

// environ is the environment of the function's processes.
//
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
func (f *Function) environ(runtimeAPI string) []string {
	env := make(map[string]string)
	for _, name := range [...]string{"PATH", "TMPDIR", "TMP", "TEMP", "SYSTEMROOT"} {
		if v, ok := os.LookupEnv(name); ok {
			env[name] = v
		}
	}
	maps.Copy(env, map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME":        f.o.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.o.MemoryMB),
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + f.o.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + wire.RandomHex(16),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"LAMBDA_TASK_ROOT":                filepath.Dir(f.o.Bootstrap),
		"TZ":                              ":UTC",
		"LANG":                            "en_US.UTF-8",
	})
	maps.Copy(env, wire.BaseEnv(f.o.Region))
	maps.Copy(env, f.o.Env)
	env["_HANDLER"] = f.o.Handler
	env["AWS_LAMBDA_RUNTIME_API"] = runtimeAPI

	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// A process is a running or ended child, in a process group of its own.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed after Wait
	reason string        // how it ended; to be read after exited
}

func startProcess(path string, env []string, output *lineWriters) (*process, error) {
	out := output.writer()
	cmd := exec.Command(path)
	cmd.Dir = filepath.Dir(path)
	cmd.Env = env
	cmd.Stdout = out
	cmd.Stderr = out
	cmd.WaitDelay = time.Second // for output of grandchildren
	isolate(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		cmd.Wait() // its error is in ProcessState too
		p.reason = cmd.ProcessState.String()
		out.flush()
	}()
	return p, nil
}

// ended reports whether the process is gone.
func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// kill sends SIGKILL to the process and its descendants.
func (p *process) kill() {
	if !p.ended() {
		killGroup(p.cmd.Process)
	}
}

// end terminates the process, kills it after the grace, and says how it ended.
func (p *process) end(grace time.Duration) (exit string) {
	if grace > 0 && !p.ended() {
		terminate(p.cmd.Process)
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-p.exited:
		case <-t.C:
		}
	}
	p.kill()
	<-p.exited
	return p.reason
}

// A lineWriters lets many processes share a writer without cutting each
// other's lines.
type lineWriters struct {
	mu sync.Mutex
	w  io.Writer
}

// A lineWriter passes on whole lines. The process does not see errors of the
// writer behind it.
type lineWriter struct {
	all  *lineWriters
	rest []byte // the beginning of a line
}

func (l *lineWriters) writer() *lineWriter { return &lineWriter{all: l} }

func (l *lineWriter) Write(p []byte) (int, error) {
	const longest = 1 << 20 // of a line
	l.rest = append(l.rest, p...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	if end == 0 && len(l.rest) > longest {
		end = len(l.rest)
	}
	l.pass(end)
	return len(p), nil
}

func (l *lineWriter) flush() {
	if len(l.rest) > 0 {
		l.rest = append(l.rest, '\n')
	}
	l.pass(len(l.rest))
}

func (l *lineWriter) pass(n int) {
	if n == 0 {
		return
	}
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	l.all.w.Write(l.rest[:n])
	l.rest = append(l.rest[:0], l.rest[n:]...)
}
