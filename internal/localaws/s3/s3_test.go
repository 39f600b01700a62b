package s3_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	locals3 "tlswatch/internal/localaws/s3"
)

// A harness is a stack with a bucket and a real client.
type harness struct {
	*localaws.Stack
	s3 *s3.Client
}

func start(t *testing.T, o localaws.Options) *harness {
	t.Helper()
	stack := awstest.Start(t, o, "logs")
	return &harness{stack, s3.NewFromConfig(awstest.Config(t))}
}

func (h *harness) put(t *testing.T, key, body string, more ...func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
	t.Helper()
	in := &s3.PutObjectInput{Bucket: aws.String("logs"), Key: &key, Body: strings.NewReader(body)}
	for _, f := range more {
		f(in)
	}
	return h.s3.PutObject(t.Context(), in)
}

func (h *harness) get(t *testing.T, key string, more ...func(*s3.GetObjectInput)) (string, *s3.GetObjectOutput, error) {
	t.Helper()
	in := &s3.GetObjectInput{Bucket: aws.String("logs"), Key: &key}
	for _, f := range more {
		f(in)
	}
	out, err := h.s3.GetObject(t.Context(), in)
	if err != nil {
		return "", nil, err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	return string(body), out, err
}

func TestPutAndGet(t *testing.T) {
	h := start(t, localaws.Options{})
	for _, key := range []string{"plain", "a b+c%2F/ü&=?#.gz", "a//b", "x/../y", "trail/"} {
		if _, err := h.put(t, key, "body of "+key); err != nil {
			t.Fatal(err)
		}
		body, out, err := h.get(t, key)
		if err != nil || body != "body of "+key {
			t.Fatalf("%q: got %q, %v", key, body, err)
		}
		if aws.ToString(out.ChecksumCRC32) == "" {
			t.Errorf("%q: no CRC32 came back", key)
		}
		raw, err := h.S3.Get("logs", key)
		if err != nil || string(raw) != "body of "+key {
			t.Errorf("%q: stored %q, %v", key, raw, err)
		}
	}
	body, out, err := h.get(t, "plain", func(in *s3.GetObjectInput) { in.Range = aws.String("bytes=8-") })
	if err != nil || body != "plain" || aws.ToString(out.ContentRange) != "bytes 8-12/13" {
		t.Errorf("range: got %q, %v, %v", body, out, err)
	}
	if out.ChecksumCRC32 != nil {
		t.Error("range: came with the checksum of the whole object")
	}
	list, err := h.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("logs"), Prefix: aws.String("a")})
	if err != nil || len(list.Contents) != 2 {
		t.Errorf("list: %v, %v", list, err)
	}
	want := map[string]int{"s3:PutObject": 5, "s3:GetObject": 6, "s3:ListObjectsV2": 1}
	if diff := cmp.Diff(want, h.Calls.Counts()); diff != "" {
		t.Error("calls:", diff)
	}
	h.Calls.Reset()
	if n := len(h.Calls.Counts()); n != 0 {
		t.Errorf("%d counts after Reset", n)
	}
}

func TestReplacesMetadata(t *testing.T) {
	h := start(t, localaws.Options{})
	if _, err := h.put(t, "k", "one", func(in *s3.PutObjectInput) {
		in.Metadata = map[string]string{"old": "1"}
		in.ContentEncoding = aws.String("gzip")
		in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256
	}); err != nil {
		t.Fatal(err)
	}
	_, out, err := h.get(t, "k")
	if err != nil || out.Metadata["old"] != "1" || aws.ToString(out.ContentEncoding) != "gzip" || out.ChecksumSHA256 == nil {
		t.Fatalf("got %+v, %v", out, err)
	}
	if _, err := h.S3.Put("logs", "k", []byte("two")); err != nil { // without a checksum of its own
		t.Fatal(err)
	}
	body, out, err := h.get(t, "k")
	if err != nil || body != "two" {
		t.Fatalf("got %q, %v", body, err)
	}
	if len(out.Metadata) != 0 || out.ContentEncoding != nil || out.ChecksumSHA256 != nil {
		t.Errorf("inherited from the object before: %+v", out)
	}
	if out.ChecksumCRC64NVME == nil {
		t.Error("S3's own checksum is missing")
	}
}

