package template_test

import (
	"fmt"
	"slices"
	"strings"

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
