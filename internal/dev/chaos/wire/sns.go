package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// Published takes the texts, by protocol, out of a request to SNS to publish
// them on a topic, in the query protocol.
//
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
func Published(body []byte, topic string) (texts map[string]string, err error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fmt.Errorf("SNS: %w", err)
	}
	if form.Get("Action") != "Publish" || form.Get("TopicArn") != topic || form.Get("MessageStructure") != "json" {
		return nil, fmt.Errorf("SNS: %q to %q in structure %q", form.Get("Action"), form.Get("TopicArn"), form.Get("MessageStructure"))
	}
	if err := json.Unmarshal([]byte(form.Get("Message")), &texts); err != nil {
		return nil, fmt.Errorf("SNS: message: %w", err)
	}
	if texts["default"] == "" {
		return nil, fmt.Errorf("SNS: message %q has no default", form.Get("Message"))
	}
	return texts, nil
}

// PublishedReply is SNS's answer.
var PublishedReply = Reply{200, http.Header{"Content-Type": {"text/xml"}}, []byte(`<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>` +
	`<MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId></PublishResult></PublishResponse>`)}
