// Package accepted keeps clients of the AWS SDK from sending requests twice that
// services add up or pass on: PutMetricData of CloudWatch, Publish of SNS. It is
// middleware that tells whether the service accepted a request, whatever became
// of the reply.
package accepted

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// TreatAs200 makes a reply with status 200 a success even if its body is
// truncated or unreadable. The operation's output is then result. It is for
// operations whose reply contains nothing of use.
func TreatAs200(result any) func(*middleware.Stack) error {
	m := middleware.DeserializeMiddlewareFunc("TreatAs200", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
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

// Watch calls open with the error of every attempt after which it is unknown
// whether the service accepted the request, and replaces the error with open's
// result. An attempt without an error, one that sent nothing, and one that the
// service refused are known.
func Watch(open func(error) error) func(*middleware.Stack) error {
	m := middleware.DeserializeMiddlewareFunc("Watch", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		var sent atomic.Bool
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
		out, metadata, err := next.HandleDeserialize(ctx, in)
		if err != nil && sent.Load() && !refused(out, err) {
			err = open(err)
		}
		return out, metadata, err
	})
	return func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(m, middleware.Before)
	}
}

// refused reports whether a reply says that the service did nothing: status 429,
// or another 4xx with a code of refusals. A 5xx says nothing: a service may
// answer it, or a proxy in its place, after it applied the request.
func refused(out middleware.DeserializeOutput, err error) bool {
	reply, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok || reply.StatusCode/100 != 4 {
		return false
	}
	if reply.StatusCode == http.StatusTooManyRequests {
		return true
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	code := api.ErrorCode()
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	return throttled || refusals[strings.TrimSuffix(code, "Exception")]
}

// refusals are the codes, without the ending Exception, of errors that precede
// any effect: throttling that the SDK does not know, validation, permissions.
// RequestAborted, RequestTimeout and InternalFailure are not among them.
//
// Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html,
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html#API_PutMetricData_Errors,
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors
var refusals = map[string]bool{
	"Throttled": true, "KMSThrottling": true,

	"InvalidFormat": true, "InvalidParameter": true, "InvalidParameterCombination": true, "InvalidParameterValue": true,
	"InvalidQueryParameter": true, "MalformedHttpRequest": true, "MalformedQueryString": true, "MissingParameter": true,
	"MissingRequiredParameter": true, "ParameterValueInvalid": true, "RequestEntityTooLarge": true, "UnknownOperation": true,
	"Validation": true, "ValidationError": true,

	"AccessDenied": true, "AuthorizationError": true, "ExpiredToken": true, "IncompleteSignature": true,
	"InvalidClientTokenId": true, "InvalidSecurity": true, "InvalidSignature": true, "MissingAuthenticationToken": true,
	"NotAuthorized": true, "OptInRequired": true, "RequestExpired": true, "SignatureDoesNotMatch": true,
	"UnrecognizedClient": true,

	"EndpointDisabled": true, "KMSAccessDenied": true, "KMSDisabled": true, "KMSInvalidState": true, "KMSNotFound": true,
	"KMSOptInRequired": true, "NotFound": true, "PlatformApplicationDisabled": true,
}
