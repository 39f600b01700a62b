package tlswire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"testing"

	"tlswatch/pkg/tlsname"
)

// events collects the events of a Reader, which do not depend on the pieces.
type events struct {
	records  int
	alerts   [][2]uint8
	messages []Message
	begun    int
}

func (e *events) Record(uint8, tlsname.Version, int) { e.records++ }
func (e *events) Alert(level, description uint8) {
	e.alerts = append(e.alerts, [2]uint8{level, description})
}
func (e *events) Message(m Message) { e.messages = append(e.messages, m) }
func (e *events) Begin(uint8)       { e.begun++ }

func (e *events) equal(o *events) bool {
	if e.records != o.records || e.begun != o.begun || len(e.alerts) != len(o.alerts) || len(e.messages) != len(o.messages) {
		return false
	}
	for i := range e.alerts {
		if e.alerts[i] != o.alerts[i] {
			return false
		}
	}
	for i, m := range e.messages {
		n := o.messages[i]
		if m.Type != n.Type || m.Length != n.Length || !bytes.Equal(m.Bytes, n.Bytes) {
			return false
		}
	}
	return true
}

// FuzzRecords checks that the events are the same for one piece and for any pieces.
func FuzzRecords(f *testing.F) {
	client, server, _ := exchange(f, &tls.Config{MaxVersion: tls.VersionTLS12})
	f.Add(client, 7)
	f.Add(server, 100)
	f.Add(append(record(22, client[5:100]), record(22, client[100:])...), 3)
	f.Add(record(21, []byte{2, 40}), 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		var whole, pieces Reader
		var a, b events
		whole.Read(data, &a)
		for rest := data; len(rest) > 0; {
			n := min(len(rest), max(size, 1))
			pieces.Read(rest[:n], &b)
			rest = rest[n:]
			if pieces.Held() > 2*MaxHello {
				t.Fatalf("%d bytes in the buffer", pieces.Held())
			}
		}
		whole.End(&a)
		pieces.End(&b)
		if !a.equal(&b) {
			t.Errorf("in one piece: %+v\nin pieces of %d: %+v", a, size, b)
		}
	})
}

// FuzzClientHello checks that everything decoded is within the message, and that no
// strict prefix is taken for a whole message.
func FuzzClientHello(f *testing.F) {
	f.Add(helloOf(f, &tls.Config{}))
	f.Add(helloOf(f, &tls.Config{MaxVersion: tls.VersionTLS12}))
	f.Add(build([]tlsname.Suite{0x1301, 0x2a2a}, Extension{extPreSharedKey, []byte{0, 7, 0, 1, 9, 0, 0, 0, 0, 0, 2, 1, 5}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParseClientHello(data)
		if h == nil {
			t.Fatal("no ClientHello")
		}
		size := len(h.SessionID) + 2*len(h.CipherSuites)
		for _, e := range h.Extensions {
			size += 4 + len(e.data)
		}
		if size > len(data) {
			t.Errorf("%d bytes are decoded of %d", size, len(data))
		}
		if err != nil {
			return
		}
		if len(h.JA3()) != 32 || len(h.JA4()) != 36 {
			t.Errorf("fingerprints %s, %s", h.JA3(), h.JA4())
		}
		for n := range data {
			if _, err := ParseClientHello(data[:n]); !errors.Is(err, ErrIncomplete) {
				t.Fatalf("%d of %d bytes: %v", n, len(data), err)
			}
		}
	})
}
