package wire

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A Store is the objects of S3, strongly consistent, by "BUCKET/KEY".
type Store struct {
	Objects  map[string][]byte
	PageSize int // keys in a page of a list
}

// A Request is one that S3 knows.
type Request struct {
	Operation   string // List, Get or Put
	Bucket, Key string // of a list, the prefix of the keys
	Conditional bool   // whether it may be refused since the object has changed
	Apply       func() Reply
}

// Request reads a request in path style. Of S3 there is what the function may
// use: GetObject, PutObject on a condition, and ListObjectsV2.
func (s *Store) Request(r *http.Request, path string, body []byte) (Request, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	query := r.URL.Query()
	ifMatch, ifNoneMatch := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	unknown := fmt.Errorf("S3: %s %s?%s", r.Method, path, r.URL.RawQuery)
	switch {
	case r.Method == http.MethodGet && key == "" && query.Get("list-type") == "2" && query.Get("delimiter") == "":
		return Request{"List", bucket, query.Get("prefix"), false, func() Reply { return s.list(bucket, query) }}, nil
	case r.Method == http.MethodGet && key != "" && r.Header.Get("Range") == "":
		return Request{"Get", bucket, key, false, func() Reply { return s.get(bucket+"/"+key, ifMatch) }}, nil
	case r.Method == http.MethodPut && key != "" && !strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked"):
		if want := r.Header.Get("X-Amz-Checksum-Crc32"); want != "" && want != checksum(body) {
			return Request{}, errors.Join(unknown, errors.New("the checksum is another"))
		}
		if ifMatch == "" && ifNoneMatch != "*" {
			return Request{}, errors.Join(unknown, errors.New("a write without a condition: two writers would overwrite each other"))
		}
		return Request{"Put", bucket, key, true, func() Reply { return s.put(bucket+"/"+key, body, ifMatch) }}, nil
	}
	return Request{}, unknown
}

func checksum(body []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
}

// ETag is that of an object with this content, as S3 encrypts by default.
func ETag(body []byte) string {
	digest := md5.Sum(body)
	return `"` + hex.EncodeToString(digest[:]) + `"`
}

func (s *Store) get(path, ifMatch string) Reply {
	body, ok := s.Objects[path]
	switch {
	case !ok:
		return s3Error(404, "NoSuchKey")
	case ifMatch != "" && ifMatch != ETag(body):
		return s3Error(412, "PreconditionFailed")
	}
	return Reply{200, http.Header{"Etag": {ETag(body)}, "Content-Type": {"binary/octet-stream"}}, body}
}

// put writes on condition: that there is no such object, or one with this ETag.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func (s *Store) put(path string, body []byte, ifMatch string) Reply {
	old, exists := s.Objects[path]
	switch {
	case ifMatch == "" && exists:
		return s3Error(412, "PreconditionFailed")
	case ifMatch != "" && !exists:
		return s3Error(404, "NoSuchKey")
	case ifMatch != "" && ifMatch != ETag(old):
		return s3Error(412, "PreconditionFailed")
	}
	s.Objects[path] = body
	return Reply{200, http.Header{"Etag": {ETag(body)}}, nil}
}

// list answers in pages of few keys, so that there are many pages.
func (s *Store) list(bucket string, query url.Values) Reply {
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
	for path := range s.Objects {
		key, ok := strings.CutPrefix(path, bucket+"/")
		if ok && strings.HasPrefix(key, query.Get("prefix")) && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	page.Name, page.Prefix = bucket, query.Get("prefix")
	if len(keys) > s.PageSize {
		keys = keys[:s.PageSize]
		page.IsTruncated, page.NextContinuationToken = true, keys[len(keys)-1]
	}
	page.KeyCount = len(keys)
	for _, key := range keys {
		body := s.Objects[bucket+"/"+key]
		page.Contents = append(page.Contents, content{key, len(body), ETag(body)})
	}
	text, err := xml.Marshal(page)
	if err != nil {
		panic(err) // of strings and numbers
	}
	return Reply{200, http.Header{"Content-Type": {"application/xml"}}, text}
}

func s3Error(status int, code string) Reply {
	return Reply{status, http.Header{"Content-Type": {"application/xml"}},
		[]byte("<Error><Code>" + code + "</Code><Message>chaos</Message><RequestId>" + strconv.Itoa(status) + "</RequestId></Error>")}
}
