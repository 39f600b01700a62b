package main

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

func TestTablesAreCurrent(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../pkg/tlsname/tables.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the tables are out of date: run go generate ./pkg/tlsname")
	}
}

func TestConflicts(t *testing.T) {
	x := index{}
	if err := x.add("TLS_A", 0, 0, 1, true); err != nil {
		t.Fatal(err)
	}
	if err := x.add("tls-a", 1, 0, 1, true); err != nil {
		t.Errorf("another spelling of the same name: %v", err)
	}
	if err := x.add("tls-a", 1, 1, 2, false); err != nil || x["TLS-A"].value != 1 {
		t.Errorf("an unregistered value took the name, or: %v", err)
	}
	if err := x.add("tls-a", 1, 1, 2, true); err == nil {
		t.Error("two registered suites have the same name")
	}
	if _, err := x.addAliases([]name{{2, "Tls_A"}}); err == nil {
		t.Error("an alias took a name")
	}
	if err := addNames(nil, []name{{1, "TLS_A"}}, nil); err == nil {
		t.Error("no error for a GnuTLS name without a suite")
	}
	if err := addNames([]suite{{Hex: 1, IANA: "TLS_B"}}, nil, []name{{1, "TLS_A"}}); err == nil {
		t.Error("no error for a Go name that differs from IANA's")
	}
}

// TestGnuTLS compares the copy of GnuTLS's names with the installed program.
func TestGnuTLS(t *testing.T) {
	out, err := exec.Command("gnutls-cli", "--list").Output()
	if err != nil {
		t.Skipf("SKIPPED: gnutls-cli does not list its suites (%v): no name was compared with it", err)
	}
	var list struct{ Suites []name }
	if err := read("gnutls-cipher-suites", &list); err != nil {
		t.Fatal(err)
	}
	ours := map[string]value{}
	for _, n := range list.Suites {
		ours[n.Name] = n.Hex
	}
	row := regexp.MustCompile(`(?m)^(TLS_\S+)\s+0x([0-9a-f]{2}), 0x([0-9a-f]{2})\s`)
	rows := row.FindAllStringSubmatch(string(out), -1)
	if len(rows) < 50 {
		t.Fatalf("gnutls-cli --list shows %d suites", len(rows))
	}
	for _, r := range rows {
		var v value
		if err := v.UnmarshalText([]byte("0x" + r[2] + r[3])); err != nil {
			t.Fatal(err)
		}
		if got, ok := ours[r[1]]; got != v || !ok {
			t.Errorf("%s is %#04x for GnuTLS, %#04x here", r[1], v, got)
		}
	}
}
