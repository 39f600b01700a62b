package input

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
)

func filterOf(t *testing.T, args string) (*Filter, error) {
	t.Helper()
	var o FilterFlags
	cmd := &cobra.Command{}
	o.Register(cmd)
	if err := cmd.ParseFlags(strings.Fields(args)); err != nil {
		return nil, err
	}
	return o.Filter(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
}

func TestFilter(t *testing.T) {
	e := connlog.Entry{
		Time: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Client: netip.MustParseAddr("203.0.113.7"), ListenerPort: 443,
		Protocol: "TLSv1.2", Cipher: "ECDHE-RSA-AES256-SHA", Status: "Failed:ClientCertExpired", LoadBalancer: "app/shop/50dc6c495c0c9188",
		KeyExchange: "secp256r1",
	}
	for args, want := range map[string]bool{
		"":                             true,
		"--since 2026-11-23T10:00Z":    true,
		"--since 2026-11-23T10:00:01Z": false,
		"--since 119m":                 false,
		"--since 2h":                   true,
		"--since today --until now":    true,
		"--until 2026-11-23T10:00Z":    false, // the end is not within
		"--since yesterday":            true,
		"--until today":                false,
		"--load-balancer shop":         true,
		"--load-balancer sho":          false,
		"--load-balancer app/shop/50dc6c495c0c9188": true,
		"--load-balancer other,shop":                true,
		"--load-balancer 50dc6c495c0c9188":          false,
		"--load-balancer app/shop":                  true,
		"--load-balancer net/shop":                  false,
		"--load-balancer SHOP":                      true,
		"--load-balancer App/Shop/50DC6C495C0C9188": true,
		"--load-balancer sh*":                       true,
		"--load-balancer *-prod,s?op":               true,
		"--load-balancer shop-*":                    false,
		"--load-balancer */shop":                    true,
		"--load-balancer app/*/*9188":               true,
		"--load-balancer app*":                      false, // of the name
		"--load-balancer arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188": true,
		"--key-exchange secp256r1":                    true,
		"--key-exchange P-256":                        true,
		"--key-exchange PRIME256V1,x25519":            true,
		"--key-exchange 0x0017":                       true,
		"--key-exchange 00,17":                        true,
		"--key-exchange X25519MLKEM768":               false,
		"--key-exchange -":                            false,
		"--port 443":                                  true,
		"--port 80 --port 443":                        true,
		"--port 81":                                   false,
		"--client 203.0.113.7":                        true,
		"--client 203.0.113.0/24":                     true,
		"--client 203.0.113.9/24":                     true, // a block by any of its addresses
		"--client ::ffff:203.0.113.7":                 true,
		"--client 198.51.100.0/24,2001:db8::/32":      false,
		"--protocol tlsv1.2":                          true,
		"--protocol TLSv1.3":                          false,
		"--protocol -":                                false,
		"--protocol tls1.2":                           true,
		"--protocol tls1_1,0303":                      true,
		"--protocol 1.3":                              false,
		"--cipher ECDHE-RSA-AES256-SHA":               true,
		"--cipher tls_ecdhe_rsa_with_aes_256_cbc_sha": true,
		"--cipher TLS_ECDHE_RSA_AES_256_CBC_SHA1":     true,
		"--cipher 0xc014":                             true,
		"--cipher 0xC0,0x14":                          true,
		"--cipher 0x13,0x01,0xc0,0x14":                true,
		"--cipher 0x13,0x01,AES128-SHA":               false,
		"--cipher C0,14":                              true, // one suite, by its bytes
		"--cipher AES128-SHA:C0,14":                   true, // as OpenSSL separates them
		"--cipher ECDHE-RSA-AES128-SHA,X":             false,
		"--cipher none":                               false,
		"--status ClientCertExpired":                  true,
		"--status failed:clientcertexpired":           true,
		"--status nothing":                            false,
		"--status Failed":                             true,
		"--status Success,-":                          false,
		"--failed":                                    true,
		"--failed --status Success":                   false,
		"--failed --client 203.0.113.7 --protocol -":  false,
		"--failed --client 203.0.113.7 --since 3h":    true,
	} {
		f, err := filterOf(t, args)
		if err != nil || f.Match(&e) != want {
			t.Errorf("%s: %v, %v", args, !want, err)
		}
	}
	plain := connlog.Entry{Time: e.Time}
	for args, want := range map[string]bool{"--failed": false, "--status -": true, "--protocol -": true, "--client ::/0": false, "--load-balancer x": false, "--load-balancer *": false, "--key-exchange none": true} {
		if f, err := filterOf(t, args); err != nil || f.Match(&plain) != want {
			t.Errorf("an empty line, %s: %v, %v", args, !want, err)
		}
	}
	for args, says := range map[string]string{
		"--since soon":             `--since "soon" is not a time: use an RFC 3339 time`,
		"--until 25:00":            `--until "25:00" is not a time: use`,
		"--since 2h --until 3h":    "--until 3h is not after --since 2h",
		"--port 65536":             "--port must be a number from 1 to 65535, not 65536",
		"--client example.com":     `--client must be an address or a CIDR block, not "example.com"`,
		"--client 203.0.113.0/33":  `--client must be an address or a CIDR block, not "203.0.113.0/33"`,
		"--port https":             "invalid argument",
		"--utc --local":            "--utc and --local exclude each other",
		"--since 10:20 --until 3h": "--until 3h is not after --since 10:20: they are 2026-11-23 09:00:00 UTC and 2026-11-23 10:20:00 UTC",
		"--ignore health":          `--ignore must be an address, a CIDR block, or @FILE with a list of them, not "health"`,
		"--ignore @none-such":      "--ignore: open none-such: ",
		"--load-balancer arn:x":    `--load-balancer must be the ARN of a load balancer, not "arn:x"`,
	} {
		if _, err := filterOf(t, args); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v does not say %q", args, err, says)
		}
	}
}

