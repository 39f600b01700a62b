package scan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var addrs = []string{
	"0.0.0.0", "255.255.255.255", "256.1.1.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.", ".1.2.3", "1..2.3", "", "-",
	"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4", "::1.2.3.4", "1::2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "1::2::3", "12345::", ":1", "1:",
	"::ffff:1.2.3.4", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3", "fe80::1%eth0", "FE80::aB", ":::", "1:::2", "g::",
}

// FuzzAddr compares with netip, which takes zones as well, and no brackets.
func FuzzAddr(f *testing.F) {
	for _, a := range addrs {
		f.Add(a)
		f.Add("[" + a + "]")
	}
	f.Fuzz(func(t *testing.T, s string) {
		inner, bracketed := strings.CutPrefix(s, "[")
		if bracketed {
			inner, bracketed = strings.CutSuffix(inner, "]")
		}
		if !bracketed {
			inner = s
		}
		want, err := netip.ParseAddr(inner)
		valid := err == nil && want.Zone() == "" && !(bracketed && want.Is4())
		got, ok := Addr([]byte(s))
		if ok != valid || ok && got != want.Unmap() {
			t.Fatalf("%q: got %v, %v, want %v, %v", s, got, ok, want, valid)
		}
	})
}

// Addresses in any form that netip prints come back, and none is taken for
// another with one character less or more.
func TestAddr(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var b [16]byte
		for i := range b {
			b[i] = byte(r.IntN(256)) * byte(r.IntN(2)) // half of them 0, for "::"
		}
		a := netip.AddrFrom16(b)
		for _, s := range []string{a.String(), a.StringExpanded(), netip.AddrFrom4([4]byte(b[:])).String()} {
			i := r.IntN(len(s) + 1)
			for _, s := range []string{s, s[:i] + ":" + s[i:], s[:i] + s[min(i+1, len(s)):], s[:i] + "." + s[i:], s[:i] + "f" + s[i:]} {
				want, err := netip.ParseAddr(s)
				if got, ok := Addr([]byte(s)); ok != (err == nil) || ok && got != want.Unmap() {
					t.Fatalf("%q: got %v, %v, want %v, %v", s, got, ok, want, err)
				}
			}
		}
	}
}

var utc = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)

// FuzzTime compares with time.Parse, of which only the form in UTC is taken.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"2023-10-04T17:05:15.514108Z", "2023-10-04T17:05:15Z", "2024-02-29T00:00:00.1234567891Z", "2023-02-29T00:00:00Z", "2023-10-04T24:00:00Z", "2023-10-04T23:60:00Z", "2023-10-04T23:59:60Z", "2023-10-04T17:05:15.Z", "0000-01-01T00:00:00Z", "2023-10-04T17:05:15+00:00", "2023-1-04T17:05:15Z", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := time.Parse(time.RFC3339, s)
		valid := err == nil && utc.MatchString(s)
		if got, ok := Time([]byte(s)); ok != valid || ok && !got.Equal(want) {
			t.Fatalf("%q: got %v, %v, want %v, %v", s, got, ok, want, valid)
		}
	})
}

func TestSeconds(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0": 0, "0.000": 0, "4.036": 4036 * time.Millisecond, "00012.5": 12500 * time.Millisecond, "1000000000": 1e9 * time.Second,
		"0.1234567899": 123456789, "": -1, ".5": -1, "5.": -1, "-1": -1, "1e3": -1, "1000000001": -1, "1.2.3": -1, "+1": -1, "18446744073709551617": -1,
	} {
		got, ok := Seconds([]byte(s))
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: got %v, %v, want %v", s, got, ok, want)
		}
	}
}

func TestPort(t *testing.T) {
	for n := range 70_000 {
		if got, ok := Port([]byte(strconv.Itoa(n))); ok != (n <= 65535) || ok && int(got) != n {
			t.Fatalf("%d: got %d, %v", n, got, ok)
		}
	}
	for s, want := range map[string]string{"": "0 true", "00443": "443 true", "000443": "0 false", "4a": "0 false", "-1": "0 false", " 1": "0 false"} {
		if got, ok := Port([]byte(s)); ok != strings.HasSuffix(want, "true") || ok && fmt.Sprint(got, " ", ok) != want {
			t.Errorf("%q: got %d, %v, want %s", s, got, ok, want)
		}
	}
}
