package trigger

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"tlswatch/pkg/pipeline"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

const (
	bucket  = "amzn-s3-demo-logging-bucket"
	prefix  = "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/23/"
	conn    = prefix + "conn_log_123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_"
	key1    = conn + "20261123T1005Z_172.160.001.192_20sg8hgm.log.gz"
	key2    = conn + "20261123T1005Z_172.160.002.117_5b7xq0wd.log.gz"
	key3    = conn + "20261123T1010Z_172.160.001.192_3t9vk2np.log.gz"
	access  = prefix + "123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20261123T1005Z_172.160.001.192_1ku8dp4z.log.gz"
	message = "059f36b4-87a3-44ab-83d2-661975830a7d"
)

// eventFiles has the expected result for each file in events/: the keys of each
// item, or "!" for an item with an error.
var eventFiles = map[string]struct {
	shape   Shape
	items   [][]string
	ignored int
	owner   string // the first object's, for request ID "req"
}{
	"s3-put.json":                     {S3, [][]string{{key1}}, 0, "req"},
	"s3-put-encoded-key.json":         {S3, [][]string{{"team a+é/" + key1}}, 0, "req"},
	"s3-two-records.json":             {S3, [][]string{{key1}, {key2}}, 0, "req"},
	"s3-test-event.json":              {S3, [][]string{{}}, 1, ""},
	"s3-access-log.json":              {S3, [][]string{{access}}, 0, "req"},
	"eventbridge-object-created.json": {EventBridge, [][]string{{key1}}, 0, "req"},
	"eventbridge-cloudtrail.json":     {EventBridge, [][]string{{key1}}, 0, "req"},
	"pipes-sqs.json":                  {Pipes, [][]string{{key1}}, 0, message},
	"sns-s3.json":                     {SNS, [][]string{{key1}}, 0, "req"},
	"sqs-s3.json":                     {SQS, [][]string{{key1}}, 0, message},
	"sqs-sns-s3.json":                 {SQS, [][]string{{key1}}, 0, message},
	"sqs-eventbridge.json":            {SQS, [][]string{{key1}}, 0, message},
	"sqs-batch-mixed.json":            {SQS, [][]string{{}, {key1}, {"!"}, {key3}}, 1, "2e1424d4-f796-459a-8184-9c92662be6da"},
	"s3-batch-1.0.json":               {Batch, [][]string{{key1}}, 0, "req"},
	"s3-batch-2.0.json":               {Batch, [][]string{{"team a+é/" + key1}}, 0, "req"},
	"direct-object.json":              {Direct, [][]string{{key1}}, 0, "req"},
	"direct-uris.json":                {Direct, [][]string{{key1}, {key2}}, 0, "req"},
	"on-failure-destination.json":     {Redrive, [][]string{{key1}}, 0, "e4b46cbf-b738-4b0e-8880-a18cdf61200e"},
}

// eventFolder returns the files of events/, and fails if there are none.
func eventFolder(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("../../events/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files in events/ (%v)", err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = b
	}
	return files
}

func TestEventFiles(t *testing.T) {
	files := eventFolder(t)
	readme, err := os.ReadFile("../../events/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range eventFiles {
		if files[name] == nil {
			t.Errorf("events/%s is expected and missing", name)
		}
	}
	for _, m := range regexp.MustCompile("`([^`]+\\.json)`").FindAllStringSubmatch(string(readme), -1) {
		if files[m[1]] == nil {
			t.Errorf("events/README.md names %s, which is missing", m[1])
		}
	}
	for name, payload := range files {
		t.Run(name, func(t *testing.T) {
			want, ok := eventFiles[name]
			if !ok {
				t.Fatal("not in the table of this test")
			}
			if n := strings.Count(string(readme), "`"+name+"`"); n != 1 {
				t.Errorf("named %d times in events/README.md", n)
			}
			e, err := Parse(payload)
			if err != nil {
				t.Fatal(err)
			}
			var items [][]string
			var owner string
			for _, item := range e.Items {
				keys := []string{}
				for _, o := range item.Objects {
					keys = append(keys, o.Key)
					if o.Bucket != bucket {
						t.Errorf("bucket %q", o.Bucket)
					}
					if owner == "" {
						owner = e.Owner(o, "req")
					}
				}
				if item.Err != nil {
					keys = append(keys, "!")
				}
				items = append(items, keys)
			}
			if diff := cmp.Diff(want.items, items); diff != "" || e.Shape != want.shape || len(e.Ignored) != want.ignored {
				t.Errorf("shape %s, ignored %v, items (-want +got):\n%s", e.Shape, e.Ignored, diff)
			}
			if owner != want.owner {
				t.Errorf("owner %q; want %q", owner, want.owner)
			}
			golden(t, strings.TrimSuffix(name, ".json"), describe(t, e))
		})
	}
}

