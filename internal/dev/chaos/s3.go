package main

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const stateBucket = "chaos-state"

// s3 reads a request in path style. Of S3 there is what the function may use:
// GetObject, PutObject with conditions, and ListObjectsV2, all strongly
// consistent.
func (w *world) s3(r *http.Request, path string, body []byte) (call, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	c := call{service: "s3", about: w.shortKey(key)}
	query := r.URL.Query()
	switch {
	case bucket != logBucket && bucket != stateBucket:
		return c, fmt.Errorf("S3: %s %s", r.Method, path)
	case r.Method == http.MethodGet && key == "" && query.Get("list-type") == "2":
		c.operation, c.about = "List "+bucket, query.Get("prefix")
		c.apply = func() reply { return w.listObjects(bucket, query) }
	case r.Method == http.MethodGet && key != "" && r.Header.Get("Range") == "":
		c.operation = "Get " + kindOf(bucket, key)
		c.apply = func() reply { return w.getObject(bucket+"/"+key, r.Header.Get("If-Match")) }
	case r.Method == http.MethodPut && bucket == stateBucket && key != "" && !strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked"):
		if want := r.Header.Get("X-Amz-Checksum-Crc32"); want != "" && want != checksum(body) {
			return c, fmt.Errorf("S3: checksum of %s", path)
		}
		c.operation = "Put " + kindOf(bucket, key)
		c.conditional = true
		c.apply = func() reply {
			return w.putObject(bucket+"/"+key, body, r.Header.Get("If-Match"), r.Header.Get("If-None-Match"))
		}
	default:
		return c, fmt.Errorf("S3: %s %s?%s", r.Method, path, r.URL.RawQuery)
	}
	return c, nil
}

// kindOf tells objects apart by the first names of their keys, so that each
// kind can have faults of its own.
func kindOf(bucket, key string) string {
	if bucket == logBucket {
		return "log"
	}
	parts := strings.SplitN(key, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

func checksum(body []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
}

func etagOf(body []byte) string {
	digest := md5.Sum(body)
	return `"` + hex.EncodeToString(digest[:]) + `"`
}

func (w *world) getObject(path, ifMatch string) reply {
	body, ok := w.store[path]
	switch {
	case !ok:
		return s3Error(404, "NoSuchKey")
	case ifMatch != "" && ifMatch != etagOf(body):
		return s3Error(412, "PreconditionFailed")
	}
	return reply{200, http.Header{"Etag": {etagOf(body)}, "Content-Type": {"binary/octet-stream"}}, body}
}

// putObject writes on condition. Without one, it is an error: two writers would
// overwrite each other.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func (w *world) putObject(path string, body []byte, ifMatch, ifNoneMatch string) reply {
	old, exists := w.store[path]
	switch {
	case ifNoneMatch == "*" && exists:
		return s3Error(412, "PreconditionFailed")
	case ifNoneMatch == "*":
	case ifMatch != "" && !exists:
		return s3Error(404, "NoSuchKey")
	case ifMatch != "" && ifMatch != etagOf(old):
		return s3Error(412, "PreconditionFailed")
	case ifMatch != "":
	default:
		w.violate("harness", "PutObject %s without a condition", path)
	}
	w.store[path] = body
	return reply{200, http.Header{"Etag": {etagOf(body)}}, nil}
}

// listObjects answers in pages of few keys, so that there are many pages.
func (w *world) listObjects(bucket string, query url.Values) reply {
	type content struct {
		Key  string
		Size int
		ETag string
	}
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Name, Prefix          string
		KeyCount              int
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []content
	}
	after := max(query.Get("start-after"), query.Get("continuation-token"))
	var keys []string
	for path := range w.store {
		key, ok := strings.CutPrefix(path, bucket+"/")
		if ok && strings.HasPrefix(key, query.Get("prefix")) && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	page.Name, page.Prefix = bucket, query.Get("prefix")
	if len(keys) > w.pageSize {
		keys = keys[:w.pageSize]
		page.IsTruncated, page.NextContinuationToken = true, keys[len(keys)-1]
	}
	page.KeyCount = len(keys)
	for _, key := range keys {
		body := w.store[bucket+"/"+key]
		page.Contents = append(page.Contents, content{key, len(body), etagOf(body)})
	}
	text, err := xml.Marshal(page)
	if err != nil {
		w.violate("harness", "list of %s: %v", bucket, err)
	}
	return reply{200, http.Header{"Content-Type": {"application/xml"}}, text}
}

func s3Error(status int, code string) reply {
	return reply{status, http.Header{"Content-Type": {"application/xml"}},
		[]byte("<Error><Code>" + code + "</Code><Message>chaos</Message><RequestId>" + strconv.Itoa(status) + "</RequestId></Error>")}
}
