package report

import (
	"cmp"

	"tlswatch/internal/table"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/tlsname"
)

// agreed is how a connection is protected from a future quantum computer: 0 if it
// failed or the log does not say, postQuantumAgreed, or without such protection its
// TLS version, unknownAgreed if that is unknown.
type agreed uint16

const (
	unknownAgreed     agreed = 1
	postQuantumAgreed agreed = 0xFFFF // no TLS version
)

// kind is the kind of a connection that did not fail: a negative number.
func (a agreed) kind() int32 { return -1 - int32(a) }

// agreedOf is the inverse of kind.
func agreedOf(kind int32) agreed { return agreed(-1 - kind) }

// agreedIn returns what an entry says. Up to TLS 1.2 there is no post-quantum key
// exchange: the groups are defined for TLS 1.3 alone (draft-ietf-tls-ecdhe-mlkem).
// In TLS 1.3 the log has to name the group.
func agreedIn(e *connlog.Entry) agreed {
	if e.Failed() || e.Protocol == "" {
		return 0
	}
	version, _ := tlsname.ParseVersion(e.Protocol)
	if !version.Known() {
		version = tlsname.Version(unknownAgreed)
	}
	switch group, err := tlsname.ParseGroup(e.KeyExchange); {
	case err == nil && group.PostQuantum():
		return postQuantumAgreed
	case err == nil && group.Known(), unknownAgreed < agreed(version) && version < tlsname.TLS13:
		return agreed(version)
	}
	return 0
}

// maxClassical bounds the clients without post-quantum key exchange in a result
// with all rows, unless all clients are wanted: they may be most of all clients.
const maxClassical = 100

func (c *Collector) resultClassical(r *Result, top int) {
	if top == 0 && !c.o.AllClients {
		top = maxClassical
	}
	t := &c.clients.t
	order, all := first(t, top, func(v *client) bool { return v.classical > 0 }, func(a, b *table.Row[addr, client]) int {
		return cmp.Or(cmp.Compare(b.Value.classical, a.Value.classical), a.Key.compare(b.Key))
	})
	r.TotalNonPostQuantumClients = all
	r.NonPostQuantumClients = make([]ClassicalClient, 0, len(order))
	for _, i := range order {
		row := t.At(int(i))
		protocol := "-"
		if row.Value.newest != unknownAgreed {
			protocol = tlsname.Version(row.Value.newest).String()
		}
		r.NonPostQuantumClients = append(r.NonPostQuantumClients, ClassicalClient{c.client(row.Key), uint64(row.Value.classical), protocol, row.Value.postQuantum})
	}
	r.approximate("nonPostQuantumClients", c.clients.missed)
}
