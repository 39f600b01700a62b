package main

import (
	"net/netip"
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
	folds := newObservations(2, 10)
	for client := range byte(8) {
		folds[0].add(entry(client, "A"))
	}
	folds[1].add(entry(0, "B")) // so that kinds have other numbers there
	folds[1].add(entry(0, "A"))
	folds[0].add(entry(8, "A")) // no room
	folds[1].add(entry(9, "A"))
	folds[1].add(entry(9, "B"))
	folds[0].add(entry(7, "A")) // known
	folds[0].add(&connlog.Entry{})
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
