package sam

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const example = `
Parameters:
  Mode: { Type: String, Default: a, AllowedValues: [a, b] }
  Names: { Type: String, Default: "x,y", AllowedPattern: "[a-z,]*" }
  Size: { Type: Number, Default: 5, MinValue: 1, MaxValue: 9 }
Rules:
  NoNineInB:
    RuleCondition: !Equals [!Ref Mode, b]
    Assertions:
      - Assert: !Not [!Contains [["9", "8"], !Ref Size]]
        AssertDescription: b is small.
Mappings:
  Speed: { a: { Of: 1 }, b: { Of: 2 } }
Conditions:
  B: !Equals [!Ref Mode, b]
  A: !Not [!Condition B]
  Both: !And [!Condition A, !Condition B]
  Either: !Or [!Condition A, !Condition B]
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Condition: B
  Topic:
    Type: AWS::SNS::Topic
    DependsOn: Bucket
    Properties:
      Text: !Sub
        - ${AWS::StackName} ${Local} ${!Literal} ${Bucket.Arn} ${Size}
        - Local: !Select [1, !Split [",", !Ref Names]]
      Gone: !If [B, !GetAtt Queue.Arn, !Ref AWS::NoValue]
      List: [1, !If [A, !Ref AWS::NoValue, two], !Join ["-", [p, !Ref Mode]]]
      Speed: !FindInMap [Speed, !Ref Mode, Of]
  Bucket:
    Type: AWS::S3::Bucket
    Condition: Either
Outputs:
  Topic: { Value: !Ref Topic }
  Queue: { Value: !Ref Queue, Condition: B }
`