// describe returns the content of a golden file: the parsed event and every reply.
func describe(t *testing.T, e *Event) []byte {
	t.Helper()
	type item struct {
		ID      string   `json:"id"`
		Objects []Object `json:"objects,omitempty"`
		Err     string   `json:"error,omitempty"`
	}
	type reply struct {
		Outcome string `json:"outcome"`
		Value   any    `json:"value"`
		Err     string `json:"error,omitempty"`
	}
	var d struct {
		Shape   Shape     `json:"shape"`
		Items   []item    `json:"items"`
		Ignored []Ignored `json:"ignored,omitempty"`
		Replies []reply   `json:"replies"`
	}
	d.Shape, d.Ignored = e.Shape, e.Ignored
	for _, i := range e.Items {
		d.Items = append(d.Items, item{i.ID, i.Objects, errText(i.Err)})
	}
	for _, o := range []struct {
		name string
		err  error
	}{
		{"all done", nil},
		{"all failed", errors.New("PutMetricData: throttled")},
		{"all failed for good", Permanent(errors.New("not a gzip file"))},
	} {
		outcomes := make([]error, len(e.Items))
		for i, item := range e.Items {
			if len(item.Objects) > 0 {
				outcomes[i] = o.err
			}
		}
		v, err := e.Reply(outcomes)
		d.Replies = append(d.Replies, reply{o.name, v, errText(err)})
	}
	v, err := e.Reply(nil)
	d.Replies = append(d.Replies, reply{"none", v, errText(err)})

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run with -update)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestGoldenFilesAllUsed(t *testing.T) {
	names, _ := filepath.Glob("testdata/*.golden")
	for _, name := range names {
		event := strings.TrimSuffix(filepath.Base(name), ".golden") + ".json"
		if _, ok := eventFiles[event]; !ok {
			t.Errorf("%s has no event", name)
		}
	}
}

// s3Event is a notification of the given keys, as sent.
func s3Event(keys ...string) string {
	var records []string
	for _, k := range keys {
		records = append(records, record("ObjectCreated:Put", "2.1", k))
	}
	return `{"Records":[` + strings.Join(records, ",") + `]}`
}

func record(name, version, key string) string {
	return fmt.Sprintf(`{"eventVersion":%q,"eventSource":"aws:s3","eventName":%q,"s3":{"bucket":{"name":"b"},"object":{"key":%q}}}`, version, name, key)
}

func sqsEvent(bodies ...string) string {
	var records []string
	for i, b := range bodies {
		records = append(records, fmt.Sprintf(`{"messageId":"m%d","eventSource":"aws:sqs","body":%s}`, i, quote(b)))
	}
	return `{"Records":[` + strings.Join(records, ",") + `]}`
}

func envelope(message string) string {
	return `{"Type":"Notification","MessageId":"n0","TopicArn":"t","Message":` + quote(message) + `}`
}

func invocation(payload string) string {
	return `{"requestContext":{"requestId":"r0","condition":"RetriesExhausted"},"requestPayload":` + payload + `}`
}

// pipe returns the event of EventBridge Pipes for messages with these bodies.
func pipe(bodies ...string) string {
	return strings.TrimSuffix(strings.TrimPrefix(sqsEvent(bodies...), `{"Records":`), "}")
}

