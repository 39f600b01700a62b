package trigger

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"tlswatch/pkg/pipeline"
)

// s3Record reads one record of an S3 notification.
//
// Its major version must be 2; AWS increases it for incompatible changes. All minor
// versions since 2.0 have the fields used here.
func (p *parser) s3Record(e *Event, i int, raw json.RawMessage) {
	item := Item{ID: strconv.Itoa(i)}
	defer func() { e.Items = append(e.Items, item) }()
	var r struct {
		EventVersion string `json:"eventVersion"`
		EventSource  string `json:"eventSource"`
		EventName    string `json:"eventName"`
		S3           struct {
			Bucket struct {
				Name string `json:"name"`
			} `json:"bucket"`
			Object struct {
				Key       string `json:"key"`
				Size      *int64 `json:"size"`
				ETag      string `json:"eTag"`
				VersionID string `json:"versionId"`
			} `json:"object"`
		} `json:"s3"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		item.fail(wrongType(err))
		return
	}
	if r.EventSource != "aws:s3" {
		item.fail(fmt.Errorf("event source %q among records of aws:s3", clip(r.EventSource, maxQuote)))
		return
	}
	if major, _, _ := strings.Cut(r.EventVersion, "."); major != "2" {
		item.fail(fmt.Errorf("event version %q is not 2.x", clip(r.EventVersion, maxQuote)))
		return
	}
	if !strings.HasPrefix(strings.TrimPrefix(r.EventName, "s3:"), "ObjectCreated:") {
		e.ignore(item.ID, notCreation, r.EventName+" s3://"+r.S3.Bucket.Name+"/"+r.S3.Object.Key)
		return
	}
	o := r.S3.Object
	key, err := url.QueryUnescape(o.Key)
	if err != nil {
		item.fail(fmt.Errorf("key %q: %w", clip(o.Key, maxQuote), err))
		return
	}
	item.add(pipeline.Object{Bucket: r.S3.Bucket.Name, Key: key, VersionID: o.VersionID, ETag: o.ETag, Size: size(o.Size)}, "")
}

// eventBridge reads an S3 event or a destination's invocation record from an event bus.
func (p *parser) eventBridge(raw json.RawMessage, depth int) (*Event, error) {
	var v struct {
		ID         string          `json:"id"`
		Source     string          `json:"source"`
		DetailType string          `json:"detail-type"`
		Detail     json.RawMessage `json:"detail"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, notKnown("EventBridge event: %v", wrongType(err))
	}
	switch {
	case v.Source == "lambda":
		e, err := p.decode(v.Detail, depth+1)
		if err != nil {
			return nil, fmt.Errorf("EventBridge detail: %w", err)
		}
		e.Shape = EventBridge
		return e, nil
	case v.Source == "aws.s3" && v.DetailType == "AWS API Call via CloudTrail":
		return apiCall(v.ID, v.Detail), nil
	case v.Source != "aws.s3" || !strings.HasPrefix(v.DetailType, "Object "):
		return nil, notKnown("EventBridge source %q with detail-type %q", clip(v.Source, maxQuote), clip(v.DetailType, maxQuote))
	}
	item := Item{ID: orPosition(v.ID, 0)}
	var d struct {
		EventVersion string `json:"event-version"` // newer events only
		Bucket       struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key       string `json:"key"`
			Size      *int64 `json:"size"`
			ETag      string `json:"etag"`
			VersionID string `json:"version-id"`
		} `json:"object"`
	}
	e := newEvent(EventBridge)
	err := json.Unmarshal(v.Detail, &d)
	major, _, _ := strings.Cut(d.EventVersion, ".")
	switch {
	case err != nil:
		item.fail(wrongType(err))
	case major != "" && major != "1":
		item.fail(fmt.Errorf("event version %q is not 1.x", clip(d.EventVersion, maxQuote)))
	case v.DetailType != "Object Created":
		e.ignore(item.ID, notCreation, v.DetailType+" s3://"+d.Bucket.Name+"/"+d.Object.Key)
	default:
		o := d.Object
		item.add(pipeline.Object{Bucket: d.Bucket.Name, Key: o.Key, VersionID: o.VersionID, ETag: o.ETag, Size: size(o.Size)}, decodedKey(o.Key))
	}
	e.Items = append(e.Items, item)
	return e, nil
}

// creations are the API calls that end with a new object.
var creations = []string{"PutObject", "CompleteMultipartUpload", "CopyObject"}

