package sam

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// An expander evaluates the intrinsic functions of one resource.
type expander struct {
	*Stack
	needs map[string]bool // the resources it refers to
}

// absent is the value of AWS::NoValue: the property is left out.
type absent struct{}

// value returns a value with its functions evaluated.
func (e expander) value(value any) (any, error) {
	switch value := value.(type) {
	case []any:
		items := []any{}
		for i, item := range value {
			v, err := e.value(item)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			if v != (absent{}) {
				items = append(items, v)
			}
		}
		return items, nil
	case Tree:
		if len(value) == 1 {
			for name, argument := range value {
				if name == "Ref" || strings.HasPrefix(name, "Fn::") {
					return e.call(name, argument)
				}
			}
		}
		fields := Tree{}
		for _, name := range slices.Sorted(maps.Keys(value)) {
			v, err := e.value(value[name])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if v != (absent{}) {
				fields[name] = v
			}
		}
		return fields, nil
	}
	return value, nil
}

// text evaluates what must be a scalar, as text.
func (e expander) text(value any) (string, error) {
	v, err := e.value(value)
	if err != nil {
		return "", err
	}
	switch v.(type) {
	case nil, absent, Tree, []any:
		return "", fmt.Errorf("%v is not a scalar", v)
	}
	return fmt.Sprint(v), nil
}

// texts evaluates what must be a list, as texts.
func (e expander) texts(value any) ([]string, error) {
	v, err := e.value(value)
	if err != nil {
		return nil, err
	}
	items, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%v is not a list", v)
	}
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = fmt.Sprint(item)
	}
	return list, nil
}

// call evaluates one function.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
func (e expander) call(function string, argument any) (any, error) {
	arguments, _ := argument.([]any)
	want := map[string]int{"Fn::If": 3, "Fn::FindInMap": 3, "Fn::Select": 2, "Fn::Split": 2, "Fn::Join": 2}[function]
	if want > 0 && len(arguments) != want {
		return nil, fmt.Errorf("%s has %d arguments, want %d", function, len(arguments), want)
	}
	switch function {
	case "Ref":
		return e.ref(fmt.Sprint(argument))
	case "Fn::GetAtt":
		id, attribute, _ := strings.Cut(fmt.Sprint(argument), ".")
		return e.getAtt(id, attribute)
	case "Fn::Sub":
		return e.sub(argument)
	case "Fn::If":
		holds, err := e.named(fmt.Sprint(arguments[0]))
		if err != nil {
			return nil, err
		}
		if holds {
			return e.value(arguments[1])
		}
		return e.value(arguments[2])
	case "Fn::FindInMap":
		keys, err := e.texts(argument)
		if err != nil {
			return nil, err
		}
		mapping, _ := e.template.Section("Mappings")[keys[0]].(Tree)
		row, _ := mapping[keys[1]].(Tree)
		if row[keys[2]] == nil {
			return nil, fmt.Errorf("mapping %s has no key %s in %q", keys[0], keys[2], keys[1])
		}
		return row[keys[2]], nil
	case "Fn::Select":
		index, err := strconv.Atoi(fmt.Sprint(arguments[0]))
		if err != nil {
			return nil, err
		}
		list, err := e.texts(arguments[1])
		if err != nil {
			return nil, err
		}
		if index < 0 || index >= len(list) {
			return nil, fmt.Errorf("Fn::Select: index %d of %d", index, len(list))
		}
		return list[index], nil
	case "Fn::Split":
		text, err := e.text(arguments[1])
		if err != nil {
			return nil, err
		}
		var list []any
		for part := range strings.SplitSeq(text, fmt.Sprint(arguments[0])) {
			list = append(list, part)
		}
		return list, nil
	case "Fn::Join":
		list, err := e.texts(arguments[1])
		return strings.Join(list, fmt.Sprint(arguments[0])), err
	}
	return nil, fmt.Errorf("unknown function %s", function)
}

// variable matches a variable in the text of Fn::Sub, but not ${!x}, which stands
// for a literal ${x}.
var variable = regexp.MustCompile(`\$\{([\w:.]+)\}`)

// subArguments returns the text and the local variables of Fn::Sub.
func subArguments(argument any) (text string, local Tree) {
	switch argument := argument.(type) {
	case string:
		return argument, nil
	case []any:
		if len(argument) == 2 {
			text, _ = argument[0].(string)
			local, _ = argument[1].(Tree)
		}
	}
	return text, local
}

func (e expander) sub(argument any) (string, error) {
	text, local := subArguments(argument)
	var fault error
	text = variable.ReplaceAllStringFunc(text, func(match string) string {
		name := variable.FindStringSubmatch(match)[1]
		var value any
		var err error
		if v, ok := local[name]; ok {
			value, err = e.text(v)
		} else if id, attribute, ok := strings.Cut(name, "."); ok {
			value, err = e.getAtt(id, attribute)
		} else {
			value, err = e.ref(name)
		}
		if err != nil && fault == nil {
			fault = fmt.Errorf("%s: %w", match, err)
		}
		return fmt.Sprint(value)
	})
	for name := range local {
		if original, _ := subArguments(argument); !strings.Contains(original, "${"+name+"}") {
			return "", fmt.Errorf("Fn::Sub does not use its variable %s", name)
		}
	}
	return strings.ReplaceAll(text, "${!", "${"), fault
}