func apiCallEvent(name, rest string) string {
	return `{"id":"e","source":"aws.s3","detail-type":"AWS API Call via CloudTrail","detail":{"eventVersion":"1.08","requestParameters":{"bucketName":"b","key":"a+b"},"eventName":` + name + rest + `}}`
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// TestParse compares the items of a payload as "ID=keys", followed by "!" and the
// text of the item's error, if any.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, payload string
		shape         Shape
		want          string
		ignored       string
	}{
		{"version 2.0", `{"Records":[` + record("ObjectCreated:Copy", "2.0", "k") + `]}`, S3, "0=k", ""},
		{"version 2.99", `{"Records":[` + record("ObjectCreated:Copy", "2.99", "k") + `]}`, S3, "0=k", ""},
		{"version 3.0", `{"Records":[` + record("ObjectCreated:Put", "3.0", "k") + `]}`, S3, `0=!event version "3.0" is not 2.x`, ""},
		{"version 20", `{"Records":[` + record("ObjectCreated:Put", "20", "k") + `]}`, S3, `0=!event version "20" is not 2.x`, ""},
		{"name with s3:", `{"Records":[` + record("s3:ObjectCreated:Put", "2.1", "k") + `]}`, S3, "0=k", ""},
		{"removed", `{"Records":[` + record("ObjectRemoved:Delete", "2.1", "k") + `,` + record("ObjectCreated:Put", "2.1", "l") + `]}`, S3,
			"0= 1=l", "0 not an object creation: ObjectRemoved:Delete s3://b/k"},
		{"plus and escapes", s3Event("a+b%2Bc%C3%A9"), S3, "0=a b+cé", ""},
		{"bad escape among good", s3Event("a", "b%zz", "c"), S3, `0=a 1=!key "b%zz": invalid URL escape "%zz" 2=c`, ""},
		{"escape to bad UTF-8", s3Event("a%FF", "c"), S3, `0=!key "a\xff" is not UTF-8 1=c`, ""},
		{"key too long", s3Event(strings.Repeat("a", 1025), strings.Repeat("b", 1024)), S3,
			`0=!key "` + strings.Repeat("a", 125) + `..." is longer than 1024 bytes 1=` + strings.Repeat("b", 1024), ""},
		{"key empty", s3Event("", "c"), S3, "0=!object without a key 1=c", ""},
		{"record no object", `{"Records":[7,null,` + record("ObjectCreated:Put", "2.1", "k") + `]}`, S3,
			`0=!cannot be a JSON number 1=!event source "" among records of aws:s3 2=k`, ""},
		{"size of wrong type", `{"Records":[{"eventSource":"aws:s3","eventVersion":"2.1","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k","size":"9"}}}]}`, S3,
			"0=!s3.object.size cannot be a JSON string", ""},
		{"no records", `{"Records":[]}`, S3, "", " empty list: Records"},

		{"EventBridge key looks encoded", `{"id":"e","source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"b"},"object":{"key":"a+b%2Bc"}}}`, EventBridge, "e=a+b%2Bc|a b+c", ""},
		{"EventBridge key cannot be decoded", `{"id":"e","source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"b"},"object":{"key":"100%"}}}`, EventBridge, "e=100%", ""},
		{"EventBridge schema 2", `{"id":"e","source":"aws.s3","detail-type":"Object Created","detail":{"event-version":"2.0","bucket":{"name":"b"},"object":{"key":"k"}}}`, EventBridge, `e=!event version "2.0" is not 1.x`, ""},
		{"EventBridge deletion", `{"id":"e","source":"aws.s3","detail-type":"Object Deleted","detail":{"bucket":{"name":"b"},"object":{"key":"k"}}}`, EventBridge, "e=", "e not an object creation: Object Deleted s3://b/k"},
		{"EventBridge without id", `{"source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"b"},"object":{"key":"k"}}}`, EventBridge, "0=k", ""},
		{"EventBridge detail of wrong type", `{"source":"aws.s3","detail-type":"Object Created","detail":[]}`, EventBridge, "0=!cannot be a JSON array", ""},
		{"EventBridge destination", `{"source":"lambda","detail-type":"Lambda Function Invocation Result - Failure","detail":` + invocation(s3Event("k")) + `}`, EventBridge, "0=k", ""},

		{"CloudTrail upload", apiCallEvent(`"PutObject"`, ""), EventBridge, "e=a+b|a b", ""},
		{"CloudTrail multipart upload", apiCallEvent(`"CompleteMultipartUpload"`, `,"responseElements":null`), EventBridge, "e=a+b|a b", ""},
		{"CloudTrail deletion", apiCallEvent(`"DeleteObject"`, ""), EventBridge, "e=", "e not an object creation: DeleteObject s3://b/a+b"},
		{"CloudTrail upload that failed", apiCallEvent(`"PutObject"`, `,"errorCode":"AccessDenied"`), EventBridge, "e=", "e API call failed: PutObject s3://b/a+b: AccessDenied"},
		{"CloudTrail call of wrong type", apiCallEvent(`7`, ""), EventBridge, "e=!eventName cannot be a JSON number", ""},
		{"CloudTrail schema 2", apiCallEvent(`"PutObject","eventVersion":"2.0"`, ""), EventBridge, `e=!event version "2.0" is not 1.x`, ""},

		{"Pipes", pipe(s3Event("a", "b"), envelope(s3Event("c")), "nonsense"), Pipes,
			"m0=a,b m1=c m2=!message body: malformed JSON at byte 2: invalid character 'o' in literal null (expecting 'u')", ""},
		{"Pipes among others", strings.TrimSuffix(pipe(s3Event("a")), "]") + `,{"eventSource":"aws:kinesis"},"s3://b/k"]`, Pipes,
			`m0=a 1=!event source "aws:kinesis" among records of aws:sqs 2=!cannot be a JSON string`, ""},

		{"SNS of a test event", `{"Records":[{"EventSource":"aws:sns","Sns":` + envelope(`{"Event":"s3:TestEvent"}`) + `}]}`, SNS, "n0=", "n0 test event"},
		{"SNS of two records, one bad", `{"Records":[{"EventSource":"aws:sns","Sns":` + envelope(s3Event("k", "%")) + `}]}`, SNS, `n0=k!SNS message: item 1: key "%": invalid URL escape "%"`, ""},
		{"SNS of text", `{"Records":[{"EventSource":"aws:sns","Sns":` + envelope(`hello`) + `}]}`, SNS, `n0=!SNS message: malformed JSON at byte 1: invalid character 'h' looking for beginning of value`, ""},
		{"SNS record without Sns", `{"Records":[{"EventSource":"aws:sns"}]}`, SNS, "0=!record has no Sns", ""},
		{"SNS envelope by itself", envelope(s3Event("k")), SNS, "n0=k", ""},

		{"SQS raw delivery and others", sqsEvent(s3Event("a", "b"), envelope(s3Event("c")), `"s3://b/d"`, `{"bucket":"b","key":"e+"}`, envelope(`{"Event":"s3:TestEvent"}`)), SQS,
			"m0=a,b m1=c m2=d m3=e+ m4=", "m4 test event"},
		{"SQS bad bodies", sqsEvent(``, `{}`, `nonsense`, `{"a":1}`, s3Event("k"), `{"Type":"SubscriptionConfirmation","TopicArn":"t","Message":"x"}`), SQS,
			`m0=!message body: malformed JSON at byte 0: unexpected end of JSON input m1=!message body: unknown event shape: object ` +
				`m2=!message body: malformed JSON at byte 2: invalid character 'o' in literal null (expecting 'u') ` +
				`m3=!message body: unknown event shape: object with keys "a" m4=k ` +
				`m5=!message body: unknown event shape: object with keys "Message", "TopicArn", "Type": SNS message of type "SubscriptionConfirmation" from "t"`, ""},
		{"SQS body missing or no string", `{"Records":[{"messageId":"m0","eventSource":"aws:sqs"},{"body":7,"messageId":"m1","eventSource":"aws:sqs"},{"messageId":"m2","eventSource":"aws:sqs","body":"\"s3://b/k\""}]}`, SQS,
			"m0=!message has no body m1=!body cannot be a JSON number m2=k", ""},
		{"SQS of one bad record beside a good one", sqsEvent(s3Event("a", "%zz")), SQS, `m0=a!message body: item 1: key "%zz": invalid URL escape "%zz"`, ""},

		{"Batch 1.0 with bad tasks", `{"invocationSchemaVersion":"1.0","tasks":[{"taskId":"t0","s3Key":"a+b","s3BucketArn":"arn:aws-us-gov:s3:::b"},{"taskId":"t1","s3Key":"%","s3BucketArn":"arn:aws:s3:::b"},{"taskId":"t2","s3Key":"k","s3BucketArn":"b"},{"s3Key":"k","s3BucketArn":"arn:aws:s3:::b"}]}`, Batch,
			`t0=a b t1=!key "%": invalid URL escape "%" t2=!"b" is not the ARN of a bucket 3=k`, ""},
		{"Batch 3.0", `{"invocationSchemaVersion":"3.0","tasks":[{"taskId":"t0","s3Key":"k","s3Bucket":"b"}]}`, Batch, `t0=!invocation schema version "3.0" is neither 1.0 nor 2.0`, ""},
		{"Batch without tasks", `{"invocationSchemaVersion":"1.0","tasks":[]}`, Batch, "", " empty list: tasks"},

		{"one URI", `"s3://b/a b/c%20"`, Direct, "0=a b/c%20", ""},
		{"list of both forms", ` ["s3://b/k", {"bucket":"b","key":"l","versionId":"v","etag":"\"x\""}, 7, "b/k", "s3://b", "s3:///k", {"bucket":"b","key":"k","verison":"v"}, []]`, Direct,
			`0=k 1=l 2=!cannot be a JSON number 3=!"b/k" is not s3://BUCKET/KEY 4=!"s3://b" is not s3://BUCKET/KEY 5=!"s3:///k" is not s3://BUCKET/KEY 6=!unknown field "verison" 7=!cannot be a JSON array`, ""},
		{"objects", `{"objects":[{"bucket":"b","key":"k"}]}`, Direct, "0=k", ""},
		{"empty list", `[]`, Direct, "", " empty list: objects"},
		{"bucket null", `{"bucket":null,"key":"k"}`, Direct, "0=!object without a bucket", ""},

		{"record of a queue batch", invocation(sqsEvent(s3Event("a"), s3Event("b"))), Redrive, "m0=a m1=b", ""},
		{"record of a direct call", invocation(`["s3://b/k"]`), Redrive, "0=k", ""},
		{"record of a success", `{"requestContext":{"requestId":"r0","condition":"Success"},"requestPayload":` + s3Event("k") + `}`, Redrive, "", " invocation already succeeded: r0"},
		{"deepest real nesting", sqsEvent(envelope(invocation(`{"Records":[{"EventSource":"aws:sns","Sns":` + envelope(s3Event("k")) + `}]}`))), SQS, "m0=k", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := Parse([]byte(c.payload))
			if err != nil {
				t.Fatal(err)
			}
			var items, ignored []string
			for _, i := range e.Items {
				var keys []string
				for _, o := range i.Objects {
					if o.AltKey != "" {
						o.Key += "|" + o.AltKey
					}
					keys = append(keys, o.Key)
				}
				s := i.ID + "=" + strings.Join(keys, ",")
				if i.Err != nil {
					s += "!" + i.Err.Error()
				}
				items = append(items, s)
			}
			for _, i := range e.Ignored {
				ignored = append(ignored, i.Item+" "+i.String())
			}
			if diff := cmp.Diff(c.want, strings.Join(items, " ")); diff != "" || e.Shape != c.shape {
				t.Errorf("shape %s, items (-want +got):\n%s", e.Shape, diff)
			}
			if got := strings.Join(ignored, ", "); got != c.ignored {
				t.Errorf("ignored %q, want %q", got, c.ignored)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	deep := s3Event("k")
	for range maxDepth {
		deep = invocation(deep)
	}
	for _, c := range []struct{ name, payload, want string }{
		{"nothing", ``, "malformed JSON at byte 0: unexpected end of JSON input"},
		{"cut off", `{"Records":[`, "malformed JSON at byte 12: unexpected end of JSON input"},
		{"trailing", `{} x`, "malformed JSON at byte 4: invalid character 'x' after top-level value"},
		{"number", `7`, "unknown event shape: number"},
		{"boolean", `true`, "unknown event shape: boolean"},
		{"null", `null`, "unknown event shape: null"},
		{"empty", `{}`, "unknown event shape: object"},
		{"keys sorted", `{"z":1,"a":[],"Detail":{}}`, `unknown event shape: object with keys "Detail", "a", "z"`},
		{"key quoted", `{"a\nb":1}`, `unknown event shape: object with keys "a\nb"`},
		{"case counts", `{"records":[]}`, `unknown event shape: object with keys "records"`},
		{"records of another service", `{"Records":[{"eventSource":"aws:kinesis"}]}`, `unknown event shape: object with keys "Records": event source "aws:kinesis" of the records is not aws:s3, aws:sqs or aws:sns`},
		{"records no list", `{"Records":{}}`, `unknown event shape: object with keys "Records": Records is not a list`},
		{"schedule", `{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}`, `unknown event shape: object with keys "detail", "detail-type", "source": EventBridge source "aws.events" with detail-type "Scheduled Event"`},
		{"another service by CloudTrail", `{"source":"aws.ec2","detail-type":"AWS API Call via CloudTrail","detail":{}}`, `unknown event shape: object with keys "detail", "detail-type", "source": EventBridge source "aws.ec2" with detail-type "AWS API Call via CloudTrail"`},
		{"a pipe from a stream", `[{"eventSource":"aws:kinesis","data":"x"}]`, `unknown event shape: list: event source "aws:kinesis" is not aws:sqs`},
		{"record of an unknown shape", invocation(`{"x":1}`), `requestPayload: unknown event shape: object with keys "x"`},
		{"too deep", deep, strings.Repeat("requestPayload: ", maxDepth) + "event shapes nested more than 6 deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := Parse([]byte(c.payload))
			if err == nil {
				t.Fatalf("parsed as %+v", e)
			}
			if got := err.Error(); got != "trigger: "+c.want {
				t.Errorf("got  %s\nwant trigger: %s", got, c.want)
			}
		})
	}
}

func TestParseErrorTypes(t *testing.T) {
	_, err := Parse([]byte(`{"a":}`))
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) || syntax.Offset != 6 {
		t.Errorf("%v: no SyntaxError at 6", err)
	}

	var keys []string
	for i := range 100 {
		keys = append(keys, fmt.Sprintf(`"%s%02d":0`, strings.Repeat("k", 1000), i))
	}
	_, err = Parse([]byte("{" + strings.Join(keys, ",") + "}"))
	var shape *unknownShapeError
	if !errors.As(err, &shape) || len(shape.Keys) != maxKeys || shape.More != 100-maxKeys || len(err.Error()) > 2048 {
		t.Errorf("%v: no bounded UnknownShapeError", err)
	}
}

