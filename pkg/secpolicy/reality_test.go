package secpolicy

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
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tlswatch/pkg/tlsname"
)

// These tests compare verdicts with real servers: a server restricted to a
// policy's protocols and cipher suites must answer a ClientHello as Accepts
// predicts. The tests encode the ClientHello and decode the ServerHello
// themselves, because no client library offers every combination.

// hello offers the versions and suites of o in order, with groups and signature
// schemes that every server supports.
func hello(o Offer) []byte {
	vector := func(size int, data []byte) []byte {
		length := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
		return append(length[4-size:], data...)
	}
	list := func(values ...uint16) []byte {
		var b []byte
		for _, v := range values {
			b = binary.BigEndian.AppendUint16(b, v)
		}
		return b
	}
	extension := func(number uint16, data []byte) []byte { return append(list(number), vector(2, data)...) }
	highest := slices.Max(o.Versions)
	legacy := min(uint16(highest), uint16(tlsname.TLS12))
	var versions, suites []uint16
	for _, v := range slices.Backward(slices.Sorted(slices.Values(o.Versions))) {
		versions = append(versions, uint16(v))
	}
	for _, s := range o.Suites {
		suites = append(suites, uint16(s))
	}
	extensions := slices.Concat(
		extension(10, vector(2, list(0x001d, 0x0017, 0x0018))),                                         // supported_groups
		extension(11, []byte{1, 0}),                                                                    // ec_point_formats
		extension(13, vector(2, list(0x0804, 0x0403, 0x0401, 0x0503, 0x0501, 0x0805, 0x0201, 0x0203))), // signature_algorithms
		extension(0xff01, []byte{0}),                                                                   // renegotiation_info
	)
	if highest >= tlsname.TLS13 {
		share := bytes.Repeat([]byte{9}, 32)
		extensions = slices.Concat(extensions,
			extension(43, vector(1, list(versions...))),                         // supported_versions
			extension(51, vector(2, append(list(0x001d), vector(2, share)...))), // key_share
		)
	}
	body := slices.Concat(list(legacy), bytes.Repeat([]byte{7}, 32), vector(1, nil), vector(2, list(suites...)), []byte{1, 0}, vector(2, extensions))
	record := append([]byte{1}, vector(3, body)...)
	return append([]byte{22, 3, 1}, vector(2, record)...)
}

// ask sends a ClientHello and returns what the server negotiates, or false if it
// refuses.
func ask(conn net.Conn, o Offer) (v tlsname.Version, s tlsname.Suite, ok bool, err error) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write(hello(o)); err != nil {
		return 0, 0, false, err
	}
	r := bufio.NewReader(conn)
	header := make([]byte, 5)
	if _, err := io.ReadFull(r, header); err != nil {
		return 0, 0, false, fmt.Errorf("no answer: %w", err)
	}
	record := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(r, record); err != nil {
		return 0, 0, false, err
	}
	switch header[0] {
	case 21: // alert
		return 0, 0, false, nil
	case 22:
	default:
		return 0, 0, false, fmt.Errorf("record of type %d", header[0])
	}
	b := record
	if len(b) < 39 || b[0] != 2 || len(b) < 39+int(b[38])+3 {
		return 0, 0, false, errors.New("no ServerHello")
	}
	v = tlsname.Version(binary.BigEndian.Uint16(b[4:]))
	b = b[39+int(b[38]):]
	s = tlsname.Suite(binary.BigEndian.Uint16(b))
	if b = b[3:]; len(b) >= 2 {
		b = b[2:]
	}
	for len(b) >= 4 {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < 4+n {
			return 0, 0, false, errors.New("ServerHello is cut")
		}
		if binary.BigEndian.Uint16(b) == 43 && n == 2 { // supported_versions
			v = tlsname.Version(binary.BigEndian.Uint16(b[4:]))
		}
		b = b[4+n:]
	}
	// A client rejects a version that it did not offer.
	return v, s, slices.Contains(o.Versions, v), nil
}