// ref evaluates Ref of a parameter, a pseudo parameter or a resource.
func (e expander) ref(name string) (any, error) {
	switch name {
	case "AWS::NoValue":
		return absent{}, nil
	case "AWS::StackName":
		return e.name, nil
	case "AWS::Region":
		return Region, nil
	case "AWS::AccountId":
		return Account, nil
	case "AWS::Partition":
		return partition, nil
	case "AWS::URLSuffix":
		return "amazonaws.com", nil
	}
	if value, ok := e.Parameters[name]; ok {
		declared, _ := e.template.Section("Parameters")[name].(Tree)
		if n, err := strconv.Atoi(value); err == nil && declared["Type"] == "Number" {
			return n, nil
		}
		return value, nil
	}
	kind, err := e.need(name)
	if err != nil {
		return nil, err
	}
	attribute, ok := refAttribute[kind]
	if !ok {
		return nil, fmt.Errorf("Ref of %s: unknown for a %s", name, kind)
	}
	return e.attribute(kind, name, attribute)
}

func (e expander) getAtt(id, attribute string) (any, error) {
	kind, err := e.need(id)
	if err != nil {
		return nil, err
	}
	return e.attribute(kind, id, attribute)
}

// need records a reference to a resource and returns its type.
func (e expander) need(id string) (kind string, err error) {
	r, ok := e.template.Section("Resources")[id].(Tree)
	if !ok {
		return "", fmt.Errorf("no parameter or resource %s", id)
	}
	exists, err := e.exists(r)
	if err != nil {
		return "", err
	}
	if !exists {
		return "", fmt.Errorf("refers to %s, which does not exist with these parameters", id)
	}
	e.needs[id] = true
	kind, _ = r["Type"].(string)
	return kind, nil
}

// refAttribute is the attribute that Ref returns, by resource type.
var refAttribute = map[string]string{
	"AWS::S3::Bucket":            "Name",
	"AWS::SNS::Topic":            "TopicArn",
	"AWS::SQS::Queue":            "QueueUrl",
	"AWS::KMS::Key":              "KeyId",
	"AWS::Events::EventBus":      "Name",
	"AWS::Serverless::Function":  "Name",
	"AWS::Logs::LogGroup":        "Name",
	"AWS::CloudWatch::Alarm":     "Name",
	"AWS::CloudWatch::Dashboard": "Name",
}

// nameProperty is the property that sets a resource's name, by resource type.
var nameProperty = map[string]string{
	"AWS::S3::Bucket":            "BucketName",
	"AWS::Events::EventBus":      "Name",
	"AWS::CloudWatch::Alarm":     "AlarmName",
	"AWS::CloudWatch::Dashboard": "DashboardName",
}

// keyID is the id of every KMS key, taken from AWS's examples.
const keyID = "1234abcd-12ab-34cd-56ef-1234567890ab"

// attribute returns an attribute of a resource. A name that CloudFormation would
// generate is the stack's name and the logical id.
func (s *Stack) attribute(kind, id, attribute string) (string, error) {
	name := s.name + "-" + id
	if kind == "AWS::S3::Bucket" {
		name = strings.ToLower(name)
	}
	if property, ok := nameProperty[kind]; ok {
		r, _ := s.template.Section("Resources")[id].(Tree)
		properties, _ := r["Properties"].(Tree)
		if properties[property] != nil {
			given, err := (expander{s, make(map[string]bool)}).value(properties[property])
			if err != nil {
				return "", err
			}
			if given != (absent{}) {
				name = fmt.Sprint(given)
			}
		}
	}
	arn := func(service, resource string) string {
		return "arn:" + partition + ":" + service + ":" + Region + ":" + Account + ":" + resource
	}
	switch kind + "." + attribute {
	case "AWS::S3::Bucket.Name", "AWS::Events::EventBus.Name", "AWS::Serverless::Function.Name", "AWS::SQS::Queue.QueueName",
		"AWS::SNS::Topic.TopicName", "AWS::CloudWatch::Alarm.Name", "AWS::CloudWatch::Dashboard.Name":
		return name, nil
	case "AWS::S3::Bucket.Arn":
		return "arn:" + partition + ":s3:::" + name, nil
	case "AWS::SNS::Topic.TopicArn":
		return arn("sns", name), nil
	case "AWS::SQS::Queue.QueueUrl":
		return "https://sqs." + Region + ".amazonaws.com/" + Account + "/" + name, nil
	case "AWS::SQS::Queue.Arn":
		return arn("sqs", name), nil
	case "AWS::KMS::Key.KeyId":
		return keyID, nil
	case "AWS::KMS::Key.Arn":
		return arn("kms", "key/"+keyID), nil
	case "AWS::Events::EventBus.Arn":
		return arn("events", "event-bus/"+name), nil
	case "AWS::Events::Rule.Arn":
		return arn("events", "rule/"+name), nil
	case "AWS::Serverless::Function.Arn":
		return arn("lambda", "function:"+name), nil
	case "AWS::CloudWatch::Alarm.Arn":
		return arn("cloudwatch", "alarm:"+name), nil
	case "AWS::IAM::Role.Arn":
		return "arn:" + partition + ":iam::" + Account + ":role/" + name, nil
	case "AWS::Logs::LogGroup.Name":
		return name, nil
	case "AWS::Logs::LogGroup.Arn":
		return arn("logs", "log-group:"+name+":*"), nil
	}
	return "", fmt.Errorf("%s, a %s: unknown attribute %q", id, kind, attribute)
}
