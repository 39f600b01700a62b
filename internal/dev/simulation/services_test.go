package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"tlswatch/pkg/ledger"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/pipeline"
)

var (
	errNetwork = errors.New("network: no reply")
	errRefused = errors.New("refused: throttled")
)

// call is one API call. It may be applied or not, its reply may arrive or not, and
// the process may crash before or after it.
func (p *process) call(what string, apply func()) error {
	p.yield(what)
	p.company = p.company || p.w.othersBegan(p)
	switch p.w.nature.fate(what) {
	case dieBefore:
		p.die("before " + what)
	case dieAfter:
		apply()
		p.die("after " + what)
	case notSent:
		p.w.log("%s: %s not sent", p.id, what)
		return errNetwork
	case replyLost:
		apply()
		p.w.log("%s: reply to %s lost", p.id, what)
		return errNetwork
	case refused:
		p.w.log("%s: %s refused", p.id, what)
		return errRefused
	}
	apply()
	return nil
}

// learns adds to the history of what the process's calls returned. The history
// decides what the process does next.
func (p *process) learns(parts ...any) {
	h := fnv.New64a()
	fmt.Fprint(h, p.history)
	fmt.Fprintln(h, parts...)
	p.history = h.Sum64()
}

// store is one process's access to the state bucket.
type store struct{ p *process }

func (s store) Get(_ context.Context, key string) (body []byte, etag string, err error) {
	lost := s.p.call("get "+key, func() {
		o, ok := s.p.w.s3[key]
		if !ok {
			err = ledger.ErrNotFound
			return
		}
		body, etag = o.body, o.etag
	})
	if lost != nil {
		err = lost
	}
	s.p.learns("get", etag, err)
	return body, etag, err
}

// write is a conditional write. If the reply is lost, the SDK may send the request
// again, and the caller then sees the second request refused.
func (s store) write(what, key string, body []byte, refusal func() error) (etag string, err error) {
	once := func() {
		if err = refusal(); err != nil {
			return
		}
		etag = etagOf(body)
		s.p.w.s3[key] = stored{slices.Clone(body), etag}
		s.p.noteWrite(key, body)
	}
	lost := s.p.call(what+" "+key, once)
	if lost != nil && s.p.w.nature.resend() {
		lost = s.p.call(what+" again "+key, once)
	}
	if lost != nil {
		etag, err = "", lost
	}
	s.p.learns(what, etag, err)
	return etag, err
}

// etagOf returns the same ETag for the same body, as S3 does.
func etagOf(body []byte) string {
	h := fnv.New128a()
	h.Write(body)
	return fmt.Sprintf("%x", h.Sum(nil))
}

func (s store) Create(_ context.Context, key string, body []byte) (string, error) {
	return s.write("create", key, body, func() error {
		if s.p.w.nature.conflict() {
			return ledger.ErrConflict
		}
		if _, ok := s.p.w.s3[key]; ok {
			return ledger.ErrExists
		}
		return nil
	})
}

func (s store) Replace(_ context.Context, key string, body []byte, etag string) (string, error) {
	return s.write("replace", key, body, func() error {
		if s.p.w.nature.conflict() {
			return ledger.ErrConflict
		}
		switch o, ok := s.p.w.s3[key]; {
		case !ok:
			return ledger.ErrNotFound
		case o.etag != etag:
			return ledger.ErrChanged
		}
		return nil
	})
}

func (s store) List(_ context.Context, prefix, after string, yield func(string, int64) bool) error {
	type entry struct {
		key  string
		size int
	}
	var page []entry
	err := s.p.call("list "+prefix, func() {
		for _, key := range slices.Sorted(maps.Keys(s.p.w.s3)) {
			if strings.HasPrefix(key, prefix) && key > after {
				page = append(page, entry{key, len(s.p.w.s3[key].body)})
				s.p.learns(key, len(s.p.w.s3[key].body)%1024) // which is all that the ledger looks at
			}
		}
	})
	s.p.learns("list", err)
	if err != nil {
		return err
	}
	for _, e := range page {
		if !yield(e.key, int64(e.size)) {
			return nil
		}
	}
	return nil
}

// noteWrite records that a process has written "published" or "sent".
func (p *process) noteWrite(key string, body []byte) {
	var r struct{ State, Object string }
	if err := json.Unmarshal(body, &r); err != nil {
		p.w.breaks("record %s: %v", key, err)
	}
	switch r.State {
	case "published":
		p.committed[p.w.cipherOf(r.Object)] = true
	case "sent":
		p.alerted = nil
	}
}

// source, sink and topic are the other services.
type source struct{ p *process }

func (s source) Open(_ context.Context, o pipeline.Object) (pipeline.Object, io.ReadCloser, error) {
	if err := s.p.call("open", func() {}); err != nil {
		s.p.learns("open", err)
		return o, nil, err
	}
	o.ETag = "etag-of-" + o.Key
	return o, io.NopCloser(bytes.NewReader(s.p.w.bodies[o.Key])), nil
}

type sink struct{ p *process }

func (s sink) Put(_ context.Context, data []metric.Datum) error {
	err := s.p.call("put metric data", func() {
		for _, d := range data {
			for _, dim := range d.Dimensions {
				if d.Name == metric.Connections && dim.Name == metric.Cipher {
					s.accept(dim.Value, int(d.Values[0]))
				}
			}
			if d.Name == metric.UncertainRepublishes {
				s.p.w.republished += d.Values[0]
			}
		}
	})
	s.p.learns("put", err)
	return nothingSent(err)
}

// nothingSent marks the error of a call that was refused.
func nothingSent(err error) error {
	if err == errRefused {
		return fmt.Errorf("%w: %w", pipeline.ErrNothingSent, err)
	}
	return err
}

func (s sink) accept(cipher string, connections int) {
	for _, o := range s.p.w.objects {
		if o.cipher == cipher && o.connections != connections {
			s.p.w.breaks("%s: %d connections of %d", cipher, connections, o.connections)
		}
	}
	s.p.w.accepted[cipher]++
	s.p.accepted[cipher] = true
}

type topic struct{ p *process }

func (t topic) Publish(_ context.Context, m notice.Message) (twice bool, err error) {
	err = t.p.call("publish alert", func() {
		var doc struct {
			Failed uint64
			Window struct{ End time.Time }
		}
		if err := json.Unmarshal([]byte(m.Texts["sqs"]), &doc); err != nil {
			t.p.w.breaks("alert: %v", err)
		}
		if t.p.alerted != nil {
			t.p.alerted.uncertain = true
		}
		t.p.alerted = &sentAlert{at: t.p.w.now, end: doc.Window.End, failed: doc.Failed}
		t.p.w.alerts = append(t.p.w.alerts, t.p.alerted)
		t.p.w.log("%s alerts about %s: %d", t.p.id, doc.Window.End.Format("15:04"), doc.Failed)
	})
	t.p.learns("publish", err)
	return false, nothingSent(err)
}
