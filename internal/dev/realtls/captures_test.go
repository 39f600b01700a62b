package realtls

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"tlswatch/internal/dev/tlsclientgen/clientfile"
	"tlswatch/pkg/clienthello/tlswire"
)

var update = flag.Bool("update", false, "add the installed programs to ../tlsclientgen/data/captures.json")

const capturesFile = "../tlsclientgen/data/captures.json"

// hello returns the ClientHello that a program sends to a server, in its records.
func hello(t *testing.T, p *program) []byte {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := p.fetch(ctx, p, t.TempDir(), l.Addr().(*net.TCPAddr).Port)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		cmd.Wait()
	}()
	ended := make(chan struct{})
	go func() {
		select {
		case <-ended:
		case <-ctx.Done():
			l.Close()
		}
	}()
	defer close(ended)
	conn, err := l.Accept()
	if err != nil {
		cmd.Wait()
		t.Fatalf("%s does not connect: %v\n%s", p, err, &out)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	records, err := readHello(conn)
	if err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	conn.Write([]byte{21, 3, 1, 0, 2, 2, 40}) // alert handshake_failure
	return records
}

// readHello reads the records of a ClientHello.
func readHello(r io.Reader) ([]byte, error) {
	var records []byte
	for n := 0; ; {
		header := make([]byte, 5)
		if _, err := io.ReadFull(r, header); err != nil {
			return nil, err
		}
		body := make([]byte, binary.BigEndian.Uint16(header[3:]))
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, err
		}
		records = append(append(records, header...), body...)
		n += len(body)
		if message := messageOf(records); len(message) >= 4 && n >= 4+int(binary.BigEndian.Uint32(message)&0xffffff) {
			return records, nil
		}
	}
}

// messageOf returns the handshake message in records.
func messageOf(records []byte) (message []byte) {
	for len(records) >= 5 {
		n := 5 + int(binary.BigEndian.Uint16(records[3:]))
		n = min(n, len(records))
		message = append(message, records[5:n]...)
		records = records[n:]
	}
	return message
}

// TestCaptures compares data/captures.json with what the installed programs send, and
// their JA4 fingerprints with those by tshark.
func TestCaptures(t *testing.T) {
	needReal(t)
	text, err := os.ReadFile(capturesFile)
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := clientfile.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	var hellos [][]byte
	var fingerprints []string
	for _, p := range programs(t) {
		records := hello(t, p)
		h, err := tlswire.ParseClientHello(messageOf(records))
		if err != nil {
			t.Fatal(err)
		}
		hellos, fingerprints = append(hellos, records), append(fingerprints, h.JA4())
		c := clientfile.Client{Software: p.software, Version: p.version, Platform: p.library, Kind: p.kind}
		c.Set(h)
		i := slices.IndexFunc(recorded, func(r clientfile.Client) bool {
			return r.Software == c.Software && r.Version == c.Version && r.Platform == c.Platform
		})
		switch {
		case i >= 0:
			c.Released = recorded[i].Released
			if compared++; !c.Equal(&recorded[i]) {
				t.Errorf("%s sends %+v, recorded is %+v", p, c, recorded[i])
			}
		case *update:
			recorded = append(recorded, c)
			t.Logf("%s: added; fill in the year of its release", p)
		default:
			t.Logf("%s is not recorded", p)
		}
	}
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Log("SKIPPED: tshark is not on PATH")
	} else if got := fromTShark(t, hellos); !slices.Equal(got, fingerprints) {
		t.Errorf("JA4 by tshark %q, ours %q", got, fingerprints)
	}
	if *update {
		slices.SortFunc(recorded, func(a, b clientfile.Client) int {
			return cmp.Or(cmp.Compare(a.Software, b.Software), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Platform, b.Platform))
		})
		text, err := clientfile.Write(recorded)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(capturesFile, text, 0o666); err != nil {
			t.Fatal(err)
		}
	} else if compared == 0 {
		t.Error("no installed program is recorded")
	}
}
