package connlog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/connlog/internal/scan"
)

// seedLines are the lines of testdata and some generated ones.
func seedLines(f *testing.F) []string {
	files, err := filepath.Glob("testdata/*.log")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	var lines []string
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		lines = append(lines, strings.Split(string(data), "\n")...)
	}
	var made bytes.Buffer
	if err := connlogtest.Write(&made, connlogtest.Options{Lines: 40}); err != nil {
		f.Fatal(err)
	}
	return append(lines, strings.Split(made.String(), "\n")...)
}

// FuzzParse compares the parser with the reference.
func FuzzParse(f *testing.F) {
	for _, line := range seedLines(f) {
		f.Add(line)
	}
	for _, addr := range []string{"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4", "::1.2.3.4", "1::2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "1::2::3", "12345::", ":1", "1:"} {
		f.Add(strings.Replace(docSuccess, "203.0.113.1", addr, 1))
	}
	for _, subject := range []string{`a" b`, `a" "b`, `a" - - Success`, `a" - - Success T k app/a/1 1 "x`} {
		f.Add(strings.Replace(docSuccess, "CN=", subject, 1))
	}
	for _, id := range []string{"app/a\x01/1", "app/a/1\x7f", "net/a-/1", "gwy/a/1", `"app/a/1"`, "app/a/1 10.0.0.1 a\"b", "arn:aws:elasticloadbalancing:us-east-2:1:loadbalancer/app/a/1", "arn:loadbalancer/app/a/1"} {
		f.Add(docSuccess + " x25519 " + id)
	}
	var p Parser
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\n") {
			return
		}
		var e Entry
		err := p.Parse([]byte(line), &e)
		want := connlogtest.Reference(line)
		if want == nil || err != nil {
			if want != nil || err == nil {
				t.Fatalf("%q\nparser: %v\nreference: %q", line, err, want)
			}
			var pe *ParseError
			if !errors.As(err, &pe) || pe.Err == nil || len(pe.text) > maxErrorText+3 {
				t.Fatalf("%q: error is %#v", line, err)
			}
			return
		}
		get := func(i int) string {
			if i < len(want) {
				return want[i]
			}
			return ""
		}
		when, _ := time.Parse(time.RFC3339, want[0])
		client, _ := netip.ParseAddr(strings.Trim(want[1], "[]"))
		switch {
		case !e.Time.Equal(when),
			e.Client != client.Unmap(),
			e.Protocol != want[4], e.Cipher != want[5],
			e.HasLatency != (want[6] != ""),
			string(e.ClientCert.Subject) != want[7], string(e.ClientCert.Validity) != want[8], string(e.ClientCert.Serial) != want[9],
			e.Status != want[10], string(e.TraceID) != get(11), e.KeyExchange != get(12), e.LoadBalancer != get(13), e.Node != get(14):
			t.Fatalf("%q\nparser: %+v\nreference: %q", line, e, want)
		}
	})
}

// FuzzUsual compares the fast path for lines of the usual form, which learns from
// every line, with the parser of fields, which FuzzParse compares with the reference.
func FuzzUsual(f *testing.F) {
	lines := seedLines(f)
	for i, line := range lines {
		f.Add(line + "\n" + lines[(i+1)%len(lines)] + "\n")
	}
	for _, text := range strangeLines {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var p Parser
		for _, line := range lines {
			p.Parse([]byte(line), new(Entry)) // from which it knows what is usual
		}
		p.Parse([]byte(text[:min(len(text), scan.MinuteLen)]+docSuccess[scan.MinuteLen:]), new(Entry))
		asParsed(t, &p, text)
	})
}

// used is an entry with the values of another line.
var used = Entry{
	Time: time.Unix(1, 2), Client: netip.IPv6Unspecified(), ClientPort: 3, ListenerPort: 4, Protocol: "p", Cipher: "c",
	HandshakeLatency: 5, HasLatency: true, ClientCert: ClientCert{[]byte("s"), []byte("v"), time.Unix(6, 7), time.Unix(8, 9), []byte("n")},
	Status: "t", TraceID: []byte("i"), KeyExchange: "k", LoadBalancer: "l", Node: "o", ServerName: []byte("d"),
}