func TestExpand(t *testing.T) {
	template, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	s, err := template.Expand("s", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Tree{"Text": "s y ${Literal} arn:aws:s3:::s-bucket 5", "List": []any{1, "p-a"}, "Speed": 1}
	if d := cmp.Diff(want, s.Resources["Topic"].Properties); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if d := cmp.Diff([]string{"Bucket", "Topic"}, s.Order); d != "" {
		t.Errorf("order: -want +got\n%s", d)
	}
	if d := cmp.Diff(map[string]string{"Topic": "arn:aws:sns:us-east-1:123456789012:s-Topic"}, s.Outputs); d != "" {
		t.Errorf("outputs: -want +got\n%s", d)
	}
	s, err = template.Expand("s", map[string]string{"Mode": "b"})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Resources["Topic"].Text("Gone"); got != "arn:aws:sqs:us-east-1:123456789012:s-Queue" || s.ByARN(got) != s.Resources["Queue"] {
		t.Errorf("Gone is %q", got)
	}
	if got := slices.Sorted(maps.Keys(s.Resources)); len(got) != 3 {
		t.Errorf("resources %q", got)
	}
}

// What CloudFormation rejects is rejected, with the reason.
func TestExpandRejects(t *testing.T) {
	for _, test := range []struct {
		old, new   string
		parameters map[string]string
		want       string
	}{
		{"", "", map[string]string{"Mode": "c"}, `"c" is not one of [a b]`},
		{"", "", map[string]string{"Names": "X"}, "does not match"},
		{"", "", map[string]string{"Size": "10"}, "more than 9"},
		{"", "", map[string]string{"Size": "many"}, "not a number"},
		{"", "", map[string]string{"Other": "1"}, "no parameter Other"},
		{"", "", map[string]string{"Mode": "b", "Size": "9"}, "rule NoNineInB: b is small."},
		{"Default: a, ", "", nil, "neither a default nor a value"},
		{"!If [B, !GetAtt Queue.Arn, !Ref AWS::NoValue]", "!GetAtt Queue.Arn", nil, "Queue, which does not exist with these parameters"},
		{"!GetAtt Queue.Arn", "!GetAtt Queue.Color", map[string]string{"Mode": "b"}, `unknown attribute "Color"`},
		{"!Ref Mode, Of]", "!Ref Names, Of]", nil, `no key Of in "x,y"`},
		{"!Select [1,", "!Select [2,", nil, "index 2 of 2"},
		{"Condition: Either", "Condition: Neither", nil, "no condition Neither"},
		{"    Condition: Either", "    Properties: { Tags: [!Ref Topic] }", nil, "circular dependency: Bucket -> Topic -> Bucket"},
		{"- Local: !Sel", "- Locale: !Sel", nil, "does not use its variable Locale"},
		{"!And [!Condition A, !Condition B]", "!And [!Condition A]", nil, ""},
	} {
		template, err := Parse([]byte(strings.Replace(example, test.old, test.new, 1)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = template.Expand("s", test.parameters)
		if test.want == "" { // an unused condition is not evaluated
			if err != nil {
				t.Errorf("%q: %v", test.new, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q %v: got %v, want %q", test.new, test.parameters, err, test.want)
		}
	}
}

func TestParseRejects(t *testing.T) {
	for source, want := range map[string]string{
		"":                     "empty",
		"- x":                  "not a mapping",
		"a: 1\nb: 2\na: 3":     "line 3: duplicate key a",
		"a: !Fetch x":          "line 1: unknown function !Fetch",
		"a: &x 1\nb: *x":       "does not support aliases",
		"a: [":                 "yaml",
		"a: !!int notanumber":  "line 1",
		"a: { b: !GetAt x.y }": "unknown function !GetAt",
	} {
		if _, err := Parse([]byte(source)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", source, err, want)
		}
	}
}

func TestPolicy(t *testing.T) {
	r := &Resource{ID: "P", Properties: Tree{"Document": Tree{"Statement": []any{
		Tree{"Sid": "Read", "Effect": "Allow", "Action": "s3:Get*", "Resource": []any{"arn:aws:s3:::b/*", "arn:aws:s3:::c/?"}},
		Tree{"Sid": "Put", "Effect": "Allow", "Action": []any{"cloudwatch:PutMetricData"}, "Resource": "*",
			"Condition": Tree{"StringEquals": Tree{"cloudwatch:namespace": "n"}}},
		Tree{"Sid": "Send", "Effect": "Allow", "Principal": Tree{"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "q",
			"Condition": Tree{"ArnEquals": Tree{"aws:SourceArn": "arn:*:rule/x"}}},
		Tree{"Sid": "TLS", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition": Tree{"Bool": Tree{"aws:SecureTransport": "false"}}},
	}}}}
	p, err := r.PolicyOf("Document")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		r    Request
		want bool
	}{
		{Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/x/y"}, true},
		{Request{Action: "S3:getobject", Resource: "arn:aws:s3:::c/x"}, true},
		{Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::c/xy"}, false},
		{Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b"}, false},
		{Request{Action: "s3:PutObject", Resource: "arn:aws:s3:::b/x"}, false},
		{Request{Action: "cloudwatch:PutMetricData", Resource: "*", Context: map[string]string{"cloudwatch:namespace": "n"}}, true},
		{Request{Action: "cloudwatch:PutMetricData", Resource: "*", Context: map[string]string{"cloudwatch:namespace": "m"}}, false},
		{Request{Action: "cloudwatch:PutMetricData", Resource: "*"}, false},
		{Request{Action: "sqs:SendMessage", Resource: "q", Service: "events.amazonaws.com", Context: map[string]string{"aws:SourceArn": "arn:a:rule/x"}}, true},
		{Request{Action: "sqs:SendMessage", Resource: "q", Service: "sns.amazonaws.com", Context: map[string]string{"aws:SourceArn": "arn:a:rule/x"}}, false},
	} {
		if got := p.Allows(test.r); got != test.want {
			t.Errorf("%v: got %t, want %t", test.r, got, test.want)
		}
	}
	for _, statement := range []any{
		Tree{"Effect": "Permit"}, Tree{"Effect": "Allow", "NotAction": "x"}, Tree{"Effect": "Allow", "Principal": Tree{"Federated": "x"}},
		Tree{"Effect": "Allow", "Condition": Tree{"IpAddress": Tree{}}},
	} {
		if _, err := (&Resource{Properties: Tree{"P": statement}}).PolicyOf("P"); err == nil {
			t.Errorf("%v: no error", statement)
		}
	}
}

func TestLike(t *testing.T) {
	for _, test := range []struct {
		pattern, value string
		want           bool
	}{
		{"", "", true}, {"*", "", true}, {"a*", "a", true}, {"*b*", "abc", true}, {"a?c", "abc", true}, {"a*c", "abcabc", true},
		{"", "a", false}, {"a", "", false}, {"a*c", "abcab", false}, {"?", "", false}, {"*aab", "aaab", true}, {"*a*b*c", "xxaxxbxx", false},
	} {
		if got := like(test.pattern, test.value); got != test.want {
			t.Errorf("like(%q, %q) is %t", test.pattern, test.value, got)
		}
	}
}
