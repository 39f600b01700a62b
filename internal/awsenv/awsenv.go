// Package awsenv makes the AWS configuration of the small functions, from the
// environment that Lambda gives them.
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
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
)

// Load returns the configuration, with time-outs: the SDK has none of its own
// for replies, and an invocation's deadline is too late to try again.
func Load(ctx context.Context) (aws.Config, error) {
	client := awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = 3 * time.Second }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = 3 * time.Second
			t.ResponseHeaderTimeout = 10 * time.Second
			t.IdleConnTimeout = 10 * time.Second // less than a service keeps the connection of a frozen function
			t.MaxIdleConnsPerHost = 64           // that are used in parallel
		})
	c, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithHTTPClient(client))
	switch {
	case err != nil:
		return c, fmt.Errorf("AWS configuration: %w", err)
	case c.Region == "":
		return c, errors.New("AWS configuration: AWS_REGION is not set")
	}
	return c, nil
}
