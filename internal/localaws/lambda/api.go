package lambda

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

	"tlswatch/internal/localaws/wire"
)

// API is a stand-in for the Invoke operation of the AWS Lambda API, in front of
// functions that run here. Versions and aliases are accepted and all mean
// the same function; LogType=Tail is ignored. Requests wait while all
// environments of a function are busy, where AWS would start another
// environment or throttle.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
type API struct {
	*wire.Endpoint
	functions map[string]*Function // by name
	detach    func() bool          // from the context of StartAPI
	close     func() error
}

// StartAPI serves functions on a port of 127.0.0.1 until Close is called or ctx
// ends; neither ends the functions. Requests count in calls as "lambda:Invoke".
func StartAPI(ctx context.Context, calls *wire.Calls, functions ...*Function) (*API, error) {
	a := &API{functions: make(map[string]*Function)}
	for _, f := range functions {
		a.functions[f.o.Name] = f
	}
	a.Endpoint = wire.NewEndpoint(wire.Protocol{
		Service:   "lambda",
		Operation: operation,
		Apply:     a.apply,
		Refuse:    writeError,
	}, calls)
	if err := a.Start(); err != nil {
		return nil, err
	}
	a.close = sync.OnceValue(a.Endpoint.Close)
	a.detach = context.AfterFunc(ctx, func() { a.close() })
	return a, nil
}

// Close ends all connections. Invocations in progress go on without their
// callers.
func (a *API) Close() error {
	a.detach()
	return a.close()
}

// Env returns the environment that points an AWS SDK at the API.
func (a *API) Env() map[string]string {
	env := map[string]string{"AWS_ENDPOINT_URL_LAMBDA": a.URL()}
	maps.Copy(env, wire.BaseEnv(wire.DefaultRegion))
	return env
}

// invokePath is the path of Invoke. The name is encoded, as it may be an ARN.
var invokePath = regexp.MustCompile(`^/2015-03-31/functions/([^/]+)/invocations$`)

// functionName matches a function's name, ARN or partial ARN, with or without a
// qualifier. Its groups are the account and the name.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_RequestParameters
var functionName = regexp.MustCompile(`^(?:arn:aws[a-z-]*:lambda:)?(?:[a-z]{2}(?:-[a-z]+)+-\d:)?(?:(\d{12}):)?(?:function:)?([0-9A-Za-z_-]{1,64})(?::(?:\$LATEST|[0-9A-Za-z_-]+))?$`)

// operation names the operation of a request, or returns "Unknown".
func operation(r *http.Request) string {
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
func (a *API) apply(w http.ResponseWriter, r *http.Request) {
	f, refusal := a.function(r)
	if refusal != nil {
		writeError(w, r, refusal)
		return
	}
	kind := r.Header.Get("X-Amz-Invocation-Type")
	payload, refusal := readPayload(r, kind)
	if refusal == nil {
		refusal = f.serve(w, r, kind, payload)
	}
	if refusal != nil {
		writeError(w, r, refusal)
	}
}

// function finds the function that a request is for.
func (a *API) function(r *http.Request) (*Function, *wire.Refusal) {
	if operation(r) == "Unknown" {
		return nil, wire.UnknownOperation()
	}
	name, err := url.PathUnescape(invokePath.FindStringSubmatch(r.URL.EscapedPath())[1])
	parts := functionName.FindStringSubmatch(name)
	if err != nil || parts == nil {
		return nil, wire.BadRequest("ValidationException", "Value '"+name+"' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern.")
	}
	f := a.functions[parts[2]]
	if f == nil || parts[1] != "" && parts[1] != wire.AccountID {
		return nil, wire.NewRefusal(http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+arn(wire.DefaultRegion, parts[2]))
	}
	return f, nil
}

// readPayload reads the event of a request for an invocation type.
func readPayload(r *http.Request, kind string) ([]byte, *wire.Refusal) {
	most := maxSyncPayload
	switch kind {
	case "", "RequestResponse", "DryRun":
	case "Event":
		most = maxAsyncPayload
	default:
		io.Copy(io.Discard, io.LimitReader(r.Body, wire.MaxBody))
		return nil, wire.BadRequest("InvalidParameterValueException", "Value '"+kind+"' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]")
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, wire.MaxBody))
	switch {
	case err != nil:
		panic(http.ErrAbortHandler) // the client is gone
	case len(payload) > most:
		return nil, wire.NewRefusal(http.StatusRequestEntityTooLarge, "RequestTooLargeException", fmt.Sprintf("Request must be smaller than %d bytes for the InvokeFunction operation", most))
	case len(payload) == 0:
		return []byte("{}"), nil // the event of an invocation without a payload
	case !json.Valid(payload):
		return nil, wire.BadRequest("InvalidRequestContentException", "Could not parse request body into json: Could not parse payload into json.")
	}
	return payload, nil
}

// serve invokes the function and replies, unless it returns a refusal.
func (f *Function) serve(w http.ResponseWriter, r *http.Request, kind string, payload []byte) *wire.Refusal {
	h := w.Header()
	switch kind {
	case "DryRun":
		h.Set("X-Amzn-Requestid", wire.NewUUID())
		w.WriteHeader(http.StatusNoContent)
	case "Event":
		id, err := f.InvokeAsync(payload)
		if err != nil {
			return wire.NewRefusal(http.StatusInternalServerError, "ServiceException", err.Error())
		}
		h.Set("X-Amzn-Requestid", id)
		w.WriteHeader(http.StatusAccepted)
	default:
		result, err := f.Invoke(r.Context(), payload)
		switch {
		case errors.Is(err, context.Canceled):
			panic(http.ErrAbortHandler)
		case err != nil:
			return wire.NewRefusal(http.StatusInternalServerError, "ServiceException", err.Error())
		}
		h.Set("X-Amzn-Requestid", result.RequestID)
		h.Set("X-Amz-Executed-Version", "$LATEST")
		h.Set("Content-Type", "application/json")
		if result.Error != nil {
			h.Set("X-Amz-Function-Error", "Unhandled")
			result.Payload = result.Error.payload
		}
		w.WriteHeader(http.StatusOK)
		w.Write(result.Payload)
	}
	return nil
}

// writeError replies with an error in the AWS REST-JSON protocol. The member for
// the text is "message" in some errors and "Message" in others.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors
func writeError(w http.ResponseWriter, _ *http.Request, e *wire.Refusal) {
	body := map[string]string{"Type": "User", "message": e.Message}
	switch e.Code {
	case "ResourceNotFoundException", "ServiceException":
		delete(body, "message")
		body["Message"] = e.Message
	case "TooManyRequestsException":
		body["Reason"] = "ReservedFunctionConcurrentInvocationLimitExceeded"
	}
	if e.Blame() == "Receiver" {
		body["Type"] = "Service"
	}
	w.Header().Set("X-Amzn-Errortype", e.Code)
	w.Header().Set("X-Amzn-Requestid", wire.NewUUID())
	reply(w, e.Status, body)
}
