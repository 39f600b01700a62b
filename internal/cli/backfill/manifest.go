package backfill

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"tlswatch/internal/cli/command"
)

// writeManifest writes the manifest file. S3 accepts no empty manifest, so without
// objects there is no file.
func (r *result) writeManifest(o options, objects []logObject) error {
	if len(objects) == 0 {
		return nil
	}
	err := command.ReplaceFile(o.manifest, func(w io.Writer) error {
		for _, object := range objects {
			if _, err := fmt.Fprintf(w, "%s,%s\n", o.bucket, manifestKey(object.Key)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	r.Manifest = o.manifest
	r.NextSteps = manifestSteps(o.manifest, o.function)
	r.Remaining = 0
	return nil
}

// manifestKey encodes a key for a manifest: everything but letters, digits, the slash
// and -_.~ becomes %XX. So no comma or quote is left that CSV would interpret.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/specify-batchjob-manifest.html
func manifestKey(key string) string {
	s := strings.ReplaceAll(url.QueryEscape(key), "+", "%20")
	return strings.ReplaceAll(s, "%2F", "/")
}

// manifestSteps returns the shell commands that start a job for a manifest.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
func manifestSteps(file, function string) []string {
	arn := "$FUNCTION_ARN"
	steps := []string{
		"BUCKET=...      # for the manifest and the report",
		"ROLE_ARN=...    # allows s3:GetObject and s3:PutObject there and lambda:InvokeFunction; trusts batchoperations.s3.amazonaws.com",
	}
	switch {
	case strings.HasPrefix(function, "arn:"):
		arn = function
	case function == "":
		steps = append(steps, "FUNCTION_ARN=...")
	default:
		steps = append(steps, "FUNCTION_ARN=$(aws lambda get-function-configuration --function-name "+shellQuote(function)+" --query FunctionArn --output text)")
	}
	return append(steps,
		"ACCOUNT=$(aws sts get-caller-identity --query Account --output text)",
		"ETAG=$(aws s3api put-object --bucket \"$BUCKET\" --key tlswatch-backfill.csv --body "+shellQuote(file)+" --query ETag --output text | tr -d '\"')",
		strings.Join([]string{
			`aws s3control create-job --account-id "$ACCOUNT" --role-arn "$ROLE_ARN" --priority 10 --no-confirmation-required`,
			`  --operation "{\"LambdaInvoke\":{\"FunctionArn\":\"` + arn + `\",\"InvocationSchemaVersion\":\"2.0\"}}"`,
			`  --manifest "{\"Spec\":{\"Format\":\"S3BatchOperations_CSV_20180820\",\"Fields\":[\"Bucket\",\"Key\"]},\"Location\":{\"ObjectArn\":\"arn:aws:s3:::$BUCKET/tlswatch-backfill.csv\",\"ETag\":\"$ETAG\"}}"`,
			`  --report "{\"Enabled\":true,\"Bucket\":\"arn:aws:s3:::$BUCKET\",\"Prefix\":\"tlswatch-backfill\",\"Format\":\"Report_CSV_20180820\",\"ReportScope\":\"FailedTasksOnly\"}"`,
		}, " \\\n"),
	)
}

// shellQuote quotes s for a shell, if necessary.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