func TestConditions(t *testing.T) {
	h := start(t, localaws.Options{})
	first, err := h.put(t, "k", "one")
	if err != nil {
		t.Fatal(err)
	}
	etag := first.ETag
	other := aws.String(`"00000000000000000000000000000000"`)
	putIf := func(key string, match, noneMatch *string) error {
		_, err := h.put(t, key, "one", func(in *s3.PutObjectInput) { in.IfMatch, in.IfNoneMatch = match, noneMatch })
		return err
	}
	getIf := func(key string, match, noneMatch *string) error {
		_, _, err := h.get(t, key, func(in *s3.GetObjectInput) { in.IfMatch, in.IfNoneMatch = match, noneMatch })
		return err
	}
	deleteIf := func(key string, match *string) error {
		_, err := h.s3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("logs"), Key: &key, IfMatch: match})
		return err
	}
	for _, c := range []struct {
		name string
		err  error
		code string
	}{
		{"put if none, there is", putIf("k", nil, aws.String("*")), "PreconditionFailed"},
		{"put if none, there is none", putIf("new", nil, aws.String("*")), ""},
		{"put if none of an etag", putIf("k", nil, etag), "NotImplemented"},
		{"put if match", putIf("k", etag, nil), ""},
		{"put if match, another", putIf("k", other, nil), "PreconditionFailed"},
		{"put if match, none", putIf("none", other, nil), "NoSuchKey"},
		{"get if match", getIf("k", etag, nil), ""},
		{"get if match, unquoted", getIf("k", aws.String(strings.Trim(*etag, `"`)), nil), ""},
		{"get if match, another", getIf("k", other, nil), "PreconditionFailed"},
		{"get if match, none", getIf("none", other, nil), "NoSuchKey"},
		{"get if none match", getIf("k", nil, etag), "NotModified"},
		{"get if none match, another", getIf("k", nil, other), ""},
		{"delete if match, another", deleteIf("k", other), "PreconditionFailed"},
		{"delete if match, none", deleteIf("none", other), "NoSuchKey"},
		{"delete if match", deleteIf("k", etag), ""},
		{"delete nothing", deleteIf("k", nil), ""},
		{"get nothing", getIf("k", nil, nil), "NoSuchKey"},
	} {
		t.Run(c.name, func(t *testing.T) { awstest.WantCode(t, c.err, c.code) })
	}
	var missing *types.NoSuchKey
	if err := getIf("none", nil, nil); !errors.As(err, &missing) || missing.ErrorMessage() != "The specified key does not exist." {
		t.Errorf("not a typed error with a message: %v", err)
	}
	_, err = h.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("logs"), Key: aws.String("none")})
	awstest.WantCode(t, err, "NotFound")
	_, err = h.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("nowhere"), Key: aws.String("k")})
	awstest.WantCode(t, err, "NoSuchBucket")
	_, err = h.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("nowhere"), Key: aws.String("k"), IfMatch: etag})
	awstest.WantCode(t, err, "NoSuchBucket")
	_, err = h.s3.PutBucketNotificationConfiguration(t.Context(), &s3.PutBucketNotificationConfigurationInput{
		Bucket: aws.String("logs"), NotificationConfiguration: &types.NotificationConfiguration{}})
	awstest.WantCode(t, err, "NotImplemented")
}

