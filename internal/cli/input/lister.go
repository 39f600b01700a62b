package input

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
	"tlswatch/internal/cli/cloud"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// A Span is the time from since to until; a zero time is an open end.
type Span struct{ Since, Until time.Time }

// extend makes a span contain a time. The zero span contains none.
func (s *Span) extend(t time.Time) {
	if s.Since.IsZero() || t.Before(s.Since) {
		s.Since = t
	}
	if t.After(s.Until) {
		s.Until = t
	}
}

// An Object is an object in a listing.
type Object struct {
	Key  string
	ETag string // without quotes
	Size int64

	Modified time.Time
}

// A Lister lists the objects of a bucket. Where the keys have the layout of log
// delivery, it lists only the days of the span.
type Lister struct {
	Buckets *cloud.Buckets
	Bucket  string
	Span    Span
}

// Logs are delivered in folders by day below a folder for the Region. CloudWatch calls
// the second form Hive-compatible.
var (
	regionFolder = regexp.MustCompile(`^(?:.*/)?AWSLogs/(?:aws-account-id=)?\d{12}/elasticloadbalancing/(region=)?[a-z0-9-]+/$`)
	aboveRegion  = regexp.MustCompile(`^(?:.*/)?AWSLogs/(?:(?:aws-account-id=)?\d{12}/(?:elasticloadbalancing/)?)?$`)
	belowRegion  = regexp.MustCompile(`^(?:.*/)?AWSLogs/(?:aws-account-id=)?\d{12}/elasticloadbalancing/(?:region=)?[a-z0-9-]+/.`)
)

const (
	KeyDate     = "2006/01/02" // of the delivery, in the path
	keyDateHive = "year=2006/month=01/day=02"

	// deliverySlack is how far the date in the path, which is that of delivery, may be
	// from the end of the period.
	deliverySlack = 24 * time.Hour

	// unknownFolders is how many folders deep AWSLogs/ is searched for.
	unknownFolders = 4
)

// List calls yield for each page of objects under the prefix.
func (l Lister) List(ctx context.Context, prefix string, yield func([]Object) error) error {
	// S3 redirects the first request, before any yield.
	err := l.Buckets.InRegion(ctx, l.Bucket, func(client *s3.Client) error {
		return listing{l, client}.list(ctx, prefix, yield)
	})
	if err != nil {
		return fmt.Errorf("list: %w", cloud.ExplainS3(l.Bucket, err))
	}
	return nil
}

// A listing is a Lister at work.
type listing struct {
	Lister
	client *s3.Client
}

func (l listing) list(ctx context.Context, prefix string, yield func([]Object) error) error {
	if l.Span == (Span{}) || belowRegion.MatchString(prefix) {
		return l.pages(ctx, prefix, "", "", yield)
	}
	return l.descend(ctx, prefix, unknownFolders, yield)
}

// descend searches for folders of Regions, in which it can leave out days.
func (l listing) descend(ctx context.Context, prefix string, unknown int, yield func([]Object) error) error {
	if m := regionFolder.FindStringSubmatch(prefix); m != nil {
		after, before := l.days(prefix, m[1] != "")
		return l.pages(ctx, prefix, after, before, yield)
	}
	if !aboveRegion.MatchString(prefix) {
		if unknown == 0 {
			return l.pages(ctx, prefix, "", "", yield)
		}
		unknown--
	}
	in := &s3.ListObjectsV2Input{Bucket: &l.Bucket, Prefix: &prefix, Delimiter: aws.String("/"), EncodingType: types.EncodingTypeUrl}
	for p := s3.NewListObjectsV2Paginator(l.client, in); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return err
		}
		if len(page.Contents) > 0 {
			if err := yield(objectsOf(page)); err != nil {
				return err
			}
		}
		for _, c := range page.CommonPrefixes {
			folder := decoded(page, aws.ToString(c.Prefix))
			if folder == prefix+"/" && strings.HasSuffix(prefix, "/") { // a key with an empty folder name
				err = l.pages(ctx, folder, "", "", yield)
			} else {
				err = l.descend(ctx, folder, unknown, yield)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// days returns the key after which to begin in a Region's folder, and the first key
// that is too late; "" means no limit.
func (l listing) days(folder string, hive bool) (after, before string) {
	layout := KeyDate
	if hive {
		layout = keyDateHive
	}
	if !l.Span.Since.IsZero() {
		after = folder + l.Span.Since.Add(-deliverySlack).UTC().Format(layout)
	}
	if !l.Span.Until.IsZero() {
		before = folder + l.Span.Until.Add(deliverySlack+24*time.Hour).UTC().Format(layout)
	}
	return after, before
}

// pages lists the objects under the prefix between two keys.
func (l listing) pages(ctx context.Context, prefix, after, before string, yield func([]Object) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &l.Bucket, Prefix: &prefix, EncodingType: types.EncodingTypeUrl}
	if after != "" {
		in.StartAfter = &after
	}
	for p := s3.NewListObjectsV2Paginator(l.client, in); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return err
		}
		objects, end := objectsOf(page), false
		for i, o := range objects {
			if before != "" && o.Key >= before {
				objects, end = objects[:i], true
				break
			}
		}
		if err := yield(objects); err != nil {
			return err
		}
		if end {
			break
		}
	}
	return nil
}

func objectsOf(page *s3.ListObjectsV2Output) []Object {
	objects := make([]Object, len(page.Contents))
	for i, c := range page.Contents {
		objects[i] = Object{decoded(page, aws.ToString(c.Key)), strings.Trim(aws.ToString(c.ETag), `"`), aws.ToInt64(c.Size), aws.ToTime(c.LastModified)}
	}
	return objects
}

// decoded decodes a key. Keys are encoded because XML cannot hold all characters.
func decoded(page *s3.ListObjectsV2Output, key string) string {
	if page.EncodingType == types.EncodingTypeUrl {
		if d, err := url.QueryUnescape(key); err == nil {
			return d
		}
	}
	return key
}
