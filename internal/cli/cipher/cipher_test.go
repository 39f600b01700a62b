package cipher

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
	"tlswatch/pkg/tlsname"
)

// runCipher runs "tlswatch cipher --format json".
func runCipher(t *testing.T, names ...string) []answer {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args := append([]string{"cipher", "--format", "json", "--"}, names...)
	if status := clitest.RunIO(t.Context(), New(), args, strings.NewReader(""), &stdout, &stderr); status != command.ExitOK {
		t.Fatalf("exit status %d: %s", status, &stderr)
	}
	var answers []answer
	d := json.NewDecoder(&stdout)
	d.DisallowUnknownFields()
	if err := d.Decode(&answers); err != nil {
		t.Fatal(err)
	}
	if len(answers) != len(names) {
		t.Fatalf("%d answers to %d names", len(answers), len(names))
	}
	return answers
}

// TestCipherOpenSSL asks about every row that OpenSSL prints, in each of its
// three spellings.
func TestCipherOpenSSL(t *testing.T) {
	out, err := exec.Command("openssl", "ciphers", "-V", "-stdname", "ALL:@SECLEVEL=0").Output()
	if err != nil {
		t.Skipf("SKIPPED: openssl does not list its suites with standard names (%v): no name was compared with it", err)
	}
	var hex, iana, openssl, protocol []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line) // 0xC0,0x14 - IANA - OpenSSL VERSION Kx=...
		hex, iana, openssl, protocol = append(hex, f[0]), append(iana, f[2]), append(openssl, f[4]), append(protocol, f[5])
	}
	if len(hex) < 50 {
		t.Fatalf("openssl shows %d suites", len(hex))
	}
	for _, names := range [][]string{hex, iana, openssl} {
		for i, a := range runCipher(t, names...) {
			// OpenSSL took suites into SSL 3.0 that RFCs define for TLS.
			first := a.Protocols[0]
			if first == "TLSv1" && protocol[i] == "SSLv3" {
				first = "SSLv3"
			}
			number := strings.Replace(hex[i], ",0x", "", 1)
			if a.Query != names[i] || a.Hex != number || a.IANA != iana[i] || a.OpenSSL != openssl[i] || first != protocol[i] {
				t.Errorf("%s: got %+v, want %s, %s, %s, from %s", names[i], a, number, iana[i], openssl[i], protocol[i])
			}
		}
	}
}

// TestCipherAll holds the answers about all suites to the package.
func TestCipherAll(t *testing.T) {
	var names []string
	for _, s := range tlsname.Suites() {
		names = append(names, s.Hex())
	}
	for i, a := range runCipher(t, names...) {
		s := tlsname.Suites()[i]
		if a.Hex != s.Hex() || a.GnuTLS != s.GnuTLS() || a.Go != s.Go() || a.Strength != s.Strength().String() || a.Protocols == nil || a.Reasons == nil {
			t.Errorf("%v: got %+v", s, a)
		}
		if weak := slices.Contains([]string{"weak", "insecure"}, a.Strength); weak != (len(a.Reasons) > 0) {
			t.Errorf("%v is %s for the reasons %q", s, a.Strength, a.Reasons)
		}
	}
}
