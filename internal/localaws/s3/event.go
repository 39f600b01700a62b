package s3

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"tlswatch/internal/localaws/wire"
)

// ObjectCreated describes a new object, as S3's notifications do.
type ObjectCreated struct {
	EventName string // "ObjectCreated:Put", ":Copy" or ":CompleteMultipartUpload"
	Region    string
	Bucket    string
	Key       string // as the client sent it, not encoded
	Size      int64  // bytes
	ETag      string // without quotes
	VersionID string // empty unless the bucket is versioned
	Sequencer string // 18 hex digits, increasing over all objects of this S3
	Time      time.Time
}

// Event is the event notification message, version 2.1, that S3 sends about
// objects: the event name lacks the "s3:" prefix, the key is encoded like a
// form value, the ETag has no quotes.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
func Event(objects ...ObjectCreated) []byte {
	type principal struct {
		PrincipalID string `json:"principalId"`
	}
	type bucket struct {
		Name          string    `json:"name"`
		OwnerIdentity principal `json:"ownerIdentity"`
		ARN           string    `json:"arn"`
	}
	type object struct {
		Key       string `json:"key"`
		Size      int64  `json:"size"`
		ETag      string `json:"eTag"`
		VersionID string `json:"versionId,omitempty"`
		Sequencer string `json:"sequencer"`
	}
	type entity struct {
		SchemaVersion   string `json:"s3SchemaVersion"`
		ConfigurationID string `json:"configurationId"`
		Bucket          bucket `json:"bucket"`
		Object          object `json:"object"`
	}
	type record struct {
		EventVersion      string            `json:"eventVersion"`
		EventSource       string            `json:"eventSource"`
		AWSRegion         string            `json:"awsRegion"`
		EventTime         string            `json:"eventTime"`
		EventName         string            `json:"eventName"`
		UserIdentity      principal         `json:"userIdentity"`
		RequestParameters map[string]string `json:"requestParameters"`
		ResponseElements  map[string]string `json:"responseElements"`
		S3                entity            `json:"s3"`
	}
	owner := principal{"LOCALAWS"}
	records := make([]record, len(objects))
	for i, o := range objects {
		records[i] = record{
			EventVersion:      "2.1",
			EventSource:       "aws:s3",
			AWSRegion:         o.Region,
			EventTime:         o.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
			EventName:         o.EventName,
			UserIdentity:      owner,
			RequestParameters: map[string]string{"sourceIPAddress": "127.0.0.1"},
			ResponseElements:  map[string]string{"x-amz-request-id": o.Sequencer[max(0, len(o.Sequencer)-16):], "x-amz-id-2": "localaws"},
			S3: entity{
				SchemaVersion:   "1.0",
				ConfigurationID: "localaws",
				Bucket:          bucket{o.Bucket, owner, "arn:aws:s3:::" + o.Bucket},
				Object:          object{formURLEncode(o.Key), o.Size, o.ETag, o.VersionID, o.Sequencer},
			},
		}
	}
	message, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		panic(err) // strings and numbers only: cannot happen
	}
	return message
}

// EventBridgeEvent is the event "Object Created" that S3 sends to EventBridge:
// the key is not encoded, the ETag has no quotes.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
func (o ObjectCreated) EventBridgeEvent() []byte {
	type object struct {
		Key       string `json:"key"`
		Size      int64  `json:"size"`
		ETag      string `json:"etag"`
		VersionID string `json:"version-id,omitempty"`
		Sequencer string `json:"sequencer"`
	}
	event, err := json.Marshal(map[string]any{
		"version":     "0",
		"id":          wire.NewUUID(),
		"detail-type": "Object Created",
		"source":      "aws.s3",
		"account":     wire.AccountID,
		"time":        o.Time.UTC().Format(time.RFC3339),
		"region":      o.Region,
		"resources":   []string{"arn:aws:s3:::" + o.Bucket},
		"detail": map[string]any{
			"version":           "0",
			"bucket":            map[string]string{"name": o.Bucket},
			"object":            object{o.Key, o.Size, o.ETag, o.VersionID, o.Sequencer},
			"request-id":        o.Sequencer[max(0, len(o.Sequencer)-16):],
			"requester":         wire.AccountID,
			"source-ip-address": "127.0.0.1",
			"reason":            strings.TrimPrefix(o.EventName, "ObjectCreated:") + "Object",
		},
	})
	if err != nil {
		panic(err) // strings and numbers only: cannot happen
	}
	return event
}

// formURLEncode encodes a key as S3 does in event notifications: like a form
// value, with "+" for a space, but "/" is not encoded.
func formURLEncode(key string) string {
	return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
}
