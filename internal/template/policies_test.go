package template_test

import (
	"fmt"
	"slices"
	"strings"

	"tlswatch/internal/template/sam"
)

// anywhere are the actions that IAM cannot restrict to resources.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
var anywhere = []string{
	"cloudwatch:PutMetricData", "cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData", "cloudwatch:GetMetricStatistics", "cloudwatch:ListMetrics",
	"elasticloadbalancing:DescribeListeners",
}

// checkPolicies: each statement names its actions, resources and principals, and none is too wide.
func checkPolicies(template *sam.Template) (p problems) {
	p.each(template, func(name string, s *sam.Stack) {
		for _, r := range s.Resources {
			switch r.Type {
			case "AWS::IAM::Role":
				policy, err := s.Role("arn:aws:iam::123456789012:role/tlswatch-" + r.ID)
				p.policy(name, s, r, policy, err)
				trust, err := r.PolicyOf("AssumeRolePolicyDocument")
				if err != nil {
					p.add("%s: %s: %v", name, r.ID, err)
				}
				for _, statement := range trust {
					// Lambda assumes a role only for functions of its account.
					if !slices.Equal(statement.Services, []string{"lambda.amazonaws.com"}) && !slices.Equal(statement.Conditions["StringEquals"]["aws:SourceAccount"], []string{sam.Account}) {
						p.add("%s: %s can be assumed on behalf of other accounts", name, r.ID)
					}
				}
			case "AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy":
				policy, err := r.PolicyOf("PolicyDocument")
				p.policy(name, s, r, policy, err)
				if !slices.ContainsFunc(policy, func(s sam.Statement) bool {
					return s.Effect == "Deny" && s.Anybody && slices.Equal(s.Conditions["Bool"]["aws:SecureTransport"], []string{"false"})
				}) {
					p.add("%s: %s allows requests without TLS", name, r.ID)
				}
			case "AWS::KMS::Key":
				policy, err := r.PolicyOf("KeyPolicy")
				p.policy(name, s, r, policy, err)
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
			p.logDelivery(name, s, policy)
		}
	})
	return p
}

// policy checks each statement of a policy.
func (p *problems) policy(name string, s *sam.Stack, r *sam.Resource, policy sam.Policy, err error) {
	if err != nil {
		p.add("%s: %s: %v", name, r.ID, err)
	}
	sids := map[string]bool{}
	ofKey := r.Type == "AWS::KMS::Key" // in a key's policy, every resource is the key
	for _, statement := range policy {
		what := fmt.Sprintf("%s: %s: %s", name, r.ID, statement.Sid)
		if statement.Sid == "" || sids[statement.Sid] {
			p.add("%s has no unique name", what)
		}
		sids[statement.Sid] = true
		for _, action := range statement.Actions {
			if strings.Contains(action, "*") && statement.Effect == "Allow" && !ofKey {
				p.add("%s allows %s", what, action)
			}
			if slices.Contains(statement.Resources, "*") && !ofKey && !slices.Contains(anywhere, action) {
				p.add("%s allows %s on everything", what, action)
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
			p.add("%s allows a service to act for anybody", what)
		}
	}
}

// logDelivery checks that load balancers may write their logs to the bucket, and nothing else may write there.
func (p *problems) logDelivery(name string, s *sam.Stack, policy *sam.Resource) {
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
