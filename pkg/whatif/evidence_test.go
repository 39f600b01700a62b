package whatif

import (
	"math/rand/v2"
	"testing"

	"tlswatch/pkg/secpolicy"
)

// A sketch makes kinds and rows.
type sketch struct {
	kinds []Kind
	rows  []Row
}

// add adds n connections of a client at a time, which counts days.
func (s *sketch) add(client uint32, kind Kind, day int64, n uint64) {
	i := 0
	for i < len(s.kinds) && s.kinds[i] != kind {
		i++
	}
	if i == len(s.kinds) {
		s.kinds = append(s.kinds, kind)
	}
	s.rows = append(s.rows, Row{Client: client, Kind: uint32(i), Connections: n, Evidence: n, first: day, last: day})
}

var (
	tls13 = success("TLSv1.3", "TLS_AES_128_GCM_SHA256", "x25519")
	gcm   = success("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1")
	cbc   = success("TLSv1.2", "ECDHE-RSA-AES128-SHA256", "secp256r1")
	tls10 = success("TLSv1", "ECDHE-RSA-AES128-SHA", "secp256r1")
)

// TestChange checks from when to when a listener is known to have had another policy,
// and what follows for a client before, at and after the change. Days begin with 100,
// and the policy changes on day 110.
func TestChange(t *testing.T) {
	const ext2, current, newest = "TLS13-1-2-Ext2-2021-06", "TLS13-1-2-2021-06", "TLS13-1-3-2021-06"
	for _, test := range []struct {
		name         string
		from, to     string
		now          bool // the policy is that of now
		sketch       func(s *sketch)
		until, since int64 // 0 for none
		before       Class // of a client with GCM at TLS 1.2 on day 101
		after        Class // of another on day 119
	}{
		{"no change", ext2, newest, false, func(s *sketch) {
			s.add(1, tls13, 102, 3)
			s.add(1, tls13, 118, 3)
		}, 0, 0, Breaks, Breaks},
		{"one client, often", ext2, newest, false, func(s *sketch) {
			s.add(1, gcm, 102, 3)
			s.add(1, tls13, 118, 3)
		}, 118, 0, Unknown, Breaks},
		{"one client, once each: chance", ext2, newest, false, func(s *sketch) {
			s.add(1, gcm, 102, 1)
			s.add(1, tls13, 118, 1)
		}, 0, 0, Breaks, Breaks},
		{"three clients, once each", ext2, newest, false, func(s *sketch) {
			for client := range uint32(3) {
				s.add(1+client, gcm, 102+int64(client), 1)
				s.add(1+client, tls13, 116+int64(client), 1)
			}
		}, 116, 0, Unknown, Breaks},
		{"back to a policy without TLS 1.3", ext2, newest, false, func(s *sketch) {
			s.add(1, tls13, 102, 3)
			s.add(1, gcm, 118, 3)
		}, 0, 102, Breaks, Unknown},
		{"several programs at an address, at any time", ext2, newest, false, func(s *sketch) {
			for day := range int64(10) {
				s.add(1, gcm, 102+day, 1)
				s.add(1, tls13, 102+day, 1)
			}
		}, 0, 0, Breaks, Breaks},
		{"what the policy lacks, without other evidence", current, newest, true, func(s *sketch) {
			s.add(1, tls10, 102, 1)
			s.add(1, tls10, 108, 1)
			s.add(2, tls13, 112, 1)
		}, 108, 102, Unknown, Breaks},
		{"what the policy lacks, at the end", current, newest, false, func(s *sketch) {
			s.add(2, tls13, 102, 1)
			s.add(1, tls10, 112, 1)
			s.add(1, tls10, 118, 1)
		}, 118, 112, Breaks, Unknown}, // the policy that followed may lack TLS 1.3
		{"what no single other policy has", current, newest, false, func(s *sketch) {
			s.add(1, success("TLSv1.1", "DHE-RSA-AES128-SHA", ""), 110, 1)
		}, 0, 0, Unknown, Unknown},
		{"many clients, one connection each", ext2, newest, false, func(s *sketch) {
			for client := range uint32(100) {
				kind := gcm
				if client >= 50 {
					kind = tls13
				}
				s.add(10+client, kind, 100+int64(client)/5, 1)
			}
		}, 110, 0, Unknown, Breaks},
		{"many clients that failed and then did not", ext2, newest, false, func(s *sketch) {
			for client := range uint32(5) {
				s.add(10+client, failed("TLSv1.3", "TLS_AES_128_GCM_SHA256"), 104, 2)
				s.add(10+client, tls13, 114, 2)
			}
		}, 114, 0, Unknown, Breaks},
	} {
		q := question(t, test.from, test.to)
		q.Now = test.now
		var s sketch
		test.sketch(&s)
		const before, after = 1000, 1001
		s.add(before, gcm, 101, 1)
		s.add(after, gcm, 119, 1)
		f := q.Predict(s.kinds, s.rows)
		classes := make(map[uint32]Class)
		for _, c := range f.ByClient {
			classes[c.Client] = c.Class
		}
		if classes[before] != test.before || classes[after] != test.after {
			t.Errorf("%s: before %s, after %s; want %s, %s", test.name, classes[before], classes[after], test.before, test.after)
		}
		var until, since int64
		for _, c := range f.Changes {
			until, since = c.Until, c.Since
		}
		if until != test.until || since != test.since {
			t.Errorf("%s: another policy until %d, since %d; want %d, %d", test.name, until, since, test.until, test.since)
		}
	}
}

