// Package s3 is a stand-in for Amazon S3 and its event notifications.
package s3

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"tlswatch/internal/localaws/wire"
)

// Service is a stand-in for Amazon S3: path-style requests over plain HTTP,
// objects in memory. It stores with gofakes3 and adds what that lacks:
// conditions on GET and DELETE, If-Match on a missing key, checksums
// (see payload.go), aws-chunked bodies, and complete error documents.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
type Service struct {
	*wire.Endpoint
	region  string
	now     func() time.Time
	backend *s3mem.Backend
	fake    http.Handler

	write     sync.Mutex // makes condition, change and sequencer atomic
	sequencer int64

	notify    sync.Mutex
	onCreated func(ObjectCreated)
}

// New returns an S3 without buckets.
func New(c wire.Config) *Service {
	s := &Service{region: c.Region, now: c.Now}
	clock := clock{s.now}
	s.backend = s3mem.New(s3mem.WithTimeSource(clock))
	s.fake = gofakes3.New(s.backend,
		gofakes3.WithTimeSource(clock),
		gofakes3.WithTimeSkewLimit(0), // signatures are not checked, so their date is not either
	).Server()
	s.Endpoint = wire.NewEndpoint(wire.Protocol{
		Service:   "s3",
		Operation: operation,
		Apply:     s.apply,
		Refuse:    writeError,
		Accesses:  accesses,
	}, c.Calls)
	return s
}

// SetOnCreated replaces the function that is called for every object created
// in any bucket, when S3 would send an event notification. The call comes
// after the object is stored and before the client has its reply, so a client
// with a reply knows that the event was sent. It must not block for long.
func (s *Service) SetOnCreated(f func(ObjectCreated)) {
	s.notify.Lock()
	defer s.notify.Unlock()
	s.onCreated = f
}

// CreateBucket makes an empty bucket.
func (s *Service) CreateBucket(name string) error {
	if err := gofakes3.ValidateBucketName(name); err != nil {
		return fmt.Errorf("create bucket %q: %w", name, err)
	}
	if err := s.backend.CreateBucket(name); err != nil {
		return fmt.Errorf("create bucket %q: %w", name, err)
	}
	return nil
}

// Put stores an object and sends its event as a PutObject request does, but is
// not counted and meets no faults.
func (s *Service) Put(bucket, key string, body []byte) (ObjectCreated, error) {
	r, err := http.NewRequest(http.MethodPut, "http://s3/", bytes.NewReader(body))
	if err != nil {
		return ObjectCreated{}, fmt.Errorf("put s3://%s/%s: %w", bucket, key, err)
	}
	r.URL.Path = "/" + bucket + "/" + key
	rec, created, refusal := s.store(r, "PutObject")
	if refusal == nil {
		refusal = asRefusal(rec)
	}
	if refusal != nil {
		return ObjectCreated{}, fmt.Errorf("put s3://%s/%s: %w", bucket, key, refusal)
	}
	s.created(created)
	return *created, nil
}

// Get returns the current version of an object.
func (s *Service) Get(bucket, key string) ([]byte, error) {
	o, err := s.backend.GetObject(bucket, key, nil)
	if err != nil {
		return nil, fmt.Errorf("get s3://%s/%s: %w", bucket, key, err)
	}
	defer o.Contents.Close()
	return io.ReadAll(o.Contents)
}

// apply answers a request.
func (s *Service) apply(w http.ResponseWriter, r *http.Request) {
	var (
		rec     *wire.Recorder
		created *ObjectCreated
		refusal *wire.Refusal
	)
	switch op := operation(r); op {
	case "Unknown":
		refusal = wire.NewRefusal(http.StatusNotImplemented, "NotImplemented", "A header or query you provided requested a function that is not implemented.")
	case "PutObject", "CopyObject", "UploadPart", "CompleteMultipartUpload":
		rec, created, refusal = s.store(r, op)
	case "DeleteObject":
		rec, refusal = s.delete(r)
	case "GetObject", "HeadObject":
		rec, refusal = s.read(r)
	default:
		rec = s.forward(r)
	}
	if refusal == nil {
		refusal = asRefusal(rec)
	}
	if refusal != nil && refusal.Status == http.StatusNotFound && refusal.Code != "NoSuchBucket" && s.hides(r) {
		refusal = wire.NewRefusal(http.StatusForbidden, "AccessDenied", "Access Denied")
	}
	if refusal != nil {
		writeError(w, r, refusal)
		return
	}
	s.created(created)
	if rec.Body.Len() > 0 && rec.Header().Get("Content-Type") == "" {
		rec.Header().Set("Content-Type", "application/xml")
	}
	rec.Replay(w)
}

// created sends the notification of a created object, if there is one.
func (s *Service) created(o *ObjectCreated) {
	s.notify.Lock()
	f := s.onCreated
	s.notify.Unlock()
	if o != nil && f != nil {
		f(*o)
	}
}

// forward passes a request to gofakes3.
func (s *Service) forward(r *http.Request) *wire.Recorder {
	rec := wire.NewRecorder()
	s.fake.ServeHTTP(rec, r)
	return rec
}

