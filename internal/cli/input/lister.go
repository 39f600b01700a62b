package input

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
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
		in := listing{Lister: l, client: client}
		in.region = func(ctx context.Context, folder string, hive bool) error {
			after, before := in.days(folder, hive)
			return in.pages(ctx, folder, after, before, yield)
		}
		return in.list(ctx, prefix, yield)
	})
	if err != nil {
		return fmt.Errorf("list: %w", cloud.ExplainS3(l.Bucket, err))
	}
	return nil
}

// covered returns the time from the first to the last day for which there is a folder
// of logs under the prefix. It is zero if there is none.
func (l Lister) covered(ctx context.Context, prefix string) (span Span, err error) {
	err = l.Buckets.InRegion(ctx, l.Bucket, func(client *s3.Client) error {
		in := listing{Lister: l, client: client}
		in.region = func(ctx context.Context, folder string, hive bool) error {
			for _, choose := range []func([]string) string{slices.Min[[]string], slices.Max[[]string]} {
				day, err := in.day(ctx, folder, hive, choose)
				if err != nil {
					return err
				}
				if !day.IsZero() {
					span.extend(day)
					span.extend(day.Add(24 * time.Hour))
				}
			}
			return nil
		}
		return in.descend(ctx, prefix, unknownFolders, func([]Object) error { return nil })
	})
	return span, err
}

// A listing is a Lister at work.
type listing struct {
	Lister
	client *s3.Client
	region func(ctx context.Context, folder string, hive bool) error // lists the folder of a Region
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
		return l.region(ctx, prefix, m[1] != "")
	}
	if !aboveRegion.MatchString(prefix) {
		if unknown == 0 {
			return l.pages(ctx, prefix, "", "", yield)
		}
		unknown--
	}
	return l.folders(ctx, prefix, func(objects []Object, folders []string) error {
		if len(objects) > 0 {
			if err := yield(objects); err != nil {
				return err
			}
		}
		for _, folder := range folders {
			var err error
			if folder == prefix+"/" && strings.HasSuffix(prefix, "/") { // a key with an empty folder name
				err = l.pages(ctx, folder, "", "", yield)
			} else {
				err = l.descend(ctx, folder, unknown, yield)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// folders lists what is directly in a folder, page by page.
func (l listing) folders(ctx context.Context, prefix string, yield func(objects []Object, folders []string) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &l.Bucket, Prefix: &prefix, Delimiter: aws.String("/"), EncodingType: types.EncodingTypeUrl}
	for p := s3.NewListObjectsV2Paginator(l.client, in); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return err
		}
		var folders []string
		for _, c := range page.CommonPrefixes {
			folders = append(folders, decoded(page, aws.ToString(c.Prefix)))
		}
		if err := yield(objectsOf(page), folders); err != nil {
			return err
		}
	}
	return nil
}

// day returns a day for which there is a folder in a Region's folder: of the year,
// month and day that are chosen. It is zero if there is none.
func (l listing) day(ctx context.Context, region string, hive bool, choose func([]string) string) (time.Time, error) {
	folder := region
	for range 3 {
		var found []string
		err := l.folders(ctx, folder, func(_ []Object, folders []string) error {
			found = append(found, folders...)
			return nil
		})
		if err != nil || len(found) == 0 {
			return time.Time{}, err
		}
		folder = choose(found)
	}
	day, err := time.Parse(layoutOf(hive)+"/", strings.TrimPrefix(folder, region))
	if err != nil {
		return time.Time{}, nil // not a folder of log delivery
	}
	return day, nil
}

// days returns the key after which to begin in a Region's folder, and the first key
// that is too late; "" means no limit.
func (l listing) days(folder string, hive bool) (after, before string) {
	layout := layoutOf(hive)
	if !l.Span.Since.IsZero() {
		after = folder + l.Span.Since.Add(-deliverySlack).UTC().Format(layout)
	}
	if !l.Span.Until.IsZero() {
		before = folder + l.Span.Until.Add(deliverySlack+24*time.Hour).UTC().Format(layout)
	}
	return after, before
}

// layoutOf returns the layout of the folders of days.
func layoutOf(hive bool) string {
	if hive {
		return keyDateHive
	}
	return KeyDate
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
