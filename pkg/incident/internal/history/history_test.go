package history

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strconv"
	"testing"
	"time"

	"tlswatch/pkg/connlog"
)

// line is an entry of one of many clients within days.
func line(h *History, w *Worker, r *rand.Rand, clients int) {
	n := r.IntN(clients)
	names := Names{LoadBalancer: "app/a/1", Port: 443, Protocol: "TLSv1.3", Cipher: strconv.Itoa(r.IntN(20)), Status: connlog.StatusSuccess}
	if n%3 == 0 {
		names.Status = connlog.FailedPrefix + strconv.Itoa(r.IntN(20))
	}
	at := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.IntN(3*24*3600)) * time.Second)
	a := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	if n%20 == 0 {
		w.AddCert(h.Kind(names), a, at, &connlog.ClientCert{Subject: strconv.AppendInt(nil, int64(n), 10), Serial: []byte{1}})
		return
	}
	w.Add(h.Kind(names), a, at)
}

// Beyond all bounds, what is kept depends neither on the order of entries nor on the
// workers.
func TestBounds(t *testing.T) {
	const lines, clients = 400_000, 250_000
	var records []*Record
	for _, workers := range []int{1, 3} {
		h := New()
		order := rand.New(rand.NewPCG(7, uint64(workers))).Perm(lines)
		for w := range workers {
			worker := h.Worker()
			for i := w; i < lines; i += workers {
				line(h, worker, rand.New(rand.NewPCG(1, uint64(order[i]))), clients)
			}
			worker.Close()
		}
		if h.clients.Len() > maxClients || len(h.ways) > maxWays || h.series.Len() > maxCells || h.certs.Len() > maxCerts {
			t.Errorf("%d clients, %d ways, %d cells, %d certificates", h.clients.Len(), len(h.ways), h.series.Len(), h.certs.Len())
		}
		records = append(records, h.Record())
	}
	r := records[0]
	if !reflect.DeepEqual(r, records[1]) {
		t.Error("the records differ")
	}
	if r.Sample >= 1 || r.Certs >= 1 || r.Step <= 5*time.Minute || r.Last.Sub(r.Start) > maxSteps*r.Step {
		t.Errorf("samples %g and %g; steps of %v from %v to %v", r.Sample, r.Certs, r.Step, r.Start, r.Last)
	}
	var sum uint64
	for _, k := range r.Listeners[0].Kinds {
		for _, c := range k.Cells {
			sum += c.N
		}
	}
	if sum != lines {
		t.Errorf("%d of %d entries in the series", sum, lines)
	}
	// What is known about a client that is kept is complete.
	truth := make(map[netip.Addr]uint64)
	for i := range lines {
		if n := rand.New(rand.NewPCG(1, uint64(i))).IntN(clients); n%3 == 0 {
			truth[netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})]++
		}
	}
	for _, c := range r.Listeners[0].Failing {
		var failures uint64
		for _, w := range c.Ways {
			failures += w.N
		}
		if failures != truth[c.Addr] {
			t.Fatalf("%v: %d failures of %d", c.Addr, failures, truth[c.Addr])
		}
	}
}

// With too many kinds of entries, nothing is kept, in whatever order they came.
func TestTooManyKinds(t *testing.T) {
	h := New()
	w := h.Worker()
	for i := range maxKinds + 100 {
		w.Add(h.Kind(Names{Port: 443, Protocol: strconv.Itoa(i), Status: connlog.StatusSuccess}), netip.AddrFrom4([4]byte{192, 0, 2, 1}), time.Unix(int64(i), 0))
	}
	w.Close()
	if r := h.Record(); !r.Overflow || r.Listeners != nil {
		t.Errorf("%+v", r)
	}
}
