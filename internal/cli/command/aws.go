package command

import (
	"context"

	"github.com/spf13/cobra"
)

// An AWS is how a command reaches AWS. A field that is empty is as in the environment
// and the AWS configuration files.
type AWS struct {
	Region, Profile string
	RequesterPays   bool // the caller pays for requests to buckets of others
}

const (
	regionFlag  = "region"
	profileFlag = "profile"
	payerFlag   = "requester-pays"
)

// AddAWS adds the flags --region and --profile. [AWSOf] returns their values.
func AddAWS(cmd *cobra.Command) {
	cmd.Flags().String(regionFlag, "", "AWS `REGION` (default: from your AWS configuration)")
	cmd.Flags().String(profileFlag, "", "`NAME` of a profile in your AWS configuration")
}

// AddRequesterPays adds the flag --requester-pays, for commands that read from S3.
func AddRequesterPays(cmd *cobra.Command) {
	cmd.Flags().Bool(payerFlag, false, "agree to pay for requests to buckets whose owner demands it")
}

type awsKey struct{}

// withAWS puts the values of the flags into the context of the command.
func withAWS(cmd *cobra.Command) {
	if cmd.Flags().Lookup(profileFlag) == nil {
		return
	}
	var a AWS
	a.Region, _ = cmd.Flags().GetString(regionFlag)
	a.Profile, _ = cmd.Flags().GetString(profileFlag)
	a.RequesterPays, _ = cmd.Flags().GetBool(payerFlag)
	cmd.SetContext(context.WithValue(cmd.Context(), awsKey{}, a))
}

// AWSOf returns the values of the flags, in the context of a command that has them.
func AWSOf(ctx context.Context) AWS {
	a, _ := ctx.Value(awsKey{}).(AWS)
	return a
}
