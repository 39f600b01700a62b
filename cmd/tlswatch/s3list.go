package main

import (
	"context"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// A span is the time from since to until; a zero time is an open end.
type span struct{ since, until time.Time }

// An s3Object is what a listing tells of an object.
type s3Object struct {
	key  string
	etag string // without quotes
	size int64

	modified time.Time
}

// An s3Lister lists the objects of a bucket, where the layout of the keys
// allows it only those delivered about the span.
type s3Lister struct {
	client *s3.Client
	bucket string
	span   span
}

// Where logs are delivered, from the region's folder on by day. The second
// form is the one that CloudWatch calls Hive-compatible.
var (
	regionFolder = regexp.MustCompile(`^(?:.*/)?AWSLogs/(?:aws-account-id=)?\d{12}/elasticloadbalancing/(region=)?[a-z0-9-]+/$`)
	aboveRegion  = regexp.MustCompile(`^(?:.*/)?AWSLogs/(?:(?:aws-account-id=)?\d{12}/(?:elasticloadbalancing/)?)?$`)
	belowRegion  = regexp.MustCompile(`^(?:.*/)?AWSLogs/(?:aws-account-id=)?\d{12}/elasticloadbalancing/(?:region=)?[a-z0-9-]+/.`)
)

const (
	keyDate     = "2006/01/02" // of the delivery, in the path
	keyDateHive = "year=2006/month=01/day=02"

	// deliverySlack is how far apart the end of a period and the date in the
	// path may be: that date is the delivery's.
	deliverySlack = 24 * time.Hour

	// unknownFolders is how many folders down AWSLogs/ is looked for.
	unknownFolders = 4
)

// list calls yield for each page of objects under the prefix.
func (l s3Lister) list(ctx context.Context, prefix string, yield func([]s3Object) error) error {
	if l.span == (span{}) || belowRegion.MatchString(prefix) {
		return l.pages(ctx, prefix, "", "", yield)
	}
	return l.descend(ctx, prefix, unknownFolders, yield)
}

// descend looks for the folders of regions, in which days can be left out.
func (l s3Lister) descend(ctx context.Context, prefix string, unknown int, yield func([]s3Object) error) error {
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
	in := &s3.ListObjectsV2Input{Bucket: &l.bucket, Prefix: &prefix, Delimiter: aws.String("/"), EncodingType: types.EncodingTypeUrl}
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

// days returns after which key to begin in a region's folder and the first key
// too late; "" is no bound.
func (l s3Lister) days(folder string, hive bool) (after, before string) {
	layout := keyDate
	if hive {
		layout = keyDateHive
	}
	if !l.span.since.IsZero() {
		after = folder + l.span.since.Add(-deliverySlack).UTC().Format(layout)
	}
	if !l.span.until.IsZero() {
		before = folder + l.span.until.Add(deliverySlack+24*time.Hour).UTC().Format(layout)
	}
	return after, before
}

// pages lists what is under the prefix between two keys.
func (l s3Lister) pages(ctx context.Context, prefix, after, before string, yield func([]s3Object) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &l.bucket, Prefix: &prefix, EncodingType: types.EncodingTypeUrl}
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
			if before != "" && o.key >= before {
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

func objectsOf(page *s3.ListObjectsV2Output) []s3Object {
	objects := make([]s3Object, len(page.Contents))
	for i, c := range page.Contents {
		objects[i] = s3Object{decoded(page, aws.ToString(c.Key)), strings.Trim(aws.ToString(c.ETag), `"`), aws.ToInt64(c.Size), aws.ToTime(c.LastModified)}
	}
	return objects
}

// decoded undoes the encoding of keys, which keeps those that XML cannot hold.
func decoded(page *s3.ListObjectsV2Output, key string) string {
	if page.EncodingType == types.EncodingTypeUrl {
		if d, err := url.QueryUnescape(key); err == nil {
			return d
		}
	}
	return key
}