// offers returns every pair of version and suite, and random combinations.
func offers(r *mathrand.Rand, mixtures int) []Offer {
	suites := append(slices.Clone(lookupAny("TLS13-1-2-Ext2-2021-06").Ciphers), 0x000a, 0x0033, 0xcca8, 0x1304)
	versions := []tlsname.Version{tlsname.TLS10, tlsname.TLS11, tlsname.TLS12, tlsname.TLS13}
	var list []Offer
	for _, v := range versions {
		for _, s := range suites {
			list = append(list, Offer{Versions: []tlsname.Version{v}, Suites: []tlsname.Suite{s}})
		}
	}
	for range mixtures {
		lowest := r.IntN(4)
		o := Offer{Versions: versions[lowest : lowest+1+r.IntN(4-lowest)], Suites: some(r, suites, r.Float64())}
		o.Suites = append(o.Suites, 0x00ff) // a signalling value, which may be the only element
		r.Shuffle(len(o.Suites), func(i, j int) { o.Suites[i], o.Suites[j] = o.Suites[j], o.Suites[i] })
		list = append(list, o)
	}
	return list
}

// some returns each element of list with the given probability.
func some[T any](r *mathrand.Rand, list []T, chance float64) []T {
	var part []T
	for _, v := range list {
		if r.Float64() < chance {
			part = append(part, v)
		}
	}
	return part
}

func lookupAny(name string) *Policy {
	p, err := Lookup(Prefix + name)
	if err != nil {
		panic(err)
	}
	return p
}

// distinct returns one policy for each list of protocols and suites.
func distinct() []*Policy {
	var list []*Policy
	for i := range Builtin().Policies() {
		p := &Builtin().Policies()[i]
		if !slices.ContainsFunc(list, func(q *Policy) bool {
			return slices.Equal(p.Protocols, q.Protocols) && slices.Equal(p.Ciphers, q.Ciphers)
		}) {
			list = append(list, p)
		}
	}
	return list
}

// restricted returns the policy with only the suites that the server supports.
func (p *Policy) restricted(known func(tlsname.Suite) bool) *Policy {
	q := *p
	q.Ciphers = slices.DeleteFunc(slices.Clone(p.Ciphers), func(s tlsname.Suite) bool { return !known(s) })
	return &q
}

type keyPair struct {
	certificate []byte // DER
	key         crypto.Signer
}

func newKeyPair(t *testing.T, key crypto.Signer) keyPair {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{der, key}
}

// newKeyPairs returns an RSA and an ECDSA certificate.
func newKeyPairs(t *testing.T) map[KeyKinds]keyPair {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[KeyKinds]keyPair{RSA: newKeyPair(t, r), ECDSA: newKeyPair(t, e)}
}

// A judge compares servers' answers with verdicts.
type judge struct{ accepted, refused int }

// judge compares one answer. If the server has its own order of suites, judge
// compares only acceptance and version.
func (j *judge) judge(t *testing.T, p *Policy, o Offer, conn net.Conn, ownOrder bool) {
	t.Helper()
	v, s, ok, err := ask(conn, o)
	if err != nil {
		t.Errorf("%s, %v: %v", p.Name, o, err)
		return
	}
	verdict := p.Accepts(o)
	if ok != verdict.Accepted || ok && v != verdict.version || ok && !ownOrder && s != verdict.Suite {
		t.Errorf("%s, %v: the server answers %t, %s, %s; Accepts %+v", p.Name, o, ok, v, s, verdict)
	}
	if ok {
		j.accepted++
	} else {
		j.refused++
	}
}

// check requires that both answers occurred.
func (j *judge) check(t *testing.T) {
	t.Helper()
	t.Logf("%d accepted, %d refused", j.accepted, j.refused)
	if j.accepted < 300 || j.refused < 300 {
		t.Error("too few answers of one kind")
	}
}