func TestObjectFields(t *testing.T) {
	for _, c := range []struct {
		payload string
		want    pipeline.Object
	}{
		{`{"Records":[{"eventSource":"aws:s3","eventVersion":"2.1","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k","size":0,"eTag":"e","versionId":"v","sequencer":"0A"}}}]}`,
			pipeline.Object{Bucket: "b", Key: "k", VersionID: "v", ETag: "e", Size: 0}},
		{`{"Records":[{"eventSource":"aws:s3","eventVersion":"2.1","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k","versionId":null}}}]}`,
			pipeline.Object{Bucket: "b", Key: "k", Size: -1}},
		{`{"source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"b"},"object":{"key":"k","size":5,"etag":"e","version-id":"v","sequencer":"0A"}}}`,
			pipeline.Object{Bucket: "b", Key: "k", VersionID: "v", ETag: "e", Size: 5}},
		{`{"bucket":"b","key":"k","etag":"\"e\"","versionId":"v","size":-3}`,
			pipeline.Object{Bucket: "b", Key: "k", VersionID: "v", ETag: "e", Size: -1}},
	} {
		e, err := Parse([]byte(c.payload))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, e.Items[0].Objects[0].Object); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.payload, diff)
		}
	}
}

func TestOwner(t *testing.T) {
	dead := `{"Records":[{"messageId":"m0","eventSource":"aws:sqs","messageAttributes":{"RequestID":{"stringValue":"r9"},"ErrorCode":{"stringValue":"200"}},"body":` + quote(s3Event("k")) + `}]}`
	for _, c := range []struct {
		name, payload, owner string
	}{
		{"a queue message", sqsEvent(s3Event("k")), "m0"},
		{"a dead letter with Lambda's attributes", dead, "r9"},
		{"a record in a queue: the invocation that claimed", sqsEvent(invocation(s3Event("k"))), "r0"},
		{"a record of a queue batch: the message that claimed", invocation(sqsEvent(s3Event("k"))), "m0"},
		{"a record in a record", invocation(strings.Replace(invocation(s3Event("k")), "r0", "inner", 1)), "inner"},
		{"a record without request id", strings.Replace(invocation(s3Event("k")), `"requestId":"r0",`, "", 1), "req"},
		{"a direct call", `"s3://b/k"`, "req"},
	} {
		e, err := Parse([]byte(c.payload))
		if err != nil {
			t.Fatal(err)
		}
		if owner := e.Owner(e.Items[0].Objects[0], "req"); owner != c.owner {
			t.Errorf("%s: %q; want %q", c.name, owner, c.owner)
		}
	}
}

