//go:build unix

package main

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"time"
)

// measureStart runs the function against a Lambda Runtime API without events and
// returns the time from its start to its first request for one.
func measureStart(bootstrap string) (result, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return result{}, err
	}
	asked := make(chan time.Time, 1)
	done := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/invocation/next") {
			select {
			case asked <- time.Now():
			default:
			}
			<-done
		}
	})}
	go server.Serve(listener)
	defer server.Close()
	defer close(done)

	var stderr strings.Builder
	c := exec.Command(bootstrap)
	c.Stderr = &stderr
	c.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(), "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret",
		"ALERT_TOPIC_ARN=arn:aws:sns:us-east-1:123456789012:alerts", "STATE_BUCKET=state-bucket",
	}
	start := time.Now()
	if err := c.Start(); err != nil {
		return result{}, err
	}
	exited := make(chan error, 1)
	go func() { exited <- c.Wait() }()
	select {
	case at := <-asked:
		c.Process.Kill()
		<-exited
		return result{wall: at.Sub(start), cpu: c.ProcessState.UserTime() + c.ProcessState.SystemTime()}, nil
	case err := <-exited:
		return result{}, fmt.Errorf("it exited before it requested an event: %v: %s", err, stderr.String())
	case <-time.After(10 * time.Second):
		c.Process.Kill()
		<-exited
		return result{}, fmt.Errorf("it did not request an event within 10 s: %s", stderr.String())
	}
}
