package main

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"testing"

	utls "github.com/refraction-networking/utls"

	"tlswatch/internal/dev/tlsclientgen/clientfile"
	"tlswatch/pkg/clienthello/tlswire"
)

var update = flag.Bool("update", false, "write data/utls.json")

// imitated are the programs whose ClientHellos uTLS imitates in their default settings,
// without those that resume a session and those with experiments.
var imitated = []struct {
	id                          utls.ClientHelloID
	software, version, platform string
	kind                        string
	released                    int
}{
	{utls.HelloChrome_58, "Chrome", "58", "", "browser", 2017},
	{utls.HelloChrome_62, "Chrome", "62", "", "browser", 2017},
	{utls.HelloChrome_70, "Chrome", "70", "", "browser", 2018},
	{utls.HelloChrome_72, "Chrome", "72", "", "browser", 2019},
	{utls.HelloChrome_83, "Chrome", "83", "", "browser", 2020},
	{utls.HelloChrome_87, "Chrome", "87", "", "browser", 2020},
	{utls.HelloChrome_96, "Chrome", "96", "", "browser", 2021},
	{utls.HelloChrome_100, "Chrome", "100", "", "browser", 2022},
	{utls.HelloChrome_102, "Chrome", "102", "", "browser", 2022},
	{utls.HelloChrome_106_Shuffle, "Chrome", "106", "", "browser", 2022},
	{utls.HelloChrome_120, "Chrome", "120", "", "browser", 2023},
	{utls.HelloChrome_131, "Chrome", "131", "", "browser", 2024},
	{utls.HelloChrome_133, "Chrome", "133", "", "browser", 2025},
	{utls.HelloFirefox_55, "Firefox", "55", "", "browser", 2017},
	{utls.HelloFirefox_56, "Firefox", "56", "", "browser", 2017},
	{utls.HelloFirefox_63, "Firefox", "63", "", "browser", 2018},
	{utls.HelloFirefox_65, "Firefox", "65", "", "browser", 2019},
	{utls.HelloFirefox_99, "Firefox", "99", "", "browser", 2022},
	{utls.HelloFirefox_102, "Firefox", "102", "", "browser", 2022},
	{utls.HelloFirefox_105, "Firefox", "105", "", "browser", 2022},
	{utls.HelloFirefox_120, "Firefox", "120", "", "browser", 2023},
	{utls.HelloIOS_11_1, "Safari", "11", "iOS 11.1", "browser", 2017},
	{utls.HelloIOS_12_1, "Safari", "12", "iOS 12.1", "browser", 2018},
	{utls.HelloIOS_13, "Safari", "13", "iOS 13", "browser", 2019},
	{utls.HelloIOS_14, "Safari", "14", "iOS 14", "browser", 2020},
	{utls.HelloSafari_16_0, "Safari", "16.0", "", "browser", 2022},
	{utls.HelloEdge_85, "Edge", "85", "", "browser", 2020},
	{utls.HelloEdge_106, "Edge", "106", "", "browser", 2022},
	{utls.Hello360_7_5, "360 Browser", "7.5", "", "browser", 2014},
	{utls.Hello360_11_0, "360 Browser", "11.0", "", "browser", 2019},
	{utls.HelloQQ_11_1, "QQ Browser", "11.1", "", "browser", 2022},
	{utls.HelloAndroid_11_OkHttp, "OkHttp on Android", "11", "", "library", 2020},
}

// TestUTLS compares data/utls.json with the ClientHellos that uTLS makes.
func TestUTLS(t *testing.T) {
	var made []clientfile.Client
	for _, i := range imitated {
		conn := utls.UClient(nil, &utls.Config{ServerName: "server.example.test"}, i.id)
		if err := conn.BuildHandshakeState(); err != nil {
			t.Fatalf("%s: %v", i.id.Str(), err)
		}
		hello, err := tlswire.ParseClientHello(conn.HandshakeState.Hello.Raw)
		if err != nil {
			t.Fatalf("%s: %v", i.id.Str(), err)
		}
		c := clientfile.Client{Name: i.id.Str(), Software: i.software, Version: i.version, Platform: i.platform, Kind: i.kind, Released: i.released}
		c.Set(hello)
		slices.Sort(c.Extensions)
		made = append(made, c)
	}
	want, err := clientfile.Write(made)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("data/utls.json", want, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("data/utls.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("data/utls.json differs from what uTLS makes: run go test ./internal/dev/tlsclientgen -update")
	}
}

// TestSourcesAgree compares two sources where both have a version of a program.
func TestSourcesAgree(t *testing.T) {
	first, err := read("testssl")
	if err != nil {
		t.Fatal(err)
	}
	second, err := read("utls")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, a := range first {
		for _, b := range second {
			if a.Software != b.Software || a.Version != b.Version {
				continue
			}
			compared++
			if a.JA4 != b.JA4 || !slices.Equal(a.CipherSuites, b.CipherSuites) || !slices.Equal(a.Schemes, b.Schemes) {
				t.Errorf("%s: %s and %s differ", a.name(), a.JA4, b.JA4)
			}
		}
	}
	if compared == 0 {
		t.Error("the sources have no version of a program in common")
	}
}
