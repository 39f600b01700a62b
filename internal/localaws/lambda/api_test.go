package lambda

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/wire"
)

func startAPI(t *testing.T, calls *wire.Calls, functions ...*Function) (*API, *lambda.Client) {
	t.Helper()
	api, err := StartAPI(t.Context(), calls, functions...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := api.Close(); err != nil {
			t.Error(err)
		}
	})
	awstest.Setenv(t, api.Env())
	return api, lambda.NewFromConfig(awstest.Config(t))
}

func TestAPI(t *testing.T) {
	f, _ := startFunction(t, Options{Name: "fn", RetryDelays: []time.Duration{}})
	calls := new(wire.Calls)
	_, client := startAPI(t, calls, f)
	invoke := func(name, payload string, kind types.InvocationType) (*lambda.InvokeOutput, error) {
		return client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name, Payload: []byte(payload), InvocationType: kind})
	}

	for _, name := range []string{"fn", f.arn, "123456789012:function:fn", "fn:$LATEST", "function:fn", f.arn + ":live"} {
		out, err := invoke(name, `{"name":"one"}`, "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if out.StatusCode != 200 || out.FunctionError != nil || *out.ExecutedVersion != "$LATEST" || !strings.Contains(string(out.Payload), `"hello":"one"`) {
			t.Errorf("%s: %+v, %s", name, out, out.Payload)
		}
	}

	out, err := invoke("fn", `{"do":"error"}`, types.InvocationTypeRequestResponse)
	if err != nil || out.StatusCode != 200 || *out.FunctionError != "Unhandled" || string(out.Payload) != `{"errorMessage":"as told","errorType":"failure"}` {
		t.Errorf("a function's error: %+v, %s, %v", out, out.Payload, err)
	}

	n := len(f.Invocations())
	out, err = invoke("fn", `{}`, types.InvocationTypeDryRun)
	if err != nil || out.StatusCode != 204 || len(f.Invocations()) != n {
		t.Errorf("dry run: %+v, %v", out, err)
	}
	out, err = invoke("fn", `{"name":"later"}`, types.InvocationTypeEvent)
	if err != nil || out.StatusCode != 202 || len(out.Payload) != 0 {
		t.Errorf("asynchronous: %+v, %v", out, err)
	}
	f.mustWait(t)
	if all := f.Invocations(); string(all[len(all)-1].Payload) != `{"name":"later"}` {
		t.Error("the asynchronous event did not arrive")
	}
	if _, err := invoke("fn", "", ""); err != nil {
		t.Errorf("no payload: %v", err)
	}

	_, err = invoke("other", "{}", "")
	var gone *types.ResourceNotFoundException
	if !errors.As(err, &gone) || gone.ErrorMessage() != "Function not found: arn:aws:lambda:us-east-1:123456789012:function:other" {
		t.Errorf("no such function: %v", err)
	}
	for name, c := range map[string]struct {
		function, payload string
		kind              types.InvocationType
		code              string
	}{
		"another account": {strings.Replace(f.arn, "1234", "4321", 1), "{}", "", "ResourceNotFoundException"},
		"bad name":        {"a b", "{}", "", "ValidationException"},
		"not JSON":        {"fn", "{", "", "InvalidRequestContentException"},
		"not JSON, later": {"fn", "{", types.InvocationTypeEvent, "InvalidRequestContentException"},
		"bad type":        {"fn", "{}", "Later", "InvalidParameterValueException"},
		"6 MB":            {"fn", `"` + strings.Repeat("x", 6<<20-2) + `"`, types.InvocationTypeDryRun, ""},
		"over 6 MB":       {"fn", `"` + strings.Repeat("x", 6<<20-1) + `"`, "", "RequestTooLargeException"},
		"over 1 MB later": {"fn", `"` + strings.Repeat("x", 1<<20-1) + `"`, types.InvocationTypeEvent, "RequestTooLargeException"},
	} {
		_, err := invoke(c.function, c.payload, c.kind)
		t.Run(name, func(t *testing.T) { awstest.WantCode(t, err, c.code) })
	}
	_, err = client.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String("fn")})
	awstest.WantCode(t, err, "UnknownOperationException")

	f.Close()
	_, err = client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("fn")}, func(o *lambda.Options) { o.Retryer = aws.NopRetryer{} })
	awstest.WantCode(t, err, "ServiceException")
	if calls.Counts()["lambda:Invoke"] < 10 {
		t.Errorf("calls %v", calls.Counts())
	}
}

func TestAPIFaults(t *testing.T) {
	f, _ := startFunction(t, Options{Name: "fn"})
	api, client := startAPI(t, new(wire.Calls), f)
	api.SetFaults(func(op string, n int) wire.Fault {
		if op == "lambda:Invoke" && n <= 2 {
			return wire.Refuse(http.StatusTooManyRequests, "TooManyRequestsException")
		}
		return wire.Fault{}
	})
	in := &lambda.InvokeInput{FunctionName: aws.String("fn"), Payload: []byte("{}")}
	once := func(o *lambda.Options) { o.Retryer = aws.NopRetryer{} }
	_, err := client.Invoke(t.Context(), in, once)
	var throttled *types.TooManyRequestsException
	if !errors.As(err, &throttled) || throttled.Reason != types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded || throttled.ErrorMessage() == "" {
		t.Errorf("throttled: %v", err)
	}
	if _, err := client.Invoke(t.Context(), in); err != nil { // the SDK's own retry
		t.Error(err)
	}
	if n := len(f.Invocations()); n != 1 {
		t.Errorf("%d invocations", n)
	}
	for _, kind := range []wire.FaultKind{wire.FaultReplyLost, wire.FaultReplyCut} {
		n := len(f.Invocations())
		api.SetFaults(func(string, int) wire.Fault { return wire.Fault{Kind: kind} })
		if _, err := client.Invoke(t.Context(), in, once); err == nil || len(f.Invocations()) != n+1 {
			t.Errorf("fault %d: %v, %d invocations", kind, err, len(f.Invocations())-n)
		}
	}
	api.SetFaults(nil)

	// The function continues after its caller has disconnected.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	in.Payload = []byte(`{"sleep":300}`)
	if _, err := client.Invoke(ctx, in, once); err == nil {
		t.Error("the caller's time limit has no effect")
	}
	f.mustWait(t)
	if all := f.Invocations(); all[len(all)-1].Error != nil || string(all[len(all)-1].Payload) != `{"sleep":300}` {
		t.Errorf("%+v", all[len(all)-1])
	}
}

func TestAPIEndsWithNothingLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	api, err := StartAPI(ctx, new(wire.Calls))
	if err != nil {
		t.Fatal(err)
	}
	cancel() // has the effect of Close
	if err := api.Close(); err != nil {
		t.Error(err)
	}
	awstest.Settle(t, before)
}
