package rollup

import (
	"cmp"
	"slices"
	"time"

	"tlswatch/pkg/connlog"
)

// Bounds of what is counted besides failures.
const (
	maxWatched      = 50_000 // combinations of client, port, protocol and cipher
	maxCertificates = 10_000
)

// Watched returns the successful connections that Options.Watch selects, in the order
// of Failures. Those beyond maxWatched are only in OtherWatched.
func (s *Summary) Watched() []Negotiation { return s.negotiations(s.watched) }

// watches reports whether to count the entries of a cell by client too.
func (s *Summary) watches(c *Cell) bool {
	return s.watch != nil && c.Status == connlog.StatusSuccess && s.watch(c.Protocol, c.Cipher)
}

func (s *Summary) addWatched(client addr, combination int) {
	if sum := s.watched.value(addrKey{client, int64(combination)}, maxWatched); sum != nil {
		*sum++
	} else {
		s.OtherWatched++
	}
}

// A Certificate is a client certificate that had ended at the time of a connection, or
// was to end within Options.CertificateHorizon.
type Certificate struct {
	Subject     string // distinguished name, as in the log
	Serial      string // hexadecimal
	NotAfter    time.Time
	Connections uint64
	Failed      uint64
}

type certificateKey struct{ subject, serial string }

// Certificates returns the certificates that end soon, earliest first, ties by subject
// and serial number. Connections with those beyond maxCertificates are only in
// OtherCertificates.
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
