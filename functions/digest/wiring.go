package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"tlswatch/internal/awsenv"
	"tlswatch/internal/policyfile"
	"tlswatch/pkg/config"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/s3store"
	"tlswatch/pkg/snssink"
)

// newHandler builds the function from its environment.
func newHandler(ctx context.Context, getenv func(string) string, log *slog.Logger) (*handler, error) {
	c, err := config.FromEnv(getenv, config.Digest...)
	var missing []error
	if c.StateBucket == "" {
		missing = append(missing, errors.New("STATE_BUCKET is empty: the digest reads the ledger"))
	}
	if c.AlertTopicARN == "" {
		missing = append(missing, errors.New("ALERT_TOPIC_ARN is empty: there is nowhere to send the digest"))
	}
	if err := errors.Join(append([]error{err}, missing...)...); err != nil {
		return nil, fmt.Errorf("environment variables:\n%w", err)
	}
	aws, err := awsenv.Load(ctx, 10*time.Second)
	if err != nil {
		return nil, err
	}
	known, err := policyfile.LoadOr(c.PolicyFile)
	if err != nil {
		log.Error("cannot read POLICY_FILE; using the built-in policies", "error", err.Error())
	}
	return &handler{
		ledger:   ledger.NewReader(s3store.Store{Client: s3.NewFromConfig(aws), Bucket: c.StateBucket}),
		topic:    snssink.Sink{Client: sns.NewFromConfig(aws), TopicARN: c.AlertTopicARN},
		policies: c.ListenerPolicies,
		known:    known,
		region:   aws.Region,
		now:      time.Now,
		log:      log,
	}, nil
}
