// Command function is a Lambda function that does what its event says. The
// tests of package lambda build and run it.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do    string `json:"do"`
	Name  string `json:"name"`
	Sleep int    `json:"sleep"` // milliseconds

	Records []struct { // of a queue; the body says what to do with the message
		ID   string `json:"messageId"`
		Body string `json:"body"`
	}
}

// batch fails the messages that say "fail", and all if one says "error".
func (e event) batch() (any, error) {
	type item struct {
		ID string `json:"itemIdentifier"`
	}
	failed := []item{}
	for _, r := range e.Records {
		switch r.Body {
		case "error":
			return nil, errors.New("as told")
		case "unknown":
			failed = append(failed, item{"no such message"})
		case "fail":
			failed = append(failed, item{r.ID})
		}
	}
	return map[string]any{"batchItemFailures": failed}, nil
}

type failure struct{ text string }

func (f *failure) Error() string { return f.text }

func handle(ctx context.Context, e event) (any, error) {
	lc, _ := lambdacontext.FromContext(ctx)
	fmt.Println("handling", lc.AwsRequestID)
	time.Sleep(time.Duration(e.Sleep) * time.Millisecond)
	if len(e.Records) > 0 {
		return e.batch()
	}
	switch e.Do {
	case "error":
		return nil, &failure{"as told"}
	case "panic":
		panic("as told")
	case "exit":
		os.Exit(3)
	case "fail-once": // uses its working directory to remember
		mark := os.TempDir() + "/" + lc.AwsRequestID
		if _, err := os.Stat(mark); errors.Is(err, os.ErrNotExist) {
			os.WriteFile(mark, nil, 0o600)
			return nil, errors.New("the first time")
		}
		return "the second time", nil
	case "big":
		return strings.Repeat("x", 7<<20), nil
	case "env":
		return os.Environ(), nil
	case "deadline":
		d, _ := ctx.Deadline()
		return time.Until(d).Milliseconds(), nil
	}
	return map[string]any{"hello": e.Name, "requestId": lc.AwsRequestID, "arn": lc.InvokedFunctionArn, "pid": os.Getpid()}, nil
}

func main() {
	switch os.Getenv("INIT") {
	case "exit":
		fmt.Fprint(os.Stderr, "cannot start")
		os.Exit(7)
	case "hang":
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Hour)
	case "report":
		url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/init/error"
		r, err := http.Post(url, "application/json", strings.NewReader(`{"errorMessage":"no settings","errorType":"Config.Missing"}`))
		if err != nil || r.StatusCode != http.StatusAccepted {
			panic(fmt.Sprint(r, err))
		}
		os.Exit(1)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	}
	lambda.Start(handle)
}