func TestRealityCryptoTLS(t *testing.T) {
	t.Parallel()
	pairs := newKeyPairs(t)
	implemented := make(map[tlsname.Suite]bool)
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		implemented[tlsname.Suite(s.ID)] = true
	}
	r := mathrand.New(mathrand.NewPCG(4, 1))
	var j judge
	for i, p := range distinct() {
		p = p.restricted(func(s tlsname.Suite) bool { return implemented[s] })
		config := &tls.Config{MinVersion: uint16(p.MinVersion()), MaxVersion: uint16(p.MaxVersion())}
		certificates := []KeyKinds{RSA | ECDSA, RSA, ECDSA}[i%3]
		for kind, pair := range pairs {
			if certificates&kind != 0 {
				config.Certificates = append(config.Certificates, tls.Certificate{Certificate: [][]byte{pair.certificate}, PrivateKey: pair.key})
			}
		}
		config.CipherSuites = []uint16{}
		for _, s := range p.Ciphers {
			if !s.UsableIn(tlsname.TLS13) {
				config.CipherSuites = append(config.CipherSuites, uint16(s))
			}
		}
		if p.MaxVersion() == tlsname.TLS13 { // crypto/tls does not let its suites be chosen
			p.Ciphers = append(p.Ciphers, without([]tlsname.Suite{0x1301, 0x1302, 0x1303}, p.Ciphers)...)
		}
		for _, o := range offers(r, 20) {
			o.Certificates = certificates
			client, server := net.Pipe()
			go func() {
				tls.Server(server, config).Handshake()
				server.Close()
			}()
			j.judge(t, p, o, client, true)
		}
	}
	j.check(t)
}

func TestRealityOpenSSL(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("SKIPPED: openssl is not on PATH: verdicts were not compared with its server")
	}
	dir := t.TempDir()
	for kind, pair := range newKeyPairs(t) {
		key, err := x509.MarshalPKCS8PrivateKey(pair.key)
		if err != nil {
			t.Fatal(err)
		}
		text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.certificate}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
		if err := os.WriteFile(filepath.Join(dir, kind.String()), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(openssl, "ciphers", "-s", "-v", "ALL:@SECLEVEL=0").CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: %s cannot list its suites without security levels (%v): verdicts were not compared with its server", openssl, err)
	}
	implemented := make(map[tlsname.Suite]bool)
	for line := range strings.Lines(string(out)) {
		if s, err := tlsname.ParseSuite(strings.Fields(line)[0]); err == nil {
			implemented[s] = true
		}
	}
	r := mathrand.New(mathrand.NewPCG(4, 2))
	var j judge
	for i, p := range distinct() {
		p = p.restricted(func(s tlsname.Suite) bool { return implemented[s] })
		certificates := []KeyKinds{RSA | ECDSA, RSA, ECDSA}[i%3]
		address := startOpenSSL(t, openssl, dir, p, certificates)
		for _, o := range offers(r, 20) {
			o.Certificates = certificates
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			j.judge(t, p, o, conn, false)
		}
	}
	j.check(t)
}

var acceptLine = regexp.MustCompile(`^ACCEPT (.*)$`)

// startOpenSSL starts openssl s_server with the policy and returns its address.
func startOpenSSL(t *testing.T, openssl, dir string, p *Policy, certificates KeyKinds) string {
	t.Helper()
	var older, newer []string
	for _, s := range p.Ciphers {
		if s.UsableIn(tlsname.TLS13) {
			newer = append(newer, s.String())
		} else {
			older = append(older, s.String())
		}
	}
	protocol := func(v tlsname.Version) string { return v.String() }
	args := []string{"s_server", "-accept", "127.0.0.1:0", "-serverpref", "-no_ticket", "-no_comp", "-www",
		"-min_protocol", protocol(p.MinVersion()), "-max_protocol", protocol(p.MaxVersion()),
		"-cipher", cmp.Or(strings.Join(older, ":"), "NULL") + ":@SECLEVEL=0"}
	if newer != nil {
		args = append(args, "-ciphersuites", strings.Join(newer, ":"))
	}
	flags := []string{"-cert", "-key"}
	for _, kind := range []KeyKinds{RSA, ECDSA} {
		if certificates&kind != 0 {
			file := filepath.Join(dir, kind.String())
			args = append(args, flags[0], file, flags[1], file)
			flags = []string{"-dcert", "-dkey"}
		}
	}
	cmd := exec.CommandContext(t.Context(), openssl, args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if m := acceptLine.FindStringSubmatch(lines.Text()); m != nil {
			go io.Copy(io.Discard, stdout)
			return m[1]
		}
	}
	cmd.Wait()
	t.Fatalf("%q ends without an address: %s", args, &stderr)
	return ""
}
