package tlsname

import (
	"crypto/tls"
	"regexp"
	"strings"
	"testing"
)

// TestAlert checks that every alert of crypto/tls has a name here.
func TestAlert(t *testing.T) {
	spelling := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen := make(map[string]uint8)
	for d := range 256 {
		d := uint8(d)
		name := Alert(d)
		if theirs := tls.AlertError(d).Error(); name == "" && !strings.Contains(theirs, "alert(") {
			t.Errorf("%d has no name, and is %q in crypto/tls", d, theirs)
		}
		if name == "" {
			continue
		}
		if !spelling.MatchString(name) {
			t.Errorf("%d is %q", d, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%d and %d are %s", other, d, name)
		}
		seen[name] = d
	}
	for d, want := range map[uint8]string{
		0: "close_notify", 1: "", 40: "handshake_failure", 48: "unknown_ca", 70: "protocol_version",
		116: "certificate_required", 120: "no_application_protocol", 121: "ech_required", 122: "", 255: "",
	} {
		if got := Alert(d); got != want {
			t.Errorf("%d is %q, want %q", d, got, want)
		}
	}
}
