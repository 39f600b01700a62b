package tlswatch_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tlswatch/internal/template/sam"
)

// anywhere are the actions for which IAM knows no resource.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
var anywhere = []string{
	"cloudwatch:PutMetricData", "cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData", "cloudwatch:GetMetricStatistics", "cloudwatch:ListMetrics",
	"elasticloadbalancing:DescribeListeners",
}

// checkPolicies: each statement names its actions, resources and principals, and what leaves a policy open is not there.
func checkPolicies(template *sam.Template) (p problems) {
	p.each(template, func(name string, s *sam.Stack) {
		sids := map[string]bool{}
		look := func(r *sam.Resource, policy sam.Policy, err error) {
			if err != nil {
				p.add("%s: %s: %v", name, r.ID, err)
			}
			for _, statement := range policy {
				what := fmt.Sprintf("%s: %s: %s", name, r.ID, statement.Sid)
				key := r.ID + statement.Sid
				if statement.Sid == "" || sids[key] {
					p.add("%s has no name of its own", what)
				}
				sids[key] = true
				ofKey := r.Type == "AWS::KMS::Key" // there, every resource is the key itself
				for _, action := range statement.Actions {
					if strings.Contains(action, "*") && statement.Effect == "Allow" && !ofKey {
						p.add("%s allows %s", what, action)
					}
					for _, resource := range statement.Resources {
						if resource == "*" && !ofKey && !slices.Contains(anywhere, action) {
							p.add("%s allows %s on everything", what, action)
						}
					}
					if action == "cloudwatch:PutMetricData" && !slices.Equal(statement.Conditions["StringEquals"]["cloudwatch:namespace"], []string{s.Parameters["MetricNamespace"]}) {
						p.add("%s allows metrics in any namespace", what)
					}
				}
				if statement.Effect == "Allow" && statement.Anybody {
					p.add("%s allows anybody", what)
				}
				for _, arn := range statement.AWS {
					if !strings.HasSuffix(arn, ":root") || strings.Contains(arn, "*") {
						p.add("%s allows %s", what, arn)
					}
				}
				if len(statement.Services) > 0 && len(statement.Conditions) == 0 && r.Type != "AWS::S3::BucketPolicy" {
					p.add("%s lets a service act for whoever asks it to", what)
				}
			}
		}
		for _, r := range s.Resources {
			switch r.Type {
			case "AWS::IAM::Role":
				policy, err := s.Role("arn:aws:iam::123456789012:role/tlswatch-" + r.ID)
				look(r, policy, err)
			case "AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy":
				policy, err := r.PolicyOf("PolicyDocument")
				look(r, policy, err)
				if !slices.ContainsFunc(policy, func(s sam.Statement) bool {
					return s.Effect == "Deny" && s.Anybody && slices.Equal(s.Conditions["Bool"]["aws:SecureTransport"], []string{"false"})
				}) {
					p.add("%s: %s lets requests through that are not encrypted", name, r.ID)
				}
			case "AWS::KMS::Key":
				policy, err := r.PolicyOf("KeyPolicy")
				look(r, policy, err)
				for service, account := range map[string]string{"cloudwatch.amazonaws.com": sam.Account} {
					for _, action := range []string{"kms:Decrypt", "kms:GenerateDataKey"} {
						ask := sam.Request{Action: action, Resource: "*", Service: service, Context: map[string]string{"aws:SourceAccount": account}}
						if !policy.Allows(ask) {
							p.add("%s: %s cannot publish to the topic: the key denies %s", name, service, action)
						}
					}
				}
			}
		}

		if policy := s.Resources["LogBucketPolicy"]; policy != nil {
			delivery, _ := policy.PolicyOf("PolicyDocument")
			account, folder := s.Parameters["LogAccountId"], ""
			if account == "" {
				account = sam.Account
			}
			if s.Parameters["LogPrefix"] != "" {
				folder = s.Parameters["LogPrefix"] + "/"
			}
			for key, want := range map[string]bool{
				folder + "AWSLogs/" + account + "/elasticloadbalancing/us-east-1/2026/11/23/conn_log_x.log.gz": true,
				folder + "AWSLogs/" + account + "/ELBConnectionLogTestFile":                                    true,
				folder + "AWSLogs/333333333333/elasticloadbalancing/x":                                         false,
				"else/" + folder + "AWSLogs/" + account + "/x":                                                 false,
			} {
				ask := sam.Request{Action: "s3:PutObject", Resource: "arn:aws:s3:::" + logBucket(s) + "/" + key,
					Service: "logdelivery.elasticloadbalancing.amazonaws.com", Context: map[string]string{"aws:SecureTransport": "true"}}
				if got := delivery.Allows(ask); got != want {
					p.add("%s: load balancers may write %s: %t, want %t", name, key, got, want)
				}
			}
		}
	})
	return p
}