func TestOneWinner(t *testing.T) {
	h := start(t, localaws.Options{})
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			_, err := h.put(t, "lock", fmt.Sprint(i), func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") })
			if err == nil {
				won.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 20 created the same object", won.Load())
	}
}

func TestChecksum(t *testing.T) {
	h := start(t, localaws.Options{})
	put := func(header map[string]string, body string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, h.S3.URL()+"/logs/k", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range header {
			r.Header.Set(name, value)
		}
		out, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Body.Close()
		text, _ := io.ReadAll(out.Body)
		if out.StatusCode == 400 && !bytes.Contains(text, []byte("<Code>BadDigest</Code>")) && !bytes.Contains(text, []byte("<Code>IncompleteBody</Code>")) {
			t.Errorf("body of the refusal: %s", text)
		}
		return out.StatusCode
	}
	// CRC-32 of "123456789" is cbf43926, its check value.
	if got := put(map[string]string{"x-amz-checksum-crc32": "y/Q5Jg=="}, "123456789"); got != 200 {
		t.Errorf("right checksum: %d", got)
	}
	if got := put(map[string]string{"x-amz-checksum-crc32": "y/Q5Jg=="}, "123456780"); got != 400 {
		t.Errorf("wrong checksum: %d", got)
	}
	chunked := map[string]string{
		"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "Content-Encoding": "aws-chunked",
		"x-amz-decoded-content-length": "9", "x-amz-trailer": "x-amz-checksum-crc32",
	}
	if got := put(chunked, "4\r\n1234\r\n5;chunk-signature=ab\r\n56789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n"); got != 200 {
		t.Errorf("aws-chunked: %d", got)
	}
	if got, err := h.S3.Get("logs", "k"); string(got) != "123456789" {
		t.Errorf("aws-chunked: stored %q, %v", got, err)
	}
	if got := put(chunked, "4\r\n1234\r\n5\r\n56780\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n"); got != 400 {
		t.Errorf("aws-chunked, wrong checksum: %d", got)
	}
	if got := put(chunked, "4\r\n1234\r\n5\r\n567"); got != 400 {
		t.Errorf("aws-chunked, cut: %d", got)
	}
}

func TestEvents(t *testing.T) {
	var mu sync.Mutex
	var created []locals3.ObjectCreated
	h := start(t, localaws.Options{Region: "eu-central-1"})
	h.S3.SetOnCreated(func(o locals3.ObjectCreated) {
		mu.Lock()
		defer mu.Unlock()
		created = append(created, o)
	})
	const key = "sp ace/a+b(ü).log.gz"
	if _, err := h.put(t, key, "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.put(t, key, "two", func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }); err == nil {
		t.Fatal("no conflict")
	}
	if _, err := h.s3.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: aws.String("logs"),
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}}); err != nil {
		t.Fatal(err)
	}
	second, err := h.put(t, key, "three")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.s3.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String("logs"), Key: aws.String("copy"), CopySource: aws.String("logs/sp%20ace/a%2Bb(%C3%BC).log.gz")}); err != nil {
		t.Fatal(err)
	}
	if len(created) != 3 {
		t.Fatalf("%d events: %+v", len(created), created)
	}
	if created[0].Sequencer >= created[1].Sequencer || len(created[0].Sequencer) < 16 {
		t.Errorf("sequencers %s, %s", created[0].Sequencer, created[1].Sequencer)
	}
	if created[1].VersionID == "" || created[1].VersionID != aws.ToString(second.VersionId) || created[0].VersionID != "" {
		t.Errorf("versions %q, %q", created[0].VersionID, created[1].VersionID)
	}
	if created[2].EventName != "ObjectCreated:Copy" || created[2].Size != 5 {
		t.Errorf("copy: %+v", created[2])
	}

	var e events.S3Event
	if err := json.Unmarshal(locals3.Event(created[0]), &e); err != nil {
		t.Fatal(err)
	}
	r := e.Records[0]
	if r.EventVersion != "2.1" || r.EventSource != "aws:s3" || r.EventName != "ObjectCreated:Put" || r.AWSRegion != "eu-central-1" || r.EventTime.IsZero() || r.PrincipalID.PrincipalID == "" {
		t.Errorf("record: %+v", r)
	}
	want := events.S3Object{Key: "sp+ace/a%2Bb%28%C3%BC%29.log.gz", URLDecodedKey: key, Size: 3, ETag: "f97c5d29941bfb1b2fdab0874906ab82", Sequencer: created[0].Sequencer}
	if diff := cmp.Diff(want, r.S3.Object); diff != "" {
		t.Error(diff)
	}
	if r.S3.Bucket.Arn != "arn:aws:s3:::logs" || r.S3.Bucket.Name != "logs" {
		t.Errorf("bucket: %+v", r.S3.Bucket)
	}
	if text := string(locals3.Event(created[0])); strings.Contains(text, "versionId") || !strings.Contains(text, `"principalId"`) {
		t.Error(text)
	}
}

func TestMultipart(t *testing.T) {
	var created []locals3.ObjectCreated
	h := start(t, localaws.Options{})
	h.S3.SetOnCreated(func(o locals3.ObjectCreated) { created = append(created, o) })
	bucket, key := aws.String("logs"), aws.String("large")
	upload, err := h.s3.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	part, err := h.s3.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: upload.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("all of it")})
	if err != nil {
		t.Fatal(err)
	}
	if len(created) != 0 {
		t.Error("a part is no object")
	}
	if _, err := h.s3.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: upload.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: part.ETag, PartNumber: aws.Int32(1)}}}}); err != nil {
		t.Fatal(err)
	}
	if len(created) != 1 || created[0].EventName != "ObjectCreated:CompleteMultipartUpload" || created[0].Size != 9 {
		t.Errorf("events: %+v", created)
	}
	if body, _, err := h.get(t, "large"); err != nil || body != "all of it" {
		t.Errorf("got %q, %v", body, err)
	}
}
