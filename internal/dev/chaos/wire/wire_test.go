package wire

import (
	"encoding/hex"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// Examples of RFC 8949, appendix A, and what is none of its values.
func TestCBOR(t *testing.T) {
	for text, want := range map[string]any{
		"1903e8":                     1000.0,
		"20":                         -1.0,
		"f93e00":                     1.5,
		"fa47c35000":                 100000.0,
		"fb3ff199999999999a":         1.1,
		"f90001":                     5.960464477539063e-8,
		"f97c00":                     math.Inf(1),
		"f5":                         true,
		"f6":                         nil,
		"6449455446":                 "IETF",
		"7f657374726561646d696e67ff": "streaming",
		"5f42010243030405ff":         []byte{1, 2, 3, 4, 5},
		"c11a514b67b0":               1363896240.0,
		"83010203":                   []any{1.0, 2.0, 3.0},
		"9f018202039f0405ffff":       []any{1.0, []any{2.0, 3.0}, []any{4.0, 5.0}},
		"bf61610161629f0203ffff":     map[string]any{"a": 1.0, "b": []any{2.0, 3.0}},
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeCBOR(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
		for n := range len(b) {
			if got, err := decodeCBOR(b[:n]); err == nil {
				t.Errorf("the first %d bytes of %s: %v", n, text, got)
			}
		}
	}
	for _, text := range []string{"0001", "ff", "82ff", "a10101", "bf6161ff", "1c", "7f01ff", strings.Repeat("81", 100) + "00"} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeCBOR(b); err == nil {
			t.Errorf("%.20s: %v", text, got)
		}
	}
}

// An error of CloudWatch names its code where the SDK looks for it.
func TestFailure(t *testing.T) {
	a := Failure("cloudwatch", 400, "Throttling")
	if got, err := decodeCBOR(a.Body); err != nil || !reflect.DeepEqual(got, map[string]any{"__type": "com.amazonaws.cloudwatch#Throttling"}) {
		t.Errorf("%v, %v", got, err)
	}
	if got := a.Header.Get("X-Amzn-Query-Error"); got != "Throttling;Sender" {
		t.Errorf("X-Amzn-Query-Error: %s", got)
	}
	for _, service := range []string{"s3", "sns"} {
		if a := Failure(service, 503, "SlowDown"); a.Status != 503 || !strings.Contains(string(a.Body), "<Code>SlowDown</Code>") {
			t.Errorf("%s: %d %s", service, a.Status, a.Body)
		}
	}
	if a := Failure("s3", 504, ""); a.Header.Get("Content-Type") != "text/html" {
		t.Errorf("a proxy's error is %s", a.Header.Get("Content-Type"))
	}
}

func TestConditionalWrites(t *testing.T) {
	s := Store{Objects: make(map[string][]byte)}
	one, two := []byte("one"), []byte("two")
	for _, step := range []struct {
		body                 []byte
		ifMatch, ifNoneMatch string
		status               int
		then                 string
	}{
		{one, ETag(one), "", 404, ""},
		{one, "", "*", 200, "one"},
		{two, "", "*", 412, "one"},
		{two, ETag(two), "", 412, "one"},
		{two, ETag(one), "", 200, "two"},
		{one, ETag(one), "", 412, "two"},
	} {
		r := httptest.NewRequest(http.MethodPut, "/", nil)
		r.Header.Set("If-Match", step.ifMatch)
		r.Header.Set("If-None-Match", step.ifNoneMatch)
		r.Header.Set("X-Amz-Checksum-Crc32", checksum(step.body))
		q, err := s.Request(r, "/state/v1/x", step.body)
		if err != nil {
			t.Fatal(err)
		}
		if a := q.Apply(); a.Status != step.status || string(s.Objects["state/v1/x"]) != step.then {
			t.Errorf("%+v: status %d, then %q", step, a.Status, s.Objects["state/v1/x"])
		}
	}
	if a := s.get("state/v1/x", ETag(one)); a.Status != 412 {
		t.Errorf("GET of what has changed: %d", a.Status)
	}
}

func TestListPages(t *testing.T) {
	s := Store{Objects: make(map[string][]byte), PageSize: 2}
	for _, key := range []string{"a/1", "a/2", "a/3", "b/1"} {
		s.Objects["state/"+key] = []byte(key)
	}
	first := string(s.list("state", url.Values{"prefix": {"a/"}}).Body)
	second := string(s.list("state", url.Values{"prefix": {"a/"}, "continuation-token": {"a/2"}}).Body)
	for text, want := range map[string][]string{
		first:  {"<Key>a/1</Key>", "<Key>a/2</Key>", "<IsTruncated>true</IsTruncated>", "<NextContinuationToken>a/2<", "<Size>3</Size>"},
		second: {"<Key>a/3</Key>", "<IsTruncated>false</IsTruncated>", "<KeyCount>1</KeyCount>"},
	} {
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s is not in %s", part, text)
			}
		}
	}
}

// What S3 does not know here is an error, not an answer.
func TestUnknownRequests(t *testing.T) {
	s := Store{Objects: make(map[string][]byte)}
	header := func(method, path, name, value string) *http.Request {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set(name, value)
		return r
	}
	for what, r := range map[string]*http.Request{
		"another method":            httptest.NewRequest("DELETE", "/state/key", nil),
		"a list of the old kind":    httptest.NewRequest("GET", "/state", nil),
		"folders":                   httptest.NewRequest("GET", "/state?list-type=2&delimiter=/", nil),
		"a part":                    header("GET", "/state/key", "Range", "bytes=1-2"),
		"a write without condition": httptest.NewRequest("PUT", "/state/key", nil),
		"a body in chunks":          header("PUT", "/state/key", "Content-Encoding", "aws-chunked"),
		"another checksum":          header("PUT", "/state/key", "X-Amz-Checksum-Crc32", "AAAAAA=="),
	} {
		if r.Header.Get("If-None-Match") == "" && what != "a write without condition" {
			r.Header.Set("If-None-Match", "*")
		}
		if q, err := s.Request(r, r.URL.Path, []byte("body")); err == nil {
			t.Errorf("%s: %+v", what, q)
		}
	}
	if _, err := MetricData(httptest.NewRequest("POST", "/", nil), "/", nil, "tlswatch"); err == nil {
		t.Error("CloudWatch in another protocol")
	}
	if _, err := Published([]byte("Action=Publish&TopicArn=t&MessageStructure=json&Message=text"), "t"); err == nil {
		t.Error("SNS: a message that is no JSON")
	}
}