// asParsed checks that p reads the lines of a text as the parser of fields does, and
// returns how many of them take the fast path.
func asParsed(t *testing.T, p *Parser, text string) (usual int) {
	var q Parser
	buf := append([]byte(text), make([]byte, len(head{}))...)
	for rest := buf[:len(text)]; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		whole := len(line)
		line = bytes.TrimSuffix(line, []byte("\r"))
		got, want := used, Entry{}
		var err *ParseError
		errWant := q.parse(line, 0, &want)
		start, end := p.usual(rest, &got)
		if end == 0 {
			err = p.parse(line, start, &got)
		} else if usual++; !ended || end != whole+1 {
			t.Fatalf("%q: taken for a line of %d bytes", rest, end)
		}
		if (err == nil) != (errWant == nil) || err != nil && err.Error() != errWant.Error() {
			t.Fatalf("%q: error %v, want %v", line, err, errWant)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %+v, want %+v", line, got, want)
		}
		rest = after
	}
	return usual
}

// gunzip decompresses data as gzip(1) does: zeros may follow. A member can end with zeros
// too, at most the eight bytes of its trailer.
func gunzip(data []byte) (plain []byte, broken bool) {
	packed := bytes.TrimRight(data, "\x00")
	for zeros := data[len(packed):]; ; packed = data[:len(packed)+1] {
		gz, err := gzip.NewReader(bytes.NewReader(packed))
		if err == nil {
			plain, err = io.ReadAll(io.LimitReader(gz, 64<<20))
		}
		if err == nil {
			return plain, false
		}
		if len(packed) == len(data) || len(packed) == len(data)-len(zeros)+8 {
			return nil, true
		}
	}
}

// FuzzReader compares the reader with compress/gzip and splitting into lines.
func FuzzReader(f *testing.F) {
	text := strings.Join(seedLines(f)[:20], "\n")
	f.Add([]byte(text))
	f.Add(gzipped(text))
	f.Add(gzipped(text)[:200])
	f.Add(append(gzipped(docSuccess+"\n"), gzipped(docFailed)...))
	f.Add(append(gzipped(docSuccess), 0, 0, 0))
	f.Add([]byte{0x1f, 0x8b})
	f.Add([]byte(strings.Repeat("\n", 17) + docSuccess + strings.Repeat("\r\n", 17) + docFailed + "\n\r\n\n\r\r\n"))
	f.Add([]byte(docSuccess + "\n" + strings.Repeat("x\n", maxShort+2) + docFailed))
	// A second member, truncated in the name of its header.
	f.Add([]byte(byteOrderMark + docSuccess))
	f.Add(append(gzipped(docSuccess), "\x1f\x8b\b\b\x00\x00\x00\x00\x00\x03conn"...))
	var (
		r     = NewReader(nil)
		ahead = NewReader(nil, ReadAhead)
		p     Parser
	)
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, broken := data, false
		if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			plain, broken = gunzip(data)
		}
		r.Reset(bytes.NewReader(data))
		entries, malformed, err := readAll(r)
		ahead.Reset(bytes.NewReader(data))
		entries2, malformed2, err2 := readAll(ahead)
		if entries2 != entries || len(malformed2) != len(malformed) || fmt.Sprint(err2) != fmt.Sprint(err) || ahead.Bytes() != r.Bytes() {
			t.Fatalf("read ahead: %d entries, %d malformed, error %v; else %d, %d, %v", entries2, len(malformed2), err2, entries, len(malformed), err)
		}
		if broken {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("broken gzip: got %v", err)
			}
			return
		}
		if r.wraps > 0 {
			return // see FuzzExports
		}
		if r.other != nil || r.refused != nil {
			return // of another format; see FuzzFormats
		}
		if err != nil {
			t.Fatal(err)
		}
		var good, bad int
		for line := range bytes.SplitSeq(bytes.TrimPrefix(plain, []byte(byteOrderMark)), []byte("\n")) {
			line = bytes.TrimSuffix(line, []byte("\r"))
			var e Entry
			switch {
			case len(line) == 0:
			case len(line) > MaxLineBytes || p.Parse(line, &e) != nil:
				bad++
			default:
				good++
			}
		}
		if entries != good || len(malformed) != bad || r.Bytes() != int64(len(plain)) {
			t.Fatalf("got %d entries and %d malformed of %d bytes, want %d and %d of %d", entries, len(malformed), r.Bytes(), good, bad, len(plain))
		}
	})
}
