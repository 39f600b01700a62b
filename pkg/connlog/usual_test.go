package connlog

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tlswatch/internal/dev/connlogtest"
)

// ipv4 agrees with netip, and what it leaves to scan.Addr is not an IPv4 address.
func TestUsualIPv4(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	rest := []byte(" 57382 443 TLSv1.3 TLS_AES_128_GCM_SHA256 ")
	taken := 0
	for range 300_000 {
		var parts []string
		for range 4 {
			parts = append(parts, strconv.Itoa(r.IntN(1<<(1+r.IntN(10)))))
		}
		text := []byte(strings.Join(parts, "."))
		if r.IntN(3) == 0 {
			text[r.IntN(len(text))] = byte(r.IntN(256))
		}
		if r.IntN(20) == 0 {
			text = append(text, '.', '1')
		}
		if bytes.IndexByte(text, ' ') >= 0 {
			continue
		}
		want, err := netip.ParseAddr(string(text))
		valid := err == nil && want.Is4()
		var h head
		copy(h[clientStart:], append(text, rest...))
		got, n, ok := h.ipv4()
		if ok != valid || ok && (got != want || n != len(text)) {
			t.Fatalf("%q: got %v of %d bytes, %v; want %v, %v", text, got, n, ok, want, err)
		}
		if ok {
			taken++
		}
	}
	if taken < 50_000 {
		t.Errorf("only %d addresses", taken)
	}
}

func TestNumber(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300_000 {
		b := []byte(strconv.Itoa(10_000_000 + r.IntN(90_000_000)))
		if r.IntN(2) == 0 {
			b[r.IntN(8)] = byte(r.IntN(256))
		}
		n := 1 + r.IntN(7)
		want, err := strconv.ParseUint(string(b[:n]), 10, 64)
		got, ok := number(firstDigits(load(b), n))
		if ok != (err == nil) || ok && got != want {
			t.Fatalf("%q: got %d, %v; want %d, %v", b[:n], got, ok, want, err)
		}
	}
}

func TestSpace(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 300_000 {
		var b [8]byte
		for i := range b {
			b[i] = " !./\x00\xa0\xff7"[r.IntN(8)]
		}
		i := bytes.IndexByte(b[:], ' ')
		if got := hasSpace(load(b[:])) != 0; got != (i >= 0) {
			t.Fatalf("a space in %q: got %v", b, got)
		}
		if i < 0 {
			i = 8
		}
		if got := space(load(b[:])); got != i {
			t.Fatalf("space in %q: got %d, want %d", b, got, i)
		}
	}
}

// Memory after the text is never read as part of it, wherever the text is cut, and
// never changes how a line is read.
func TestBehindTheText(t *testing.T) {
	for _, fields := range []int{11, 12, 15} {
		var log bytes.Buffer
		if err := connlogtest.Write(&log, connlogtest.Options{Seed: 9, Lines: 200, Fields: fields}); err != nil {
			t.Fatal(err)
		}
		lines := bytes.SplitAfter(log.Bytes(), []byte("\n"))
		var p, q Parser
		usual := 0
		for i, line := range lines[:len(lines)-1] {
			behind := slices.Concat(line, lines[i+1], make([]byte, len(head{})))
			for n := range len(line) {
				var e Entry
				if start, end := p.usual(behind[:n], &e); end > 0 || start > n {
					t.Fatalf("%d of %q: taken for a line of %d bytes, whose start has %d", n, line, end, start)
				}
			}
			var got, want Entry
			if err := q.parse(line[:len(line)-1], 0, &want); err != nil {
				t.Fatal(err)
			}
			start, end := p.usual(behind[:len(line)], &got)
			switch {
			case end == len(line):
				usual++
			case end > 0:
				t.Fatalf("%q: %d bytes", line, end)
			default:
				if err := p.parse(line[:len(line)-1], start, &got); err != nil {
					t.Fatal(err)
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%q: %+v, want %+v", line, got, want)
			}
		}
		if usual < 100 {
			t.Errorf("%d fields: only %d lines are usual", fields, usual)
		}
	}
}

// A piecewise reader returns a fixed number of bytes at a time.
type piecewise struct {
	r io.Reader
	n int
}

func (p piecewise) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

// A Reader whose buffer still contains another log reads nothing of it, whatever the
// pieces in which the new log arrives.
func TestStaleBuffer(t *testing.T) {
	for _, fields := range []int{11, 12, 13, 15} {
		var log bytes.Buffer
		if err := connlogtest.Write(&log, connlogtest.Options{Seed: 1, Lines: 50, Fields: fields}); err != nil {
			t.Fatal(err)
		}
		text := log.String()
		another := strings.NewReplacer(" 0.", " 1.", ":00.", ":01.", " 443 ", " 444 ", "Success\n", "Success \n").Replace(text)
		r := NewReader(nil)
		for size := range 400 {
			r.Reset(strings.NewReader(another))
			if _, _, err := readAll(r); err != nil {
				t.Fatal(err)
			}
			r.Reset(piecewise{strings.NewReader(text), size + 1})
			var p Parser
			for line := range strings.Lines(text) {
				var got, want Entry
				if err := p.parse([]byte(strings.TrimSuffix(line, "\n")), 0, &want); err != nil {
					t.Fatal(err)
				}
				if err := r.Read(&got); err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("%q: %+v, %v; want %+v", line, got, err, want)
				}
			}
			if err := r.Read(new(Entry)); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		}
	}
}