func TestReply(t *testing.T) {
	boom := errors.New("boom")
	e, err := Parse([]byte(sqsEvent(s3Event("a"), `x`, `{"Event":"s3:TestEvent"}`, s3Event("d"), s3Event("e"))))
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.Reply([]error{nil, nil, nil, boom}) // m4: no outcome
	want := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{{ItemIdentifier: "m1"}, {ItemIdentifier: "m3"}, {ItemIdentifier: "m4"}}}
	if diff := cmp.Diff(any(want), v); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if _, err := e.Reply(make([]error, 6)); err == nil {
		t.Error("more outcomes than items were accepted")
	}

	// A message without an ID must not count as done.
	e, _ = Parse([]byte(`{"Records":[{"eventSource":"aws:sqs","body":"x"},{"messageId":"m1","eventSource":"aws:sqs","body":"\"s3://b/k\""}]}`))
	if v, err := e.Reply(make([]error, 2)); v != nil || err == nil {
		t.Errorf("reply %v, %v", v, err)
	}

	// A pipe may not read the reply.
	e, _ = Parse([]byte(pipe(s3Event("a"), s3Event("b"))))
	if v, err := e.Reply([]error{nil, boom}); v != nil || !errors.Is(err, boom) {
		t.Errorf("reply to a pipe %v, %v", v, err)
	}
	if v, err := e.Reply(make([]error, 2)); v != nil || err != nil {
		t.Errorf("reply to a pipe %v, %v", v, err)
	}

	// errors.Is still finds the caller's error in the reply.
	e, _ = Parse([]byte(s3Event("a", "b", "c")))
	_, err = e.Reply([]error{boom, nil})
	var failed Failures
	if !errors.Is(err, boom) || !errors.Is(err, errNotProcessed) || !errors.As(err, &failed) || len(failed) != 2 || failed[1].Item != "2" {
		t.Errorf("reply error %v", err)
	}

	// The reply has no place for a Batch task without ID. It counts as temporary.
	e, _ = Parse([]byte(`{"invocationSchemaVersion":"2.0","invocationId":"i","tasks":[{"s3Key":"k","s3Bucket":"b"},{"taskId":"t1","s3Key":"k","s3Bucket":"b"}]}`))
	v, err = e.Reply([]error{nil, fmt.Errorf("read: %w", Permanent(errors.New(strings.Repeat("é", 2000))))})
	r, ok := v.(events.S3BatchJobResponse)
	if err != nil || !ok || len(r.Results) != 1 || r.Results[0].ResultCode != "PermanentFailure" || r.TreatMissingKeysAs != "TemporaryFailure" || len(r.Results[0].ResultString) > maxResultString {
		t.Errorf("reply %+v, %v", v, err)
	}
}

