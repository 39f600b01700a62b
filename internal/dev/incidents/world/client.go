package world

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"

	"tlswatch/pkg/tlsname"
)

// A program is a TLS client and what it offers.
type program struct {
	name      string
	versions  []tlsname.Version // lowest first
	suites    []tlsname.Suite   // in the order offered
	groups    []tlsname.Group   // none: no such extension
	keyShares []tlsname.Group
	schemes   []tlsname.SignatureScheme // none: no such extension
}

//go:embed clients.json
var clientsJSON []byte

var programs = mustReadPrograms(clientsJSON)

func mustReadPrograms(text []byte) map[string]*program {
	var file struct {
		Clients []struct {
			Name                                         string
			Versions, Suites, Groups, KeyShares, Schemes []string
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		panic(err)
	}
	all := make(map[string]*program)
	for _, c := range file.Clients {
		all[c.Name] = &program{
			name:      c.Name,
			versions:  mustParse(c.Versions, tlsname.ParseVersion),
			suites:    mustParse(c.Suites, hexadecimal[tlsname.Suite]),
			groups:    mustParse(c.Groups, tlsname.ParseGroup),
			keyShares: mustParse(c.KeyShares, tlsname.ParseGroup),
			schemes:   mustParse(c.Schemes, hexadecimal[tlsname.SignatureScheme]),
		}
	}
	return all
}

func mustParse[T any](texts []string, parse func(string) (T, error)) (list []T) {
	for _, s := range texts {
		v, err := parse(s)
		if err != nil {
			panic(fmt.Sprintf("clients.json: %v", err))
		}
		list = append(list, v)
	}
	return list
}

func hexadecimal[T ~uint16](s string) (T, error) {
	n, err := strconv.ParseUint(s, 16, 16)
	return T(n), err
}

// The programs by how old they are, those that fail first at a stricter policy last.
var (
	postQuantum = named("Chromium 137 (Win 11)", "Edge 133 Win 11 23H2", "Firefox 137 (Win 11)",
		"Safari 26.4 (iOS+iPadOS 26.4)", "Android 15/16", "OpenSSL 3.5.0")
	modern = named("Chrome 101 (Win 10)", "Firefox 100 (Win 10)", "Safari 15.4 (macOS 12.3.1)",
		"Safari 18.4 (iOS 18.4)", "Android 13/14", "Android 10.0", "Java 17.0.3/21.0.6 (OpenJDK)",
		"Java 11.0.2 (OpenJDK)", "Java 8u442 (OpenJDK)", "go 1.17.8", "OpenSSL 3.0.15 (Debian)",
		"OpenSSL 1.1.1d (Debian)", "LibreSSL 3.3.6 (macOS)")
	tls12 = named("Java 8u161", "Java 8u111", "Java 8u31", "OpenSSL 1.1.0l (Debian)", "OpenSSL 1.0.2e",
		"Android 8.1", "Android 7.0", "Android 5.0.0", "IE 11 Win 7", "IE 11 Win 10", "Edge 15 Win 10",
		"Safari 10 iOS 10", "Safari 7 iOS 7.1", "Apple ATS 9 iOS 9", "Firefox 47 Win 7",
		"Googlebot Feb 2018", "BingPreview Jan 2015")
	old = named("Java 7u25", "Java 6u45", "Android 4.2.2", "IE 8-10 Win 7", "IE 8 XP", "OpenSSL 0.9.8y",
		"Safari 6.0.4 OS X 10.8.4", "Opera 15 Win 7", "Chrome 27 Win 7")
	odd     = named("OpenSSL 3.0.15, groups x25519 only", "OpenSSL 1.1.1d, no RSA-PSS")
	rsaOnly = named("OpenSSL 1.1.0l, RSA certificates only", "Java 8u161, RSA certificates only")
)

func named(names ...string) (list []*program) {
	for _, n := range names {
		p := programs[n]
		if p == nil {
			panic(fmt.Sprintf("clients.json has no %q", n))
		}
		list = append(list, p)
	}
	return list
}
