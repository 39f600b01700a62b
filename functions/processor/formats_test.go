package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/functiontest"
	"tlswatch/internal/localaws/s3"
	"tlswatch/pkg/metric"
)

// form returns one of connlogtest.Forms.
func form(t *testing.T, name string) connlogtest.Form {
	t.Helper()
	for _, f := range connlogtest.Forms {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no form %q", name)
	return connlogtest.Form{}
}

// The TLS log of a Network Load Balancer becomes the same metrics and alerts as
// a connection log.
func TestTLSLog(t *testing.T) {
	r := newRig(t, nil)
	f := makeLog(t, 11, 2500, "net/edge/50dc6c495c0c9188")
	end := time.Now().UTC().Truncate(5 * time.Minute)
	f.Key = fmt.Sprintf("AWSLogs/123456789012/elasticloadbalancing/us-east-2/%s/123456789012_elasticloadbalancing_us-east-2_net.edge.50dc6c495c0c9188_%s_20sg8hgm.log.gz",
		end.Format("2006/01/02"), end.Format("20060102T1504Z"))
	f.Lines = connlogtest.TLSLog(f.Lines, f.LoadBalancer)
	r.notify(r.put(f.Key, f.Gzip()))
	r.checkSums(f)
	messages := r.stack.SNS.Messages()
	if len(messages) != 1 || messages[0].Attributes["loadBalancer"] != f.LoadBalancer {
		t.Fatalf("alerts %v", messages)
	}
	text := messages[0].Text("email")
	for _, want := range []string{"net/edge/50dc6c495c0c9188", "HandshakeNotCompleted", "ClientAlert:unknown_ca", "rejected the listener's certificate", `awk '$9 == "-" || $12 ~ /^[1-9]/'`, "loadbalancer/net/edge/"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the alert:\n%s", want, text)
		}
	}
}

// The entries of vended logs have what their keys lack.
func TestVendedLogs(t *testing.T) {
	r := newRig(t, nil)
	date := time.Now().UTC().Format("2006/01/02")
	hive := time.Now().UTC().Format("year=2006/month=01/day=02")
	a, b, c := makeLog(t, 12, 2500, "app/shop/50dc6c495c0c9188"), makeLog(t, 13, 300, "app/b/2"), makeLog(t, 14, 300, "net/c/3")
	c.Lines = connlogtest.TLSLog(c.Lines, c.LoadBalancer)
	objects := []s3.ObjectCreated{
		r.put("AWSLogs/111122223333/elasticloadbalancing/us-east-1/"+date+"/5f2c81d0.json.gz", connlogtest.Object{Lines: []string{form(t, "json").Format(a.Lines, connlogtest.AllFields())}}.Gzip()),
		r.put("AWSLogs/aws-account-id=111122223333/elasticloadbalancing/region=us-east-1/"+hive+"/a1.log", []byte(form(t, "w3c, tab").Format(b.Lines, connlogtest.AllFields()))),
		r.put("MyLogPrefix/us-east-1/"+date+"/c.log.gz", c.Gzip()),
	}
	for _, o := range objects {
		r.notify(o)
	}
	r.checkSums(a, b, c)
	if got := functiontest.Sums(r.stack)[metric.ObjectsProcessed]; got.Sum != 3 {
		t.Errorf("%v objects processed", got)
	}
	messages := r.stack.SNS.Messages()
	if len(messages) != 1 || messages[0].Attributes["loadBalancer"] != a.LoadBalancer || messages[0].Attributes["account"] != "111122223333" {
		t.Errorf("alerts %v", messages)
	}
	for i, line := range r.logLines("processed") {
		if want := []string{a.LoadBalancer, b.LoadBalancer, c.LoadBalancer}[i]; line["loadBalancer"] != want {
			t.Errorf("log line %d is about %v, want %s", i+1, line["loadBalancer"], want)
		}
	}
}

// An object that turns out to be no such log is skipped, and the log says what it
// is. An object of several load balancers always fails.
func TestVendedLogsRefused(t *testing.T) {
	r := newRig(t, nil)
	dir := "AWSLogs/111122223333/elasticloadbalancing/us-east-1/" + time.Now().UTC().Format("2006/01/02") + "/"
	f, g := makeLog(t, 15, 100, "app/a/1"), makeLog(t, 16, 100, "app/b/2")
	var nameless []int
	for i, name := range connlogtest.FieldNames {
		if name != "elb" {
			nameless = append(nameless, i)
		}
	}
	bodies := []struct{ name, body, reason string }{
		{"a.parquet", "PAR1", "Parquet"},
		{"b.gz", "PAR1\x15", "Parquet"},
		{"c.json", `{"type":"https","elb":"app/a/1","ssl_protocol":"TLSv1.2"}`, "access log of an Application Load Balancer"},
		{"d.json", form(t, "json").Format(f.Lines, nameless), "add elb to the record fields"},
		{"e.log", "#Version: 1.0\n#Fields: time elb tls_protocol\n", "empty"},
		{"f.log", "#Fields: version account-id interface-id\n", "flow log"},
	}
	var objects []s3.ObjectCreated
	for _, b := range bodies {
		objects = append(objects, r.put(dir+b.name, []byte(b.body)))
	}
	r.notify(objects...)
	r.notify(r.put(dir+"mixed.json", []byte(form(t, "json").Format(append(f.Lines, g.Lines...), connlogtest.AllFields()))))
	r.checkSums()
	errors := r.errors()
	if n := len(errors); n != 4 || errors[0] != "" || !strings.Contains(errors[n-1], "app/a/1, app/b/2") {
		t.Errorf("invocations: %q", errors)
	}
	lines := r.logLines("skipped")
	if len(lines) != len(bodies) {
		t.Fatalf("%d log lines", len(lines))
	}
	for i, b := range bodies {
		if reason, _ := lines[i]["reason"].(string); !strings.Contains(reason, b.reason) {
			t.Errorf("%s skipped because %q, want %q", b.name, reason, b.reason)
		}
	}
}
