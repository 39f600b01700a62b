// Package cloud connects commands to AWS services, with the standard credentials and
// profiles, in the right Region, with retries, and with errors that say what to do.
// The Lambda functions have internal/awsenv instead.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"

	"tlswatch/internal/cli/command"
)

// Config returns the configuration for a Region, "" for that of the flags or the
// environment.
func Config(ctx context.Context, region string) (aws.Config, error) {
	var options []func(*awsconfig.LoadOptions) error
	if region != "" {
		options = append(options, awsconfig.WithRegion(region))
	}
	cfg, err := load(ctx, options...)
	if err == nil && cfg.Region == "" {
		err = command.Usagef("no AWS Region: use --region, or set AWS_REGION")
	}
	return cfg, err
}

func load(ctx context.Context, options ...func(*awsconfig.LoadOptions) error) (aws.Config, error) {
	flags := command.AWSOf(ctx)
	flagOptions := []func(*awsconfig.LoadOptions) error{awsconfig.WithRegion(flags.Region), awsconfig.WithSharedConfigProfile(flags.Profile)}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, append(flagOptions, options...)...)
	if err != nil {
		err = fmt.Errorf("AWS configuration: %w", err)
	}
	return cfg, err
}

// Explain adds a hint to the error of a service, if there is one.
func Explain(err error) error {
	if err != nil && httpStatus(err) == 0 && strings.Contains(err.Error(), "failed to refresh cached credentials") {
		return fmt.Errorf("no usable AWS credentials; set AWS_PROFILE, or sign in with 'aws sso login': %w", err)
	}
	return err
}

// ExplainS3 is [Explain] for requests to a bucket.
func ExplainS3(bucket string, err error) error {
	code := ""
	if ae, ok := errors.AsType[smithy.APIError](err); ok {
		code = ae.ErrorCode()
	}
	key := kmsKey.FindString(fmt.Sprint(err))
	switch {
	case key != "":
		return fmt.Errorf("access denied: the objects in bucket %q are encrypted with a key that the caller may not use; allow kms:Decrypt on %s: %w", bucket, key, err)
	case code == "NoSuchBucket":
		return fmt.Errorf("there is no bucket %q", bucket)
	case httpStatus(err) == http.StatusForbidden && (code == "AccessDenied" || code == "Forbidden"):
		return fmt.Errorf("access denied: the caller needs s3:ListBucket for bucket %q and s3:GetObject for its objects: %w", bucket, err)
	}
	return Explain(err)
}

// kmsKey matches the ARN of a key in S3's message that kms:Decrypt is not allowed.
var kmsKey = regexp.MustCompile(`\barn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[0-9A-Za-z-]+`)

// httpStatus returns the HTTP status of a service's reply, 0 without a reply.
func httpStatus(err error) int {
	if re, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return re.HTTPStatusCode()
	}
	return 0
}
