package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go/logging"

	"tlswatch/internal/awsenv"
	"tlswatch/internal/policyfile"
	"tlswatch/pkg/config"
	"tlswatch/pkg/cwsink"
	"tlswatch/pkg/elbpolicy"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/s3source"
	"tlswatch/pkg/s3store"
	"tlswatch/pkg/snssink"
)

// replyTimeout is the longest time from a request to the headers of its reply.
const replyTimeout = 15 * time.Second

// patience is enough for another event's two requests, the metrics to CloudWatch or
// the alert to SNS and the record to S3, unless one is slow or sent again. It is much
// shorter than the time between an event's attempts. Nodes write their objects at
// the same time, so several events meet the same alert.
const patience = 2 * time.Second

// newHandler builds the function from its environment.
func newHandler(ctx context.Context, getenv func(string) string, log *slog.Logger) (*handler, error) {
	c, err := config.FromEnv(getenv)
	if err != nil {
		return nil, fmt.Errorf("environment variables:\n%w", err)
	}
	// Retries are the SDK's standard ones: 3 attempts with back-off for what a
	// service says is temporary. The sinks differ on purpose and say why.
	aws, err := awsenv.Load(ctx, replyTimeout, awsconfig.WithLogger(sdkLogger(log)))
	if err != nil {
		return nil, err
	}
	bucket := s3.NewFromConfig(aws)
	p := &pipeline.Pipeline{
		Source:         s3source.Source{Client: bucket},
		Metrics:        cwsink.Sink{Client: cloudwatch.NewFromConfig(aws), Namespace: c.Namespace},
		MetricOptions:  c.Metrics,
		ClientBudget:   c.ClientBudget,
		IPv6Prefix:     c.IPv6Prefix,
		PublishClients: c.PublishClients,
		ReportClients:  c.LogClients,
		Rules:          c.Rules(),
		ObjectLimit:    c.ObjectLimit,
		Margin:         c.DeadlineMargin,
		Patience:       patience,
		Readers:        max(2, runtime.GOMAXPROCS(0)), // one more than cores keeps a single core busy
		Now:            time.Now,
		Sleep:          pipeline.Sleep,
	}
	if c.AlertTopicARN != "" {
		p.Alerts = snssink.Sink{Client: sns.NewFromConfig(aws), TopicARN: c.AlertTopicARN}
	} else {
		log.Warn("no ALERT_TOPIC_ARN: alerts are logged, not sent")
	}
	if c.StateBucket != "" {
		p.Ledger = ledger.New(s3store.Store{Client: bucket, Bucket: c.StateBucket}, ledger.Options{Now: time.Now, Sleep: pipeline.Sleep})
	} else {
		log.Warn("no STATE_BUCKET: each log object is evaluated alone, and duplicate events count twice")
	}
	policies := pipeline.FixedPolicies{Known: c.ListenerPolicies}
	if c.ListenerLookup {
		policies.Found = elbpolicy.NewLookup(elb.NewFromConfig(aws), time.Now)
	}
	p.Policies = policies
	if p.KnownPolicies, err = policyfile.LoadOr(c.PolicyFile); err != nil {
		log.Error("cannot read POLICY_FILE; using the built-in policies", "error", err.Error())
	}
	return &handler{pipeline: p, margin: c.DeadlineMargin, clients: c.PublishClients, log: log}, nil
}

// sdkLogger writes the SDK's warnings in the form of the other log lines.
func sdkLogger(log *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(c logging.Classification, format string, args ...any) {
		level := slog.LevelDebug
		if c == logging.Warn {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, fmt.Sprintf(format, args...))
	})
}
