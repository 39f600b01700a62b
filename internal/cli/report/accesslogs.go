package report

import (
	"context"
	"errors"
	"hash/fnv"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/text"
	"tlswatch/pkg/accesslog"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/posture"
	"tlswatch/pkg/report"
)

// An accessLog joins connections with their requests. The connection logs are read twice:
// first for the clients that fail or use weak TLS, then for their successful connections,
// before or after.
type accessLog struct {
	paths   []string
	clients []wanted // by worker
	join    *accesslog.Join
}

// maxWanted is how many clients are looked for.
const maxWanted = 100_000

// wanted is a set of clients. Which are in it does not depend on the order of lines:
// beyond maxWanted, those with large hashes are left out.
type wanted struct {
	set   map[netip.Addr]bool
	limit uint32 // of hashes
}

func (w *wanted) add(a netip.Addr) {
	if w.set[a] || hashOf(a) > w.limit {
		return
	}
	w.set[a] = true
	for len(w.set) > maxWanted {
		w.limit /= 2
		maps.DeleteFunc(w.set, func(a netip.Addr, _ bool) bool { return hashOf(a) > w.limit })
	}
}

func hashOf(a netip.Addr) uint32 {
	h := fnv.New32a()
	b := a.As16()
	h.Write(b[:])
	return h.Sum32()
}

// newAccessLog returns nil if there are no access logs.
func newAccessLog(access, connection []string) (*accessLog, error) {
	switch {
	case len(access) == 0:
		return nil, nil
	case slices.Contains(access, command.StdinPath) || slices.Contains(connection, command.StdinPath):
		return nil, command.Usagef("--access-logs needs files or objects, not standard input: the connection logs are read twice")
	}
	return &accessLog{paths: access, join: accesslog.NewJoin()}, nil
}

// start prepares for workers.
func (a *accessLog) start(workers int) {
	a.clients = make([]wanted, workers)
	for i := range a.clients {
		a.clients[i] = wanted{make(map[netip.Addr]bool), 1<<32 - 1}
	}
}

// line notes the client of a line that is a reason to look for it.
func (a *accessLog) line(worker int, e *connlog.Entry) {
	if e.Failed() || posture.IsWeak(e.Protocol, e.Cipher) {
		a.clients[worker].add(e.Client)
	}
}

// read reads the connection logs again, and then the access logs.
func (a *accessLog) read(ctx context.Context, in *input.Logs, filter *input.Filter, name func(netip.Addr) string, stderr io.Writer) error {
	all := wanted{make(map[netip.Addr]bool), 1<<32 - 1}
	for _, w := range a.clients {
		all.limit = min(all.limit, w.limit)
	}
	for _, w := range a.clients {
		for client := range w.set {
			all.add(client)
		}
	}
	if len(all.set) == 0 {
		return nil
	}
	in.Apply(filter)
	var mu sync.Mutex
	err := in.Scan(ctx, func(_ int, e *connlog.Entry) {
		if len(e.TraceID) > 0 && !e.Failed() && all.set[e.Client] {
			mu.Lock()
			defer mu.Unlock()
			a.join.Want(e.TraceID, name(e.Client))
		}
	})
	if err != nil && !errors.As(err, new(*input.ReadError)) { // those were reported already
		return err
	}
	logs := input.NewAccessLogs(a.paths, console.NewProgress(stderr, "access log"))
	return logs.EachBody(ctx, func(body io.Reader) (int, int64, error) {
		t, err := a.join.Read(body)
		return int(t.Lines), t.Bytes, err
	})
}

// addTo adds the clients to a report, those with the most requests first; 0 means all.
func (a *accessLog) addTo(r *report.Result, top int) {
	clients, read, left := a.join.Clients()
	r.AccessLogs = &report.AccessLogs{Lines: read.Lines, Untraced: read.Untraced, Malformed: read.Malformed, LeftOut: left, Clients: len(clients)}
	if top > 0 {
		clients = clients[:min(top, len(clients))]
	}
	r.ClientRequests = clients
}

// remarks says what the access logs lack.
func (a *accessLog) remarks() (list []string) {
	clients, read, left := a.join.Clients()
	if left > 0 {
		list = append(list, text.Plural(left, "connection")+" not looked for in the access logs: there are more than "+text.Count(accesslog.MaxConnections))
	}
	if read.Lines > 0 && read.Untraced == read.Lines {
		list = append(list, "no line of the access logs has a connection trace id; Elastic Load Balancing writes them since May 2024")
	}
	if len(clients) == 0 {
		list = append(list, "no client that fails or uses weak TLS has a successful connection with a trace id, so nothing was looked for in the access logs")
	}
	return list
}
