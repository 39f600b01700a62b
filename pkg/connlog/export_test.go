package connlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// outcome sums up a stream: entries, failures, the lines that are malformed, and how it
// ends.
func outcome(log []byte) string {
	r := NewReader(bytes.NewReader(log))
	var entries, failed int
	var malformed []int
	for {
		var e Entry
		err := r.Read(&e)
		pe, isParse := errors.AsType[*ParseError](err)
		switch {
		case isParse:
			malformed = append(malformed, pe.Line)
		case err == io.EOF:
			return fmt.Sprintf("%d entries, %d failed, malformed %v", entries, failed, malformed)
		case err != nil:
			return fmt.Sprintf("%d entries, %d failed, malformed %v, then %v", entries, failed, malformed, err)
		case e.Failed():
			failed++
			fallthrough
		default:
			entries++
		}
	}
}

// Files that other programs wrote, each also compressed and with a byte-order mark.
func TestExportFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/exports/*")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		want := "2 entries, 1 failed, malformed []"
		switch base := filepath.Base(name); {
		case strings.HasPrefix(base, "bom"):
			want = "1 entries, 1 failed, malformed []"
		case base == "padded.log.gz":
			want = "3 entries, 1 failed, malformed []"
		case base == "utf16.log":
			want = "0 entries, 0 failed, malformed [], then cannot be read: text in UTF-16; convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8"
		}
		log, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := outcome(log); got != want {
			t.Errorf("%s: %s", name, got)
		}
		if bytes.HasPrefix(log, []byte("\x1f\x8b")) {
			continue
		}
		if got := outcome(gzipped(string(log))); got != want {
			t.Errorf("%s, compressed: %s", name, got)
		}
		if !bytes.HasPrefix(log, []byte(byteOrderMark)) && !strings.Contains(name, "utf16") {
			if got := outcome(append([]byte(byteOrderMark), log...)); got != want {
				t.Errorf("%s with a byte-order mark: %s", name, got)
			}
		}
	}
}

func TestExports(t *testing.T) {
	const ok = `{"timestamp":"2026-11-23T10:01:02Z","client_ip":"203.0.113.7","tls_protocol":"TLSv1.2","tls_verify_status":"Success"}`
	const bad = `{"timestamp":"2026-11-23T10:01:04Z","client_ip":"203.0.113.9","tls_protocol":"-","tls_verify_status":"Failed:ClientCertExpired"}`
	text := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	pretty := func(list ...string) string {
		var b bytes.Buffer
		for _, s := range list {
			if err := json.Indent(&b, []byte(s), "", "    "); err != nil {
				t.Fatal(err)
			}
			b.WriteByte('\n')
		}
		return b.String()
	}
	cell := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	wide := func(s string) string {
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u>>8), byte(u))
		}
		return string(b)
	}
	const both = "2 entries, 1 failed, malformed []"
	const plainOK = docSuccess
	for _, test := range []struct{ name, log, want string }{
		{"array on one line", "[" + ok + "," + bad + "]", both},
		{"array over lines, with blanks", " \n[\n  " + ok + "\n ,\n\n" + bad + "\n]\n", both},
		{"array of arrays", "[[" + ok + "],[" + bad + "]]", both},
		{"empty array", "[]", "0 entries, 0 failed, malformed []"},
		{"array with others", "[" + ok + ",7,null,\"x\",\n{},\n" + bad + "]", "2 entries, 1 failed, malformed [2 3 4 5]"},
		{"array that is cut in an object", "[" + ok + ",\n" + bad[:60], "1 entries, 0 failed, malformed [], then after line 1: JSON ends within a value"},
		{"array that is cut between objects", "[" + ok + ",\n" + bad + ",", "2 entries, 1 failed, malformed [], then after line 2: JSON ends within a value"},
		{"array and then something else", "[" + ok + "]\n]", "1 entries, 0 failed, malformed [], then after line 1: JSON: invalid character ']' looking for beginning of value"},
		{"array of a foreign log", `[{"eventVersion":"1.08","eventName":"PutObject"},` + ok + "]", "0 entries, 0 failed, malformed [], then cannot be read: CloudTrail log"},
		{"CloudTrail file", "{\"Records\":[\n{\"eventVersion\":\"1.08\"}]}", "0 entries, 0 failed, malformed [], then cannot be read: CloudTrail log"},
		{"objects without separators", ok + bad + ok, "3 entries, 1 failed, malformed []"},
		{"objects over lines", pretty(ok, bad), both},
		{"objects over lines, cut", pretty(ok, bad)[:250], "1 entries, 0 failed, malformed [], then after line 10: JSON ends within a value"},
		{"JSON lines of which one is cut", ok + "\n" + bad[:70] + "\n" + bad + "\n", "2 entries, 1 failed, malformed [2]"},
		{"JSON lines of which the first is cut", ok[:70] + "\n" + ok + "\n" + bad + "\n", "2 entries, 1 failed, malformed [1]"},
		{"filter-log-events, text of plain lines", `{"events":[{"timestamp":1,"message":` + text(docSuccess) + `},{"message":` + text(docFailed+"\n") + `}],"searchedLogStreams":[{"logStreamName":"x","searchedCompletely":true}]}`, both},
		{"log events, one on a line", `{"timestamp":1,"message":` + text(ok) + "}\n" + `{"timestamp":1,"message":` + text(bad) + "}\n", both},
		{"messages that are objects", `[{"@timestamp":"2026-11-23 10:05:00.000","@message":` + ok + `},{"@message":` + bad + `}]`, both},
		{"subscription", `{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"g","logEvents":[{"id":"1","timestamp":1,"message":` + text(ok) + `}]}{"messageType":"DATA_MESSAGE","logEvents":[{"message":` + text(bad) + `}]}`, both},
		{"query results", `{"results":[[{"field":"@timestamp","value":"x"},{"field":"@message","value":` + text(ok) + `},{"field":"@ptr","value":"y"}],[{"field":"@message","value":` + text(bad) + `}]],"statistics":{"recordsMatched":2},"status":"Complete"}`, both},
		{"query results of fields", `{"results":[[{"field":"timestamp","value":"2026-11-23T10:01:02Z"},{"field":"tls_verify_status","value":"Failed:X"}]]}`, "1 entries, 1 failed, malformed []"},
		{"texts", text(docSuccess) + "\n" + text(docFailed), both},
		{"texts in an array", "[" + text(ok) + "," + text(bad) + "]", both},
		{"a service's own log", `{"level":"INFO","message":"hello"}`, "0 entries, 0 failed, malformed [], then cannot be read: JSON without fields about TLS connections"},
		{"an object of arrays", `[{"a":[` + ok + `]}]`, "0 entries, 0 failed, malformed [], then cannot be read: JSON without fields about TLS connections"},
		{"nesting", strings.Repeat("[", 5000) + ok, "1 entries, 0 failed, malformed [], then after line 1: JSON ends within a value"},
		{"a value without an end", `["` + strings.Repeat("x", 2<<20), "0 entries, 0 failed, malformed [], then after line 0: JSON: a value is longer than 1 MiB"},

		{"CSV of Athena", "\"time\",\"client_ip\",\"leaf_client_cert_subject\",\"tls_verify_status\"\n\"2026-11-23T10:01:02Z\",\"203.0.113.7\",\"CN=a \"\"b\"\", O=x\",\"Failed:X\"\n", "1 entries, 1 failed, malformed []"},
		{"CSV with semicolons", "\"time\";\"client_ip\";\"tls_verify_status\"\r\n\"2026-11-23T10:01:02Z\";\"203.0.113.7\";\"Success\"\r\n", "1 entries, 0 failed, malformed []"},
		{"CSV rows that are cut", "\"time\",\"client_ip\",\"tls_verify_status\"\n\"2026-11-23T10:01:02Z\",\"203.0.113.7\",\"Success\"\n\"2026-11-23T10:01:02Z\",\"203.0.113.7\"\n\"2026-11-23T10:01:02Z\",\"203.0.113.7\",\"Succ", "1 entries, 0 failed, malformed [3 4]"},
		{"CSV of two files", "@timestamp,@message\nx," + cell(ok) + "\n@timestamp,@message\ny," + cell(bad) + "\n", both},
		{"CSV of another log", "\"@timestamp\",\"@message\"\n\"x\",\"START RequestId\"\n", "0 entries, 0 failed, malformed [2]"},
		{"CSV of a flow log", "\"srcaddr\",\"dstaddr\"\n\"192.0.2.1\",\"192.0.2.2\"\n", "0 entries, 0 failed, malformed [], then cannot be read: VPC flow log"},

		{"export task of plain lines", "2026-11-23T10:05:00.000Z " + docSuccess + "\n2026-11-23T10:05:00.000Z " + docFailed + "\n", both},
		{"export task with a foreign line", "2026-11-23T10:05:00.000Z " + ok + "\nhello\n2026-11-23T10:05:00.000Z " + bad + "\n", "2 entries, 1 failed, malformed [2]"},
		{"tail of plain lines", "2026-11-23T10:05:00.000000+00:00 stream " + docSuccess + "\n2026-11-23T10:05:00.000000+00:00 stream " + docFailed + "\n", both},
		{"tail of objects over lines", "2026-11-23T10:05:00.000000+00:00 stream " + pretty(ok) + "2026-11-23T10:05:00.000000+00:00 stream " + pretty(bad), both},
		{"tail of a Network Load Balancer", "2026-11-23T10:05:00 " + tlsALPN + "\n", "1 entries, 0 failed, malformed []"},
		{"a classic log", "2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000073", "0 entries, 0 failed, malformed [], then cannot be read: access log of a Classic Load Balancer"},
		{"one line without an end", "2026-11-23T10:05:00.000Z " + ok, "1 entries, 0 failed, malformed []"},

		{"UTF-16 without a mark", wide(plainOK), "0 entries, 0 failed, malformed [], then cannot be read: text in UTF-16; convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8"},
		{"tar", "log" + strings.Repeat("\x00", 254) + "ustar", "0 entries, 0 failed, malformed [], then cannot be read: tar archive; unpack it first"},
	} {
		if got := outcome([]byte(test.log)); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestOtherTimes(t *testing.T) {
	want := time.Date(2026, 11, 23, 10, 1, 2, 123e6, time.UTC)
	for _, text := range []string{
		"2026-11-23T10:01:02.123Z", "2026-11-23T10:01:02.123+00:00", "2026-11-23T12:01:02.123+02:00", "2026-11-23 10:01:02.123 UTC",
		"2026-11-23T10:01:02.123+0000", "2026-11-23 10:01:02.123Z", "1795428062123", "1795428062123000", "1795428062123000000",
	} {
		r := NewReader(strings.NewReader(`{"timestamp":"` + text + `","tls_verify_status":"Success"}`))
		var e Entry
		if err := r.Read(&e); err != nil || !e.Time.Equal(want) {
			t.Errorf("%s: %v, %v", text, e.Time, err)
		}
	}
	for _, text := range []string{"2026-11-23 10:01:02.123", "2026-11-23T10:01:02.123", "17954280621", "-1795428062", "2026-11-23", "23/11/2026 10:01", "1.795e12"} {
		r := NewReader(strings.NewReader(`{"timestamp":"` + text + `","tls_verify_status":"Success"}`))
		var e Entry
		if err := r.Read(&e); !errors.Is(err, errTime) {
			t.Errorf("%s: %v, %v", text, e.Time, err)
		}
	}
}

// Whatever surrounds the entries, a stream ends, in bounded memory, and reading ahead
// makes no difference.
func FuzzExports(f *testing.F) {
	files, _ := filepath.Glob("testdata/exports/*")
	for _, name := range files {
		log, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(log)
	}
	f.Add([]byte(`{"results":[[{"field":"@message","value":"{\"timestamp\":\"2026-11-23T10:01:02Z\"}"}]]}`))
	f.Fuzz(func(t *testing.T, log []byte) {
		if bytes.HasPrefix(log, []byte("\x1f\x8b")) {
			t.Skip("compressed; see FuzzReader")
		}
		got := outcome(log)
		if again := outcome(log); again != got {
			t.Errorf("%s, and then %s", got, again)
		}
		ahead := NewReader(bytes.NewReader(gzipped(string(log))), ReadAhead)
		entries, malformed, err := readAll(ahead)
		once := NewReader(bytes.NewReader(log))
		entries1, malformed1, err1 := readAll(once)
		if entries != entries1 || len(malformed) != len(malformed1) || (err == nil) != (err1 == nil) {
			t.Errorf("read ahead %d, %d, %v; else %d, %d, %v", entries, len(malformed), err, entries1, len(malformed1), err1)
		}
	})
}
