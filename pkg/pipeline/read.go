package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/posture"
	"tlswatch/pkg/rollup"
)

// maxAttempts is how often an object is read from its start, in all, when the
// transfer is interrupted.
const maxAttempts = 3

// retryPause is the wait before the second attempt. It doubles from there.
const retryPause = 200 * time.Millisecond

// errCut marks an error in the middle of a transfer: the object itself may be
// valid.
var errCut = errors.New("transfer was interrupted")

// Reasons of Report.Skipped that do not come from the object's key.
const (
	SkippedGone     = "gone before it was read"
	SkippedReplaced = "replaced before it was read; its own event follows"
	skippedEmpty    = "empty"
	skippedNameless = "neither the key nor an entry names the load balancer: add elb to the record fields of the log delivery"
)

// A reading is the result of reading an object.
type reading struct {
	object  Object // as it was opened
	key     logkey.Key
	summary *rollup.Summary // nil if the object was skipped, or after an error
	skipped string
	err     error

	attempts         int
	bytes            int64
	lines, malformed uint64
	firstMalformed   *connlog.ParseError
	counts           rollup.Counts
	plaintext        uint64
	took             time.Duration
}

// version identifies the object that was read, however it was announced.
func (r *reading) version() Object {
	return Object{Bucket: r.object.Bucket, Key: r.object.Key, ETag: r.object.ETag}
}

// begin reads an object, in a goroutine if several are read at the same time, and
// sends the result.
func (p *Pipeline) begin(ctx context.Context, o Object, sofar pace) <-chan reading {
	result := make(chan reading, 1)
	read := func() {
		start := p.Now()
		r := p.read(ctx, o)
		r.took = p.Now().Sub(start)
		result <- r
	}
	switch {
	case ctx.Err() != nil || sofar.tooSlow(ctx, p.Now()):
		result <- reading{object: o, err: ErrNotBegun}
	case p.Readers <= 1:
		read()
	default:
		go read()
	}
	return result
}

// read reads an object, again if the transfer is interrupted.
func (p *Pipeline) read(ctx context.Context, o Object) reading {
	key, err := logkey.Parse(o.Key)
	if err != nil && o.AltKey != "" {
		key, err = logkey.Parse(o.AltKey)
	}
	if ke, ok := errors.AsType[*logkey.Error](err); ok {
		return reading{object: o, key: key, skipped: ke.Reason}
	}
	attempts := 0
	for pause := retryPause; ; pause *= 2 {
		attempts++
		r := p.readOnce(ctx, o, key)
		o, r.attempts = r.object, attempts // the next attempt is at the same version
		if !errors.Is(r.err, errCut) || attempts == maxAttempts || ctx.Err() != nil {
			return r
		}
		if stop := p.Sleep(ctx, pause); stop != nil {
			r.err = fmt.Errorf("%w; not tried again: %w", r.err, stop)
			return r
		}
	}
}

// readOnce reads an object, or finds a reason to skip it.
func (p *Pipeline) readOnce(ctx context.Context, o Object, key logkey.Key) reading {
	r := reading{object: o, key: key}
	s, err := p.summarize(ctx, &r)
	format, isFormat := errors.AsType[*connlog.FormatError](err)
	switch {
	case isFormat:
		r.skipped = format.Reason()
	case errors.Is(err, ErrGone):
		r.skipped = SkippedGone
	case errors.Is(err, ErrReplaced):
		r.skipped = SkippedReplaced
	case err != nil:
		r.err = err
	case s.Lines == 0 && (r.bytes == 0 || r.key.LoadBalancer == ""):
		r.skipped = skippedEmpty
	case r.key.LoadBalancer == "":
		r.skipped = skippedNameless
	default:
		r.summary, r.lines, r.malformed, r.counts, r.plaintext = s, s.Lines, s.Malformed, s.Totals, s.Plaintext
	}
	return r
}

// summarize opens the object of r and reads it to its end. It completes r's object
// and key.
func (p *Pipeline) summarize(ctx context.Context, r *reading) (*rollup.Summary, error) {
	opened, body, err := p.Source.Open(ctx, r.object)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	r.object = opened

	named := r.key.LoadBalancer != ""
	s := rollup.New(rollup.Options{IPv6Prefix: p.IPv6Prefix, Watch: posture.IsWeak, CertificateHorizon: posture.Horizon})
	z, ok := p.readers.Get().(*connlog.Reader)
	if !ok {
		z = connlog.NewReader(nil, connlog.Limit(p.ObjectLimit))
	}
	z.Reset(body)
	if named {
		z.IgnoreLoadBalancer()
	}
	defer func() {
		z.Reset(nil)
		p.readers.Put(z)
	}()
	var e connlog.Entry
	for {
		err := z.Read(&e)
		r.bytes = z.Bytes()
		switch err := err.(type) {
		case nil:
			s.Add(&e)
			if !named {
				if err := r.key.Learn(e.LoadBalancer); err != nil {
					return nil, err
				}
			}
			continue
		case *connlog.ParseError:
			s.AddMalformed()
			if r.firstMalformed == nil {
				r.firstMalformed = err
			}
			continue
		}
		switch {
		case err == io.EOF:
			r.key.LearnPeriod(s.Last)
			return s, nil
		case errors.Is(err, connlog.ErrCorrupt), errors.Is(err, connlog.ErrTooLarge):
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errCut, err)
	}
}
