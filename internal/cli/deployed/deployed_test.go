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
		`{"batchItemFailures":[{"itemIdentifier":"else"}]}`: "another message",
		`{"batchItemFailures":null}`:                        "not that of tlswatch",
		`null`:                                              "not that of tlswatch",
		``:                                                  "not that of tlswatch",
		`"ok"`:                                              "not that of tlswatch",
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
