package forecast

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/secpolicy"
)

// Observations have room for so many in all, whoever of the workers meets them,
// and lose no entry beyond.
func TestObservations(t *testing.T) {
	entry := func(client byte, cipher string) *connlog.Entry {
		return &connlog.Entry{Client: netip.AddrFrom4([4]byte{10, 0, 0, client}), Cipher: cipher, ListenerPort: 443}
	}
	folds := NewObservations(2, 10)
	for client := range byte(8) {
		folds[0].Add(entry(client, "A"))
	}
	folds[1].Add(entry(0, "B")) // so that kinds have other numbers there
	folds[1].Add(entry(0, "A"))
	folds[0].Add(entry(8, "A")) // no room
	folds[1].Add(entry(9, "A"))
	folds[1].Add(entry(9, "B"))
	folds[0].Add(entry(7, "A")) // known
	folds[0].Add(&connlog.Entry{})
	folds[0].merge(folds[1])
	type row struct{ client, cipher string }
	got := make(map[row]uint64)
	for o, n := range folds[0].each {
		got[row{o.Client, o.Cipher}] += n
		if (o.Listener != secpolicy.Listener{Port: 443}) && o.Cipher != "" {
			t.Errorf("listener %+v", o.Listener)
		}
	}
	for k, n := range map[row]uint64{{"10.0.0.0", "A"}: 2, {"10.0.0.0", "B"}: 1, {"10.0.0.7", "A"}: 2, {"other", "A"}: 2, {"other", "B"}: 1, {"other", ""}: 1} {
		if got[k] != n {
			t.Errorf("%v counts %d, want %d", k, got[k], n)
		}
	}
	if len(got) != 12 || folds[0].other != 4 {
		t.Errorf("%d rows, %d others: %v", len(got), folds[0].other, got)
	}
}

// Names that somebody makes up take no memory without end, and their entries
// still count: as plaintext, successes or failures of which nothing can be told.
func TestObservedKindsAreBounded(t *testing.T) {
	folds := NewObservations(2, 1_000)
	long := connlog.Entry{Protocol: "TLSv1.2", Cipher: strings.Repeat("x", 1<<10), Status: "Success"}
	folds[0].Add(&long)
	entries := 0
	for i := range maxKinds {
		for _, e := range []connlog.Entry{
			{Cipher: fmt.Sprint("A-", i)},
			{Protocol: "TLSv1.2", Cipher: fmt.Sprint("B-", i), Status: "Success"},
			{Protocol: "TLSv1.2", Cipher: fmt.Sprint("C-", i), Status: "Failed:X"},
			{Protocol: "TLSv1.2", Cipher: fmt.Sprint("D-", i)},
		} {
			folds[i%2].Add(&e)
			entries++
		}
	}
	folds[0].merge(folds[1])
	if n := len(folds[0].byKind); n > maxKinds+4 {
		t.Errorf("%d kinds", n)
	}
	f := secpolicy.Question{To: new(secpolicy.Policy)}.WhatIf(folds[0].each)
	if got := f.Connections[secpolicy.Unknown]; f.Plaintext != uint64(entries/4) || got != uint64(entries/4*3+1) {
		t.Errorf("%d entries are %d without TLS, and %d of which nothing can be told", entries+1, f.Plaintext, got)
	}
	for o := range folds[0].each {
		if len(o.Cipher) > maxKindName {
			t.Errorf("a name of %d bytes", len(o.Cipher))
		}
	}
}
