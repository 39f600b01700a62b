package policyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tlswatch/pkg/secpolicy"
)

func TestLoadOr(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good := write("good.json", `{"SslPolicies": [{"Name": "ELBSecurityPolicy-Of-The-Future-2031-01", "SslProtocols": ["TLSv1.3"], "Ciphers": [{"Name": "TLS_AES_256_GCM_SHA384", "Priority": 1}]}]}`)
	bad := write("bad.json", "{\n x}")

	set, err := LoadOr("")
	if err != nil || set != secpolicy.Builtin() {
		t.Errorf("no name: %v", err)
	}
	set, err = LoadOr(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Lookup("ELBSecurityPolicy-Of-The-Future-2031-01"); err != nil {
		t.Error(err)
	}
	if set, err = LoadOr(bad); set != secpolicy.Builtin() || err == nil || !strings.Contains(err.Error(), "bad.json: security policies: line 2") {
		t.Errorf("a bad file: %v", err)
	}
	if set, err = LoadOr(filepath.Join(dir, "none")); set != secpolicy.Builtin() || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
