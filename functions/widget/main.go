// Command widget is a Lambda function that a CloudWatch dashboard calls to show
// which clients fail the TLS negotiation, and why, in the dashboard's time
// range. It reads the ledger and changes nothing.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tlswatch/internal/awsenv"
	"tlswatch/internal/policyfile"
	"tlswatch/pkg/config"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/s3store"
)

func main() {
	log := slog.New(lambdacontext.NewLogHandler())
	slog.SetDefault(log) // for what the Lambda runtime writes itself
	h, err := newHandler(context.Background(), os.Getenv, log)
	if err != nil {
		log.Error("the function cannot start", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(h.handle)
}

func newHandler(ctx context.Context, getenv func(string) string, log *slog.Logger) (*handler, error) {
	c, err := config.FromEnv(config.Only(config.Widget, getenv))
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
