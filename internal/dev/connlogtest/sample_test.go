package connlogtest_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/logkey"
)

var update = flag.Bool("update", false, "rewrite the files in events/sample")

const sampleDir = "../../../events/sample/"

// The two entries that AWS documents.
const documented = `2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 "CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US" NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z FEF257372D5C14D4 Success TID_3180a73013c8ca4bac2f731159d4b0fe
2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 - "CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US" NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z FEF257372D5C14D4 Failed:ClientCertUntrusted TID_1c71a68d70587445ad5127ff8b2687d7
`

// A real log of a listener without TLS.
const plaintext = `2025-07-18T12:51:25.299253Z 52.34.228.235 38910 80 - - - "-" - - - TID_3f9ddfa803beb546812b02872b46c30b
2025-07-18T12:53:57.927158Z 194.187.176.230 39186 80 - - - "-" - - - TID_dfd1bb2c2d198d49bf7e60d5d4923716
2025-07-18T12:53:58.060623Z 194.187.176.20 39196 80 - - - "-" - - - TID_ae26435390adcd4aafa1ea41eb2b35b9
`

// Lines of the newest format, with all 15 fields.
const newest = `2026-09-23T07:11:27.691358Z 49.36.71.40 64326 443 TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 0.337 "-" - - Success TID_9f39d9aa6a47774d97089313f949866b secp256r1 app/k8s-tileserver-617dd1df30/98e3a879de9d6b42 3.228.177.57
2026-09-23T07:11:32.882572Z 147.185.132.159 61814 80 - - - "-" - - - TID_14bdaac20df9aa4ca3139b3168e4e071 - app/k8s-tileserver-617dd1df30/98e3a879de9d6b42 3.228.177.57
2026-09-23T07:12:01.000000Z 198.51.100.7 50000 443 - - - "-" - - - TID_aa - app/k8s-tileserver-617dd1df30/98e3a879de9d6b42 3.228.177.57
`

// busy is five minutes of a node with clients that fail.
func busy(t *testing.T) string {
	var b strings.Builder
	err := connlogtest.Write(&b, connlogtest.Options{
		Seed:         1,
		Lines:        2500,
		Start:        time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC),
		LoadBalancer: "app/shop/50dc6c495c0c9188",
		Node:         "192.0.2.10",
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The files hold what this test says, under names that log objects have.
func TestSample(t *testing.T) {
	files := map[string]string{
		"conn_log_123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20231004T1710Z_172.160.001.192_20sg8hgm.log.gz":        documented,
		"conn_log_971937583728_elasticloadbalancing_eu-west-2_app.lb-01.e3610968cb568663_20250718T1255Z_13.42.111.243_468dygp7.log":                       plaintext,
		"conn_log_702656214742_elasticloadbalancing_us-east-1_app.k8s-tileserver-617dd1df30.98e3a879de9d6b42_20260923T0715Z_54.81.166.60_57hw2gm1.log.gz": newest,
		"conn_log_123456789012_elasticloadbalancing_eu-central-1_app.shop.50dc6c495c0c9188_20261123T1005Z_192.0.2.10_k3x9w2pq.log.gz":                     busy(t),
	}
	for name, want := range files {
		if _, err := logkey.Parse(name); err != nil {
			t.Error(err)
		}
		if *update {
			if err := os.WriteFile(sampleDir+name, pack(t, name, want), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		data, err := os.ReadFile(sampleDir + name)
		if err != nil {
			t.Fatal(err)
		}
		if got := unpack(t, name, data); got != want {
			t.Errorf("%s differs; 'go test ./internal/dev/connlogtest -update' rewrites it", name)
		}
	}
	entries, err := os.ReadDir(sampleDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "README.md" && files[e.Name()] == "" {
			t.Errorf("%s is not made by this test", e.Name())
		}
	}
}

func pack(t *testing.T, name, text string) []byte {
	if !strings.HasSuffix(name, ".gz") {
		return []byte(text)
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(t *testing.T, name string, data []byte) string {
	if !strings.HasSuffix(name, ".gz") {
		return string(data)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
