package notice_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"tlswatch/internal/dev/alerttest"
	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/pkg/alert"
)

// TestCommands runs the commands of an alert with the real aws CLI against
// stand-ins.
func TestCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("starts other programs")
	}
	for _, program := range []string{"aws", "sh", "gzip", "grep"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: %s is not on PATH: the commands of an alert were not run", program)
		}
	}
	version, err := exec.Command("aws", "--version").Output()
	var major, minor int
	if _, scan := fmt.Sscanf(string(version), "aws-cli/%d.%d", &major, &minor); err != nil || scan != nil || major == 1 && minor < 29 || major == 2 && minor < 13 {
		t.Skipf("SKIPPED: %q knows no endpoints from the environment: the commands of an alert were not run", version)
	}
	log := alerttest.Lines(3, "192.0.2.1", alerttest.Expired) + alerttest.Lines(2, "10.0.0.1", alerttest.Success)
	w := alerttest.Observe(t, []byte(log), true)
	w.Objects = []string{"s3://" + alerttest.Bucket + "/it's a log/" + alerttest.Key}

	elb := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		const arn = "arn:aws:elasticloadbalancing:us-east-2:123456789012:loadbalancer/app/my-loadbalancer/1234567890abcdef"
		if r.FormValue("Action") != "DescribeListeners" || r.FormValue("LoadBalancerArn") != arn || !strings.Contains(r.Header.Get("Authorization"), "/us-east-2/") {
			t.Errorf("request %v %v", r.Form, r.Header)
		}
		fmt.Fprint(rw, `<DescribeListenersResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><DescribeListenersResult><Listeners>`+
			`<member><Port>443</Port><SslPolicy>ELBSecurityPolicy-TLS13-1-2-2021-06</SslPolicy></member><member><Port>80</Port></member>`+
			`</Listeners></DescribeListenersResult></DescribeListenersResponse>`)
	}))
	defer elb.Close()
	stack := awstest.Stack(t, localaws.Options{Region: "us-east-2"}, alerttest.Bucket)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(log))
	z.Close()
	object := strings.TrimPrefix(w.Objects[0], "s3://"+alerttest.Bucket+"/")

	m := evaluated(t, alert.Rule{MinFailed: 1}, w)
	var commands []string
	for line := range strings.Lines(m.Texts["email"]) {
		if strings.HasPrefix(line, "    aws ") {
			commands = append(commands, line)
		}
	}
	if len(commands) != 2 {
		t.Fatalf("commands %q", commands)
	}
	if got := run(t, stack, elb.URL, commands[0]); !strings.Contains(got, "ELBSecurityPolicy-TLS13-1-2-2021-06") || !strings.Contains(got, "443") {
		t.Errorf("%s printed %s", commands[0], got)
	}
	for _, body := range [][]byte{packed.Bytes(), []byte(log)} {
		if _, err := stack.S3.Put(alerttest.Bucket, object, body); err != nil {
			t.Fatal(err)
		}
		got := run(t, stack, stack.S3.URL(), commands[1])
		if want := alerttest.Lines(3, "192.0.2.1", alerttest.Expired); got != want {
			t.Errorf("%s printed %s\nwant %s", commands[1], got, want)
		}
	}
}

// run pastes a command into a shell whose aws talks to the endpoint.
func run(t *testing.T, stack *localaws.Stack, endpoint, command string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-c", `aws() { command aws --endpoint-url "$ENDPOINT" "$@"; }`+"\n"+command)
	c.Env = append(c.Environ(), "ENDPOINT="+endpoint, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PAGER=")
	for name, value := range stack.Env() {
		if name == "AWS_REGION" || name == "AWS_DEFAULT_REGION" {
			value = "eu-west-1" // the command must say which region it means
		}
		c.Env = append(c.Env, name+"="+value)
	}
	out, err := c.Output()
	if err != nil {
		message := ""
		if exit, ok := err.(*exec.ExitError); ok {
			message = string(exit.Stderr)
		}
		t.Fatalf("%s: %v %s", command, err, message)
	}
	return string(out)
}
