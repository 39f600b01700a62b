package realtls

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// identities are certificates with their keys: files that the servers and clients read.
type identities struct {
	dir  string
	pool *x509.CertPool
}

// newIdentities makes an RSA and an ECDSA certificate.
func newIdentities(t *testing.T) *identities {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ids := &identities{dir: t.TempDir(), pool: x509.NewCertPool()}
	var all []byte
	for kind, key := range map[secpolicy.KeyKinds]crypto.Signer{secpolicy.RSA: r, secpolicy.ECDSA: e} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(kind)), Subject: pkix.Name{CommonName: kind.String()}, DNSNames: []string{host},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		ids.write(t, kind.String()+".pem", append(slices.Clone(certificate), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...))
		// For Java. Without openssl, no Java client has a certificate.
		exec.Command("openssl", "pkcs12", "-export", "-in", ids.file(kind), "-out", ids.file(kind)+".p12", "-passout", "pass:secret").Run()
		ids.pool.AppendCertsFromPEM(certificate)
		all = append(all, certificate...)
	}
	ids.write(t, "ca.pem", all)
	return ids
}

func (ids *identities) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(ids.dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// file is the path of a certificate with its key.
func (ids *identities) file(kind secpolicy.KeyKinds) string {
	return filepath.Join(ids.dir, kind.String()+".pem")
}

// kinds splits a set of kinds.
func kinds(set secpolicy.KeyKinds) (list []secpolicy.KeyKinds) {
	for _, k := range []secpolicy.KeyKinds{secpolicy.RSA, secpolicy.ECDSA} {
		if set&k != 0 {
			list = append(list, k)
		}
	}
	return list
}

// A server is set up as a policy, as far as it can.
type server struct {
	program      string
	address      string
	policy       *secpolicy.Policy // as it is set up
	certificates secpolicy.KeyKinds
	ordered      bool // it takes the first suite of the policy that fits
	mutual       bool // it requires a client certificate
}

func (s *server) String() string {
	text := fmt.Sprintf("%s as %s, certificate %s", s.program, strings.TrimPrefix(s.policy.Name, secpolicy.Prefix), s.certificates)
	if s.mutual {
		text += ", mutual"
	}
	return text
}

// restricted returns a copy of the policy with the suites that a server supports, and
// without post-quantum groups.
func restricted(p *secpolicy.Policy, supports func(tlsname.Suite) bool) *secpolicy.Policy {
	q := *p
	q.Ciphers = slices.DeleteFunc(slices.Clone(p.Ciphers), func(s tlsname.Suite) bool { return !supports(s) })
	q.Groups = slices.DeleteFunc(slices.Clone(p.Groups), tlsname.Group.PostQuantum)
	return &q
}

// newGo starts a server of crypto/tls. It has suites and groups of the policy, but its own
// order, signature schemes and TLS 1.3 suites.
func newGo(t *testing.T, ids *identities, p *secpolicy.Policy, certificates secpolicy.KeyKinds, mutual bool) *server {
	t.Helper()
	config := &tls.Config{MinVersion: uint16(p.MinVersion()), MaxVersion: uint16(p.MaxVersion()), CipherSuites: []uint16{}}
	q := restricted(p, func(s tlsname.Suite) bool { return s.UsableIn(tlsname.TLS13) || slices.Contains(goOrder, s) })
	q.Ciphers = nil
	if p.MaxVersion() == tlsname.TLS13 {
		q.Ciphers = []tlsname.Suite{0x1301, 0x1302, 0x1303}
	}
	for _, s := range goOrder {
		if slices.Contains(p.Ciphers, s) {
			q.Ciphers = append(q.Ciphers, s)
			config.CipherSuites = append(config.CipherSuites, uint16(s))
		}
	}
	q.SignatureSchemes, q.Groups = usualSchemes, p.Groups
	for _, g := range q.Groups {
		config.CurvePreferences = append(config.CurvePreferences, tls.CurveID(g))
	}
	for _, kind := range kinds(certificates) {
		pair, err := tls.LoadX509KeyPair(ids.file(kind), ids.file(kind))
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = append(config.Certificates, pair)
	}
	if mutual {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, ids.pool
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(time.Minute))
				if _, err := conn.Read(make([]byte, 1000)); err == nil {
					io.WriteString(conn, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	// With two certificates, crypto/tls takes the first one that the client can use.
	return &server{"crypto/tls", l.Addr().String(), q, certificates, certificates != secpolicy.RSA|secpolicy.ECDSA, mutual}
}

// usualSchemes are those that crypto/tls and GnuTLS have.
var usualSchemes = []tlsname.SignatureScheme{0x0804, 0x0805, 0x0806, 0x0403, 0x0503, 0x0603, 0x0401, 0x0501, 0x0601}

// goOrder is the order of crypto/tls for TLS 1.2 and below, apart from suites that no policy has:
// https://pkg.go.dev/crypto/tls, cipher_suites.go.
var goOrder = []tlsname.Suite{
	0xc02b, 0xc02f, 0xc02c, 0xc030, // ECDHE with GCM
	0xc009, 0xc013, 0xc00a, 0xc014, // ECDHE with CBC and SHA-1
	0x009c, 0x009d, 0x002f, 0x0035, 0x000a, // RSA
	0xc023, 0xc027, 0x003c, // CBC with SHA-256
}

// newOpenSSL starts openssl s_server. It has all of the policy but the post-quantum groups.
func newOpenSSL(t *testing.T, ids *identities, p *secpolicy.Policy, certificates secpolicy.KeyKinds, mutual bool) *server {
	t.Helper()
	q := restricted(p, func(tlsname.Suite) bool { return true })
	var older, newer, groups, schemes []string
	for _, s := range q.Ciphers {
		if s.UsableIn(tlsname.TLS13) {
			newer = append(newer, s.String())
		} else {
			older = append(older, s.String())
		}
	}
	for _, g := range q.Groups {
		groups = append(groups, map[tlsname.Group]string{0x001d: "X25519", 0x0017: "P-256", 0x0018: "P-384", 0x0019: "P-521"}[g])
	}
	for _, s := range q.SignatureSchemes {
		name := s.String()
		if hash, ok := map[tlsname.SignatureScheme]string{2: "SHA1", 3: "SHA224", 4: "SHA256", 5: "SHA384", 6: "SHA512"}[s>>8]; ok {
			name = map[tlsname.SignatureScheme]string{1: "RSA", 3: "ECDSA"}[s&0xff] + "+" + hash
		}
		schemes = append(schemes, name)
	}
	args := []string{"s_server", "-accept", "127.0.0.1:0", "-serverpref", "-no_ticket", "-no_comp", "-www",
		"-min_protocol", q.MinVersion().String(), "-max_protocol", q.MaxVersion().String(),
		"-cipher", cmp.Or(strings.Join(older, ":"), "NULL") + ":@SECLEVEL=0", "-groups", strings.Join(groups, ":"), "-sigalgs", strings.Join(schemes, ":")}
	if newer != nil {
		args = append(args, "-ciphersuites", strings.Join(newer, ":"))
	}
	flags := []string{"-cert", "-key"}
	for _, kind := range kinds(certificates) {
		args = append(args, flags[0], ids.file(kind), flags[1], ids.file(kind))
		flags = []string{"-dcert", "-dkey"}
	}
	if mutual {
		args = append(args, "-Verify", "1", "-verify_return_error", "-CAfile", filepath.Join(ids.dir, "ca.pem"))
	}
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, cmd)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if address, ok := strings.CutPrefix(lines.Text(), "ACCEPT "); ok {
			go io.Copy(io.Discard, stdout)
			return &server{"openssl s_server", address, q, certificates, true, mutual}
		}
	}
	cmd.Wait()
	t.Fatalf("%q ends at once: %s", cmd.Args, &stderr)
	return nil
}

// start starts a server. It ends with the test.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// dialable waits until a server accepts connections.
func dialable(t *testing.T, address string, stderr *bytes.Buffer) {
	t.Helper()
	for range 200 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s does not answer: %s", address, stderr)
}

// newGnuTLS starts gnutls-serv. It has the policy's suites and groups where GnuTLS can
// express them, but its own order and signature schemes.
func newGnuTLS(t *testing.T, ids *identities, p *secpolicy.Policy, certificates secpolicy.KeyKinds, mutual bool) *server {
	t.Helper()
	q := restricted(p, func(tlsname.Suite) bool { return true })
	priority := []string{"NONE", "%COMPAT", "+COMP-NULL", "+SIGN-ALL", "+SIGN-RSA-SHA1", "+SIGN-ECDSA-SHA1", "+CTYPE-X509"}
	add := func(words ...string) {
		for _, w := range words {
			if !slices.Contains(priority, "+"+w) {
				priority = append(priority, "+"+w)
			}
		}
	}
	for _, v := range q.Protocols {
		add("VERS-" + map[tlsname.Version]string{tlsname.TLS10: "TLS1.0", tlsname.TLS11: "TLS1.1", tlsname.TLS12: "TLS1.2", tlsname.TLS13: "TLS1.3"}[v])
	}
	// ChaCha20 would also come with TLS 1.2.
	q.Ciphers = slices.DeleteFunc(q.Ciphers, func(s tlsname.Suite) bool { return s == 0x1303 })
	for _, s := range q.Ciphers {
		add(strings.ReplaceAll(s.Encryption(), "_", "-"))
		switch kx := s.KeyExchange(); {
		case s.UsableIn(tlsname.TLS13):
		case kx == "ECDHE":
			add("ECDHE-" + s.Authentication())
		default:
			add(kx)
		}
		add(map[string]string{"SHA": "SHA1"}[s.MAC()], s.MAC())
	}
	for _, g := range q.Groups {
		add("GROUP-" + strings.ToUpper(strings.TrimSuffix(g.String(), "")))
	}
	priority = slices.DeleteFunc(priority, func(s string) bool { return s == "+" || s == "+SHA" })
	text := strings.Join(priority, ":")
	if got := gnuTLSSuites(t, text); !slices.Equal(got, slices.Sorted(slices.Values(q.Ciphers))) {
		t.Fatalf("%s: GnuTLS has %s with %s, want %s", p.Name, got, text, q.Ciphers)
	}
	port := freePort(t)
	args := []string{"--http", "--noticket", "--nodb", "--priority", text, "--port", fmt.Sprint(port)}
	for _, kind := range kinds(certificates) {
		args = append(args, "--x509certfile", ids.file(kind), "--x509keyfile", ids.file(kind))
	}
	if mutual {
		args = append(args, "--require-client-cert", "--verify-client-cert", "--x509cafile", filepath.Join(ids.dir, "ca.pem"))
	} else {
		args = append(args, "--disable-client-cert")
	}
	q.SignatureSchemes = usualSchemes
	cmd := exec.CommandContext(t.Context(), "gnutls-serv", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start(t, cmd)
	dialable(t, local(port), &stderr)
	return &server{"gnutls-serv", local(port), q, certificates, false, mutual}
}

// gnuTLSSuites returns the suites of a priority string, sorted.
func gnuTLSSuites(t *testing.T, priority string) (list []tlsname.Suite) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "gnutls-cli", "--list", "--priority", priority).CombinedOutput()
	if err != nil {
		t.Fatalf("gnutls-cli --list --priority %s: %v\n%s", priority, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[0], "TLS_") {
			s, err := tlsname.ParseSuite(f[0])
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, s)
		}
	}
	slices.Sort(list)
	return list
}

// freePort returns a port that nothing listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
