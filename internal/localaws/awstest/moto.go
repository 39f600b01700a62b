package awstest

import (
	"context"
	"net"
	"net/http"
	"os/exec"
	"testing"
	"time"
)

// Moto starts moto_server, stand-ins for AWS that share no code with ours, and
// returns its URL. Without moto_server on PATH it skips the test, and says what
// that leaves untested.
func Moto(t testing.TB, untested string) (endpoint string) {
	t.Helper()
	path, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("SKIPPED: moto_server is not on PATH: " + untested)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-H", "127.0.0.1", "-p", port)
	output := new(Buffer)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); cmd.Wait() })
	endpoint = "http://" + address
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if r, err := http.Get(endpoint + "/moto-api/"); err == nil {
			r.Body.Close()
			return endpoint
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("moto_server does not answer:\n%s", output)
		}
	}
}
