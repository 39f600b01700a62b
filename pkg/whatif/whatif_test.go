package whatif

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/secpolicy"
)

var update = flag.Bool("update", false, "rewrite golden files")

func lookup(t *testing.T, name string) *secpolicy.Policy {
	t.Helper()
	p, err := secpolicy.Lookup(secpolicy.Prefix + name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// question returns a question, with an unknown current policy if from is "".
func question(t *testing.T, from, to string) Question {
	t.Helper()
	q := Question{To: lookup(t, to), Policies: secpolicy.Builtin()}
	if from != "" {
		p := lookup(t, from)
		q.From = func(Listener) *secpolicy.Policy { return p }
	}
	return q
}

func success(protocol, cipher, group string) Kind {
	return Kind{Protocol: protocol, Cipher: cipher, KeyExchange: group, Status: connlog.StatusSuccess}
}

func failed(protocol, cipher string) Kind {
	return Kind{Protocol: protocol, Cipher: cipher, Status: "Failed:UnmappedConnectionError"}
}

// rsa shows that the listener has an RSA certificate.
var rsa = success("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1")

// TestPredictions compares predictions with the reasons that people read.
func TestPredictions(t *testing.T) {
	const (
		old     = "2016-08"
		current = "TLS13-1-2-2021-06"
		ext2    = "TLS13-1-2-Ext2-2021-06"
		res     = "TLS13-1-2-Res-PQ-2025-09"
		fs      = "FS-1-2-Res-2019-08"
		fips    = "TLS13-1-2-FIPS-2023-04"
	)
	var golden strings.Builder
	for _, test := range []struct {
		name     string
		from, to string // from is "" if unknown
		kind     Kind
		want     Class
	}{
		{"TLS 1.3 stays", current, res, success("TLSv1.3", "TLS_AES_128_GCM_SHA256", "x25519"), KeepsWorking},
		{"TLS 1.0 goes", old, "TLS-1-2-Ext-2018-06", success("TLSv1", "ECDHE-RSA-AES256-SHA", "secp256r1"), Breaks},
		{"TLS 1.0 goes, even with TLS 1.3 added: nobody has that without TLS 1.2", old, current, success("TLSv1", "ECDHE-RSA-AES256-SHA", "secp256r1"), Breaks},
		{"TLS 1.0 goes, current policy not known", "", current, success("TLSv1", "ECDHE-RSA-AES256-SHA", "secp256r1"), Unknown},
		{"TLS 1.3 for all", old, "TLS13-1-3-2021-06", success("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1"), Unknown},
		{"TLS 1.3 for all who would have it", ext2, "TLS13-1-3-2021-06", success("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "x25519"), Breaks},
		{"the first suite stays", ext2, current, success("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1"), KeepsWorking},
		{"the suite goes, a later one may do", "TLS13-1-2-Ext1-2021-06", "TLS13-1-2-Res-2021-06", success("TLSv1.2", "ECDHE-RSA-AES128-SHA256", "secp256r1"), Unknown},
		{"the suite goes, and better ones the client has not", ext2, current, success("TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1"), Breaks},
		{"static RSA goes", ext2, current, success("TLSv1.2", "AES128-SHA", ""), Breaks},
		{"static RSA goes, TLS 1.3 comes", old, current, success("TLSv1.2", "AES128-SHA", ""), Unknown},
		{"static RSA goes, the order is not confirmed", "TLS13-1-2-Ext2-PQ-2025-09", current, success("TLSv1.2", "AES128-SHA", ""), Unknown},
		{"an RSA suite goes, ECDSA before it", ext2, fs, success("TLSv1.2", "ECDHE-RSA-AES128-SHA", "secp256r1"), Unknown},
		{"an ECDSA suite goes, RSA before it proves nothing", ext2, "TLS13-1-2-Res-2021-06", success("TLSv1.2", "ECDHE-ECDSA-AES256-SHA", "secp256r1"), Unknown},
		{"known from one source", ext2, "TLS13-1-2-Ext1-PQ-2025-09", success("TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1"), Unknown},
		{"the group goes", current, "TLS13-1-2-FIPS-2023-04", success("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "x25519"), Unknown},
		{"the group is not in the log", current, "TLS13-1-2-FIPS-2023-04", success("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", ""), Unknown},
		{"SHA-1 signatures go", ext2, "TLS13-1-2-Ext2-FIPS-2023-04", success("TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1"), Unknown},
		{"not what the current policy has", current, res, success("TLSv1.2", "AES128-SHA", ""), Unknown},
		{"article, loosened", current, ext2, failed("TLSv1.2", "ECDHE-RSA-AES256-SHA"), Likely},
		{"article, loosened otherwise", current, "TLS13-1-2-Ext1-2021-06", failed("TLSv1.2", "ECDHE-RSA-AES256-SHA"), Unknown},
		{"article, tightened", current, "TLS13-1-2-Res-2021-06", failed("TLSv1.2", "ECDHE-RSA-AES256-SHA"), StillFails},
		{"no such certificate is known", current, ext2, failed("TLSv1.2", "ECDHE-ECDSA-AES256-SHA"), Unknown},
		{"failed for another reason", current, ext2, failed("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256"), Unknown},
		{"failed under a policy that is not known", "", ext2, failed("TLSv1.2", "ECDHE-RSA-AES256-SHA"), Unknown},
		{"in no policy for its version, and that not known", "", "TLS13-1-3-2021-06", failed("TLSv1.3", "TLS_AES_128_CCM_SHA256"), Unknown},
		{"negotiated what sources differ about", "TLS13-1-2-Ext1-PQ-2025-09", current, success("TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1"), Unknown},
		{"nothing in the log", current, ext2, failed("", ""), Unknown},
		{"client certificate", current, ext2, Kind{Protocol: "TLSv1.2", Cipher: "ECDHE-RSA-AES128-GCM-SHA256", Status: "Failed:ClientCertExpired"}, StillFails},
		{"client certificate and policy", current, ext2, Kind{Protocol: "TLSv1.2", Cipher: "ECDHE-RSA-AES128-GCM-SHA256", Status: "Failed:ClientCertIncompatible"}, Unknown},
		{"unreadable", current, ext2, success("TLSv1.2", "ROT13", ""), Unknown},
		{"no status", current, ext2, Kind{Protocol: "TLSv1.2", Cipher: "AES128-SHA"}, Unknown},
	} {
		q := question(t, test.from, test.to)
		f := q.Predict([]Kind{test.kind, rsa}, []Row{{Client: 0, Kind: 0, Connections: 1, Evidence: 1}, {Client: 1, Kind: 1, Evidence: 1}})
		if len(f.ByClient) != 1 {
			t.Errorf("%s: %+v", test.name, f)
			continue
		}
		c := f.ByClient[0]
		if c.Class != test.want || (c.Reason == "") != (c.Class == KeepsWorking || c.Class == Fixed) {
			t.Errorf("%s: %s, %s; want %s", test.name, c.Class, c.Reason, test.want)
		}
		fmt.Fprintf(&golden, "%s\n  %s %s under %s, to %s: %s\n  %s\n\n", test.name, test.kind.Protocol, test.kind.Cipher, cmp.Or(test.from, "?"), test.to,
			c.Class, cmp.Or(c.Reason, "-"))
	}
	const name = "testdata/whatif.txt"
	if *update {
		if err := os.WriteFile(name, []byte(golden.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), golden.String()); diff != "" {
		t.Errorf("%s; 'make golden' rewrites it: -want +got\n%s", name, diff)
	}
}
