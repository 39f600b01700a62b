package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/pkg/connlog"
)

func filterOf(t *testing.T, args string) (*filter, error) {
	t.Helper()
	var o filterFlags
	cmd := &cobra.Command{}
	o.register(cmd)
	if err := cmd.ParseFlags(strings.Fields(args)); err != nil {
		return nil, err
	}
	return o.parse(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
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
		"--load-balancer app/shop/50dc6c495c0c9188":  true,
		"--load-balancer other,shop":                 true,
		"--load-balancer 50dc6c495c0c9188":           false,
		"--listener-port 443":                        true,
		"--listener-port 80 --listener-port 443":     true,
		"--listener-port 80":                         false,
		"--client 203.0.113.7":                       true,
		"--client 203.0.113.0/24":                    true,
		"--client 203.0.113.9/24":                    true, // a block by any of its addresses
		"--client ::ffff:203.0.113.7":                true,
		"--client 198.51.100.0/24,2001:db8::/32":     false,
		"--protocol tlsv1.2":                         true,
		"--protocol TLSv1.3":                         false,
		"--protocol -":                               false,
		"--cipher ECDHE-RSA-AES256-SHA":              true,
		"--cipher none":                              false,
		"--status ClientCertExpired":                 true,
		"--status failed:clientcertexpired":          true,
		"--status Failed":                            true,
		"--status Success,-":                         false,
		"--failed":                                   true,
		"--failed --status Success":                  false,
		"--failed --client 203.0.113.7 --protocol -": false,
		"--failed --client 203.0.113.7 --since 3h":   true,
	} {
		f, err := filterOf(t, args)
		if err != nil || f.match(&e) != want {
			t.Errorf("%s: %v, %v", args, !want, err)
		}
	}
	plain := connlog.Entry{Time: e.Time}
	for args, want := range map[string]bool{"--failed": false, "--status -": true, "--protocol -": true, "--client ::/0": false, "--load-balancer x": false} {
		if f, err := filterOf(t, args); err != nil || f.match(&plain) != want {
			t.Errorf("an empty line, %s: %v, %v", args, !want, err)
		}
	}
	for args, says := range map[string]string{
		"--since soon":            `--since "soon": want an RFC 3339 time`,
		"--until 25:00":           `--until "25:00": want`,
		"--since 2h --until 3h":   "--until 3h is not after --since 2h",
		"--listener-port 65536":   "--listener-port 65536",
		"--client example.com":    `--client "example.com": want an address`,
		"--client 203.0.113.0/33": "want an address or a CIDR block",
		"--listener-port https":   "invalid argument",
	} {
		if _, err := filterOf(t, args); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v does not say %q", args, err, says)
		}
	}
}

// A log object is left out only if no line of it can pass.
func TestFilterObject(t *testing.T) {
	k := connlog.ObjectKey{LoadBalancer: "app/shop/1", PeriodEnd: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
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
		if f, err := filterOf(t, args); err != nil || f.matchObject(k) != want {
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
		k, err := connlog.ParseObjectKey(test.key)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := filterOf(t, test.args); err != nil || f.matchObject(k) != test.want {
			t.Errorf("%s %s: %v, %v", test.key, test.args, !test.want, err)
		}
	}
}
