package report

import (
	"cmp"
	"time"
)

func (c *Collector) resultClients(r *Result, top int) {
	t := &c.clients.t
	order, all := first(t, top, func(v *client) bool { return v.failed > 0 }, func(a, b *row[addr, client]) int {
		return cmp.Or(cmp.Compare(b.value.failed, a.value.failed), a.key.compare(b.key))
	})
	r.TotalFailedClients = all
	r.FailedClients = make([]ClientCount, 0, len(order))
	for _, i := range order {
		k, v := t.at(int(i)).key, &t.at(int(i)).value
		r.FailedClients = append(r.FailedClients, ClientCount{c.client(k), Counts{v.connections, v.failed}})
	}
	r.approximate("failedClients", c.clients.missedFailed)
	if c.clients.missedFailed == 0 && c.clients.missed > 0 {
		r.approximate("failedClients.connections", c.clients.missed)
	}

	slowest := top
	if slowest == 0 {
		slowest = maxSlowest
	}
	order, _ = first(t, slowest, func(v *client) bool { return v.timed > 0 }, func(a, b *row[addr, client]) int {
		return cmp.Or(cmp.Compare(mean(&b.value), mean(&a.value)), a.key.compare(b.key))
	})
	for _, i := range order {
		k, v := t.at(int(i)).key, &t.at(int(i)).value
		r.SlowestClients = append(r.SlowestClients, ClientLatency{c.client(k), uint64(v.timed), roundTo(mean(v)/1000, 1e6), float64(v.longest) / 1000})
	}
	r.approximate("slowestClients", c.clients.missed)
}

func (c *Collector) resultNegotiations(r *Result, top int) {
	f := &c.failures.t
	kind := func(k clientFailure) *Failure { return &c.kinds.at(int(k.kind)).key }
	order, all := first(f, top, func(*failureRow) bool { return true }, func(a, b *row[clientFailure, failureRow]) int {
		x, y := kind(a.key), kind(b.key)
		return cmp.Or(cmp.Compare(b.value.n, a.value.n), a.key.client.compare(b.key.client),
			cmp.Compare(x.Protocol, y.Protocol), cmp.Compare(x.Cipher, y.Cipher), cmp.Compare(x.Status, y.Status),
			cmp.Compare(x.LoadBalancer, y.LoadBalancer), cmp.Compare(x.Port, y.Port))
	})
	r.TotalFailedNegotiations = all
	r.FailedNegotiations = make([]Negotiation, 0, len(order))
	for _, i := range order {
		row := f.at(int(i))
		k := kind(row.key)
		r.FailedNegotiations = append(r.FailedNegotiations, Negotiation{
			Client: c.client(row.key.client), Protocol: dash(k.Protocol), Cipher: dash(k.Cipher), Status: k.Status, Count: row.value.n,
			LoadBalancer: k.LoadBalancer, Port: k.Port,
		})
	}
	r.approximate("failedNegotiations", c.failures.missed)
	if c.diagnose != nil {
		c.resultDiagnoses(r, order)
	}
}

func mean(v *client) float64 { return float64(v.sum) / float64(v.timed) }

func roundTo(f, unit float64) float64 { return float64(int64(f*unit+0.5)) / unit }

func (c *Collector) resultCertificates(r *Result, top int) {
	soon := c.last.Add(CertificateDays * 24 * time.Hour).Unix()
	t := &c.certs.t
	order, _ := first(t, top, func(v *cert) bool { return v.Failed > 0 || v.notAfter != 0 && v.notAfter <= soon }, func(a, b *row[uint64, cert]) int {
		x, y := &a.value, &b.value
		return cmp.Or(cmp.Compare(y.Failed, x.Failed), cmp.Compare(x.notAfter, y.notAfter), cmp.Compare(x.subject, y.subject))
	})
	r.ClientCertificates = make([]Certificate, 0, len(order))
	for _, i := range order {
		v := &t.at(int(i)).value
		row := Certificate{Subject: c.pseudonym("subject", v.subject), Counts: v.Counts}
		if v.Failed > 0 {
			row.Status = c.kinds.at(int(v.kind)).key.Status
		}
		if v.notAfter != 0 {
			at := time.Unix(v.notAfter, 0).UTC()
			row.NotAfter, row.Expiring = &at, v.notAfter <= soon
		}
		r.ClientCertificates = append(r.ClientCertificates, row)
	}
	r.approximate("clientCertificates", c.certs.missed)
}
