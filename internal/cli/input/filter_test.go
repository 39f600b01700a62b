package input

import (
	"net/netip"
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
		"--load-balancer app/shop/50dc6c495c0c9188":   true,
		"--load-balancer other,shop":                  true,
		"--load-balancer 50dc6c495c0c9188":            false,
		"--port 443":                                  true,
		"--port 80 --port 443":                        true,
		"--port 80":                                   false,
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
	for args, want := range map[string]bool{"--failed": false, "--status -": true, "--protocol -": true, "--client ::/0": false, "--load-balancer x": false} {
		if f, err := filterOf(t, args); err != nil || f.Match(&plain) != want {
			t.Errorf("an empty line, %s: %v, %v", args, !want, err)
		}
	}
	for args, says := range map[string]string{
		"--since soon":            `--since "soon" is not a time: use an RFC 3339 time`,
		"--until 25:00":           `--until "25:00" is not a time: use`,
		"--since 2h --until 3h":   "--until 3h is not after --since 2h",
		"--port 65536":            "--port must be a number from 1 to 65535, not 65536",
		"--client example.com":    `--client must be an address or a CIDR block, not "example.com"`,
		"--client 203.0.113.0/33": `--client must be an address or a CIDR block, not "203.0.113.0/33"`,
		"--port https":            "invalid argument",
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
		"--protocol TLSv1.3 --cipher AES128-SHA":                    {0, "tlswatch: no line matches the filters\n"}, // known, and not there
		"--cipher None":                                             {1, ""},
		"--protocol qtlsv9":                                         {1, ""},
		"--protocol TLSv1.4":                                        {0, "tlswatch: --protocol \"TLSv1.4\" matches no line and is not a known protocol; did you mean TLSv1.3?\n"},
		"--protocol 0x0305,tlsv1.3":                                 {1, "tlswatch: --protocol \"0x0305\" matches no line and is not a known protocol\n"},
		"--cipher some-new-suite":                                   {1, ""},
		"--cipher some-new-suite --status Failed":                   {0, "tlswatch: no line matches the filters\n"},
		"--cipher ECDHE-RSA-AES128-GCM-SHA265":                      {0, "tlswatch: --cipher \"ECDHE-RSA-AES128-GCM-SHA265\" matches no line and is not a known cipher suite; did you mean ECDHE-RSA-AES128-GCM-SHA256?\n"},
		"--cipher TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA25":             {0, "tlswatch: --cipher \"TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA25\" matches no line and is not a known cipher suite; did you mean TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256?\n"},
		"--cipher 0x9999":                                           {0, "tlswatch: --cipher \"0x9999\" matches no line and is not a known cipher suite\n"},
		"--status somethingnew,failed:SomethingNew":                 {1, ""},
		"--status ClientAlert:unknown_ca":                           {1, ""},
		"--status Failed:ClientAlert:bad_certificate":               {0, "tlswatch: no line matches the filters\n"},
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
