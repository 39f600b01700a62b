package rollup

import (
	"cmp"
	"slices"
	"time"

	"tlswatch/pkg/connlog"
)

// Bounds of what is counted beside the failures.
const (
	MaxWatched      = 50_000 // combinations of client, port, protocol and cipher
	MaxCertificates = 10_000
)

// A Success counts successful connections that are alike, of those that
// Options.Watch chooses.
type Success struct {
	Client       Client
	ListenerPort uint16
	Protocol     string
	Cipher       string
	Count        uint64
}

// Watched returns the successful connections that Options.Watch chooses, most
// frequent first, ties by the fields in their order. Those beyond MaxWatched
// are in OtherWatched only.
func (s *Summary) Watched() []Success {
	list := make([]Success, 0, s.watched.n)
	for r := range s.watched.rows.all {
		k := s.shapes.rows[r.key.n].key
		list = append(list, Success{s.client(r.key.addr), k.port, k.protocol, k.cipher, r.value})
	}
	slices.SortFunc(list, func(a, b Success) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), a.Client.compare(b.Client), cmp.Compare(a.ListenerPort, b.ListenerPort),
			cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Cipher, b.Cipher))
	})
	return list
}

// watches reports whether the entries of a cell are to be counted by client.
func (s *Summary) watches(c *Cell) bool {
	return s.watch != nil && c.Status == connlog.StatusSuccess && s.watch(c.Protocol, c.Cipher)
}

func (s *Summary) addWatched(client addr, shape int, n uint64) {
	if sum := s.watched.value(addrKey{client, int64(shape)}, MaxWatched); sum != nil {
		*sum += n
	} else {
		s.OtherWatched += n
	}
}

// A Certificate is one that clients presented and that ends within
// Options.CertificateHorizon of a connection with it, or had ended.
type Certificate struct {
	Subject     string // distinguished name, as in the log
	Serial      string // hexadecimal
	NotAfter    time.Time
	Connections uint64
	Failed      uint64
}

type certificateKey struct{ subject, serial string }

// Certificates returns those that end soon, the soonest first, ties by subject
// and serial number. Connections with those beyond MaxCertificates are in
// OtherCertificates only.
func (s *Summary) Certificates() []Certificate {
	list := make([]Certificate, 0, len(s.certificates.rows))
	for _, r := range s.certificates.rows {
		c := r.value
		c.Subject, c.Serial = r.key.subject, r.key.serial
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Certificate) int {
		return cmp.Or(a.NotAfter.Compare(b.NotAfter), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Serial, b.Serial))
	})
	return list
}

// addCertificate counts the certificate of an entry, if it ends soon.
func (s *Summary) addCertificate(e *connlog.Entry) {
	c := &e.ClientCert
	if c.NotAfter.IsZero() || c.NotAfter.Sub(e.Time) >= s.horizon {
		return
	}
	i, ok := s.certificates.index[certificateKey{string(c.Subject), string(c.Serial)}] // does not allocate
	if !ok {
		if s.certificates.full() {
			s.OtherCertificates++
			return
		}
		i = s.certificates.insert(certificateKey{string(c.Subject), string(c.Serial)})
	}
	v := &s.certificates.rows[i].value
	if c.NotAfter.After(v.NotAfter) {
		v.NotAfter = c.NotAfter
	}
	v.Connections++
	if e.Failed() {
		v.Failed++
	}
}

func (s *Summary) mergeWatched(t *Summary) {
	s.OtherWatched += t.OtherWatched
	s.OtherCertificates += t.OtherCertificates
	for r := range t.watched.rows.all {
		s.addWatched(r.key.addr, s.shape(t.shapes.rows[r.key.n].key), r.value)
	}
	for i := range t.certificates.rows {
		r := &t.certificates.rows[i]
		if _, ok := s.certificates.find(r.key); !ok && s.certificates.full() {
			s.OtherCertificates += r.value.Connections
			continue
		}
		v := &s.certificates.rows[s.certificates.insert(r.key)].value
		if r.value.NotAfter.After(v.NotAfter) {
			v.NotAfter = r.value.NotAfter
		}
		v.Connections += r.value.Connections
		v.Failed += r.value.Failed
	}
}
