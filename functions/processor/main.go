// Command processor is the Lambda function of tlswatch: each new connection-log
// object becomes CloudWatch metrics and, if many TLS negotiations failed, an
// alert on an SNS topic.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

func main() {
	log := slog.New(lambdacontext.NewLogHandler())
	slog.SetDefault(log) // for what the Lambda runtime writes itself
	h, err := newHandler(context.Background(), os.Getenv, log)
	if err != nil {
		log.Error("the function cannot start", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(h)
}
