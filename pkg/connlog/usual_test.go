package connlog

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// usualIPv4 takes what netip takes, and what it leaves to parseAddr is no IPv4
// address.
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
		got, n, ok := usualIPv4(append(text, rest...))
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
		b := []byte(strconv.Itoa(1_000_000+r.IntN(9_000_000)) + "z")
		if r.IntN(2) == 0 {
			b[r.IntN(8)] = byte(r.IntN(256))
		}
		n := 1 + r.IntN(7)
		want, err := strconv.ParseUint(string(b[:n]), 10, 64)
		got, ok := number(load(b), n)
		if ok != (err == nil) || ok && got != want {
			t.Fatalf("%q: got %d, %v; want %d, %v", b[:n], got, ok, want, err)
		}
	}
}

func TestWhere(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 300_000 {
		var b [8]byte
		for i := range b {
			b[i] = " !./\x00\xa0\xff7"[r.IntN(8)]
		}
		c := " ./"[r.IntN(3)]
		var want uint
		for i := range b {
			if b[i] == c {
				want |= 1 << i
			}
		}
		if got := where(load(b[:]), c); got != want {
			t.Fatalf("%q in %q: got %08b, want %08b", c, b, got, want)
		}
		i := bytes.IndexByte(b[:], ' ')
		if i < 0 {
			i = 8
		}
		if got := space(load(b[:])); got != i {
			t.Fatalf("space in %q: got %d, want %d", b, got, i)
		}
	}
}
