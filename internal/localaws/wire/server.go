package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
)

// A Server serves HTTP/1.1 on an ephemeral port of 127.0.0.1. Unlike
// http.Server, its Close cancels the contexts of the requests in progress and
// returns only when their handlers have.
type Server struct {
	addr    string // 127.0.0.1:port
	local   string // localhost:port
	http    *http.Server
	handler http.Handler
	cancel  context.CancelFunc

	mu     sync.Mutex
	closed bool
	active sync.WaitGroup // the accept loop and the handlers
}

// Serve starts a server.
func Serve(h http.Handler) (*Server, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	addr := l.Addr().(*net.TCPAddr)
	s := &Server{addr: addr.String(), local: fmt.Sprintf("localhost:%d", addr.Port), handler: h, cancel: cancel}
	s.http = &http.Server{
		Handler:     s,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(io.Discard, "", 0), // aborted replies are deliberate here
	}
	s.active.Go(func() { s.http.Serve(l) })
	return s, nil
}

// Addr is the host and port where the server listens.
func (s *Server) Addr() string { return s.addr }

// ServeHTTP passes a request on only if its host is this server. Otherwise a web
// page could read what is stored here, once its host name resolves to 127.0.0.1
// (DNS rebinding).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Host != s.addr && !strings.EqualFold(r.Host, s.local) {
		http.Error(w, "this is "+s.addr+" and does not answer requests to another host", http.StatusMisdirectedRequest)
		return
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.active.Add(1)
	s.mu.Unlock()
	defer s.active.Done()
	s.handler.ServeHTTP(w, r)
}

// Close ends all connections and waits for the handlers.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	err := s.http.Close()
	s.active.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close server on %s: %w", s.addr, err)
	}
	return nil
}