// store handles the requests that upload data or create an object.
func (s *Service) store(r *http.Request, op string) (*wire.Recorder, *ObjectCreated, *wire.Refusal) {
	body, trailer, refusal := readPayload(r)
	if refusal != nil {
		return nil, nil, refusal
	}
	if v := r.Header.Get("If-None-Match"); v != "" && v != "*" {
		return nil, nil, wire.NewRefusal(http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented: If-None-Match takes only *.")
	}
	header := storedHeader(r.Header)
	if op == "PutObject" || op == "UploadPart" {
		name, sum, refusal := checkPayload(body, r.Header, trailer)
		if refusal != nil {
			return nil, nil, refusal
		}
		if op == "PutObject" {
			header.Set(name, sum)
		}
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))

	clean := r.Clone(r.Context())
	clean.Header = header
	clean.Body = io.NopCloser(bytes.NewReader(body))
	clean.ContentLength = int64(len(body))
	clean.TransferEncoding = nil
	bucket, key := bucketAndKey(r)

	s.write.Lock()
	defer s.write.Unlock()
	old, err := s.backend.HeadObject(bucket, key)
	if r.Header.Get("If-Match") != "" && gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
		return nil, nil, wire.NewRefusal(http.StatusNotFound, "NoSuchKey", messages("NoSuchKey"))
	}
	if old != nil && op == "PutObject" {
		// In gofakes3 a new object inherits the old one's metadata. Empty values
		// prevent that, and read removes them.
		for name := range old.Metadata {
			if _, ok := header[name]; !ok {
				header[name] = []string{""}
			}
		}
	}
	rec := s.forward(clean)
	if op == "UploadPart" || rec.Status >= http.StatusMultipleChoices {
		return rec, nil, nil
	}
	current, err := s.backend.HeadObject(bucket, key)
	if err != nil {
		return rec, nil, nil
	}
	at := s.now().UTC()
	s.sequencer = max(s.sequencer+1, at.UnixNano())
	name, ok := strings.CutSuffix(op, "Object")
	if !ok {
		name = op
	}
	return rec, &ObjectCreated{
		EventName: "ObjectCreated:" + name,
		Region:    s.region,
		Bucket:    bucket,
		Key:       key,
		Size:      current.Size,
		ETag:      hex.EncodeToString(current.Hash),
		VersionID: rec.Header().Get("X-Amz-Version-Id"),
		Sequencer: fmt.Sprintf("%018X", s.sequencer),
		Time:      at,
	}, nil
}

// storedHeader returns the headers that describe the object or the condition.
// gofakes3 would store any other X-Amz- header as metadata of the object.
func storedHeader(all http.Header) http.Header {
	h := make(http.Header)
	for name, values := range all {
		switch {
		case strings.HasPrefix(name, "X-Amz-Meta-"), strings.HasPrefix(name, "X-Amz-Copy-Source"),
			name == "X-Amz-Metadata-Directive", name == "X-Amz-Storage-Class", name == "X-Amz-Server-Side-Encryption",
			name == "Content-Type", name == "Content-Disposition", name == "Content-Md5",
			name == "If-Match", name == "If-None-Match":
			h[name] = values
		case name == "Content-Encoding":
			// aws-chunked is the encoding of the request, not of the object.
			if v := strings.Trim(strings.Replace(values[0], "aws-chunked", "", 1), ", "); v != "" {
				h.Set(name, v)
			}
		}
	}
	return h
}

// delete handles DeleteObject with its condition If-Match: 412 if the ETag
// differs, 404 if there is no object.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
func (s *Service) delete(r *http.Request) (*wire.Recorder, *wire.Refusal) {
	s.write.Lock()
	defer s.write.Unlock()
	if want := r.Header.Get("If-Match"); want != "" {
		bucket, key := bucketAndKey(r)
		o, err := s.backend.HeadObject(bucket, key)
		switch {
		case gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey):
			return nil, wire.NewRefusal(http.StatusNotFound, "NoSuchKey", messages("NoSuchKey"))
		case err == nil && !matchesETag(want, hex.EncodeToString(o.Hash)):
			return nil, wire.NewRefusal(http.StatusPreconditionFailed, "PreconditionFailed", messages("PreconditionFailed"))
		}
	}
	return s.forward(r), nil
}

// read handles GetObject and HeadObject: conditions on the ETag, checksums
// only where S3 sends them, and no request headers among the metadata.
func (s *Service) read(r *http.Request) (*wire.Recorder, *wire.Refusal) {
	rec := s.forward(r)
	if rec.Status != http.StatusOK && rec.Status != http.StatusPartialContent && rec.Status != 0 {
		return rec, nil
	}
	etag := strings.Trim(rec.Header().Get("Etag"), `"`)
	if want := r.Header.Get("If-Match"); want != "" && !matchesETag(want, etag) {
		return nil, wire.NewRefusal(http.StatusPreconditionFailed, "PreconditionFailed", messages("PreconditionFailed"))
	}
	if known := r.Header.Get("If-None-Match"); known != "" && matchesETag(known, etag) {
		rec.Status = http.StatusNotModified
	}
	// A full-object checksum says nothing about a range.
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
	sums := rec.Status != http.StatusPartialContent && strings.EqualFold(r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED")
	for name, values := range rec.Header() {
		if values[0] == "" || strings.HasPrefix(name, checksumPrefix) && !sums {
			delete(rec.Header(), name)
		}
	}
	if rec.Header().Get("Content-Type") == "" {
		rec.Header().Set("Content-Type", "binary/octet-stream") // S3's own default
	}
	return rec, nil
}

// matchesETag reports whether an If-Match or If-None-Match header, quoted or
// not, names etag.
func matchesETag(header, etag string) bool {
	for want := range strings.SplitSeq(header, ",") {
		want = strings.TrimSpace(want)
		if want == "*" || strings.Trim(want, `"`) == etag {
			return true
		}
	}
	return false
}

// A clock is an injected time source in the form of gofakes3.
type clock struct{ now func() time.Time }

func (c clock) Now() time.Time                  { return c.now() }
func (c clock) Since(t time.Time) time.Duration { return c.now().Sub(t) }
