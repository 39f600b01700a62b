// Package awsenv makes the AWS configuration of the Lambda functions, from the
// environment that Lambda gives them. The command has internal/cli/cloud instead:
// profiles, other time-outs, and errors for people at a terminal.
package awsenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Load returns the configuration with time-outs for the steps of a request. The
// SDK has none for replies, and at the deadline of an invocation it is too late
// to retry. A reply's headers must come within headers.
func Load(ctx context.Context, headers time.Duration, options ...func(*config.LoadOptions) error) (aws.Config, error) {
	client := awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = 3 * time.Second }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = 3 * time.Second
			t.ResponseHeaderTimeout = headers
			// A service may close a connection while the function is frozen. A
			// request on such a connection is lost, so old connections are not
			// used again.
			t.IdleConnTimeout = 10 * time.Second
			t.MaxIdleConnsPerHost = 64 // as many as are used in parallel
		})
	c, err := config.LoadDefaultConfig(ctx, append(options, config.WithHTTPClient(client))...)
	switch {
	case err != nil:
		return c, fmt.Errorf("AWS configuration: %w", err)
	case c.Region == "":
		return c, errors.New("AWS configuration: AWS_REGION is not set")
	}
	return c, nil
}
