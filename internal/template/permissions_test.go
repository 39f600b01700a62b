package template_test

import (
	"cmp"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"

	"tlswatch/internal/template/sam"
)

// onBehalf are the actions that Lambda itself takes with a function's role.
var onBehalf = []string{
	"logs:CreateLogStream", "logs:PutLogEvents", // its log
	"sqs:SendMessage",                                                   // the on-failure destination
	"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", // the event source mapping
}

// implied are the actions that S3 and SNS also require for an action in the code.
var implied = map[string][]string{
	"s3:GetObject": {"s3:GetObjectVersion"},                // when an event names a version
	"sns:Publish":  {"kms:Decrypt", "kms:GenerateDataKey"}, // to an encrypted topic
}

// actionOf is the IAM action of an API operation where its name differs.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
var actionOf = map[string]string{
	"s3:ListObjectsV2": "s3:ListBucket", "s3:HeadObject": "s3:GetObject",
	"elasticloadbalancingv2:DescribeListeners":     "elasticloadbalancing:DescribeListeners",
	"elasticloadbalancingv2:DescribeLoadBalancers": "elasticloadbalancing:DescribeLoadBalancers",
	"elasticloadbalancingv2:DescribeSSLPolicies":   "elasticloadbalancing:DescribeSSLPolicies",
}

// optional says when an action in the code is needed, if not always.
var optional = map[string]func(*sam.Stack) bool{
	"elasticloadbalancing:DescribeListeners": func(s *sam.Stack) bool { return s.Parameters["ListenerLookup"] == "true" },
}

// checkPermissions: each function's role allows the API calls that it makes, on the resources that it uses, and nothing
// else.
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

// roleRequests are requests that a function must be allowed, and requests that it must be denied.
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

// apiCalls returns the IAM actions of the API calls in a main package and in the module's packages that it imports. Each
// operation of the SDK has an input structure named after it.
func apiCalls(path string) ([]string, error) {
	roots, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedDeps}, "tlswatch/"+path)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	var faults []error
	packages.Visit(roots, nil, func(p *packages.Package) {
		if !strings.HasPrefix(p.PkgPath, "tlswatch/") {
			return
		}
		if _, err := os.ReadDir(p.Dir); err != nil { // a new file must invalidate go test's cached result
			faults = append(faults, err)
		}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				faults = append(faults, err)
				continue
			}
			for _, operation := range operations(file) {
				found[cmp.Or(actionOf[operation], operation)] = true
			}
		}
	})
	return slices.Sorted(maps.Keys(found)), errors.Join(faults...)
}

const sdkServices = "github.com/aws/aws-sdk-go-v2/service/"

// operations returns the "service:Operation" of each input structure of the SDK in a file.
func operations(file *ast.File) (list []string) {
	services := map[string]string{}
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if service, ok := strings.CutPrefix(path, sdkServices); ok && !strings.Contains(service, "/") {
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
		import ("`+sdkServices+`s3"; sqs2 "`+sdkServices+`sqs"; "`+sdkServices+`s3/types")
		var _ = client.GetObject(ctx, &s3.GetObjectInput{}); var _ = types.SomeInput{}; var _ = &sqs2.SendMessageInput{Body: s3.Options{}}; var _ = x.OtherInput{}`, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if got := operations(file); !slices.Equal(got, []string{"s3:GetObject", "sqs:SendMessage"}) {
		t.Errorf("got %q", got)
	}
}
