package report

import (
	"cmp"
	"math/bits"
	"slices"

	"tlswatch/internal/table"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/tlsname"
)

// agreed is a set of what successful connections have: post-quantum key exchange, or
// without it, an unknown TLS version, or one of agreedVersions. It is empty for
// connections that failed, and where the log does not say.
type agreed uint8

const (
	agreedPostQuantum agreed = 1 << iota
	agreedUnknown
	agreedVersion // the first one
)

var agreedVersions = [...]tlsname.Version{tlsname.SSL20, tlsname.SSL30, tlsname.TLS10, tlsname.TLS11, tlsname.TLS12, tlsname.TLS13}

// kind is the kind of a connection that did not fail: a negative number.
func (a agreed) kind() int32 { return -1 - int32(a) }

// agreedOf is the inverse of kind.
func agreedOf(kind int32) agreed { return agreed(-1 - kind) }

// classical is 1 if a connection has no post-quantum key exchange, else 0. It does
// not branch: which of the two the next line has cannot be predicted.
func (a agreed) classical() uint32 { return (uint32(a>>1) + 127) >> 7 }

// protocol names the newest version without post-quantum key exchange.
func (a agreed) protocol() string {
	if newest := bits.Len8(uint8(a / agreedVersion)); newest > 0 {
		return agreedVersions[newest-1].String()
	}
	return "-"
}

// agreedIn returns what an entry says. Up to TLS 1.2 there is no post-quantum key
// exchange: the groups are defined for TLS 1.3 alone (draft-ietf-tls-ecdhe-mlkem).
// In TLS 1.3 the log has to name the group.
func agreedIn(e *connlog.Entry) agreed {
	if e.Failed() || e.Protocol == "" {
		return 0
	}
	group, err := tlsname.ParseGroup(e.KeyExchange)
	if err == nil && group.PostQuantum() {
		return agreedPostQuantum
	}
	named := err == nil && group.Known()
	version, _ := tlsname.ParseVersion(e.Protocol)
	switch i := slices.Index(agreedVersions[:], version); {
	case i >= 0 && (named || version < tlsname.TLS13):
		return agreedVersion << i
	case i < 0 && named:
		return agreedUnknown
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
		a := row.Value.agreed
		r.NonPostQuantumClients = append(r.NonPostQuantumClients, ClassicalClient{c.client(row.Key), uint64(row.Value.classical), a.protocol(), a&agreedPostQuantum != 0})
	}
	r.approximate("nonPostQuantumClients", c.clients.missed)
}
