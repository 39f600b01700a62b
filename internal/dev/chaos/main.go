// Command chaos runs the built function against services of its own, kills its
// processes and breaks its calls, and judges what arrived at CloudWatch and SNS
// by a reference of its own. It shares no code with what it judges.
//
// It prints what was lost, doubled, missed and alerted twice, and keeps a trace
// of each seed that failed. Processes do not replay exactly: a seed fixes the
// logs, the events and the likelihood of faults, not who comes first.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// options are the command's flags.
type options struct {
	group     string
	seeds     int
	first     uint64
	kills     int
	faults    int
	limit     time.Duration
	parallel  int
	bootstrap string
	traces    string
	keep      bool
}

func main() {
	var o options
	flag.StringVar(&o.group, "group", "all", "group of seeds: batches, accepted (5xx after acceptance), everything, or all")
	flag.IntVar(&o.seeds, "seeds", 20, "seeds of each group, at least")
	flag.Uint64Var(&o.first, "first", 1, "the first seed")
	flag.IntVar(&o.kills, "kills", 500, "processes to kill, at least")
	flag.IntVar(&o.faults, "faults", 5000, "calls to break, at least")
	flag.DurationVar(&o.limit, "time", 30*time.Minute, "time in which all this has to be done")
	flag.IntVar(&o.parallel, "parallel", 12, "seeds at the same time")
	flag.StringVar(&o.bootstrap, "bootstrap", "", "the built function; built from this checkout if empty")
	flag.StringVar(&o.traces, "traces", "build/chaos", "directory for the traces of seeds that failed")
	flag.BoolVar(&o.keep, "keep", false, "keep the traces of all seeds")
	flag.Parse()
	if err := o.run(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func (o options) run() error {
	dir, err := os.MkdirTemp("", "chaos")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.bootstrap == "" {
		o.bootstrap = filepath.Join(dir, "bootstrap")
		build := exec.Command("go", "build", "-tags", "lambda.norpc", "-trimpath", "-ldflags", "-s -w", "-o", o.bootstrap, "./functions/processor")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the function: %w\n%s", err, out)
		}
	}
	chosen := groups[:0:0]
	for _, g := range groups {
		if o.group == "all" || o.group == g.name {
			chosen = append(chosen, g)
		}
	}
	if len(chosen) == 0 || o.seeds < 1 || o.parallel < 1 {
		return errors.New("nothing to do: see -help")
	}
	h, err := newHarness(o.bootstrap, o.parallel)
	if err != nil {
		return err
	}
	defer h.close()
	return o.all(h, chosen)
}

// A harness is what all worlds share: the servers of all endpoints, which know
// the processes by their numbers.
type harness struct {
	bootstrap         string
	services, runtime string // addresses
	servers           []*http.Server
	running           chan struct{} // has room for the worlds that run at the same time

	mu        sync.Mutex
	last      int
	processes map[int]*process
}

func newHarness(bootstrap string, parallel int) (*harness, error) {
	h := &harness{bootstrap: bootstrap, processes: make(map[int]*process), running: make(chan struct{}, parallel)}
	var err error
	// Services end idle connections often, as they do for a function that was
	// frozen. The runtime API is on the function's own machine.
	if h.services, err = h.listen(500 * time.Millisecond); err != nil {
		return nil, err
	}
	if h.runtime, err = h.listen(0); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *harness) listen(idle time.Duration) (address string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, IdleTimeout: idle}
	h.servers = append(h.servers, s)
	go s.Serve(listener) // ends with close
	return listener.Addr().String(), nil
}

func (h *harness) close() {
	for _, s := range h.servers {
		s.Close()
	}
}

// ServeHTTP takes a request of a process. Of one that was killed, it is on its
// way, and fails.
func (h *harness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	id, service, rest, ok := split(r.URL.Path)
	h.mu.Lock()
	p := h.processes[id]
	h.mu.Unlock()
	switch {
	case !ok || p == nil:
		panic(http.ErrAbortHandler)
	case service == "runtime":
		p.runtime(rw, r, rest)
	default:
		p.serve(rw, r, service, rest)
	}
}

func (h *harness) register(p *process) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	h.processes[h.last] = p
	return h.last
}

func (h *harness) forget(p *process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.processes, p.id)
}

// endProcesses ends those of a world, and has read their logs when it returns.
func (h *harness) endProcesses(w *world) {
	h.mu.Lock()
	var list []*process
	for _, p := range h.processes {
		if p.world == w {
			list = append(list, p)
		}
	}
	h.mu.Unlock()
	for _, p := range list {
		p.kill()
	}
}

// write keeps the trace of a seed.
func (w *world) write(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	name := filepath.Join(dir, fmt.Sprintf("%s-%d.trace", w.trouble.group.name, w.seed))
	return name, os.WriteFile(name, []byte(strings.Join(w.lines, "\n")+"\n"), 0o644)
}
