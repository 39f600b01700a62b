package deployed

import (
	"fmt"
	"strings"
	"testing"
)

func TestQueueReply(t *testing.T) {
	for reply, want := range map[string]string{
		`{"batchItemFailures":[]}`:                          "",
		`{"batchItemFailures":[{"itemIdentifier":"id"}]}`:   "could not process it",
		`{"batchItemFailures":[{"itemIdentifier":"else"}]}`: "a different message",
		`{"batchItemFailures":null}`:                        "not from the tlswatch function",
		`null`:                                              "not from the tlswatch function",
		``:                                                  "not from the tlswatch function",
		`"ok"`:                                              "not from the tlswatch function",
	} {
		if err := CheckQueueReply([]byte(reply), "id", "request"); fmt.Sprint(err) == "<nil>" != (want == "") || want != "" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", reply, err, want)
		}
	}
	for _, reply := range []string{"null", `{"objects":1}`, "[]", ""} {
		if _, err := ParseSummary([]byte(reply)); err == nil {
			t.Errorf("%q is a summary", reply)
		}
	}
}