func TestPermanent(t *testing.T) {
	if Permanent(nil) != nil {
		t.Error("Permanent(nil) is an error")
	}
	boom := errors.New("boom")
	if p := Permanent(boom); !errors.Is(p, boom) || p.Error() != "boom" || !isPermanent(fmt.Errorf("x: %w", p)) || isPermanent(boom) {
		t.Error("Permanent does not mark")
	}
}

func TestFailuresAreBounded(t *testing.T) {
	var f Failures
	for i := range 1000 {
		f = append(f, failedItem{fmt.Sprint(i), errors.New(strings.Repeat("x", 10_000))})
	}
	if n := len(f.Error()); n > 40_000 || !strings.HasSuffix(f.Error(), "and 950 more") {
		t.Errorf("%d bytes: ...%s", n, f.Error()[n-20:])
	}
}

func TestHugeEvents(t *testing.T) {
	const payload = 6 << 20 // the most that Lambda passes
	fill := func(head, unit, tail string) []byte {
		n := (payload - len(head) - len(tail)) / (len(unit) + 1)
		return []byte(head + strings.Repeat(unit+",", n) + unit + tail)
	}
	for _, c := range []struct {
		name    string
		payload []byte
	}{
		{"records of nothing", fill(`{"Records":[`, "0", `]}`)},
		{"list of nothing", fill(`[`, "0", `]`)},
		{"keys", fill(`{`, `"":0`, `}`)},
		{"brackets", []byte(strings.Repeat("[", payload))},
		{"messages of nothing", []byte(sqsEvent(string(fill(`[`, "0", `]`)), s3Event("k")))},
		{"10,000 messages", []byte(sqsEvent(strings.Split(strings.Repeat(s3Event("k")+"\n", 9_999)+s3Event("k"), "\n")...))},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := Parse(c.payload)
			switch c.name {
			case "10,000 messages":
				if err != nil || len(e.Items) != 10_000 || e.Objects() != 10_000 {
					t.Fatalf("%v", err)
				}
			case "messages of nothing":
				if err != nil || !errors.Is(e.Items[0].Err, errTooMany) || isPermanent(e.Items[0].Err) || len(e.Items[1].Objects) != 1 {
					t.Fatalf("%v %+v", err, e)
				}
			default:
				if err == nil {
					t.Fatal("accepted")
				}
			}
		})
	}
}

