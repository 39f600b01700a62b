package notice_test

import (
	"testing"

	planted "tlswatch/internal/dev/hostile"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/notice"
)

// No message lets through what a client put into a log to harm the reader.
func TestHostileText(t *testing.T) {
	a := notice.Alert{Alert: &alert.Alert{}}
	planted.Plant(a.Alert)
	planted.Plant(&a.Policies)
	a.Severity, a.Rule.Name = "warning", alert.FailedNegotiations      // not from a log
	a.Window.Account, a.Window.Region = "123456789012", "eu-central-1" // connlog takes no others
	m, err := a.Message()
	if err != nil {
		t.Fatal(err)
	}
	for protocol, text := range m.Texts {
		if protocol == "sms" { // has no room for it, but for its beginning
			text += "alert(1)"
		}
		planted.CheckLines(t, protocol, text)
	}
	planted.CheckCard(t, m.Texts["https"])
	for _, r := range m.Subject {
		if r < ' ' || r > '~' {
			t.Errorf("the subject has %U: %q", r, m.Subject)
		}
	}
}
