package localaws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"sync"
)

// LambdaAPIOptions are the settings of [StartLambdaAPI]. Only Functions is
// required.
type LambdaAPIOptions struct {
	Functions []*Lambda
	Region    string    // told to SDKs; default us-east-1
	Faults    FaultFunc // default none

	// Calls counts "lambda:Invoke" by request. A [Lambda] counts what it
	// accepts under the same name, so the two had better not share one.
	// Default: counts of its own.
	Calls *Calls
}

// LambdaAPI is a stand-in for the Invoke operation of the AWS Lambda API, in
// front of functions that run here, with a server of its own. Versions and
// aliases are accepted and mean the one function there is; LogType=Tail is
// ignored. Functions whose environments are all busy have requests wait, where
// AWS would start another environment or throttle.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
type LambdaAPI struct {
	endpoint
	region    string
	functions map[string]*Lambda // by name
	server    *server
	detach    func() bool // from the context of StartLambdaAPI
	close     func() error
}

// StartLambdaAPI serves on a port of 127.0.0.1 until Close is called or ctx
// ends. Neither ends the functions.
func StartLambdaAPI(ctx context.Context, o LambdaAPIOptions) (*LambdaAPI, error) {
	a := &LambdaAPI{region: o.Region, functions: make(map[string]*Lambda)}
	if a.region == "" {
		a.region = defaultRegion
	}
	for _, f := range o.Functions {
		a.functions[f.o.Name] = f
	}
	a.endpoint = endpoint{
		service:   "lambda",
		operation: lambdaOperation,
		apply:     a.apply,
		refuse:    writeLambdaError,
		calls:     o.Calls,
		faults:    o.Faults,
	}
	if a.calls == nil {
		a.calls = new(Calls)
	}
	var err error
	if a.server, err = serve(a); err != nil {
		return nil, fmt.Errorf("start the lambda API: %w", err)
	}
	a.close = sync.OnceValue(a.server.close)
	a.detach = context.AfterFunc(ctx, func() { a.close() })
	return a, nil
}

// Close ends all connections. Invocations in progress go on without their
// callers.
func (a *LambdaAPI) Close() error {
	a.detach()
	return a.close()
}

// URL is the base URL of the API.
func (a *LambdaAPI) URL() string { return a.server.URL() }

// Env returns the environment that points an AWS SDK at the API.
func (a *LambdaAPI) Env() map[string]string {
	env := map[string]string{"AWS_ENDPOINT_URL_LAMBDA": a.URL()}
	maps.Copy(env, localCredentials(a.region))
	return env
}

// invokePath is the path of Invoke. The name is encoded, as it may be an ARN.
var invokePath = regexp.MustCompile(`^/2015-03-31/functions/([^/]+)/invocations$`)

// functionName takes a function name, ARN or partial ARN apart, each with or
// without a qualifier.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_RequestParameters
var functionName = regexp.MustCompile(`^(?:arn:aws[a-z-]*:lambda:)?(?:[a-z]{2}(?:-[a-z]+)+-\d:)?(?:(\d{12}):)?(?:function:)?([0-9A-Za-z_-]{1,64})(?::(?:\$LATEST|[0-9A-Za-z_-]+))?$`)

// lambdaOperation names the operation of a request, or returns "Unknown".
func lambdaOperation(r *http.Request) string {
	if r.Method == http.MethodPost && invokePath.MatchString(r.URL.EscapedPath()) {
		return "Invoke"
	}
	return "Unknown"
}

// Largest payloads, in bytes.
//
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const (
	maxSyncPayload  = 6 << 20
	maxAsyncPayload = 1 << 20
)

// apply answers a request.
func (a *LambdaAPI) apply(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code, format string, args ...any) {
		writeLambdaError(w, r, &apiError{status, code, fmt.Sprintf(format, args...)})
	}
	if lambdaOperation(r) == "Unknown" {
		refuse(http.StatusNotFound, "UnknownOperationException", "The operation is not known to this stand-in.")
		return
	}
	name, err := url.PathUnescape(invokePath.FindStringSubmatch(r.URL.EscapedPath())[1])
	parts := functionName.FindStringSubmatch(name)
	if err != nil || parts == nil {
		refuse(http.StatusBadRequest, "ValidationException", "Value '%s' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern.", name)
		return
	}
	f := a.functions[parts[2]]
	if f == nil || parts[1] != "" && parts[1] != accountID {
		refuse(http.StatusNotFound, "ResourceNotFoundException", "Function not found: arn:aws:lambda:%s:%s:function:%s", a.region, accountID, parts[2])
		return
	}
	kind := r.Header.Get("X-Amz-Invocation-Type")
	most := maxSyncPayload
	switch kind {
	case "", "RequestResponse", "DryRun":
	case "Event":
		most = maxAsyncPayload
	default:
		io.Copy(io.Discard, io.LimitReader(r.Body, maxForm))
		refuse(http.StatusBadRequest, "InvalidParameterValueException", "Value '%s' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]", kind)
		return
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxForm))
	switch {
	case err != nil:
		return // the client is gone
	case len(payload) > most:
		refuse(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "Request must be smaller than %d bytes for the InvokeFunction operation", most)
		return
	case len(payload) == 0:
		payload = []byte("{}") // what a function gets that is invoked without a payload
	case !json.Valid(payload):
		refuse(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json: Could not parse payload into json.")
		return
	}
	h := w.Header()
	switch kind {
	case "DryRun":
		h.Set("X-Amzn-Requestid", newUUID())
		w.WriteHeader(http.StatusNoContent)
	case "Event":
		id, err := f.InvokeAsync(payload)
		if err != nil {
			refuse(http.StatusInternalServerError, "ServiceException", "%v", err)
			return
		}
		h.Set("X-Amzn-Requestid", id)
		w.WriteHeader(http.StatusAccepted)
	default:
		result, err := f.Invoke(r.Context(), payload)
		switch {
		case errors.Is(err, context.Canceled):
			panic(http.ErrAbortHandler)
		case err != nil:
			refuse(http.StatusInternalServerError, "ServiceException", "%v", err)
			return
		}
		h.Set("X-Amzn-Requestid", result.RequestID)
		h.Set("X-Amz-Executed-Version", "$LATEST")
		h.Set("Content-Type", "application/json")
		if result.Error != nil {
			h.Set("X-Amz-Function-Error", "Unhandled")
			result.Payload = result.Error.Payload
		}
		w.WriteHeader(http.StatusOK)
		w.Write(result.Payload)
	}
}

// writeLambdaError answers with an error of the AWS REST-JSON protocol. The
// member for the text is spelled in two ways.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors
func writeLambdaError(w http.ResponseWriter, _ *http.Request, e *apiError) {
	body := map[string]string{"Type": "User", "message": e.message}
	switch e.code {
	case "ResourceNotFoundException", "ServiceException":
		delete(body, "message")
		body["Message"] = e.message
	case "TooManyRequestsException":
		body["Reason"] = "ReservedFunctionConcurrentInvocationLimitExceeded"
	}
	if e.blame() == "Receiver" {
		body["Type"] = "Service"
	}
	w.Header().Set("X-Amzn-Errortype", e.code)
	w.Header().Set("X-Amzn-Requestid", newUUID())
	reply(w, e.status, body)
}