func BenchmarkParseQueueBatch(b *testing.B) {
	payload := []byte(sqsEvent(strings.Split(strings.Repeat(s3Event("k")+"\n", 9_999)+s3Event("k"), "\n")...))
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(payload); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, b := range eventFolder(f) {
		f.Add(b)
	}
	for _, s := range []string{sqsEvent(envelope(invocation(s3Event("a+b", "%")))), `["s3://b/k"]`, `"s3://b/k"`, `{"Records":[]}`} {
		f.Add([]byte(s))
	}
	boom := errors.New("boom")
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := Parse(payload)
		if (e == nil) == (err == nil) {
			t.Fatalf("event %v and error %v", e, err)
		}
		if err != nil {
			if len(err.Error()) > 8192 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			return
		}
		if len(e.Items) == 0 && len(e.Ignored) == 0 {
			t.Error("neither items nor ignored entries nor an error")
		}
		for _, i := range e.Items {
			if i.ID == "" {
				t.Error("item without ID")
			}
			for _, o := range i.Objects {
				if o.Bucket == "" || o.Key == "" || o.Key == o.AltKey || o.Size < -1 {
					t.Errorf("object %+v", o)
				}
				if e.Owner(o, "req") == "" {
					t.Error("object without owner")
				}
			}
		}
		failed := make([]error, len(e.Items))
		for i := range failed {
			failed[i] = boom
		}
		for _, outcomes := range [][]error{nil, make([]error, len(e.Items)), failed} {
			v, err := e.Reply(outcomes)
			if v != nil && err != nil {
				t.Errorf("both %v and %v", v, err)
			}
			if _, err := json.Marshal(v); err != nil {
				t.Errorf("reply %v: %v", v, err)
			}
		}
	})
}
