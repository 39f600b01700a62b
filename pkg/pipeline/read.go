package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/posture"
	"tlswatch/pkg/rollup"
)

// Attempts is how often an object is read from its start, in all, when the
// transfer breaks off.
const Attempts = 3

// retryPause is the wait before the second attempt; it doubles from there.
const retryPause = 200 * time.Millisecond

// errCut marks an error in the middle of a transfer: the object itself may be
// in order.
var errCut = errors.New("transfer broke off")

// read returns what the object adds up to, or nil if it is to be skipped.
func (p *Pipeline) read(ctx context.Context, r *Report) (*rollup.Summary, error) {
	key, err := connlog.ParseObjectKey(r.Object.Key)
	if err != nil && r.Object.AltKey != "" {
		key, err = connlog.ParseObjectKey(r.Object.AltKey)
	}
	if ke, ok := errors.AsType[*connlog.KeyError](err); ok {
		r.Skipped = ke.Reason
		return nil, nil
	}
	for pause := retryPause; ; pause *= 2 {
		r.Attempts++
		r.Key = key
		s, err := p.readOnce(ctx, r)
		refused, isRefused := errors.AsType[*connlog.FormatError](err)
		switch {
		case isRefused:
			r.Skipped = refused.Reason()
			return nil, nil
		case err == nil && s.Lines == 0 && (r.Bytes == 0 || r.Key.LoadBalancer == ""):
			r.Skipped = SkippedEmpty
			return nil, nil
		case err == nil && r.Key.LoadBalancer == "":
			r.Skipped = SkippedNameless
			return nil, nil
		case err == nil:
			r.Lines, r.Malformed, r.Counts, r.Plaintext = s.Lines, s.Malformed, s.Totals, s.Plaintext
			return s, nil
		case errors.Is(err, ErrGone):
			r.Skipped = SkippedGone
			return nil, nil
		case errors.Is(err, ErrReplaced):
			r.Skipped = SkippedReplaced
			return nil, nil
		case !errors.Is(err, errCut) || r.Attempts == Attempts || ctx.Err() != nil:
			return nil, err
		}
		if stop := p.Sleep(ctx, pause); stop != nil {
			return nil, fmt.Errorf("%w; not tried again: %w", err, stop)
		}
	}
}

func (p *Pipeline) readOnce(ctx context.Context, r *Report) (*rollup.Summary, error) {
	opened, body, err := p.Source.Open(ctx, r.Object)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	r.Object = opened

	r.FirstMalformed = nil
	named := r.Key.LoadBalancer != ""
	s := rollup.New(rollup.Options{IPv6Prefix: p.IPv6Prefix, Watch: posture.IsWeak, CertificateHorizon: posture.Horizon})
	z, ok := p.readers.Get().(*connlog.Reader)
	if !ok {
		z = connlog.NewReader(nil, connlog.Limit(p.ObjectLimit))
	}
	z.Reset(body)
	defer func() {
		z.Reset(nil)
		p.readers.Put(z)
	}()
	var e connlog.Entry
	for {
		err := z.Read(&e)
		r.Bytes = z.Bytes()
		switch err := err.(type) {
		case nil:
			s.Add(&e)
			if !named {
				if err := r.Key.Learn(&e); err != nil {
					return nil, err
				}
			}
			continue
		case *connlog.ParseError:
			s.AddMalformed()
			if r.FirstMalformed == nil {
				r.FirstMalformed = err
			}
			continue
		}
		switch {
		case err == io.EOF:
			r.Key.LearnPeriod(s.Last)
			return s, nil
		case errors.Is(err, connlog.ErrCorrupt), errors.Is(err, connlog.ErrTooLarge):
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errCut, err)
	}
}