// strangeLines are texts that might lead the fast path to read beyond the end of a
// field, or beyond the head.
var strangeLines = func() (texts []string) {
	const (
		start = "2026-11-25T10:00:05.000000Z 192.0.2.1 57382 443 - - 0.012 \"-\" - - "
		trace = "TID_f5320c2c9b3b0f2eb5f2f4e5a5b5c5d5"
	)
	texts = append(texts,
		start+"\"Failed:a b\"\n"+start+"Failed:a b\n",
		start+"Failed:a\r\r\n"+start+"Failed:a\r\n",
		start+"Failed:a\n"+start+"Failed:ab\n"+start+"Failed:a\n",
	)
	// A quote in the parameters, which must not be learned.
	odd := strings.Replace(start, "443 - -", "443 TLSv1.2 EC\"DHE", 1) + "Success\n"
	texts = append(texts, odd+odd+odd)
	// A cipher suite that is too long for a guess, and ends like a latency.
	long := strings.Replace(start, "- - ", "TLSv1.2 "+strings.Repeat("A", 36)+"0.012 ", 1) + "Success\n"
	texts = append(texts, long+long)
	for _, fields := range []string{"Success", "Success " + trace, "Success " + trace + " x25519", "Success " + trace + " x25519 app/a/1 10.0.0.1", "Success " + trace + " x25519 app/a/1 10.0.0.1 new"} {
		line := start + fields
		texts = append(texts, line+"\n"+line+"\r\n"+line+"\n"+line+"\r\r\n"+line+" \n"+line+"\x00\n"+line)
	}
	// 256 bytes before the end of the status there is what looks like the end.
	start256 := strings.Replace(start, "443 - -", "443 - "+trace, 1) + "Failed:"
	for n := range 260 {
		status := start256 + strings.Repeat("a", n)
		texts = append(texts, status+"\n"+status+strings.Repeat("b", 50)+" c d\n")
	}
	return texts
}()

func TestStrangeLines(t *testing.T) {
	for _, text := range strangeLines {
		asParsed(t, new(Parser), text)
	}
}

// With any byte of a line of the usual form changed, missing or inserted, the line is
// read as the parser of fields reads it.
func TestNearlyUsual(t *testing.T) {
	const (
		trace = "TID_f5320c2c9b3b0f2eb5f2f4e5a5b5c5d5"
		cert  = "\"-\" - - "
	)
	for _, line := range []string{
		"2026-11-25T10:00:59.999999Z 203.0.113.255 57382 443 TLSv1.3 TLS_AES_128_GCM_SHA256 0.012 " + cert + "Success " + trace + " x25519 app/a/50dc6c495c0c9188 10.0.0.1",
		"2026-11-25T10:00:50.000000Z 1.2.3.4 65535 8443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 12.345678 " + cert + "Success " + trace,
		"2026-11-25T10:00:05.000000Z 2001:db8::7 9 1 TLSv1.2 - - " + cert + "Failed:UnmappedConnectionError " + trace + " -",
		"2026-11-25T10:00:05.000000Z 10.20.30.40 443 80 - - - " + cert + "-",
		"2026-11-25T10:00:05.000000Z 100.99.10.9 10000 443 - - 9.999 " + cert + "Success",
	} {
		var p Parser
		usual := 0
		for i := range len(line) + 1 {
			var text []byte
			for _, c := range []byte("\x00\t\n\r !\"*-./015679:;@AITZ_az\x7f\x80\xa0\xb0\xff") {
				// The line itself teaches what is usual.
				text = append(text, line+"\n"+line[:i]+string([]byte{c})+line[i:]+"\n"...)
				if i < len(line) {
					text = append(text, line+"\n"+line[:i]+string([]byte{c})+line[i+1:]+"\n"+line+"\n"+line[:i]+line[i+1:]+"\n"...)
				}
			}
			usual += asParsed(t, &p, string(text))
		}
		if usual < 5_000 && !strings.HasSuffix(line, cert+"-") {
			t.Errorf("%q: only %d lines are usual", line, usual)
		}
	}
}

