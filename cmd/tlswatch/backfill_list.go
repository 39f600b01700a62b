package main

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tlswatch/pkg/connlog"
)

// A logObject is a connection log to be sent.
type logObject struct {
	key  string
	etag string // without quotes
	size int64
	end  time.Time // of its period
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

// regionPrefix is a prefix under which objects lie by day of delivery.
var regionPrefix = regexp.MustCompile(`^(?:.*/)?AWSLogs/\d{12}/elasticloadbalancing/[a-z0-9-]+/?$`)

// deliverySlack is how far apart the end of a period and the date in the path
// may be: that date is the delivery's.
const deliverySlack = 24 * time.Hour

// days narrows a listing to the days of delivery that matter: what to list,
// after which key to begin, and the first key too late. Without a key there is
// no bound.
func (o backfillOptions) days() (prefix, after, before string) {
	if !regionPrefix.MatchString(o.prefix) {
		return o.prefix, "", ""
	}
	prefix = strings.TrimSuffix(o.prefix, "/") + "/"
	after = prefix + o.from.Add(-deliverySlack).UTC().Format(keyDate)
	before = prefix + o.to.Add(deliverySlack+24*time.Hour).UTC().Format(keyDate)
	return prefix, after, before
}

// listObjects lists what is under the prefix and sorts it out. With an error it
// returns what was listed before it.
func listObjects(ctx context.Context, client *s3.Client, o backfillOptions, p *progress) (*listing, error) {
	l := &listing{others: make(map[string]int)}
	prefix, after, before := o.days()
	in := &s3.ListObjectsV2Input{Bucket: &o.bucket, Prefix: &prefix, EncodingType: types.EncodingTypeUrl}
	if after != "" {
		in.StartAfter = &after
	}
	var err error
pages:
	for pages := s3.NewListObjectsV2Paginator(client, in); pages.HasMorePages(); {
		var page *s3.ListObjectsV2Output
		if page, err = pages.NextPage(ctx); err != nil {
			break
		}
		for _, c := range page.Contents {
			key := aws.ToString(c.Key)
			if page.EncodingType == types.EncodingTypeUrl {
				if decoded, err := url.QueryUnescape(key); err == nil {
					key = decoded
				}
			}
			if before != "" && key >= before {
				break pages
			}
			l.add(o, key, strings.Trim(aws.ToString(c.ETag), `"`), aws.ToInt64(c.Size))
		}
		p.add(len(page.Contents), 0)
	}
	slices.SortFunc(l.objects, func(a, b logObject) int {
		return cmp.Or(a.end.Compare(b.end), cmp.Compare(a.key, b.key))
	})
	return l, err
}

func (l *listing) add(o backfillOptions, key, etag string, size int64) {
	l.listed++
	k, err := connlog.ParseObjectKey(key)
	if ke, ok := errors.AsType[*connlog.KeyError](err); ok {
		l.others[ke.Reason]++
		return
	}
	switch end := k.PeriodEnd; {
	case end.Before(o.from) || end.After(o.to):
		l.outside++
	case o.now.Sub(end) > tooOld:
		if l.tooOld++; l.oldest.IsZero() || end.Before(l.oldest) {
			l.oldest = end
		}
	default:
		l.objects = append(l.objects, logObject{key, etag, size, end})
	}
}
