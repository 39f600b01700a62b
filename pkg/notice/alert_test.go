package notice_test

import (
	"strings"
	"testing"

	"tlswatch/internal/dev/alerttest"
	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/alert"
)

// TestNoClients: with clients off, no text names a client.
func TestNoClients(t *testing.T) {
	log := connlogtest.Log(connlogtest.Options{Seed: 1, Lines: 2500})
	s := alerttest.Summarize(t, log)
	m := evaluated(t, alert.Rule{MinFailed: 1}, alerttest.Observe(t, log, false))
	named := evaluated(t, alert.Rule{MinFailed: 1}, alerttest.Observe(t, log, true))
	found := false
	for _, c := range s.FailingClients() {
		for name, text := range m.Texts {
			if strings.Contains(text, c.Client.String()) {
				t.Errorf("%s names %s", name, c.Client)
			}
		}
		found = found || strings.Contains(named.Texts["sqs"], c.Client.String())
	}
	if !found {
		t.Error("the test finds no client in a text that has some")
	}
}

func TestSmallShares(t *testing.T) {
	for _, test := range []struct {
		failed, connections uint64
		want                string
	}{
		{1, 1_000_000, "(under 0.1 %)"},
		{1, 1000, "(0.1 %)"},
		{999_999, 1_000_000, "(over 99.9 %)"},
		{1000, 1000, "(100.0 %)"},
		{1, 3, "(33.3 %)"},
	} {
		m := evaluated(t, alert.Rule{MinFailed: 1}, alert.Window{Connections: test.connections, Failed: test.failed})
		if !strings.HasSuffix(m.Subject, test.want) {
			t.Errorf("%d of %d: %s", test.failed, test.connections, m.Subject)
		}
	}
}
