package main

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// The lines of AWS's documentation, and one of a listener without TLS.
func TestParse(t *testing.T) {
	minute := func(text string) time.Time {
		at, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for line, want := range map[string]entry{
		`2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 "CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US" NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z FEF257372D5C14D4 Success TID_3180a73013c8ca4bac2f731159d4b0fe`: {minute("2023-10-04 17:05"), "203.0.113.1", "443", "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "none", "4.036", true, false, "Success"},
		`2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 - "CN=a b" - - Failed:ClientCertUntrusted TID_1 secp256r1 app/a/1 192.0.2.1`:                                                                                                                      {minute("2023-10-04 17:05"), "203.0.113.1", "443", "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1", "none", true, true, "ClientCertUntrusted"},
		`2025-07-18T12:51:25.299253Z 52.34.228.235 38910 80 - - - "-" - - - TID_3f9ddfa803beb546812b02872b46c30b`:                                                                                                                                                                                {minute("2025-07-18 12:51"), "52.34.228.235", "80", "none", "none", "none", "none", false, false, "none"},
	} {
		if got := parse(line + "\n"); got != want {
			t.Errorf("%s\n%+v, want %+v", line, got, want)
		}
	}
}

func TestFailedItems(t *testing.T) {
	batch := []*event{{id: "m1"}, {id: "m2"}}
	for _, test := range []struct {
		a    answer
		want int
	}{
		{answer{true, []byte(`{"batchItemFailures":[]}`)}, 0},
		{answer{true, nil}, 0},
		{answer{true, []byte(`null`)}, 0},
		{answer{true, []byte(`{"batchItemFailures":[{"itemIdentifier":"m2"}]}`)}, 1},
		{answer{true, []byte(`{"batchItemFailures":[{"itemIdentifier":"m3"}]}`)}, 2},
		{answer{true, []byte(`{"batchItemFailures":[{"itemIdentifier":""}]}`)}, 2},
		{answer{true, []byte(`no JSON`)}, 2},
		{answer{false, []byte(`{}`)}, 2},
		{answer{}, 2},
	} {
		if got := failedItems(test.a, batch); len(got) != test.want {
			t.Errorf("%+v: %v failed", test.a, got)
		}
	}
}

// A seed brings the same faults again, and each group has the kinds that it is
// for.
func TestFaults(t *testing.T) {
	draw := func(g group, seed uint64) (list []fault) {
		f := trouble{seed: seed, group: g, most: 1, kill: 0.02, fault: 0.1, calls: make(map[string]int)}
		for range 300 {
			list = append(list, f.fate("cloudwatch", call{operation: "PutMetricData"}))
		}
		return list
	}
	for _, g := range groups {
		seen := make(map[kind]bool)
		for seed := range uint64(30) {
			first := draw(g, seed)
			if !slices.Equal(first, draw(g, seed)) {
				t.Errorf("%s, seed %d: other faults at the second time", g.name, seed)
			}
			for _, f := range first {
				seen[f.kind] = true
			}
		}
		for _, f := range slices.Concat(g.faults, kills) {
			if !seen[f.kind] {
				t.Errorf("%s: no call was%s", g.name, fault{kind: f.kind})
			}
		}
		if (g.name == "batches") == seen[replace] {
			t.Errorf("%s: replies replaced: %v", g.name, seen[replace])
		}
	}
	calm := trouble{seed: 1, group: groups[2], most: 1, kill: 1, fault: 1, calm: true, calls: make(map[string]int)}
	if f := calm.fate("sns", call{operation: "Publish"}); f != (fault{}) {
		t.Errorf("a fault while all is calm: %v", f)
	}
}

// A seed brings the same world again.
func TestWorld(t *testing.T) {
	a, b := newWorld(nil, groups[2], 5), newWorld(nil, groups[2], 5)
	if !maps.Equal(a.settings, b.settings) || len(a.objects) != len(b.objects) || len(a.events) != len(b.events) {
		t.Fatal("other settings, objects or events")
	}
	for i, e := range a.events {
		if e.id != b.events[i].id || e.delay != b.events[i].delay || len(e.objects) != len(b.events[i].objects) {
			t.Errorf("event %d is another", i)
		}
	}
}
