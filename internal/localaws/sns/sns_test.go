package sns_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	local "tlswatch/internal/localaws/sns"
)

// A harness is a stack with a real client.
type harness struct {
	*localaws.Stack
	sns *sns.Client
}

func start(t *testing.T, o localaws.Options) *harness {
	t.Helper()
	stack := awstest.Start(t, o)
	return &harness{stack, sns.NewFromConfig(awstest.Config(t))}
}

func attribute(kind, value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: &kind, StringValue: &value}
}

func TestPublish(t *testing.T) {
	h := start(t, localaws.Options{})
	topic := h.SNS.CreateTopic("alerts")
	out, err := h.sns.Publish(t.Context(), &sns.PublishInput{TopicArn: &topic, Message: aws.String("plain & <simple> ü\n"), Subject: aws.String("Hello, you!")})
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.sns.Publish(t.Context(), &sns.PublishInput{
		TopicArn:         &topic,
		MessageStructure: aws.String("json"),
		Message:          aws.String(`{"default":"d","email":"","sms":"s","number":1,"https":{"a":1},"pigeon":"x"}`),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"severity": attribute("String", "high"),
			"n":        attribute("Number", "-1.5e3"),
			"list":     attribute("String.Array", `["a",1,true,null]`),
			"raw":      {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if *out.MessageId == "" || *out.MessageId == *second.MessageId {
		t.Errorf("message ids %q and %q", *out.MessageId, *second.MessageId)
	}
	want := []local.Message{
		{topic, "Hello, you!", "", map[string]string{"default": "plain & <simple> ü\n"}, map[string]string{}},
		{topic, "", "json", map[string]string{"default": "d", "email": "", "sms": "s"},
			map[string]string{"severity": "high", "n": "-1.5e3", "list": `["a",1,true,null]`, "raw": "AAE="}},
	}
	got := h.SNS.Messages()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if got[1].Text("sms") != "s" || got[1].Text("https") != "d" || got[1].Text("email") != "" {
		t.Error("a protocol gets the wrong text")
	}
	if again := h.SNS.CreateTopic("alerts"); again != topic {
		t.Errorf("created again as %s", again)
	}
}

func TestLimits(t *testing.T) {
	h := start(t, localaws.Options{})
	topic := h.SNS.CreateTopic("alerts")
	long := func(n int) *string { return aws.String(strings.Repeat("x", n)) }
	attributes := func(name string, v types.MessageAttributeValue) sns.PublishInput {
		return sns.PublishInput{MessageAttributes: map[string]types.MessageAttributeValue{name: v}}
	}
	structured := func(s string) sns.PublishInput {
		return sns.PublishInput{MessageStructure: aws.String("json"), Message: &s}
	}
	text := attribute("String", "v")
	const (
		parameter = "InvalidParameter"
		attr      = "ParameterValueInvalid"
	)
	for name, c := range map[string]struct {
		in   sns.PublishInput
		code string
	}{
		"no such topic":                {sns.PublishInput{TopicArn: aws.String("arn:aws:sns:us-east-1:123456789012:other")}, "NotFound"},
		"no ARN":                       {sns.PublishInput{TopicArn: aws.String("alerts")}, parameter},
		"empty message":                {sns.PublishInput{Message: aws.String("")}, parameter},
		"262143 bytes":                 {sns.PublishInput{Message: long(262143)}, ""},
		"262144 bytes":                 {sns.PublishInput{Message: long(262144)}, ""},
		"262145 bytes":                 {sns.PublishInput{Message: long(262145)}, parameter},
		"262144 bytes of ü":            {sns.PublishInput{Message: aws.String(strings.Repeat("ü", 131072))}, ""},
		"262146 bytes of ü":            {sns.PublishInput{Message: aws.String(strings.Repeat("ü", 131073))}, parameter},
		"262144 bytes with attributes": {sns.PublishInput{Message: long(262144 - 12), MessageAttributes: map[string]types.MessageAttributeValue{"abc": attribute("String", "def")}}, ""},
		"262145 bytes with attributes": {sns.PublishInput{Message: long(262144 - 11), MessageAttributes: map[string]types.MessageAttributeValue{"abc": attribute("String", "def")}}, parameter},

		"structure not json":     {sns.PublishInput{MessageStructure: aws.String("xml")}, parameter},
		"json, not an object":    {structured(`["default"]`), parameter},
		"json, cut":              {structured(`{"default":"x"`), parameter},
		"json, more after it":    {structured(`{"default":"x"}{}`), parameter},
		"json, no default":       {structured(`{"email":"x"}`), parameter},
		"json, default no text":  {structured(`{"default":1}`), parameter},
		"json, default empty":    {structured(`{"default":""}`), ""},
		"json, key twice":        {structured(`{"default":"x","default":"y"}`), parameter},
		"json, keys like others": {structured(`{"default":"x","a":{"default":"y"}}`), ""},

		"subject of 98":            {sns.PublishInput{Subject: long(98)}, ""},
		"subject of 99":            {sns.PublishInput{Subject: long(99)}, ""},
		"subject of 100":           {sns.PublishInput{Subject: long(100)}, parameter},
		"subject empty":            {sns.PublishInput{Subject: aws.String("")}, parameter},
		"subject with line":        {sns.PublishInput{Subject: aws.String("a\nb")}, parameter},
		"subject with tab":         {sns.PublishInput{Subject: aws.String("a\tb")}, parameter},
		"subject not ASCII":        {sns.PublishInput{Subject: aws.String("naïve")}, parameter},
		"subject with space first": {sns.PublishInput{Subject: aws.String(" a")}, parameter},
		"subject in brackets":      {sns.PublishInput{Subject: aws.String("[ALARM] a ~")}, ""},

		"attribute":                    {attributes("A-z_0.9", text), ""},
		"attribute name of 255":        {attributes(*long(255), text), ""},
		"attribute name of 256":        {attributes(*long(256), text), ""},
		"attribute name of 257":        {attributes(*long(257), text), attr},
		"attribute name empty":         {attributes("", text), attr},
		"attribute name of AWS":        {attributes("AWS.x", text), attr},
		"attribute name of amazon":     {attributes("amazon.x", text), attr},
		"attribute name, period first": {attributes(".x", text), attr},
		"attribute name, period last":  {attributes("x.", text), attr},
		"attribute name, two periods":  {attributes("x..y", text), attr},
		"attribute name with space":    {attributes("x y", text), attr},
		"attribute empty":              {attributes("x", attribute("String", "")), attr},
		"attribute of no type":         {attributes("x", attribute("", "v")), attr},
		"attribute of another type":    {attributes("x", attribute("Integer", "1")), attr},
		"attribute, bad number":        {attributes("x", attribute("Number", "1x")), attr},
		"attribute, hexadecimal":       {attributes("x", attribute("Number", "0x10")), attr},
		"attribute, NaN":               {attributes("x", attribute("Number", "NaN")), attr},
		"attribute, number":            {attributes("x", attribute("Number", "-0.5")), ""},
		"attribute, bad array":         {attributes("x", attribute("String.Array", `{"a":1}`)), attr},
		"attribute, text in binary":    {attributes("x", attribute("Binary", "v")), attr},
		"attribute, two values":        {attributes("x", types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("v"), BinaryValue: []byte("v")}), attr},
	} {
		t.Run(name, func(t *testing.T) {
			if c.in.TopicArn == nil {
				c.in.TopicArn = &topic
			}
			if c.in.Message == nil {
				c.in.Message = aws.String("m")
			}
			before := len(h.SNS.Messages())
			_, err := h.sns.Publish(t.Context(), &c.in)
			awstest.WantCode(t, err, c.code)
			want := before
			if c.code == "" {
				want++
			}
			if got := len(h.SNS.Messages()); got != want {
				t.Errorf("%d messages, want %d", got, want)
			}
		})
	}
	_, err := h.sns.Publish(t.Context(), &sns.PublishInput{TopicArn: aws.String(topic + "x"), Message: aws.String("m")})
	var typed *types.NotFoundException
	if !errors.As(err, &typed) || typed.ErrorMessage() != "Topic does not exist" {
		t.Errorf("not the SDK's type: %v", err)
	}
	_, err = h.sns.ListTopics(t.Context(), &sns.ListTopicsInput{})
	awstest.WantCode(t, err, "InvalidAction")
}