// onBehalf are the actions that Lambda takes with a function's role for reasons of its own.
var onBehalf = []string{
	"logs:CreateLogStream", "logs:PutLogEvents", // its log
	"sqs:SendMessage",                                                   // the on-failure destination
	"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", // the event source mapping
}

// implied are actions that S3 and SNS ask for because of an action in the code.
var implied = map[string][]string{
	"s3:GetObject": {"s3:GetObjectVersion"},                // of an object whose version an event names
	"sns:Publish":  {"kms:Decrypt", "kms:GenerateDataKey"}, // to an encrypted topic
}

// actionOf is the IAM action of an API operation, where it has another name.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
var actionOf = map[string]string{
	"s3:ListObjectsV2": "s3:ListBucket", "s3:HeadObject": "s3:GetObject",
	"elasticloadbalancingv2:DescribeListeners":     "elasticloadbalancing:DescribeListeners",
	"elasticloadbalancingv2:DescribeLoadBalancers": "elasticloadbalancing:DescribeLoadBalancers",
	"elasticloadbalancingv2:DescribeSSLPolicies":   "elasticloadbalancing:DescribeSSLPolicies",
}

// optional says of actions in the code when they are needed.
var optional = map[string]func(*sam.Stack) bool{
	"elasticloadbalancing:DescribeListeners": func(s *sam.Stack) bool { return s.Parameters["ListenerLookup"] == "true" },
}

// checkPermissions: each function's role has the permissions for its API calls, on the resources that it works with, and
// no permission for anything else.
func checkPermissions(template *sam.Template) (p problems) {
	for id, l := range lambdas {
		calls, err := apiCalls(l.path)
		if err != nil || len(calls) == 0 {
			p.add("%s: API calls %v: %v", id, calls, err)
		}
		p.each(template, func(name string, s *sam.Stack) {
			f := s.Resources[id]
			if f == nil {
				return
			}
			role, err := s.Role(f.Text("Role"))
			if err != nil {
				p.add("%s: %s: %v", name, id, err)
			}
			granted := map[string]bool{}
			for _, statement := range role {
				for _, action := range statement.Actions {
					granted[action] = true
				}
			}
			needed := map[string]bool{}
			for _, action := range calls {
				if wanted := optional[action]; slices.Contains(l.never, action) || wanted != nil && !wanted(s) {
					continue
				}
				needed[action] = true
				if !granted[action] {
					p.add("%s: %s calls %s, which its role does not allow", name, id, action)
				}
				for _, also := range implied[action] {
					needed[also] = true
				}
			}
			for _, action := range slices.Sorted(maps.Keys(granted)) {
				if !needed[action] && !slices.Contains(onBehalf, action) {
					p.add("%s: the role of %s allows %s, which it does not call", name, id, action)
				}
			}
			for _, r := range roleRequests(s, id) {
				if got := role.Allows(r.Request); got != r.want {
					p.add("%s: %s may %s on %s: %t, want %t", name, id, r.Action, r.Resource, got, r.want)
				}
			}
		})
	}
	return p
}

type roleRequest struct {
	sam.Request
	want bool
}

