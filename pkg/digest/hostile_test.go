package digest

import (
	"testing"

	"tlswatch/internal/dev/hostile"
)

// No message lets through what a client put into a certificate or a log.
func TestHostileText(t *testing.T) {
	var d Digest
	hostile.Plant(&d)
	d.Region = "eu-central-1" // the function's own
	m, err := d.Message()
	if err != nil {
		t.Fatal(err)
	}
	for protocol, text := range m.Texts {
		if protocol != "sms" { // only counts
			hostile.CheckLines(t, protocol, text)
		}
	}
	hostile.CheckCard(t, m.Texts["https"])
}
