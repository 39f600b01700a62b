package deployment

import (
	"regexp"
	"testing"
)

// Every way to deploy the template works from log objects to metrics, alert,
// Contributor Insights, dashboard and digest.
func TestVariants(t *testing.T) {
	source := readTemplate(t)
	for name, v := range map[string]struct {
		parameters map[string]string
		prefix     string
	}{
		"new bucket, direct":      {nil, ""},
		"new bucket, queue":       {map[string]string{"Ingest": "Queue"}, ""},
		"existing bucket, direct": {map[string]string{"ExistingLogBucket": existing}, "some/prefix/"},
		"existing bucket, queue":  {map[string]string{"ExistingLogBucket": existing, "Ingest": "Queue"}, ""},
		"prefix and own topic, key": {map[string]string{"LogPrefix": "web", "AlertTopicArn": "arn:aws:sns:us-east-1:123456789012:pager",
			"AlertTopicKey": "arn:aws:kms:us-east-1:123456789012:key/0a1b"}, "web/"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := deploy(t, source, v.parameters)
			if err != nil {
				t.Fatal(err)
			}
			r.deliver(v.prefix)
			r.check()
			r.checkInsights()
			r.checkDashboard()
			r.checkWidget()
			r.checkDigest()
			if denied, failures := r.Denied(), r.Failures(); len(denied)+len(failures) > 0 {
				t.Errorf("denied %q, not delivered %q", denied, failures)
			}
		})
	}
}

// Every permission is needed: without it, a deployment fails, or a request is
// denied, or an event is lost.
func TestEachPermissionIsNeeded(t *testing.T) {
	source := readTemplate(t)
	for sid, parameters := range map[string]map[string]string{
		"ReadLogs": nil, "Remember": nil, "ListState": nil, "PublishMetrics": nil, "PublishAlerts": nil, "KeepFailures": nil,
		"ReadPeriods": nil, "ListPeriods": nil, "TellMissingFromForbidden": nil, "DigestReadsPeriods": nil, "DigestListsPeriods": nil, "PublishDigest": nil,
		"TakeFromQueue": {"Ingest": "Queue"},
	} {
		t.Run(sid, func(t *testing.T) {
			statement := regexp.MustCompile(`(?m)^( +)- Sid: ` + sid + `\n +Effect: Allow\n +Action: .*\n`)
			broken := statement.ReplaceAllStringFunc(source, func(s string) string {
				return regexp.MustCompile(`Action: .*`).ReplaceAllString(s, "Action: none:None")
			})
			if broken == source {
				t.Fatalf("the template has no statement %s", sid)
			}
			r, err := deploy(t, broken, parameters)
			if err != nil {
				return
			}
			a := makeLog(t, "", 1, 2500, "app/shop/50dc6c495c0c9188")
			r.put(a.Key, a.Gzip())
			bad := makeLog(t, "", 3, 100, "app/web/1234567890abcdef")
			r.put(bad.Key, bad.Gzip()[:200])
			r.announceGone("")
			r.wait()
			r.drawWidget()
			r.Functions["DigestFunction"].Invoke(t.Context(), []byte(`{}`))
			if len(r.Denied())+len(r.Failures()) == 0 {
				t.Error("everything works without it")
			}
		})
	}
}
