package forecast

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/tlsname"
)

// An authority issues certificates.
type authority struct {
	t      *testing.T
	key    crypto.Signer
	cert   *x509.Certificate
	serial int64
}

var notBefore, notAfter = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)

// issue issues a certificate, for itself without a parent, and returns it as PEM.
func (a *authority) issue(parent *authority, name string, ca bool, algorithm x509.SignatureAlgorithm) []byte {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: name}, NotBefore: notBefore, NotAfter: notAfter,
		IsCA: ca, BasicConstraintsValid: true, SignatureAlgorithm: algorithm,
	}
	issuer, signer := template, a.key
	if parent != nil {
		issuer, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, a.key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func newAuthority(t *testing.T, key crypto.Signer, serial int64) *authority {
	return &authority{t: t, key: key, serial: serial}
}

func TestClientCertificates(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root, middle := newAuthority(t, r, 1), newAuthority(t, e, 2)
	rootPEM := root.issue(nil, "root", true, x509.SHA256WithRSA)
	middlePEM := middle.issue(root, "middle", true, x509.SHA384WithRSA)
	leaf := func(serial int64, parent *authority, algorithm x509.SignatureAlgorithm) []byte {
		return newAuthority(t, e, serial).issue(parent, "till", false, algorithm)
	}
	direct, below, pss := leaf(0x0a1b, root, x509.SHA256WithRSA), leaf(0x0a1c, middle, x509.ECDSAWithSHA512), leaf(0x0a1d, root, x509.SHA512WithRSAPSS)
	// crypto/x509 does not sign with SHA-1 and SHA-224, so only the name of the algorithm is theirs.
	rename := func(data []byte, last byte) []byte {
		block, _ := pem.Decode(data)
		pkcs1 := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01}
		der := bytes.ReplaceAll(block.Bytes, append(pkcs1, 0x0b), append(pkcs1, last))
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	sha1, sha224 := rename(leaf(0x0a1e, root, x509.SHA256WithRSA), 0x05), rename(leaf(0x0a1f, root, x509.SHA256WithRSA), 0x0e)
	orphan := newAuthority(t, e, 0x0a20).issue(&authority{cert: &x509.Certificate{Subject: pkix.Name{CommonName: "elsewhere"}}, key: r}, "till", false, x509.SHA256WithRSA)

	dir := t.TempDir()
	write := func(name string, parts ...[]byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, bytes.Join(parts, nil), 0o666); err != nil {
			t.Fatal(err)
		}
		return name
	}
	c, err := readClientCertificates([]string{write("issuers.pem", rootPEM, middlePEM), write("clients.pem", direct, below, pss, sha1, sha224, orphan)})
	if err != nil {
		t.Fatal(err)
	}
	if c.incomplete != 1 {
		t.Errorf("%d certificates without their issuer, want 1", c.incomplete)
	}
	entry := func(serial string, end time.Time) *connlog.Entry {
		return &connlog.Entry{ClientCert: connlog.ClientCert{Subject: []byte("CN=till"), Serial: []byte(serial), NotBefore: notBefore, NotAfter: end}}
	}
	for serial, want := range map[string][]tlsname.SignatureScheme{
		"0A1B": {0x0401}, "0a1b": {0x0401}, "A1C": {0x0501, 0x0603}, "0A1D": {0x0806}, "0A1E": {0x0201}, "0A1F": {0x0301}, "0A20": nil, "0BAD": nil,
	} {
		if got := c.signatures[c.of(entry(serial, notAfter))-1]; !slices.Equal(got, want) {
			t.Errorf("%s is signed with %v, want %v", serial, got, want)
		}
	}
	if got := c.of(entry("0A1B", notAfter.Add(time.Hour))); got != 1 {
		t.Errorf("another certificate with the same serial number: %d", got)
	}
	if got := c.of(&connlog.Entry{}); got != 0 {
		t.Errorf("no certificate: %d", got)
	}
	for name, want := range map[string]string{
		write("empty.pem"): "has no certificate in PEM format",
		write("broken.pem", rootPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1, 2}})): "certificate 2: ",
		filepath.Join(dir, "missing.pem"):                                "no such file",
		write("key.pem", []byte("-----BEGIN X-----\n-----END X-----\n")): "has no certificate in PEM format",
	} {
		if _, err := readClientCertificates([]string{name}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