// Addresses with several programs make no change of policy, however many there are.
func TestNoChangeByChance(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 50 {
		q := question(t, "TLS13-1-2-Ext2-2021-06", "TLS13-1-3-2021-06")
		var s sketch
		for client := range uint32(100) {
			for range 1 + r.IntN(4) {
				s.add(client, []Kind{tls13, gcm, cbc}[r.IntN(3)], 100+r.Int64N(1000), 1)
			}
		}
		// A few are enough, so that the first and last days do not lack TLS 1.3.
		s.add(1000, tls13, 99, 1)
		s.add(1001, tls13, 1101, 1)
		if f := q.Predict(s.kinds, s.rows); f.Changes != nil {
			t.Fatalf("%+v", f.Changes)
		}
	}
}

// Connections that do not count are evidence.
func TestEvidence(t *testing.T) {
	q := question(t, "TLS13-1-2-2021-06", "TLS13-1-2-Ext2-2021-06")
	var s sketch
	s.add(1, failed("TLSv1.2", "ECDHE-RSA-AES256-SHA"), 100, 5)
	if f := q.Predict(s.kinds, s.rows); f.Connections[Unknown] != 5 {
		t.Errorf("without a certificate: %+v", f)
	}
	s.add(2, gcm, 100, 0)
	s.rows[len(s.rows)-1].Evidence = 1
	f := q.Predict(s.kinds, s.rows)
	if f.Connections != [classes]uint64{Likely: 5} || f.All != 1 || len(f.ByClient) != 1 || f.Clients != [classes]int{Likely: 1} {
		t.Errorf("with the certificate of a connection that does not count: %+v", f)
	}
	q.Certificates = func(Listener) secpolicy.KeyKinds { return secpolicy.RSA }
	if f := q.Predict(s.kinds, s.rows); f.Connections != [classes]uint64{Fixed: 5} {
		t.Errorf("with a certificate that is known: %+v", f)
	}
}

// What a client negotiated with another listener is likely to work with one whose
// policy does not have it.
func TestOtherListener(t *testing.T) {
	q := question(t, "2016-08", "TLS13-1-3-2021-06")
	old := q.From(Listener{})
	current := lookup(t, "TLS13-1-2-2021-06")
	q.From = func(l Listener) *secpolicy.Policy {
		if l.Port == 8443 {
			return current
		}
		return old
	}
	var s sketch
	first, second := gcm, tls13
	first.Listener.Port, second.Listener.Port = 443, 8443
	s.add(1, first, 100, 1)
	s.add(1, second, 100, 1)
	s.add(2, first, 100, 1)
	if f := q.Predict(s.kinds, s.rows); f.Connections != [classes]uint64{KeepsWorking: 1, Likely: 1, Unknown: 1} {
		t.Errorf("%+v", f)
	}
}
