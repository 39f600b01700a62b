package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const topic = "arn:aws:sns:" + region + ":" + account + ":chaos"

// An alertMessage is an alert that SNS accepted, as its machine-readable text
// says.
type alertMessage struct {
	by      string // the attempt
	sender  sender
	unheard bool // SNS's answer did not reach the sender

	Schema string
	Rule   string
	Failed int
	Client string
	Window struct {
		LoadBalancer string
		End          time.Time
		Objects      []string
		ObjectCount  int
	}
}

// sns reads a request in the query protocol.
//
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
func (w *world) sns(r *http.Request, body []byte, by string, s sender) (call, error) {
	c := call{service: "sns", operation: "Publish"}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return c, fmt.Errorf("SNS: %w", err)
	}
	if form.Get("Action") != "Publish" || form.Get("TopicArn") != topic || form.Get("MessageStructure") != "json" {
		return c, fmt.Errorf("SNS: %s %s to %q", r.Method, form.Get("Action"), form.Get("TopicArn"))
	}
	var texts map[string]string
	if err := json.Unmarshal([]byte(form.Get("Message")), &texts); err != nil || texts["default"] == "" {
		return c, fmt.Errorf("SNS: message %q: %w", form.Get("Message"), err)
	}
	a := &alertMessage{by: by, sender: s}
	if err := json.Unmarshal([]byte(texts["sqs"]), a); err != nil || a.Failed == 0 {
		return c, fmt.Errorf("SNS: text for a queue %q: %w", texts["sqs"], err)
	}
	c.about = a.String()
	c.unheard = func() { a.unheard = true }
	c.apply = func() reply {
		w.alerts = append(w.alerts, a)
		return reply{200, http.Header{"Content-Type": {"text/xml"}}, []byte(`<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>` +
			`<MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId></PublishResult></PublishResponse>`)}
	}
	return c, nil
}

func (a *alertMessage) String() string {
	return fmt.Sprintf("%s %s %s: %d failed", a.Rule, a.Window.LoadBalancer, a.Window.End.Format("15:04"), a.Failed)
}
