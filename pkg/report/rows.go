package report

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"tlswatch/internal/table"
	"tlswatch/pkg/incident"
)

func (c *Collector) resultClients(r *Result, top int) {
	t := &c.clients.t
	order, all := first(t, top, func(v *client) bool { return v.failed > 0 }, func(a, b *table.Row[addr, client]) int {
		return cmp.Or(cmp.Compare(b.Value.failed, a.Value.failed), a.Key.compare(b.Key))
	})
	r.TotalFailedClients = all
	r.FailedClients = make([]ClientCount, 0, len(order))
	rows := make(map[addr]int, len(order))
	for n, i := range order {
		k, v := t.At(int(i)).Key, &t.At(int(i)).Value
		r.FailedClients = append(r.FailedClients, ClientCount{Client: c.client(k), Counts: Counts{v.connections, v.failed}})
		rows[k] = n
	}
	c.story.LatestSuccesses(func(a netip.Addr, at time.Time, n incident.Negotiated) bool {
		if i, ok := rows[addrOf(a, c.v4mask, c.v6mask)]; ok {
			r.FailedClients[i].worked(at, n)
		}
		return true
	})
	r.approximate("failedClients", c.clients.missedFailed)
	if c.clients.missedFailed == 0 && c.clients.missed > 0 {
		r.approximate("failedClients.connections", c.clients.missed)
	}

	slowest := top
	if slowest == 0 {
		slowest = maxSlowest
	}
	order, _ = first(t, slowest, func(v *client) bool { return v.timed > 0 }, func(a, b *table.Row[addr, client]) int {
		return cmp.Or(cmp.Compare(mean(&b.Value), mean(&a.Value)), a.Key.compare(b.Key))
	})
	for _, i := range order {
		k, v := t.At(int(i)).Key, &t.At(int(i)).Value
		r.SlowestClients = append(r.SlowestClients, ClientLatency{c.client(k), uint64(v.timed), roundTo(mean(v)/1000, 1e6), float64(v.longest) / 1000})
	}
	r.approximate("slowestClients", c.clients.missed)
}

// worked keeps the latest success; of several at the same time, the first by name.
func (c *ClientCount) worked(at time.Time, n incident.Negotiated) {
	if c.LastSuccess != nil {
		is := cmp.Or(c.LastSuccess.Compare(at), cmp.Compare(n.Protocol, c.LastProtocol), cmp.Compare(n.Cipher, c.LastCipher), cmp.Compare(n.KeyExchange, c.LastKeyExchange))
		if is >= 0 {
			return
		}
	}
	c.LastSuccess, c.LastProtocol, c.LastCipher, c.LastKeyExchange = &at, n.Protocol, n.Cipher, n.KeyExchange
}

func (c *Collector) resultNegotiations(r *Result, top int) {
	f := &c.failures.t
	kind := func(k clientFailure) *Failure { return &c.kinds.At(int(k.kind)).Key }
	order, all := first(f, top, func(*failureRow) bool { return true }, func(a, b *table.Row[clientFailure, failureRow]) int {
		x, y := kind(a.Key), kind(b.Key)
		return cmp.Or(cmp.Compare(b.Value.n, a.Value.n), a.Key.client.compare(b.Key.client),
			cmp.Compare(x.Protocol, y.Protocol), cmp.Compare(x.Cipher, y.Cipher), cmp.Compare(x.Status, y.Status),
			cmp.Compare(x.LoadBalancer, y.LoadBalancer), cmp.Compare(x.Port, y.Port))
	})
	r.TotalFailedNegotiations = all
	r.FailedNegotiations = make([]Negotiation, 0, len(order))
	for _, i := range order {
		row := f.At(int(i))
		k := kind(row.Key)
		r.FailedNegotiations = append(r.FailedNegotiations, Negotiation{
			Client: c.client(row.Key.client), Protocol: dash(k.Protocol), Cipher: dash(k.Cipher), Status: k.Status, Count: row.Value.n,
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
	soon := c.last.Add(r.Expiring).Unix()
	t := &c.certs.t
	order, _ := first(t, top, func(v *cert) bool { return v.Failed > 0 || v.notAfter != 0 && v.notAfter <= soon }, func(a, b *table.Row[uint64, cert]) int {
		x, y := &a.Value, &b.Value
		return cmp.Or(cmp.Compare(y.Failed, x.Failed), cmp.Compare(x.notAfter, y.notAfter), cmp.Compare(x.subject, y.subject))
	})
	users := c.certUsers(order)
	r.ClientCertificates = make([]Certificate, 0, len(order))
	for _, i := range order {
		v, use := &t.At(int(i)).Value, users[t.At(int(i)).Key]
		row := Certificate{Subject: c.pseudonym("subject", v.subject), Counts: v.Counts, Clients: use.n, Examples: []string{}}
		for _, u := range use.most {
			row.Examples = append(row.Examples, c.client(u.client))
		}
		if v.Failed > 0 {
			row.Status = c.kinds.At(int(v.kind)).Key.Status
		}
		if v.notAfter != 0 {
			at := time.Unix(v.notAfter, 0).UTC()
			row.NotAfter, row.Expiring = &at, v.notAfter <= soon
		}
		r.ClientCertificates = append(r.ClientCertificates, row)
	}
	r.approximate("clientCertificates", c.certs.missed)
	r.approximate("clientCertificates.clients", c.missedCerts)
}

// users are the clients that use a certificate.
type users struct {
	n    int
	most []user // of them, most connections first
}

type user struct {
	client      addr
	connections uint64
}

// maxExamples is how many clients of a certificate a Result names.
const maxExamples = 5

// certUsers returns who uses the certificates in some rows, by hash.
func (c *Collector) certUsers(rows []uint32) map[uint64]*users {
	by := make(map[uint64]*users, len(rows))
	for _, i := range rows {
		by[c.certs.t.At(int(i)).Key] = new(users)
	}
	for row := range c.certClients.All {
		of := by[row.Key.cert]
		if of == nil {
			continue
		}
		of.n++
		u := user{row.Key.client, row.Value.n}
		at, _ := slices.BinarySearchFunc(of.most, u, func(a, b user) int {
			return cmp.Or(cmp.Compare(b.connections, a.connections), a.client.compare(b.client))
		})
		if at < maxExamples {
			of.most = slices.Insert(of.most, at, u)
			of.most = of.most[:min(len(of.most), maxExamples)]
		}
	}
	return by
}
