package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestTableIsCurrent(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../pkg/tlsclient/tables.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the table is out of date: run go generate ./pkg/tlsclient")
	}
}

// TestFaults shows that a wrong entry is an error.
func TestFaults(t *testing.T) {
	list, err := read("testssl")
	if err != nil {
		t.Fatal(err)
	}
	for fault, plant := range map[string]func(*client){
		"JA4 is":            func(c *client) { c.CipherSuites = c.CipherSuites[1:] },
		"ROT13":             func(c *client) { c.CipherSuites = append(c.CipherSuites, "ROT13") },
		"unknown named":     func(c *client) { c.Groups = append(c.Groups, "secp257r1") },
		"unknown signature": func(c *client) { c.Schemes = append(c.Schemes, "rsa_rot13") },
		"unknown TLS":       func(c *client) { c.LegacyVersion = "TLSv9" },
		`kind "robot"`:      func(c *client) { c.Kind = "robot" },
		"released 16":       func(c *client) { c.Released = 16 },
	} {
		c := list[0]
		plant(&c)
		if err := (&tables{lists: make(map[string]string)}).add(&c); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v", fault, err)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	order := strings.Fields("2.3.7 4.0.4 6u45 7u25 8 8u31 8u161 9.0.4 10.0.12 11.0.2 11/12 137 2013-10 2014-06")
	for i := range order {
		for j := range order {
			if got := compareVersions(order[i], order[j]); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s, %s: %d", order[i], order[j], got)
			}
		}
	}
}
