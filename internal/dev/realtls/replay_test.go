package realtls

import (
	"bytes"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"testing"
	"time"

	"tlswatch/pkg/clienthello/tlswire"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsclient"
	"tlswatch/pkg/tlsname"
)

// TestReplay sends what each known client offers to servers that are set up as policies,
// and compares their choice with what tlsclient says. crypto/tls has its own order of groups.
func TestReplay(t *testing.T) {
	needReal(t)
	ids := newIdentities(t)
	shares := keyShares(t)
	accepted, refused, unknown, groups := 0, 0, 0, 0
	for _, name := range []string{"2016-08", "TLS13-1-0-2021-06", "TLS13-1-2-Res-PQ-2025-09"} {
		policy, err := secpolicy.Lookup(secpolicy.Prefix + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []secpolicy.KeyKinds{secpolicy.RSA, secpolicy.ECDSA} {
			servers := []*server{newGo(t, ids, policy, kind, false)}
			if _, err := exec.LookPath("openssl"); err == nil {
				servers = append(servers, newOpenSSL(t, ids, policy, kind, false))
			} else {
				t.Log("SKIPPED: openssl is not on PATH")
			}
			for _, s := range servers {
				clients := tlsclient.Clients()
				for i := range clients {
					c := &clients[i]
					if c.Offer.Versions[0] < tlsname.TLS10 {
						continue // crypto/tls and OpenSSL no longer know SSL 3.0
					}
					n := tlsclient.Negotiate(s.policy, c, kind)[0]
					chosen, err := ask(s.address, rawHello(c, shares))
					says := fmt.Sprintf("%s to %s: %s, %s", c, s, n.Outcome, n.Verdict.Reason)
					switch {
					case err != nil:
						t.Errorf("%s; %v", says, err)
					case n.Outcome == tlsclient.MayFail:
						unknown++
					case n.Outcome == tlsclient.Refused:
						if refused++; chosen != nil {
							t.Errorf("%s; but it negotiates %s with %s", says, chosen.Version, chosen.CipherSuite)
						}
					case chosen == nil:
						t.Errorf("%s; but it fails", says)
					case chosen.Version != n.Verdict.Version() || chosen.CipherSuite != n.Verdict.Suite && c.Offer.Suites[0] != 0x1303:
						t.Errorf("%s; but it negotiates %s with %s", says, chosen.Version, chosen.CipherSuite)
					case s.program != "crypto/tls" && !sameGroup(&n, chosen):
						t.Errorf("%s with %s; but it chooses %s", says, n.Group, chosen.Group)
					default:
						accepted++
						if n.Group != 0 && chosen.Group == n.Group {
							groups++
						}
					}
				}
			}
		}
	}
	t.Logf("%d accepted, %d of them with the same group, %d refused, %d unknown", accepted, groups, refused, unknown)
	if accepted < 1000 || groups < 1000 || refused < 200 || unknown > 50 {
		t.Error("too few answers, or too many unknown")
	}
}

// ask sends a ClientHello and returns the ServerHello, nil if the server refuses. In TLS
// 1.2, the group is that of the ServerKeyExchange.
func ask(address string, hello []byte) (*tlswire.ServerHello, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write(hello); err != nil {
		return nil, err
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	if first[0] == 21 { // alert
		return nil, nil
	}
	flight := &messages{r: io.MultiReader(bytes.NewReader(first), conn)}
	message, err := flight.next()
	if err != nil {
		return nil, err
	}
	chosen, err := tlswire.ParseServerHello(message)
	for err == nil && chosen.Version < tlsname.TLS13 && chosen.CipherSuite.KeyExchange() == "ECDHE" && chosen.Group == 0 {
		if message, err = flight.next(); err == nil && message[0] == tlswire.TypeServerKeyExchange {
			chosen.Group = tlswire.GroupOfServerKeyExchange(message)
		}
	}
	return chosen, err
}

// messages reads handshake messages from records.
type messages struct {
	r    io.Reader
	data []byte
}

func (m *messages) next() ([]byte, error) {
	for {
		if len(m.data) >= 4 {
			if n := 4 + int(binary.BigEndian.Uint32(m.data)&0xffffff); len(m.data) >= n {
				message := m.data[:n]
				m.data = m.data[n:]
				return message, nil
			}
		}
		header := make([]byte, 5)
		if _, err := io.ReadFull(m.r, header); err != nil {
			return nil, err
		}
		body := make([]byte, binary.BigEndian.Uint16(header[3:]))
		if _, err := io.ReadFull(m.r, body); err != nil {
			return nil, err
		}
		if header[0] != 22 {
			return nil, fmt.Errorf("a record of type %d", header[0])
		}
		m.data = append(m.data, body...)
	}
}

// sameGroup compares the group that OpenSSL chose. It prefers the client's first key
// share to the policy's order, other than s2n-tls.
func sameGroup(n *tlsclient.Negotiation, chosen *tlswire.ServerHello) bool {
	if n.Group == 0 || chosen.Group == n.Group {
		return true
	}
	shares := slices.DeleteFunc(slices.Clone(n.Client.KeyShares), func(g tlsname.Group) bool { return !slices.Contains(n.Verdict.Policy.Groups, g) })
	return chosen.Version == tlsname.TLS13 && len(shares) > 0 && chosen.Group == shares[0]
}

// rawHello returns a ClientHello with the offer of a client.
func rawHello(c *tlsclient.Client, shares map[tlsname.Group][]byte) []byte {
	highest := min(c.Offer.Versions[0], tlsname.TLS12)
	var extensions []byte
	add := func(number uint16, data []byte) {
		extensions = slices.Concat(extensions, values(number), vector(2, data))
	}
	add(0, vector(2, slices.Concat([]byte{0}, vector(2, []byte(host)))))
	add(0xff01, []byte{0})
	if c.Offer.Groups != nil {
		add(10, vector(2, values(c.Offer.Groups...)))
		add(11, []byte{1, 0})
	}
	if c.Offer.SignatureSchemes != nil {
		add(13, vector(2, values(c.Offer.SignatureSchemes...)))
	}
	if c.Offer.Versions[0] == tlsname.TLS13 {
		add(43, vector(1, values(c.Offer.Versions...)))
		var keys []byte
		for _, g := range c.KeyShares {
			key := shares[g]
			if key == nil {
				key = make([]byte, 32) // of a group that no server knows
			}
			keys = slices.Concat(keys, values(g), vector(2, key))
		}
		add(51, vector(2, keys))
	}
	body := slices.Concat(values(highest), bytes.Repeat([]byte{7}, 32), vector(1, nil), vector(2, values(c.Offer.Suites...)), []byte{1, 0}, vector(2, extensions))
	message := append([]byte{1}, vector(3, body)...)
	return append([]byte{22, 3, 1}, vector(2, message)...)
}

// vector returns data after its length.
func vector(size int, data []byte) []byte {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	return append(length[4-size:], data...)
}

func values[T ~uint16](list ...T) (b []byte) {
	for _, v := range list {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	return b
}

// keyShares returns a public key for each group that a server may know.
func keyShares(t *testing.T) map[tlsname.Group][]byte {
	t.Helper()
	key := func(c ecdh.Curve) []byte {
		k, err := c.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k.PublicKey().Bytes()
	}
	k768, err := mlkem.GenerateKey768()
	if err != nil {
		t.Fatal(err)
	}
	k1024, err := mlkem.GenerateKey1024()
	if err != nil {
		t.Fatal(err)
	}
	return map[tlsname.Group][]byte{
		0x001d: key(ecdh.X25519()), 0x0017: key(ecdh.P256()), 0x0018: key(ecdh.P384()), 0x0019: key(ecdh.P521()),
		0x11ec: append(k768.EncapsulationKey().Bytes(), key(ecdh.X25519())...),
		0x11eb: append(key(ecdh.P256()), k768.EncapsulationKey().Bytes()...),
		0x11ed: append(key(ecdh.P384()), k1024.EncapsulationKey().Bytes()...),
	}
}
