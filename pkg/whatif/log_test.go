package whatif

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/pkg/connlog"
)

// entries returns entries of many clients over 40 days, in random order.
func entries(r *rand.Rand, n, clients int) []connlog.Entry {
	list := make([]connlog.Entry, n)
	for i := range list {
		client := uint32(r.IntN(clients))
		e := &list[i]
		e.Time = time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.Int64N(int64(40 * 24 * time.Hour))))
		e.Client = netip.AddrFrom4([4]byte{10, byte(client >> 16), byte(client >> 8), byte(client)})
		e.LoadBalancer, e.ListenerPort, e.Status = "app/a/1", 443, connlog.StatusSuccess
		e.Protocol, e.Cipher, e.KeyExchange = "TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1"
		switch client % 4 {
		case 0:
			e.Protocol, e.Cipher = "TLSv1.3", "TLS_AES_128_GCM_SHA256"
		case 1:
			e.Cipher = "ECDHE-RSA-AES128-GCM-SHA256"
		}
	}
	return list
}

// added returns a log to which several workers added the entries at the same time.
func added(list []connlog.Entry, room, workers int, counts func(*connlog.Entry) bool) *Log {
	l := NewLog(room)
	var all sync.WaitGroup
	for part := range slices.Chunk(list, len(list)/workers+1) {
		w := l.Worker()
		all.Go(func() {
			for i := range part {
				w.Add(&part[i], counts(&part[i]), 0)
			}
		})
	}
	all.Wait()
	return l
}

func always(*connlog.Entry) bool { return true }

// named are the rows of a log, with the names of clients and kinds.
func named(l *Log) map[string]string {
	kinds, rows, clients := l.Rows()
	m := make(map[string]string)
	for _, r := range rows {
		client := "other"
		if r.Client != Others {
			client = clients[r.Client].String()
		}
		m[fmt.Sprintf("%s %+v %d", client, kinds[r.Kind], r.first)] = fmt.Sprintf("%d of %d, until %d", r.Connections, r.Evidence, r.last)
	}
	return m
}

// A log has the same rows, and a prediction the same counts, in whatever order and by
// how many workers entries come: with room for all, with less for days, and with less
// for clients.
func TestLogOrder(t *testing.T) {
	const clients = 3000
	r := rand.New(rand.NewPCG(1, 2))
	list := entries(r, 12_000, clients)
	q := question(t, "TLS13-1-2-Ext2-2021-06", "TLS13-1-2-2021-06")
	counts := func(e *connlog.Entry) bool { return e.Protocol == "TLSv1.2" }
	var counted uint64
	active := make(map[netip.Addr]bool)
	for i := range list {
		active[list[i].Client] = true
		if counts(&list[i]) {
			counted++
		}
	}
	for _, room := range []int{60_000, 20_000, len(active), len(active) - 1, 300} {
		var want map[string]string
		var forecast *Forecast
		for round := range 4 {
			r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			l := added(list, room, 1+round, counts)
			got := named(l)
			kinds, rows, _ := l.Rows()
			f := q.Predict(kinds, rows)
			if round == 0 {
				want, forecast = got, f
				continue
			}
			if d := gocmp.Diff(want, got); d != "" {
				t.Fatalf("room %d: other rows in another order: -want +got\n%s", room, d)
			}
			if f.Connections != forecast.Connections || f.Clients != forecast.Clients || f.All != forecast.All {
				t.Errorf("room %d: %+v, in another order %+v", room, forecast, f)
			}
		}
		var sum uint64
		for _, n := range forecast.Connections {
			sum += n
		}
		if sum != counted || forecast.Connections[Breaks] == 0 {
			t.Errorf("room %d: %v, %d in all, want %d", room, forecast.Connections, sum, counted)
		}
		if len(want) > room || len(want) < room/8 {
			t.Errorf("room %d: %d rows", room, len(want))
		}
		others := slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(k string) bool { return strings.HasPrefix(k, "other") })
		if others != (room < len(active)) {
			t.Errorf("room %d for %d clients: not all are told apart: %t", room, len(active), others)
		}
	}
}

// Kinds beyond the limit, and names that are too long, count as others of the same
// status, the same in any order.
func TestLogKinds(t *testing.T) {
	var list []connlog.Entry
	add := func(e connlog.Entry) { list = append(list, e) }
	add(connlog.Entry{Protocol: "TLSv1.2", Cipher: strings.Repeat("x", maxKindName+1), Status: connlog.StatusSuccess})
	for i := range maxKinds/2 + 1 {
		add(connlog.Entry{Cipher: fmt.Sprint("A-", i)})
		add(connlog.Entry{Protocol: "TLSv1.2", Cipher: fmt.Sprint("B-", i), Status: connlog.StatusSuccess})
		if i%1000 == 0 {
			add(connlog.Entry{Protocol: "TLSv1.2", Cipher: fmt.Sprint("C-", i), Status: "Failed:X"})
			add(connlog.Entry{Protocol: "TLSv1.2", Cipher: fmt.Sprint("D-", i)})
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	var want map[string]string
	for round := range 2 {
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		l := added(list, 1<<20, 1+round, always)
		kinds, rows, _ := l.Rows()
		used := make(map[uint32]bool)
		var plaintext, tls uint64
		for _, r := range rows {
			used[r.Kind] = true
			if k := kinds[r.Kind].parse(); k.plaintext {
				plaintext += r.Connections
			} else {
				tls += r.Connections
			}
			if len(kinds[r.Kind].Cipher) > maxKindName {
				t.Errorf("a name of %d bytes", len(kinds[r.Kind].Cipher))
			}
		}
		if len(used) > maxKinds || len(used) < maxKinds/4 || plaintext != maxKinds/2+1 || plaintext+tls != uint64(len(list)) {
			t.Errorf("%d kinds, %d connections without TLS, %d with TLS, of %d", len(used), plaintext, tls, len(list))
		}
		got := named(l)
		if round == 0 {
			want = got
		} else if !maps.Equal(want, got) {
			t.Error("other rows in another order")
		}
	}
}
