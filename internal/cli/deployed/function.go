// Package deployed calls the deployed function as its triggers do.
package deployed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/command"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/trigger"
)

// LastCalls is how long calls in progress may continue after Ctrl-C.
const LastCalls = 10 * time.Second

// outlast returns a context that is canceled a grace period after ctx.
func outlast(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(grace, cancel)
		context.AfterFunc(longer, func() { t.Stop() })
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// A Function is the deployed function, behind the Lambda API.
type Function struct {
	client    *lambda.Client
	name      string
	Grace     time.Duration // see LastCalls
	throttles atomic.Int64  // calls that Lambda throttled
}

// New returns the function with a name or ARN, in a Region or, with "", the
// environment's.
func New(ctx context.Context, region, name string) (*Function, error) {
	cfg, err := cloud.Config(ctx, region)
	if err != nil {
		return nil, err
	}
	return &Function{
		client: lambda.NewFromConfig(cfg, func(o *lambda.Options) { o.Retryer = aws.NopRetryer{} }), // see Invoke
		name:   name,
		Grace:  LastCalls,
	}, nil
}

// Throttled returns how many calls Lambda throttled.
func (d *Function) Throttled() int64 { return d.throttles.Load() }

// Check asks Lambda whether the function exists and may be invoked. It does not run
// it.
func (d *Function) Check(ctx context.Context) error {
	err := d.retry(ctx, 0, true, func(ctx context.Context) error {
		_, err := d.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &d.name, InvocationType: types.InvocationTypeDryRun})
		return err
	})
	switch {
	case ctx.Err() != nil:
		return command.Interrupted("interrupted before anything was sent")
	case err != nil:
		return fmt.Errorf("function %s: %w", d.name, cloud.Explain(err))
	}
	return nil
}

// A StopError means that every other invocation would fail as well.
type StopError struct{ error }

func (e StopError) Unwrap() error { return e.error }

// A FunctionError is an error that the function itself returned.
type FunctionError struct {
	Type      string `json:"errorType"`
	Message   string `json:"errorMessage"`
	requestID string
}

func (e *FunctionError) Error() string {
	return fmt.Sprintf("%s: %s (request %s)", e.Type, e.Message, e.requestID)
}

// Invoke invokes the function with an event and returns the reply. The error is a
// *FunctionError if the function failed, and a StopError if Lambda would refuse every
// invocation.
//
// Throttled invocations are sent again after a pause. If the function may have run
// although the reply was lost, the event is sent again only if repeat is set: the
// first run may still be in progress. When ctx is canceled, nothing more is sent, and
// calls in progress have the time Grace to end.
func (d *Function) Invoke(ctx context.Context, payload []byte, repeat bool) (reply []byte, requestID string, err error) {
	err = d.retry(ctx, d.Grace, repeat, func(ctx context.Context) error {
		out, err := d.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &d.name, Payload: payload})
		if err != nil {
			return err
		}
		reply = out.Payload
		requestID, _ = awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
		if out.FunctionError != nil {
			e := &FunctionError{requestID: requestID}
			if json.Unmarshal(out.Payload, e) != nil || e.Type == "" {
				e.Type, e.Message = *out.FunctionError, clipText(string(out.Payload))
			}
			return e
		}
		return nil
	})
	return reply, requestID, err
}

// Limits of retries. The pauses of throttled calls add up to a minute and a half.
const (
	maxThrottles = 15
	maxRepeats   = 4
	firstPause   = 100 * time.Millisecond
	longestPause = 15 * time.Second
)

func (d *Function) retry(ctx context.Context, grace time.Duration, repeat bool, call func(context.Context) error) error {
	longer, cancel := outlast(ctx, grace)
	defer cancel()
	throttles, repeats := 0, 0
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if ctx.Err() != nil {
			return errors.New("interrupted before it was sent")
		}
		err := call(longer)
		switch {
		case err == nil || errors.As(err, new(*FunctionError)):
			return err
		case longer.Err() != nil:
			return errors.New("interrupted while the function was running")
		case hadNoRoom(err):
			d.throttles.Add(1)
			if throttles++; throttles == maxThrottles {
				return err
			}
		case refused(err):
			return StopError{err}
		default:
			if repeats++; repeats == maxRepeats || !repeat {
				return err
			}
		}
		wait := pause/2 + rand.N(pause/2)
		if t, ok := errors.AsType[*types.TooManyRequestsException](err); ok && t.RetryAfterSeconds != nil {
			if n, err := strconv.Atoi(*t.RetryAfterSeconds); err == nil {
				wait = max(wait, min(time.Duration(n)*time.Second, longestPause))
			}
		}
		if pipeline.Sleep(ctx, wait) != nil {
			return fmt.Errorf("interrupted before another attempt: %w", err)
		}
	}
}

// hadNoRoom reports whether Lambda throttled the call.
func hadNoRoom(err error) bool {
	if (retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}).IsErrorThrottle(err).Bool() {
		return true
	}
	re, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && (re.HTTPStatusCode() == http.StatusTooManyRequests || re.HTTPStatusCode() == http.StatusConflict)
}

// refused reports whether Lambda would refuse every invocation: no such function, no
// permission, no valid credentials. An invalid payload does not count.
func refused(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		// Nothing was sent and nothing came back, so the configuration is at fault: no
		// Region, no credentials.
		return !errors.As(err, new(*smithyhttp.ResponseError)) && !errors.As(err, new(*smithyhttp.RequestSendError))
	}
	switch api.ErrorCode() {
	case "RequestTooLargeException", "InvalidRequestContentException", "SerializedRequestEntityTooLargeException":
		return false
	}
	re, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && re.HTTPStatusCode() >= 400 && re.HTTPStatusCode() < 500
}

// ParseSummary reads the reply to an event that names objects or to an invocation
// record. It returns an error for the reply of any other function.
func ParseSummary(reply []byte) (trigger.Summary, error) {
	var in struct{ Objects, Ignored *int }
	if err := json.Unmarshal(reply, &in); err != nil || in.Objects == nil || in.Ignored == nil {
		return trigger.Summary{}, fmt.Errorf("the reply is not from the tlswatch function: %s", clipText(string(reply)))
	}
	return trigger.Summary{Objects: *in.Objects, Ignored: *in.Ignored}, nil
}

// clipText shortens text of any length.
func clipText(s string) string {
	const most = 300
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
