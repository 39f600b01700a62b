package s3source_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	locals3 "tlswatch/internal/localaws/s3"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/s3source"
)

const (
	operation = "s3:GetObject"
	bucket    = "amzn-s3-demo-logging-bucket"
	key       = "AWSLogs/a b+c.log.gz"
)

var content = bytes.Repeat([]byte("0123456789abcdef\n"), 20_000)

// start returns a stand-in with a bucket, and a client from the environment like
// the function's, but with a shorter back-off.
func start(t *testing.T, client aws.HTTPClient) (*localaws.Stack, *s3.Client) {
	t.Helper()
	stack := awstest.Start(t, localaws.Options{}, bucket)
	c := awstest.Config(t, config.WithHTTPClient(client))
	return stack, s3.NewFromConfig(c)
}

func put(t *testing.T, stack *localaws.Stack, key string, body []byte) locals3.ObjectCreated {
	t.Helper()
	o, err := stack.S3.Put(bucket, key, body)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// read opens an object and reads all of it.
func read(t *testing.T, s s3source.Source, o pipeline.Object) ([]byte, error) {
	t.Helper()
	_, body, err := s.Open(t.Context(), o)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(body)
	if err := body.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	return data, err
}

func TestOpen(t *testing.T) {
	stack, client := start(t, awshttp.NewBuildableClient())
	source := s3source.Source{Client: client}
	old := put(t, stack, key, []byte("old"))
	created := put(t, stack, key, content)
	put(t, stack, "decoded", []byte("decoded"))
	for _, test := range []struct {
		name     string
		object   pipeline.Object
		want     string
		err      error
		requests int
	}{
		{"plain", pipeline.Object{Bucket: bucket, Key: key}, string(content), nil, 1},
		{"etag", pipeline.Object{Bucket: bucket, Key: key, ETag: created.ETag}, string(content), nil, 1},
		{"replaced", pipeline.Object{Bucket: bucket, Key: key, ETag: old.ETag}, "", pipeline.ErrReplaced, 1},
		{"replaced, other reading", pipeline.Object{Bucket: bucket, Key: key, ETag: old.ETag, AltKey: "decoded"}, "", pipeline.ErrReplaced, 1},
		{"gone", pipeline.Object{Bucket: bucket, Key: "none"}, "", pipeline.ErrGone, 1},
		{"gone, etag", pipeline.Object{Bucket: bucket, Key: "none", ETag: old.ETag}, "", pipeline.ErrGone, 1},
		{"other reading", pipeline.Object{Bucket: bucket, Key: "de%63oded", AltKey: "decoded"}, "decoded", nil, 2},
		{"no reading", pipeline.Object{Bucket: bucket, Key: "none", AltKey: "none either"}, "", pipeline.ErrGone, 2},
		{"other reading not needed", pipeline.Object{Bucket: bucket, Key: key, AltKey: "decoded"}, string(content), nil, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			stack.Calls.Reset()
			got, err := read(t, source, test.object)
			if string(got) != test.want || !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Errorf("%d bytes, %v; want %d, %v", len(got), err, len(test.want), test.err)
			}
			if n := stack.Calls.Counts()[operation]; n != test.requests {
				t.Errorf("%d requests, want %d", n, test.requests)
			}
		})
	}
}

// TestVersion checks that an object with a version is read as it was when the
// event was sent, even after a later upload.
func TestVersion(t *testing.T) {
	stack, client := start(t, awshttp.NewBuildableClient())
	if _, err := client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: aws.String(bucket), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	first := put(t, stack, key, content)
	put(t, stack, key, []byte("second"))
	if first.VersionID == "" {
		t.Fatal("the bucket is not versioned")
	}
	// The ETag belongs to another version, and must not matter.
	got, err := read(t, s3source.Source{Client: client}, pipeline.Object{Bucket: bucket, Key: key, VersionID: first.VersionID, ETag: "0"})
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_, err = read(t, s3source.Source{Client: client}, pipeline.Object{Bucket: bucket, Key: key, VersionID: strings.Repeat("0", len(first.VersionID))})
	if !errors.Is(err, pipeline.ErrGone) {
		t.Errorf("no such version: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name     string
		fault    wire.Fault
		object   pipeline.Object
		requests int
		err      error
		says     []string
	}{
		{"denied", wire.Refuse(403, "AccessDenied"), pipeline.Object{Bucket: bucket, Key: key}, 1, nil, []string{"access denied", bucket, key, "allow s3:GetObject for"}},
		{"version denied", wire.Refuse(403, "AccessDenied"), pipeline.Object{Bucket: bucket, Key: key, VersionID: "v1"}, 1, nil, []string{"access denied", bucket, key, "allow s3:GetObjectVersion for"}},
		{"no bucket", wire.Refuse(404, "NoSuchBucket"), pipeline.Object{Bucket: bucket, Key: key, AltKey: "other"}, 1, nil, []string{`no bucket "` + bucket}},
		{"archived", wire.Refuse(403, "InvalidObjectState"), pipeline.Object{Bucket: bucket, Key: key}, 1, nil, []string{"archived", "restore"}},
		{"delete marker", wire.Refuse(405, "MethodNotAllowed"), pipeline.Object{Bucket: bucket, Key: key, VersionID: "v1"}, 1, pipeline.ErrGone, nil},
		{"busy always", wire.Refuse(503, "SlowDown"), pipeline.Object{Bucket: bucket, Key: key}, 3, nil, []string{"SlowDown"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			stack, client := start(t, awshttp.NewBuildableClient())
			stack.S3.SetFaults(func(string, int) wire.Fault { return test.fault })
			_, err := read(t, s3source.Source{Client: client}, test.object)
			if err == nil || test.err != nil && !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if test.err == nil && (errors.Is(err, pipeline.ErrGone) || errors.Is(err, pipeline.ErrReplaced)) {
				t.Errorf("skipped: %v", err)
			}
			for _, text := range test.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error %v does not say %q", err, text)
				}
			}
			if n := stack.Calls.Counts()[operation]; n != test.requests {
				t.Errorf("%d requests, want %d", n, test.requests)
			}
		})
	}
}

