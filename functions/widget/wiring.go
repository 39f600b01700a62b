package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tlswatch/internal/awsenv"
	"tlswatch/internal/policyfile"
	"tlswatch/pkg/config"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/s3store"
)

// newHandler builds the function from its environment.
func newHandler(ctx context.Context, getenv func(string) string, log *slog.Logger) (*handler, error) {
	c, err := config.FromEnv(getenv, config.Widget...)
	if err != nil {
		return nil, fmt.Errorf("environment variables:\n%w", err)
	}
	if c.StateBucket == "" {
		return nil, fmt.Errorf("environment variables:\nSTATE_BUCKET is empty: the widget reads the ledger")
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
		policies: c.ListenerPolicies,
		known:    known,
		log:      log,
	}, nil
}
