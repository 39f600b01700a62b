// Package accepted is a middleware for AWS SDK clients whose requests must not
// be sent twice without need.
package accepted

import (
	"context"
	"net/http"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// By200 makes a reply of status 200 a success also if its body, which then
// tells nothing of use, is cut or unreadable. The operation's output is
// result.
func By200(result any) func(*middleware.Stack) error {
	m := middleware.DeserializeMiddlewareFunc("AcceptedBy200", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		if reply, ok := out.RawResponse.(*smithyhttp.Response); ok && err != nil && reply.StatusCode == http.StatusOK {
			out.Result, err = result, nil
		}
		return out, metadata, err
	})
	return func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(m, middleware.Before)
	}
}