// roleRequests are what a function must be able to do, and what it must not.
func roleRequests(s *sam.Stack, id string) (list []roleRequest) {
	ask := func(want bool, action, resource string, context ...string) {
		r := roleRequest{sam.Request{Action: action, Resource: resource, Context: map[string]string{}}, want}
		for i := 0; i < len(context); i += 2 {
			r.Context[context[i]] = context[i+1]
		}
		list = append(list, r)
	}
	logs, state := "arn:aws:s3:::"+logBucket(s), "arn:aws:s3:::"+s.Outputs["StateBucket"]
	if id == "WidgetFunction" || id == "DigestFunction" {
		ask(id == "DigestFunction", "sns:Publish", s.Outputs["AlertTopic"])
		ask(false, "sns:Publish", s.Outputs["AlertTopic"]+"-another")
		ask(true, "s3:GetObject", state+"/v1/periods/app/web/50dc6c495c0c9188/20261123T0955Z/0a1")
		ask(true, "s3:ListBucket", state)
		ask(false, "s3:PutObject", state+"/v1/periods/app/web/50dc6c495c0c9188/20261123T0955Z/0a1")
		ask(false, "s3:GetObject", logs+"/"+logDay+"conn_log_"+logObject)
		return list
	}
	for key, kind := range logKeys {
		for _, prefix := range []string{"", "web", "web/tls"} {
			key, ours := under(s, prefix, key)
			for _, action := range []string{"s3:GetObject", "s3:GetObjectVersion"} {
				ask(ours && kind.isRead(s), action, logs+"/"+key)
			}
			ask(false, "s3:PutObject", logs+"/"+key)
			ask(false, "s3:DeleteObject", logs+"/"+key)
		}
	}
	ask(true, "s3:ListBucket", logs)
	ask(true, "s3:ListBucket", state)
	for _, action := range []string{"s3:GetObject", "s3:PutObject"} {
		ask(true, action, state+"/v1/periods/app/web/50dc6c495c0c9188/20261123T0955Z/0a1")
		ask(true, action, state+"/v1/alerts/app/web/50dc6c495c0c9188/failed-negotiations")
		ask(false, action, state+"/else")
		ask(false, action, "arn:aws:s3:::another/v1/x")
	}
	ask(false, "s3:DeleteObject", state+"/v1/x")
	ask(true, "cloudwatch:PutMetricData", "*", "cloudwatch:namespace", s.Parameters["MetricNamespace"])
	ask(false, "cloudwatch:PutMetricData", "*", "cloudwatch:namespace", "another")
	ask(true, "sns:Publish", s.Outputs["AlertTopic"])
	ask(false, "sns:Publish", s.Outputs["AlertTopic"]+"-another")
	ask(true, "sqs:SendMessage", "arn:aws:sqs:us-east-1:123456789012:tlswatch-FailureQueue")
	ask(s.Parameters["Ingest"] == "Queue", "sqs:ReceiveMessage", "arn:aws:sqs:us-east-1:123456789012:tlswatch-LogQueue")
	ask(false, "sqs:ReceiveMessage", "arn:aws:sqs:us-east-1:123456789012:tlswatch-FailureQueue")
	ask(true, "logs:PutLogEvents", "arn:aws:logs:us-east-1:123456789012:log-group:tlswatch-ProcessorLogGroup:log-stream:x")
	key := map[string]string{"": "arn:aws:kms:us-east-1:123456789012:key/any", "create": "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"}[s.Parameters["AlertTopicKey"]]
	if key == "" {
		key = s.Parameters["AlertTopicKey"]
	}
	ask(s.Parameters["AlertTopicKey"] != "", "kms:GenerateDataKey", key)
	return list
}

// apiCalls returns the IAM actions of the API calls in a main package and in all that it imports of ours: each call of
// the SDK has an input structure that is named after it.
func apiCalls(path string) ([]string, error) {
	list, err := packages()
	if err != nil {
		return nil, err
	}
	byPath := map[string]goPackage{}
	for _, p := range list {
		byPath[p.ImportPath] = p
	}
	found := map[string]bool{}
	seen := map[string]bool{}
	var visit func(path string) error
	visit = func(path string) error {
		if seen[path] || !strings.HasPrefix(path, module+"/") {
			return nil
		}
		seen[path] = true
		p := byPath[path]
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, operation := range operations(file) {
				action := operation
				if other, ok := actionOf[operation]; ok {
					action = other
				}
				found[action] = true
			}
		}
		for _, other := range p.Imports {
			if err := visit(other); err != nil {
				return err
			}
		}
		return nil
	}
	err = visit(module + "/" + path)
	return slices.Sorted(maps.Keys(found)), err
}

// operations are the "service:Operation" of the SDK's input structures that a file makes.
func operations(file *ast.File) (list []string) {
	services := map[string]string{}
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if service, ok := strings.CutPrefix(path, sdk+"/service/"); ok && !strings.Contains(service, "/") {
			name := service
			if spec.Name != nil {
				name = spec.Name.Name
			}
			services[name] = service
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if s, ok := literal.Type.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && services[x.Name] != "" {
				if operation, ok := strings.CutSuffix(s.Sel.Name, "Input"); ok {
					list = append(list, services[x.Name]+":"+operation)
				}
			}
		}
		return true
	})
	return list
}

func TestOperations(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "planted.go", `package p
		import ("`+sdk+`/service/s3"; sqs2 "`+sdk+`/service/sqs"; "`+sdk+`/service/s3/types")
		var _ = client.GetObject(ctx, &s3.GetObjectInput{}); var _ = types.SomeInput{}; var _ = &sqs2.SendMessageInput{Body: s3.Options{}}; var _ = x.OtherInput{}`, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if got := operations(file); !slices.Equal(got, []string{"s3:GetObject", "sqs:SendMessage"}) {
		t.Errorf("got %q", got)
	}
}
