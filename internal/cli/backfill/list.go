package backfill

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/input"
	"tlswatch/pkg/logkey"
)

// A logObject is a connection log to be sent.
type logObject struct {
	input.Object
	end time.Time // of its period
}

// A listing is what was found under a prefix.
type listing struct {
	objects []logObject // by end of period
	listed  int
	others  map[string]int // no connection logs, by the reason of the KeyError
	outside int            // of the time asked for
	tooOld  int
	oldest  time.Time // end of period of those too old
}

// listObjects lists and sorts the objects under the prefix. If it fails, it also
// returns what it had listed by then.
func listObjects(ctx context.Context, buckets *cloud.Buckets, o options, p *console.Progress) (*listing, error) {
	l := &listing{others: make(map[string]int)}
	lister := input.Lister{Buckets: buckets, Bucket: o.bucket, Span: o.span}
	err := lister.List(ctx, o.prefix, func(page []input.Object) error {
		for _, c := range page {
			l.add(o, c)
		}
		p.Add(len(page), 0)
		return nil
	})
	slices.SortFunc(l.objects, func(a, b logObject) int {
		return cmp.Or(a.end.Compare(b.end), cmp.Compare(a.Key, b.Key))
	})
	return l, err
}

func (l *listing) add(o options, c input.Object) {
	l.listed++
	k, err := logkey.Parse(c.Key)
	if ke, ok := errors.AsType[*logkey.Error](err); ok {
		l.others[ke.Reason]++
		return
	}
	switch earliest, end := k.Ends(); {
	case end.Before(o.span.Since) || earliest.After(o.span.Until):
		l.outside++
	case o.now.Sub(end) > tooOld:
		if l.tooOld++; l.oldest.IsZero() || end.Before(l.oldest) {
			l.oldest = end
		}
	default:
		l.objects = append(l.objects, logObject{c, end})
	}
}