// Two sets of parameters whose bytes have the same hash are both remembered, however
// often the parser of fields reads one of them.
func TestShapesOfOneSet(t *testing.T) {
	line := func(cipher int) string {
		return "2026-11-25T10:00:05.000000Z 192.0.2.1 57382 443 TLSv1.2 SUITE-" + strconv.Itoa(cipher) + " 0.012 \"-\" - - Success\n"
	}
	set := func(cipher int) uint64 {
		var h head
		copy(h[:], line(cipher))
		return guessSet(&h, strings.Index(line(cipher), "443"))
	}
	same := 2
	for set(same) != set(1) {
		same++
	}
	var p Parser
	asParsed(t, &p, line(1)+line(same))
	for range 3 {
		if err := p.Parse([]byte(strings.TrimSuffix(line(1), "\n")), new(Entry)); err != nil {
			t.Fatal(err)
		}
	}
	if n := asParsed(t, &p, line(same)+line(1)+line(same)); n != 3 {
		t.Errorf("%d of 3 lines are usual", n)
	}
}

// What a Parser remembers of a hostile log is bounded.
func TestMemoBounds(t *testing.T) {
	const start = "2026-11-25T10:00:05.000000Z 192.0.2.1 57382 443 - - - \"-\" - - Success - "
	var p Parser
	asParsed(t, &p, start+strings.Repeat("k", maxMemoLen)+" l\n")
	if p.origins.n != 0 {
		t.Error("a long text is remembered")
	}
	for i := range 3 * memoSlots {
		asParsed(t, &p, start+strconv.Itoa(i)+"\n")
	}
	if p.origins.n != maxMemo {
		t.Errorf("%d texts are remembered", p.origins.n)
	}
}

// Lines of the usual form count in the line numbers of errors, and a Reader that
// learned them from another log still detects the format of the next one.
func TestUsualLinesCount(t *testing.T) {
	const good = "2026-11-25T10:00:05.000000Z 192.0.2.1 57382 443 - - - \"-\" - - Success\n"
	r := NewReader(nil)
	for range 2 {
		r.Reset(strings.NewReader(strings.Repeat(good, 3) + "x\n" + good))
		if err := r.Read(new(Entry)); err != nil || r.Format() != FormatConnectionLog {
			t.Fatalf("%v, format %q", err, r.Format())
		}
		entries, malformed, err := readAll(r)
		if entries != 3 || err != nil || r.Lines() != 5 || len(malformed) != 1 || malformed[0].(*ParseError).Line != 4 {
			t.Errorf("%d entries, %v, %v, %d lines", entries, malformed, err, r.Lines())
		}
	}
	r.Reset(strings.NewReader(strings.Repeat("x\n", 10) + good))
	if entries, malformed, err := readAll(r); entries != 1 || len(malformed) != 10 || err != nil || r.Format() != FormatConnectionLog {
		t.Errorf("%d entries, %v, %v, format %q", entries, malformed, err, r.Format())
	}
}

// A Reader with ReadAhead returns what has arrived, without waiting for more.
func TestPipelinedDoesNotWait(t *testing.T) {
	const good = "2026-11-25T10:00:05.000000Z 192.0.2.1 57382 443 - - - \"-\" - - Success\n"
	in, out := io.Pipe()
	read := make(chan struct{})
	go func() {
		gz := gzip.NewWriter(out)
		for range 3 {
			io.WriteString(gz, good)
			gz.Flush()
			<-read
		}
		gz.Close()
		out.Close()
	}()
	r := NewReader(in, ReadAhead)
	for range 3 {
		if err := r.Read(new(Entry)); err != nil {
			t.Fatal(err)
		}
		read <- struct{}{}
	}
	if err := r.Read(new(Entry)); err != io.EOF {
		t.Fatal(err)
	}
}
