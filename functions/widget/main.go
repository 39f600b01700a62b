// Command widget is a Lambda function that a CloudWatch dashboard calls to show
// which clients fail the TLS negotiation, and why, in the dashboard's time
// range. It reads the ledger and changes nothing.
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
	lambda.Start(h.handle)
}
