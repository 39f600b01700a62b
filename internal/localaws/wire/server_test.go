package wire

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// A server answers only requests to its own address. A web site can make a
// browser connect to it, but under the site's own host name.
func TestHost(t *testing.T) {
	s, err := Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "secret") }))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, port, _ := strings.Cut(s.Addr(), ":")
	for host, want := range map[string]int{
		"127.0.0.1:" + port:                  http.StatusOK,
		"localhost:" + port:                  http.StatusOK,
		"LocalHost:" + port:                  http.StatusOK,
		"127.0.0.1":                          http.StatusMisdirectedRequest,
		"localhost":                          http.StatusMisdirectedRequest,
		"127.0.0.1:1":                        http.StatusMisdirectedRequest,
		"localhost:1":                        http.StatusMisdirectedRequest,
		"127.0.0.2:" + port:                  http.StatusMisdirectedRequest,
		"0.0.0.0:" + port:                    http.StatusMisdirectedRequest,
		"[::1]:" + port:                      http.StatusMisdirectedRequest,
		"attacker.example:" + port:           http.StatusMisdirectedRequest,
		"127.0.0.1.attacker.example:" + port: http.StatusMisdirectedRequest,
		"logs.localhost:" + port:             http.StatusMisdirectedRequest, // S3 is path-style here
		"sqs.us-east-1.amazonaws.com":        http.StatusMisdirectedRequest,
	} {
		r, err := http.NewRequest(http.MethodGet, "http://"+s.Addr(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err != nil || reply.StatusCode != want || (string(body) == "secret") != (want == http.StatusOK) {
			t.Errorf("%s: status %d, body %q, %v; want status %d", host, reply.StatusCode, body, err, want)
		}
	}
}
