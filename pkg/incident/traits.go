package incident

import (
	"cmp"
	"slices"
	"time"

	"tlswatch/pkg/incident/internal/history"
	"tlswatch/pkg/tlsname"
)

// A trait counts the successful connections with one protocol, cipher suite or key
// exchange around an onset.
type trait struct {
	Trait
	expectedSince, expectedBefore float64   // if its share had not changed
	first, last                   time.Time // success at all, and before the onset or within the lag
}

// fewest is how many successes with a trait are expected where none is seen, so that
// it counts as vanished or new.
const fewest = 12

func (t *trait) vanished() bool { return t.Since == 0 && t.expectedSince >= fewest }
func (t *trait) appeared() bool { return t.Before == 0 && t.expectedBefore >= fewest }

// lag is how long after an onset some nodes may still work as before.
const lag = 90 * time.Second

// counts splits the connections of a series at an onset, and leaves out what follows
// an end. A cell that lies on both sides counts where its middle is.
func counts(k *history.Series, at, end time.Time) (before, since uint64) {
	for _, c := range k.Cells {
		switch middle := history.Time((c.First + c.Last) / 2); {
		case !history.Time(c.Last).After(at), middle.Before(at) && history.Time(c.First).Before(at):
			before += c.N
		case middle.Before(end):
			since += c.N
		}
	}
	return before, since
}

// around counts the connections of a series before an onset, those within the lag
// included, and since then until an end. It returns the time of the last one before.
func around(k *history.Series, at, end time.Time) (before, since uint64, last time.Time) {
	for _, c := range k.Cells {
		switch l := history.Time(c.Last); {
		case !l.After(at.Add(lag)):
			before += c.N
			last = l
		case history.Time(c.First).Before(end) && l.Before(end):
			since += c.N
		}
	}
	return before, since, last
}

// uses returns all that was negotiated successfully around a time.
func (s *scene) uses(at, end time.Time) (uses []usage) {
	for i := range s.listener.Kinds {
		if k := &s.listener.Kinds[i]; k.Outcome == history.Success {
			before, since := counts(k, at, end)
			uses = append(uses, usage{negotiatedOf(&k.Names), before, since})
		}
	}
	return uses
}

func negotiatedOf(n *history.Names) Negotiated {
	return Negotiated{n.Protocol, n.Cipher, n.KeyExchange}
}

// traits counts what successes have in common before a time, and since then until an
// end. Those within the lag count as before.
func (s *scene) traits(at, end time.Time) []trait {
	var list []trait
	var before, since uint64
	for i := range s.listener.Kinds {
		k := &s.listener.Kinds[i]
		if k.Outcome != history.Success || len(k.Cells) == 0 {
			continue
		}
		b, a, last := around(k, at, end)
		before, since = before+b, since+a
		for _, n := range []Negotiated{{Protocol: k.Protocol}, {Cipher: k.Cipher}, {KeyExchange: k.KeyExchange}} {
			if n == (Negotiated{}) {
				continue
			}
			i := slices.IndexFunc(list, func(t trait) bool { return t.Negotiated == n })
			if i < 0 {
				i = len(list)
				list = append(list, trait{Trait: Trait{Negotiated: n}})
			}
			t := &list[i]
			t.Before, t.Since = t.Before+b, t.Since+a
			if first := history.Time(k.Cells[0].First); t.first.IsZero() || first.Before(t.first) {
				t.first = first
			}
			if last.After(t.last) {
				t.last = last
			}
		}
	}
	for i := range list {
		t := &list[i]
		if !t.first.Before(at.Add(-lag)) { // new on some nodes already
			t.Before, t.Since = 0, t.Before+t.Since
		}
		if before > 0 {
			t.expectedSince = float64(t.Before) * float64(since) / float64(before)
		}
		if since > 0 {
			t.expectedBefore = float64(t.Since) * float64(before) / float64(since)
		}
	}
	slices.SortFunc(list, func(a, b trait) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Cipher, b.Cipher), cmp.Compare(a.KeyExchange, b.KeyExchange))
	})
	return list
}

// authentication is the kind of key in the listener's certificate that a suite of TLS
// 1.2 or earlier needs, "" if it does not say.
func authentication(cipher string) string {
	s, err := tlsname.ParseSuite(cipher)
	if err != nil || s.UsableIn(tlsname.TLS13) {
		return ""
	}
	return s.Authentication()
}
