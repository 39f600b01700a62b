package realtls

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"tlswatch/pkg/clienthello/tlswire"
)

// A relay passes one connection on to a server and keeps what both ends send.
type relay struct {
	port int

	mu             sync.Mutex
	client, server bytes.Buffer
}

// newRelay starts a relay. It ends with the test.
func newRelay(t *testing.T, address string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &relay{port: l.Addr().(*net.TCPAddr).Port}
	go func() {
		defer l.Close()
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		defer server.Close()
		deadline := time.Now().Add(timeout)
		client.SetDeadline(deadline)
		server.SetDeadline(deadline)
		done := make(chan struct{})
		go func() {
			defer close(done)
			io.Copy(io.MultiWriter(&locked{r, &r.client}, server), client)
			server.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(io.MultiWriter(&locked{r, &r.server}, client), server)
		client.(*net.TCPConn).CloseWrite()
		<-done
	}()
	return r
}

// locked keeps what is written to it for a relay.
type locked struct {
	relay *relay
	to    *bytes.Buffer
}

func (w *locked) Write(b []byte) (int, error) {
	w.relay.mu.Lock()
	defer w.relay.mu.Unlock()
	return w.to.Write(b)
}

// hellos returns the ClientHello, and the ServerHello if there is one.
func (r *relay) hellos() (*tlswire.ClientHello, *tlswire.ServerHello, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	records, err := readHello(bytes.NewReader(r.client.Bytes()))
	if err != nil {
		return nil, nil, err
	}
	client, err := tlswire.ParseClientHello(messageOf(records))
	if err != nil || r.server.Len() == 0 || r.server.Bytes()[0] != 22 {
		return client, nil, err
	}
	records, err = readHello(bytes.NewReader(r.server.Bytes()))
	if err != nil {
		return client, nil, err
	}
	message := messageOf(records)
	length := 4 + int(message[1])<<16 + int(message[2])<<8 + int(message[3])
	server, err := tlswire.ParseServerHello(message[:length])
	return client, server, err
}
