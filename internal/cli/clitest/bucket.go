package clitest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/s3"
	"tlswatch/pkg/logkey"
)

// A Bucket is a stand-in for S3 with logs in it. The environment of the test points
// to it.
type Bucket struct {
	*localaws.Stack
	put int // log objects
}

// NewBucket starts the stand-in with an empty bucket.
func NewBucket(t *testing.T) *Bucket {
	t.Helper()
	return &Bucket{Stack: awstest.Start(t, localaws.Options{}, BucketName)}
}

// Day is the day of the logs that [Bucket.Fill] stores.
var Day = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// Fill stores n logs of two lines each, one for every ten seconds of the day, and
// returns their keys.
func (b *Bucket) Fill(t *testing.T, n int) (keys []string) {
	t.Helper()
	for range n {
		i := b.put
		b.put++
		end := Day.Add(time.Duration(i) * 10 * time.Second).Truncate(logkey.Period).Add(logkey.Period)
		at := end.Add(-time.Minute).Format("2006-01-02T15:04:05.000000Z")
		client := fmt.Sprintf("203.0.%d.%d", i/256, i%256)
		text := at + " " + client + " 36280 443 TLSv1.2 X 0.010 - - - Success\n" +
			at + " " + client + " 36281 443 TLSv1.2 X - - - - Failed:UnmappedConnectionError\n"
		key := LogKey(end, i)
		if _, err := b.S3.Put(BucketName, key, []byte(text)); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

// Put stores an object.
func (b *Bucket) Put(t *testing.T, key, text string) s3.ObjectCreated {
	t.Helper()
	created, err := b.S3.Put(BucketName, key, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// NewProxy starts a proxy for the stand-in. Requests for which handle returns true do
// not reach it.
func NewProxy(t *testing.T, b *Bucket, handle func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	target, err := url.Parse(b.S3.URL())
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !handle(w, r) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// Elsewhere is a handler for [NewProxy] that answers as S3 does for a bucket in
// another Region than the request.
func Elsewhere(region string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.Header.Get("Authorization"), "/"+region+"/s3/") {
			return false
		}
		w.Header().Set("X-Amz-Bucket-Region", region)
		w.WriteHeader(http.StatusMovedPermanently)
		io.WriteString(w, `<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be addressed using the specified endpoint.</Message></Error>`)
		return true
	}
}
