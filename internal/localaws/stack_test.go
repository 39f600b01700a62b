package localaws_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/wire"
)

func TestStackEndsWithNothingLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	stack, err := localaws.Start(ctx, localaws.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stack.S3.SetFaults(func(string, int) wire.Fault { return wire.Fault{Delay: time.Hour} })
	for name, value := range stack.Env() {
		if strings.HasPrefix(name, "AWS_ENDPOINT") && !strings.HasPrefix(value, "http://127.0.0.1:") {
			t.Errorf("%s=%s", name, value)
		}
	}
	client := &http.Client{Transport: &http.Transport{}}
	failed := make(chan error)
	go func() {
		_, err := client.Get(stack.S3.URL() + "/logs/key")
		failed <- err
	}()
	for stack.Calls.Counts()["s3:GetObject"] == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel() // has the effect of Close
	if err := <-failed; err == nil {
		t.Error("a request outlived the stack")
	}
	if err := stack.Close(); err != nil {
		t.Error(err)
	}
	client.CloseIdleConnections()
	awstest.Settle(t, before)
}
