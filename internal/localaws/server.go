package localaws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
)

// A server serves HTTP/1.1 on an ephemeral port of 127.0.0.1. Unlike
// http.Server, its close cancels the contexts of the requests in progress and
// returns only when their handlers have.
type server struct {
	addr    string // host:port
	http    *http.Server
	handler http.Handler
	cancel  context.CancelFunc

	mu     sync.Mutex
	closed bool
	active sync.WaitGroup // the accept loop and every handler
}

func serve(h http.Handler) (*server, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{addr: l.Addr().String(), handler: h, cancel: cancel}
	s.http = &http.Server{
		Handler:     s,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(io.Discard, "", 0), // aborted replies are deliberate here
	}
	s.active.Go(func() { s.http.Serve(l) })
	return s, nil
}

// URL is where the server listens, without a path.
func (s *server) URL() string { return "http://" + s.addr }

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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

func (s *server) close() error {
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