// TestNoBucket checks the error of a stand-in without the bucket.
func TestNoBucket(t *testing.T) {
	_, client := start(t, awshttp.NewBuildableClient())
	_, err := read(t, s3source.Source{Client: client}, pipeline.Object{Bucket: "another-bucket", Key: key})
	if err == nil || errors.Is(err, pipeline.ErrGone) || !strings.Contains(err.Error(), `no bucket "another-bucket"`) {
		t.Errorf("error %v", err)
	}
}

func TestRetries(t *testing.T) {
	for name, fault := range map[string]wire.Fault{
		"busy":  wire.Refuse(503, "SlowDown"),
		"500":   wire.Refuse(500, "InternalError"),
		"reset": {Kind: wire.FaultReset},
	} {
		t.Run(name, func(t *testing.T) {
			stack, client := start(t, awshttp.NewBuildableClient())
			put(t, stack, key, content)
			stack.S3.SetFaults(fault.Once(operation, 1))
			got, err := read(t, s3source.Source{Client: client}, pipeline.Object{Bucket: bucket, Key: key})
			if err != nil || !bytes.Equal(got, content) || stack.Calls.Counts()[operation] != 2 {
				t.Errorf("%d bytes, %v, calls %v", len(got), err, stack.Calls.Counts())
			}
		})
	}
}

func TestCutBody(t *testing.T) {
	stack, client := start(t, awshttp.NewBuildableClient())
	put(t, stack, key, content)
	stack.S3.SetFaults(func(string, int) wire.Fault { return wire.Fault{Kind: wire.FaultReplyCut} })
	got, err := read(t, s3source.Source{Client: client}, pipeline.Object{Bucket: bucket, Key: key})
	if err == nil || len(got) == len(content) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A forger changes replies.
type forger struct {
	client aws.HTTPClient
	forge  func(*http.Response)
}

func (f forger) Do(r *http.Request) (*http.Response, error) {
	reply, err := f.client.Do(r)
	if err == nil && reply.StatusCode == http.StatusOK {
		f.forge(reply)
	}
	return reply, err
}

// flip changes the nth byte of a body.
type flip struct {
	io.ReadCloser
	n int
}

func (f *flip) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if f.n >= 0 && f.n < n {
		p[f.n] ^= 1
	}
	f.n -= n
	return n, err
}

func TestWrongChecksum(t *testing.T) {
	sums := 0
	for name, forge := range map[string]func(*http.Response){
		"checksum": func(r *http.Response) {
			for name := range r.Header {
				if strings.HasPrefix(name, "X-Amz-Checksum-") && name != "X-Amz-Checksum-Type" {
					r.Header.Set(name, "AAAAAAAAAAA=")
					sums++
				}
			}
		},
		"first byte": func(r *http.Response) { r.Body = &flip{r.Body, 0} },
		"last byte":  func(r *http.Response) { r.Body = &flip{r.Body, len(content) - 1} },
	} {
		t.Run(name, func(t *testing.T) {
			stack, client := start(t, forger{awshttp.NewBuildableClient(), forge})
			put(t, stack, key, content)
			_, err := read(t, s3source.Source{Client: client}, pipeline.Object{Bucket: bucket, Key: key})
			if err == nil || !strings.Contains(err.Error(), "checksum") {
				t.Errorf("error %v", err)
			}
		})
	}
	if sums == 0 {
		t.Error("the reply had no checksum")
	}
}

func TestStall(t *testing.T) {
	stack, client := start(t, awshttp.NewBuildableClient())
	put(t, stack, key, content)
	stack.S3.SetFaults(func(string, int) wire.Fault { return wire.Fault{Drip: 10 * time.Minute} })
	began := time.Now()
	_, err := read(t, s3source.WithStall(s3source.Source{Client: client}, 50*time.Millisecond), pipeline.Object{Bucket: bucket, Key: key})
	if took := time.Since(began); err == nil || took < 50*time.Millisecond || took > 5*time.Second || !strings.Contains(err.Error(), "no bytes for 50ms") {
		t.Errorf("after %v: %v", took, err)
	}
}