// apiCall reads a CloudTrail record of a call to S3. It has neither the object's ETag nor
// its size.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
func apiCall(id string, detail json.RawMessage) *Event {
	item := Item{ID: orPosition(id, 0)}
	var d struct {
		EventVersion string `json:"eventVersion"`
		EventName    string `json:"eventName"`
		ErrorCode    string `json:"errorCode"`
		Request      struct {
			Bucket string `json:"bucketName"`
			Key    string `json:"key"`
		} `json:"requestParameters"`
		Response struct {
			VersionID string `json:"x-amz-version-id"`
		} `json:"responseElements"`
	}
	e := newEvent(EventBridge)
	err := json.Unmarshal(detail, &d)
	major, _, _ := strings.Cut(d.EventVersion, ".")
	what := d.EventName + " s3://" + d.Request.Bucket + "/" + d.Request.Key
	switch {
	case err != nil:
		item.fail(wrongType(err))
	case major != "1":
		item.fail(fmt.Errorf("event version %q is not 1.x", clip(d.EventVersion, maxQuote)))
	case !slices.Contains(creations, d.EventName):
		e.ignore(item.ID, notCreation, what)
	case d.ErrorCode != "":
		e.ignore(item.ID, callFailed, what+": "+d.ErrorCode)
	default:
		item.add(pipeline.Object{Bucket: d.Request.Bucket, Key: d.Request.Key, VersionID: d.Response.VersionID, Size: -1}, decodedKey(d.Request.Key))
	}
	e.Items = append(e.Items, item)
	return e
}

// decodedKey returns the key without form encoding, or "" if that is the same key or
// none.
func decodedKey(key string) string {
	alt, err := url.QueryUnescape(key)
	if err != nil || alt == key || !utf8.ValidString(alt) {
		return ""
	}
	return alt
}

// batch reads a request of S3 Batch Operations. Schema 1.0 has the ARN of the bucket, 2.0
// its name; both have form-encoded keys.
func (p *parser) batch(raw json.RawMessage) (*Event, error) {
	var b struct {
		SchemaVersion string          `json:"invocationSchemaVersion"`
		InvocationID  string          `json:"invocationId"`
		Tasks         json.RawMessage `json:"tasks"`
	}
	if err := json.Unmarshal(raw, &b); err != nil {
		return nil, notKnown("S3 Batch Operations request: %v", wrongType(err))
	}
	e := newEvent(Batch)
	e.schemaVersion, e.invocationID = b.SchemaVersion, b.InvocationID
	err := p.each("tasks", b.Tasks, func(task json.RawMessage) {
		var t struct {
			TaskID    string `json:"taskId"`
			Key       string `json:"s3Key"`
			VersionID string `json:"s3VersionId"`
			Bucket    string `json:"s3Bucket"`
			BucketARN string `json:"s3BucketArn"`
		}
		err := wrongType(json.Unmarshal(task, &t))
		item := Item{ID: orPosition(t.TaskID, len(e.Items)), token: t.TaskID}
		defer func() { e.Items = append(e.Items, item) }()
		if err == nil && b.SchemaVersion != "1.0" && b.SchemaVersion != "2.0" {
			err = fmt.Errorf("invocation schema version %q is neither 1.0 nor 2.0", clip(b.SchemaVersion, maxQuote))
		}
		if err == nil && t.Bucket == "" {
			t.Bucket, err = bucketOfARN(t.BucketARN)
		}
		key, keyErr := url.QueryUnescape(t.Key)
		if keyErr != nil {
			err = errors.Join(err, fmt.Errorf("key %q: %w", clip(t.Key, maxQuote), keyErr))
		}
		if err != nil {
			item.fail(err)
			return
		}
		item.add(pipeline.Object{Bucket: t.Bucket, Key: key, VersionID: t.VersionID, Size: -1}, "")
	})
	if err != nil {
		return nil, err
	}
	if len(e.Items) == 0 {
		e.ignore("", empty, "tasks")
	}
	return e, nil
}

// bucketOfARN returns NAME of arn:PARTITION:s3:::NAME.
func bucketOfARN(arn string) (string, error) {
	f := strings.Split(arn, ":")
	if len(f) != 6 || f[0] != "arn" || f[2] != "s3" || f[3] != "" || f[4] != "" {
		return "", fmt.Errorf("%q is not the ARN of a bucket", clip(arn, maxQuote))
	}
	return f[5], nil
}
