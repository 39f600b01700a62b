package tlsclient

import (
	"slices"
	"strings"
	"testing"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

func TestClients(t *testing.T) {
	names := make(map[string]bool)
	for i := range clients {
		c := &clients[i]
		if names[c.String()] {
			t.Errorf("%s is there twice", c)
		}
		names[c.String()] = true
		if len(c.Offer.Versions) == 0 || len(c.Offer.Suites) == 0 || len(c.JA4) != 36 {
			t.Errorf("%s: %+v", c, c)
		}
		for _, s := range c.Offer.Suites {
			if s.IsGREASE() || s.IsSignalling() {
				t.Errorf("%s offers %s", c, s)
			}
		}
		if !slices.IsSortedFunc(c.Offer.Versions, func(a, b tlsname.Version) int { return int(b) - int(a) }) {
			t.Errorf("%s: versions %s are not highest first", c, c.Offer.Versions)
		}
		if shares := c.KeyShares != nil; shares != (c.Offer.Versions[0] == tlsname.TLS13) && !hasDraft(c) {
			t.Errorf("%s: highest version %s, key shares %s", c, c.Offer.Versions[0], c.KeyShares)
		}
		for _, g := range c.KeyShares {
			if !slices.Contains(c.Offer.Groups, g) {
				t.Errorf("%s: key share of %s, which it does not offer", c, g)
			}
		}
	}
}

// hasDraft reports whether the client offers a draft of TLS 1.3, which the table leaves
// out.
func hasDraft(c *Client) bool { return strings.HasPrefix(c.JA4, "t00") }

// find returns the clients whose names begin with the prefixes.
func find(t *testing.T, prefixes ...string) []*Client {
	t.Helper()
	var list []*Client
	for _, prefix := range prefixes {
		n := len(list)
		for i := range clients {
			if name := clients[i].String(); name == prefix || strings.HasPrefix(name, prefix+" ") {
				list = append(list, &clients[i])
			}
		}
		if len(list) == n {
			t.Fatalf("no client %q", prefix)
		}
	}
	return list
}

func TestNames(t *testing.T) {
	for _, test := range []struct {
		clients []string
		want    string
	}{
		{[]string{"Java 7u25"}, "Java 7u25"},
		{[]string{"Chrome 31", "Chrome 30"}, "Chrome 30 and 31"},
		{[]string{"Chrome 30", "Chrome 31", "Chrome 32", "Chrome 33"}, "Chrome 30 to 33"},
		{[]string{"Chrome 27", "Chrome 28", "Chrome 29", "Chrome 31", "Chrome 33"}, "Chrome 27 to 29, 31 and 33"},
		{[]string{"IE 11 on Windows 7", "IE 11 on Windows 8.1", "IE 11 on Windows Phone 8.1 Update"}, "IE 11 on Windows 7, 8.1 and Phone 8.1 Update"},
		{[]string{"IE 8 on Windows XP", "IE 9"}, "IE 8 on Windows XP and 9"},
		{[]string{"IE 11"}, "IE 11"},
		{[]string{"Googlebot 2013-10", "Android 4.3", "Java 7u25", "Opera 16", "IE 9", "Opera 15"}, "Opera 15 and 16; IE 9; Java 7u25; Android 4.3; Googlebot 2013-10"},
	} {
		if got := strings.Join(Names(find(t, test.clients...)), "; "); got != test.want {
			t.Errorf("%q: got %q, want %q", test.clients, got, test.want)
		}
	}
	if got := Names(nil); got != nil {
		t.Errorf("no clients: %q", got)
	}
}

func policy(t *testing.T, name string) *secpolicy.Policy {
	t.Helper()
	p, err := secpolicy.Lookup(secpolicy.Prefix + name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func suite(t *testing.T, name string) tlsname.Suite {
	t.Helper()
	s, err := tlsname.ParseSuite(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is publicly known about programs.
func TestNegotiate(t *testing.T) {
	for _, test := range []struct {
		client, policy string
		want           string
	}{
		{"Java 7u25", "TLS13-1-2-2021-06", "refused"},
		{"Java 7u25", "2016-08", "RSA TLSv1 ECDHE-RSA-AES128-SHA secp256r1; ECDSA TLSv1 ECDHE-ECDSA-AES128-SHA secp256r1"},
		{"Java 6u45", "2016-08", "RSA TLSv1 AES128-SHA; ECDSA refused"},
		{"Java 8u31", "TLS13-1-2-Res-2021-06", "RSA TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp256r1; ECDSA TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 secp256r1"},
		{"IE 8 on Windows XP", "2016-08", "refused"},
		{"IE 11 on Windows 7", "TLS13-1-2-2021-06", "RSA TLSv1.2 ECDHE-RSA-AES128-SHA256 secp256r1; ECDSA TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 secp256r1"},
		{"IE 11 on Windows 7", "TLS13-1-2-Res-2021-06", "RSA refused; ECDSA TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 secp256r1"},
		{"Chromium 137", "TLS13-1-2-Res-PQ-2025-09", "any TLSv1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768"},
		{"Chromium 137", "TLS13-1-2-Res-2021-06", "any TLSv1.3 TLS_AES_128_GCM_SHA256 x25519"},
		{"Chromium 137", "TLS13-1-3-FIPS-2023-04", "any TLSv1.3 TLS_AES_128_GCM_SHA256 secp256r1"}, // after a HelloRetryRequest
		{"OpenSSL 0.9.8y", "TLS13-1-0-2021-06", "RSA TLSv1 AES128-SHA; ECDSA refused"},
		{"Android 7.0", "TLS13-1-2-RFC9151-FIPS-2023-07", "RSA may-fail TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384; ECDSA may-fail TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384"},
	} {
		var got []string
		for _, n := range Negotiate(policy(t, test.policy), find(t, test.client)[0], 0) {
			var words []string
			if n.Certificates != 0 {
				words = append(words, n.Certificates.String())
			} else if n.Outcome != Refused {
				words = append(words, "any")
			}
			if n.Outcome != Accepted {
				words = append(words, string(n.Outcome))
			}
			if n.Verdict.Accepted {
				words = append(words, n.Verdict.Version().String(), n.Verdict.Suite.String())
			}
			if n.Group != 0 {
				words = append(words, n.Group.String())
			}
			got = append(got, strings.Join(words, " "))
		}
		if text := strings.Join(got, "; "); text != test.want {
			t.Errorf("%s at %s: got %q, want %q", test.client, test.policy, text, test.want)
		}
	}
}

func TestChanges(t *testing.T) {
	lost := func(a, b string) (names []string) {
		for _, c := range Changes(policy(t, a), policy(t, b)) {
			if c.Lost() {
				names = append(names, c.Client.String()+" "+c.Certificates.String())
			}
		}
		return names
	}
	gained := 0
	for _, c := range Changes(policy(t, "TLS13-1-2-2021-06"), policy(t, "2016-08")) {
		if c.Gained() {
			gained++
		}
		if c.Lost() {
			t.Errorf("%s is lost", c.Client)
		}
	}
	got := lost("2016-08", "TLS13-1-2-2021-06")
	if len(got) != gained || !slices.Contains(got, "Java 7u25 unknown") || !slices.Contains(got, "Java 6u45 RSA") {
		t.Errorf("lost %q, gained back %d", got, gained)
	}
	if got := lost("TLS13-1-2-2021-06", "2016-08"); got != nil {
		t.Errorf("lost %q", got)
	}
	atRisk := 0
	for _, c := range Changes(policy(t, "TLS13-1-2-Res-2021-06"), policy(t, "TLS13-1-2-RFC9151-INTEROP1-FIPS-2023-07")) {
		if c.AtRisk() {
			atRisk++
		}
	}
	for _, c := range Changes(policy(t, "TLS13-1-2-Res-2021-06"), policy(t, "TLS13-1-2-RFC9151-FIPS-2023-07")) {
		if c.AtRisk() && c.Client.Software == "Android" && c.Client.Version == "7.0" {
			atRisk += 1000
		}
	}
	if atRisk < 1000 || atRisk%1000 > 100 {
		t.Errorf("%d at risk", atRisk)
	}
}

func TestConsistent(t *testing.T) {
	for _, test := range []struct {
		name      string
		policy    string
		version   tlsname.Version
		suite     string
		group     tlsname.Group
		fit       []string
		not       []string
		noneSince int
		text      string
	}{
		{
			name: "CBC although GCM is preferred", policy: "2016-08", version: tlsname.TLS12, suite: "ECDHE-RSA-AES128-SHA256",
			fit: []string{"IE 11 on Windows 7", "IE 11 on Windows 8.1", "Safari 7", "Safari 8"}, not: []string{"Chromium 137", "IE 11 on Windows 10", "Java 8u31", "Safari 9"},
			noneSince: 2016, text: "consistent with Safari 5, 6, 7 and 8, IE 11 on Windows 7, 8.1, Phone 8.1 and Phone 8.1 Update, 360 Browser 7.5, Chrome 30 and Opera 17; not with any known browser since 2016",
		},
		{
			name: "TLS 1.2 where TLS 1.3 was to be had", policy: "TLS13-1-2-2021-06", version: tlsname.TLS12, suite: "ECDHE-RSA-AES128-GCM-SHA256",
			fit: []string{"Java 8u31", "Safari 9"}, not: []string{"Chromium 137", "Chrome 70"}, noneSince: 2020,
		},
		{
			name: "a hybrid group", policy: "TLS13-1-2-Res-PQ-2025-09", version: tlsname.TLS13, suite: "TLS_AES_128_GCM_SHA256", group: 0x11ec,
			fit: []string{"Chromium 137", "Firefox 137"}, not: []string{"Chrome 101"},
		},
		{
			name: "the policy has no such version: it was another one", policy: "TLS13-1-2-2021-06", version: tlsname.TLS10, suite: "AES128-SHA",
			fit: []string{"Java 6u45", "Chrome 79"}, not: []string{"Chromium 137", "IE 6"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Consistent(Sighting{version: test.version, suite: suite(t, test.suite), group: test.group, Policy: policy(t, test.policy)})
			for _, client := range find(t, test.fit...) {
				if !slices.Contains(c.fits, client) {
					t.Errorf("%s does not fit", client)
				}
			}
			for _, client := range find(t, test.not...) {
				if slices.Contains(c.fits, client) {
					t.Errorf("%s fits", client)
				}
			}
			if test.noneSince != 0 && c.noBrowserSince != test.noneSince {
				t.Errorf("no browser since %d, want %d", c.noBrowserSince, test.noneSince)
			}
			if got := c.String(); test.text != "" && got != test.text {
				t.Errorf("got  %q\nwant %q", got, test.text)
			}
		})
	}
	c := Consistent(Sighting{version: tlsname.TLS12, suite: suite(t, "RC4-SHA"), group: 0x11ec})
	if got := c.String(); got != "unknown: no known program negotiates this in its default settings" {
		t.Errorf("impossible: %q", got)
	}
	c = Consistent(Sighting{version: tlsname.TLS12, suite: suite(t, "AES128-SHA")})
	if got := c.String(); !strings.HasPrefix(got, "unknown: consistent with ") {
		t.Errorf("common, and no policy: %q", got)
	}
}

func TestIdentify(t *testing.T) {
	for i := range clients {
		c := &clients[i]
		if m := Identify(c.JA4, c.Offer); m.Basis != byJA4 || !slices.Contains(m.Clients, c) {
			t.Errorf("%s: %s", c, &m)
		}
		if m := Identify("", c.Offer); m.Basis != byOffer || !slices.Contains(m.Clients, c) {
			t.Errorf("%s without a fingerprint: %s", c, &m)
		}
	}
	known := find(t, "Java 8u161")[0]
	o := known.Offer
	o.Groups = append(slices.Clone(o.Groups), 0x001d, 0x0a0a)
	m := Identify("", o)
	if got := m.String(); m.Basis != noBasis || m.Clients != nil || got != "unknown; closest: Java 8u161 (also x25519)" {
		t.Errorf("one group more: %s", got)
	}
	o.Groups = slices.Clone(known.Offer.Groups)
	slices.Reverse(o.Groups)
	m = Identify("", o)
	if got := m.String(); m.Basis != noBasis || got != "unknown; closest: Java 8u161 (another order)" {
		t.Errorf("another order: %s", got)
	}
	m = Identify("", secpolicy.Offer{Versions: []tlsname.Version{tlsname.TLS12}, Suites: []tlsname.Suite{0x1301}})
	if got := m.String(); m.Closest != nil || got != "unknown" {
		t.Errorf("nothing like it: %s", got)
	}
	m = Identify(find(t, "Chrome 73")[0].JA4, secpolicy.Offer{})
	if got := m.String(); !strings.HasPrefix(got, "like Chrome 72 to 79") || !strings.Contains(got, "Opera") || !strings.HasSuffix(got, " (same JA4)") {
		t.Errorf("several with one fingerprint: %s", got)
	}
}