// TestSlow checks that a transfer, or the time between two reads, may be longer
// than the stall time.
func TestSlow(t *testing.T) {
	const stall = 250 * time.Millisecond
	stack, client := start(t, awshttp.NewBuildableClient())
	put(t, stack, key, content)
	source := s3source.WithStall(s3source.Source{Client: client}, stall)

	stack.S3.SetFaults(func(string, int) wire.Fault { return wire.Fault{Drip: 2 * stall} })
	if got, err := read(t, source, pipeline.Object{Bucket: bucket, Key: key}); err != nil || !bytes.Equal(got, content) {
		t.Errorf("slow sender: %d bytes, %v", len(got), err)
	}

	stack.S3.SetFaults(nil)
	_, body, err := source.Open(t.Context(), pipeline.Object{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var got []byte
	for i := range 3 {
		if i < 2 {
			time.Sleep(stall * 5 / 4)
		}
		part := make([]byte, 1000)
		if _, err := io.ReadFull(body, part); err != nil {
			t.Fatalf("slow reader: %v", err)
		}
		got = append(got, part...)
	}
	rest, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(append(got, rest...), content) {
		t.Errorf("slow reader: %d bytes, %v", len(got)+len(rest), err)
	}
}

// TestEndings checks that the end of the caller's context, or Close, ends the
// transfer.
func TestEndings(t *testing.T) {
	stack, client := start(t, awshttp.NewBuildableClient())
	put(t, stack, key, content)
	source := s3source.Source{Client: client}
	object := pipeline.Object{Bucket: bucket, Key: key}

	gone := make(chan struct{})
	stack.S3.SetFaults(func(string, int) wire.Fault { return wire.Fault{Drip: 10 * time.Minute} })
	_, body, err := source.Open(t.Context(), object)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(gone)
		io.Copy(io.Discard, body)
	}()
	time.Sleep(10 * time.Millisecond)
	body.Close()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("Close does not end a read")
	}

	late := errors.New("too late")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	_, body, err = source.Open(ctx, object)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	time.AfterFunc(50*time.Millisecond, func() { cancel(late) })
	if _, err := io.ReadAll(body); !errors.Is(err, late) {
		t.Errorf("after the end of the context: %v", err)
	}
}

// TestResume checks that a transfer that breaks off several times resumes each
// time, as long as the ETag is the same.
func TestResume(t *testing.T) {
	stack, client := start(t, awshttp.NewBuildableClient())
	put(t, stack, key, content)
	source := s3source.Source{Client: client, Resumes: 2}
	cut := wire.Fault{Kind: wire.FaultReplyCut}

	stack.S3.SetFaults(func(op string, n int) wire.Fault {
		if n <= 4 {
			return cut
		}
		return wire.Fault{}
	})
	got, err := read(t, source, pipeline.Object{Bucket: bucket, Key: key})
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes of %d, %v", len(got), len(content), err)
	}
	if n := stack.Calls.Counts()[operation]; n != 5 {
		t.Errorf("%d requests, want 5", n)
	}

	// A server that never sends the second half ends the attempts.
	stack.Calls.Reset()
	stack.S3.SetFaults(func(op string, n int) wire.Fault {
		if n == 1 {
			return cut
		}
		return wire.Refuse(403, "AccessDenied")
	})
	got, err = read(t, source, pipeline.Object{Bucket: bucket, Key: key})
	if err == nil || !strings.Contains(err.Error(), "resuming at byte") || len(got) == 0 {
		t.Errorf("refused: %d bytes, %v", len(got), err)
	}

	// A reply from the beginning is not appended to the first half.
	stack.Calls.Reset()
	stack.S3.SetFaults(cut.Once(operation, 1))
	whole := s3.New(client.Options(), func(o *s3.Options) { o.HTTPClient = withoutRange{o.HTTPClient} })
	got, err = read(t, s3source.Source{Client: whole, Resumes: 2}, pipeline.Object{Bucket: bucket, Key: key})
	if err == nil || !strings.Contains(err.Error(), "does not send ranges") || len(got) >= len(content) {
		t.Errorf("without ranges: %d bytes, %v", len(got), err)
	}

	// The halves of an object that was replaced in between are not joined.
	stack.Calls.Reset()
	stack.S3.SetFaults(cut.Once(operation, 1))
	_, body, err := source.Open(t.Context(), pipeline.Object{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	put(t, stack, key, bytes.Repeat([]byte("another\n"), 100_000))
	if _, err := io.ReadAll(body); !errors.Is(err, pipeline.ErrReplaced) {
		t.Errorf("replaced: %v", err)
	}
}

// withoutRange removes ranges from requests, as if the server did not support
// them.
type withoutRange struct{ aws.HTTPClient }

func (c withoutRange) Do(r *http.Request) (*http.Response, error) {
	r.Header.Del("Range")
	return c.HTTPClient.Do(r)
}
