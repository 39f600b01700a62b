package command

import (
	"context"

	"github.com/spf13/cobra"
)

// An AWS is how a command reaches AWS. A field that is empty is as in the environment
// and the AWS configuration files.
type AWS struct{ Region, Profile string }

const (
	regionFlag  = "region"
	profileFlag = "profile"
)

// AddAWS adds the flags --region and --profile. [AWSOf] returns their values.
func AddAWS(cmd *cobra.Command) {
	cmd.Flags().String(regionFlag, "", "AWS `REGION` (default: from your AWS configuration)")
	cmd.Flags().String(profileFlag, "", "`NAME` of a profile in your AWS configuration")
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
	cmd.SetContext(context.WithValue(cmd.Context(), awsKey{}, a))
}

// AWSOf returns the values of the flags, in the context of a command that has them.
func AWSOf(ctx context.Context) AWS {
	a, _ := ctx.Value(awsKey{}).(AWS)
	return a
}