// Names that nobody knows pass by their text, and are told if no line has them.
func TestFilterUnknown(t *testing.T) {
	lines := []connlog.Entry{
		{Protocol: "TLSv1.2", Cipher: "SOME-NEW-SUITE", Status: "Success"},
		{Protocol: "QTLSv9", Cipher: "AES128-SHA", Status: "Failed:SomethingNew"},
		{Protocol: "TLSv1.3", Status: "Failed:ClientAlert:unknown_ca"},
	}
	for args, want := range map[string]struct {
		passes int
		says   string
	}{
		"--protocol TLSv1.3 --cipher AES128-SHA":                    {0, "tlswatch: no line matches the filters\n  each filter matches some line, but no line matches all of them\n"}, // known, and not there
		"--cipher None":                                             {1, ""},
		"--protocol qtlsv9":                                         {1, ""},
		"--protocol TLSv1.4":                                        {0, "tlswatch: --protocol \"TLSv1.4\" matches no line and is not a known protocol; did you mean TLSv1.3?\n"},
		"--protocol 0x0305,tlsv1.3":                                 {1, "tlswatch: --protocol \"0x0305\" matches no line and is not a known protocol\n"},
		"--cipher some-new-suite":                                   {1, ""},
		"--cipher some-new-suite --status Failed":                   {0, "tlswatch: no line matches the filters\n  each filter matches some line, but no line matches all of them\n"},
		"--cipher ECDHE-RSA-AES128-GCM-SHA265":                      {0, "tlswatch: --cipher \"ECDHE-RSA-AES128-GCM-SHA265\" matches no line and is not a known cipher suite; did you mean ECDHE-RSA-AES128-GCM-SHA256?\n"},
		"--cipher TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA25":             {0, "tlswatch: --cipher \"TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA25\" matches no line and is not a known cipher suite; did you mean TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256?\n"},
		"--cipher 0x9999":                                           {0, "tlswatch: --cipher \"0x9999\" matches no line and is not a known cipher suite\n"},
		"--status somethingnew,failed:SomethingNew":                 {1, ""},
		"--status ClientAlert:unknown_ca":                           {1, ""},
		"--status Failed:ClientAlert:bad_certificate":               {0, "tlswatch: no line matches the filters\n  --status matches no line: the logs have Failed:ClientAlert:unknown_ca, Failed:SomethingNew, Success\n"},
		"--key-exchange x25519MLKEM786":                             {0, "tlswatch: --key-exchange \"x25519MLKEM786\" matches no line and is not a known key exchange; did you mean X25519MLKEM768?\n"},
		"--status expired":                                          {0, "tlswatch: --status \"expired\" matches no line and is not a known status; did you mean ClientCertExpired?\n"},
		"--status cert":                                             {0, "tlswatch: --status \"cert\" matches no line and is not a known status\n"},
		"--status HandshakeNotCompleted,ClientCertRejected,success": {1, ""},
		"--status ClientCertExpire":                                 {0, "tlswatch: --status \"ClientCertExpire\" matches no line and is not a known status; did you mean ClientCertExpired?\n"},
		"--status \x1b[2J":                                          {0, "tlswatch: --status \"\\x1b[2J\" matches no line and is not a known status\n"},
	} {
		f, err := filterOf(t, args)
		if err != nil {
			t.Fatal(err)
		}
		passes := 0
		for i := range lines {
			if f.Match(&lines[i]) {
				passes++
			}
		}
		var says strings.Builder
		if f.WarnNothing(&says); passes != want.passes || says.String() != want.says {
			t.Errorf("%s: %d lines pass, and it says %q", args, passes, says.String())
		}
	}
}

// A log object is left out only if no line of it can pass.
func TestFilterObject(t *testing.T) {
	k := logkey.Key{LoadBalancer: "app/shop/1", PeriodEnd: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	for args, want := range map[string]bool{
		"":                          true,
		"--failed":                  true,
		"--load-balancer shop":      true,
		"--load-balancer other":     false,
		"--since 2026-11-23T10:04Z": true,
		"--since 2026-11-23T10:06Z": false,
		"--until 2026-11-23T09:51Z": true,
		"--until 2026-11-23T09:50Z": false,
	} {
		if f, err := filterOf(t, args); err != nil || f.MatchObject(k) != want {
			t.Errorf("%s: %v, %v", args, !want, err)
		}
	}
}

// The connections in a TLS log may have begun long before it ends, and a vended
// log's key tells little.
func TestFilterVendedObject(t *testing.T) {
	for _, test := range []struct {
		key, args string
		want      bool
	}{
		{"123456789012_elasticloadbalancing_us-east-2_net.edge.1_20261123T1000Z_a.log.gz", "--until 2026-11-22", true},
		{"123456789012_elasticloadbalancing_us-east-2_net.edge.1_20261123T1000Z_a.log.gz", "--since 2026-11-23T10:06Z", false},
		{"x/us-east-2/2026/11/23/a.json.gz", "--load-balancer shop", true},
		{"x/us-east-2/2026/11/23/a.json.gz", "--since 2026-11-23T23:50Z", true},
		{"x/us-east-2/2026/11/23/a.json.gz", "--since 2026-11-24T00:10Z", false},
		{"x/us-east-2/2026/11/23/a.json.gz", "--until 2026-11-22T23:50Z", false},
	} {
		k, err := logkey.Parse(test.key)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := filterOf(t, test.args); err != nil || f.MatchObject(k) != test.want {
			t.Errorf("%s %s: %v, %v", test.key, test.args, !test.want, err)
		}
	}
}

// If no line passes, the user learns what the logs have instead.
func TestFilterNothing(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	var lines []connlog.Entry
	for i := range 30 {
		lines = append(lines, connlog.Entry{
			Time: at.Add(time.Duration(i) * time.Second), Client: netip.MustParseAddr("203.0.113.7"), ListenerPort: []uint16{443, 80, 8443}[i%3], Status: "Success",
			Protocol: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", LoadBalancer: fmt.Sprintf("app/shop-%02d/50dc6c495c0c9188", i),
		})
	}
	const cover = ": the logs found cover 2026-11-23 10:00:00 to 2026-11-23 10:00:29 UTC\n"
	for args, want := range map[string]string{
		"--port 81":                                                "no line matches the filters" + cover + "  --port matches no line: the logs have 80, 443, 8443\n",
		"--failed --port 81":                                       "no line matches the filters" + cover + "  --port matches no line: the logs have 80, 443, 8443\n  --failed matches no line\n",
		"--client 10.0.0.0/8 --protocol TLSv1.2":                   "no line matches the filters" + cover + "  --client matches no line\n  --protocol matches no line: the logs have TLSv1.3\n",
		"--key-exchange P-256":                                     "no line matches the filters" + cover + "  --key-exchange matches no line: the logs have -\n",
		"--since 11:00":                                            "no line matches the filters: the logs found end at 2026-11-23 10:00:29 UTC, and --since starts at 2026-11-23 11:00:00 UTC\n",
		"--until 9:00":                                             "no line matches the filters: the logs found start at 2026-11-23 10:00:00 UTC, and --until ends at 2026-11-23 09:00:00 UTC\n",
		"--since 10:00:08.5 --until 10:00:09":                      "no line matches the filters" + cover,
		"--since 10:00:08 --until 10:00:09 --port 443":             "no line matches the filters" + cover + "  each filter matches some line, but no line matches all of them\n",
		"--load-balancer shop-00 --port 8443":                      "no line matches the filters" + cover + "  each filter matches some line, but no line matches all of them\n",
		"--load-balancer shop-00,Shop-8":                           `--load-balancer "Shop-8" matches nothing: the logs have app/shop-08/50dc6c495c0c9188, ` + "app/shop-18/50dc6c495c0c9188, app/shop-28/50dc6c495c0c9188, app/shop-00/50dc6c495c0c9188, app/shop-01/50dc6c495c0c9188, app/shop-02/50dc6c495c0c9188, app/shop-03/50dc6c495c0c9188, app/shop-04/50dc6c495c0c9188, app/shop-05/50dc6c495c0c9188, app/shop-06/50dc6c495c0c9188 and 20 more\n",
		"--load-balancer shop-*":                                   "",
		"--load-balancer shop-* --ignore 203.0.113.7":              "",
		"--load-balancer shop-00 --load-balancer shop-0? --failed": "no line matches the filters" + cover + "  --failed matches no line\n",
	} {
		f, err := filterOf(t, args)
		if err != nil {
			t.Fatal(err)
		}
		for i := range lines {
			f.Match(&lines[i])
			f.cover(Span{lines[i].Time, lines[i].Time})
		}
		var says strings.Builder
		if f.WarnNothing(&says); strings.TrimPrefix(says.String(), "tlswatch: ") != want {
			t.Errorf("%s says %q\nwant %q", args, says.String(), want)
		}
	}
	f, err := filterOf(t, "--load-balancer shop")
	if err != nil {
		t.Fatal(err)
	}
	var says strings.Builder
	f.Match(&connlog.Entry{Time: at})
	if f.WarnNothing(&says); says.String() != "tlswatch: --load-balancer \"shop\" matches nothing: the logs name no load balancer; AWS puts it in their file names\n" {
		t.Errorf("without names: %q", says.String())
	}
}

// What the logs have is remembered up to a bound.
func TestValuesAreBounded(t *testing.T) {
	var v values
	for i := range 3 * maxValues {
		v.add(strconv.Itoa(i) + strings.Repeat("x", 64<<10))
	}
	list := v.list()
	if n := len(list); n != maxValues {
		t.Errorf("%d values", n)
	}
	for _, text := range list {
		if len(text) > maxValue {
			t.Fatalf("a value of %d bytes", len(text))
		}
	}
}

func TestIgnored(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	checkers := file("checkers.txt", "# health checkers\r\n\r\n 10.0.0.0/24 # zone a\r\n10.0.2.5\r\n2001:db8::/32\r\n")
	for _, test := range []struct {
		args, in, out string
	}{
		{"--ignore 10.0.0.5", "10.0.0.5", "10.0.0.4 10.0.0.6 ::a00:5"},
		{"--ignore 10.0.0.5,10.0.2.5 --ignore 2001:db8::1", "10.0.0.5 10.0.2.5 2001:db8::1", "10.0.1.5 2001:db8::2"},
		{"--ignore 10.0.0.0/8 --ignore 10.2.0.0/16 --ignore 10.0.0.0/24 --ignore 11.0.0.0", "10.0.0.0 10.0.1.0 10.2.0.1 10.255.255.255 11.0.0.0", "9.255.255.255 11.0.0.1"},
		{"--ignore ::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"},
		{"--ignore ::/0", "::1 2001:db8::1", "10.0.0.5"},
		{"--ignore @" + checkers, "10.0.0.1 10.0.2.5 2001:db8:1::", "10.0.2.4 2001:db9::"},
		{"--ignore " + checkers + " --ignore 10.0.2.4", "10.0.0.1 10.0.2.5 10.0.2.4", "10.0.2.6"},
	} {
		f, err := filterOf(t, test.args)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		for want, list := range map[bool]string{true: test.in, false: test.out} {
			for _, a := range strings.Fields(list) {
				if f.Ignores(&connlog.Entry{Client: netip.MustParseAddr(a)}) != want {
					t.Errorf("%s: %s is ignored: %v", test.args, a, !want)
				}
			}
		}
		if f.Ignores(&connlog.Entry{}) {
			t.Errorf("%s ignores lines without a client", test.args)
		}
	}
	wrong := file("wrong.txt", "10.0.0.0/24\n\n10.0.0.0/33 # typo\n")
	if _, err := filterOf(t, "--ignore @"+wrong); err == nil || err.Error() != "--ignore: "+wrong+`:3: want an address or a CIDR block, not "10.0.0.0/33"` {
		t.Errorf("%v", err)
	}
}

// The set contains what one of its blocks contains.
func FuzzIgnored(f *testing.F) {
	f.Add([]byte{10, 0, 0, 0, 8, 10, 2, 0, 0, 16, 10, 0, 0, 0, 24}, []byte{10, 2, 0, 1})
	f.Add([]byte{0, 0, 0, 0, 0}, []byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, blocks, client []byte) {
		var args []string
		want := false
		a, ok := netip.AddrFromSlice(client)
		for ; len(blocks) >= 5; blocks = blocks[5:] {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte(blocks)), int(blocks[4])%33).Masked()
			args = append(args, p.String())
			want = want || p.Contains(a)
		}
		set, err := parseIgnored(args)
		if err != nil {
			t.Fatal(err)
		}
		if ok && set.contains(a) != want {
			t.Errorf("%v contains %v: %v, want %v", set, a, !want, want)
		}
	})
}
