package tlswire

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"tlswatch/pkg/tlsname"
)

// The ClientHelloInfo of crypto/tls equals what is decoded from the same bytes.
func TestParseEqualsCryptoTLS(t *testing.T) {
	for _, test := range []struct {
		name   string
		client func(*tls.Config)
	}{
		{"default", func(*tls.Config) {}},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{"TLS 1.0", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }},
		{"ALPN", func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }},
		{"one suite", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA}
		}},
		{"one group", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} }},
		{"address for a name", func(c *tls.Config) { c.ServerName = "192.0.2.1" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := new(tls.Config)
			test.client(c)
			client, _, info := exchange(t, c)
			h, err := ParseClientHello(firstMessage(client))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "suites", h.CipherSuites, info.CipherSuites)
			equal(t, "groups", h.Groups, info.SupportedCurves)
			equal(t, "signature schemes", h.SignatureSchemes, info.SignatureSchemes)
			equal(t, "versions", h.Versions(), info.SupportedVersions)
			equal(t, "extensions", h.extensionTypes(), info.Extensions)
			if h.ServerName != info.ServerName || !slices.Equal(h.ALPN, info.SupportedProtos) {
				t.Errorf("name %q, ALPN %q, want %q, %q", h.ServerName, h.ALPN, info.ServerName, info.SupportedProtos)
			}
		})
	}
}

func equal[A, B ~uint16](t *testing.T, what string, got []A, want []B) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a A, b B) bool { return uint16(a) == uint16(b) }) {
		t.Errorf("%s: got %x, want %x", what, got, want)
	}
}

// No strict prefix of a ClientHello is accepted: with its header unchanged it is
// incomplete, and with an adapted header it is malformed. The exception is the prefix
// before the extensions, which old clients do not have.
func TestPrefixes(t *testing.T) {
	message := helloOf(t, &tls.Config{})
	if _, err := ParseClientHello(message); err != nil {
		t.Fatal(err)
	}
	for n := range message {
		h, err := ParseClientHello(message[:n])
		if !errors.Is(err, ErrIncomplete) {
			t.Fatalf("%d of %d bytes: %v", n, len(message), err)
		}
		if h == nil {
			t.Fatalf("%d bytes: no ClientHello with the error", n)
		}
		if n < 4 {
			continue
		}
		fitting := slices.Clone(message[:n])
		fitting[1], fitting[2], fitting[3] = 0, byte((n-4)>>8), byte(n-4)
		if h, err := ParseClientHello(fitting); err == nil && len(h.Extensions) > 0 {
			t.Fatalf("%d of %d bytes, with that length: decoded", n, len(message))
		} else if errors.Is(err, ErrIncomplete) {
			t.Fatalf("%d of %d bytes, with that length: %v", n, len(message), err)
		}
	}
	if _, err := ParseClientHello(append(slices.Clone(message), 0)); err == nil {
		t.Error("a byte too many is accepted")
	}
}

// build makes a ClientHello message.
func build(suites []tlsname.Suite, extensions ...Extension) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint8(TypeClientHello)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(0x0303)
		b.AddBytes(make([]byte, 32))
		b.AddUint8(0)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, s := range suites {
				b.AddUint16(uint16(s))
			}
		})
		b.AddBytes([]byte{1, 0})
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, e := range extensions {
				b.AddUint16(uint16(e.Type))
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.data) })
			}
		})
	})
	return b.BytesOrPanic()
}

func list(prefix int, values ...uint16) []byte {
	var data []byte
	for _, v := range values {
		data = binary.BigEndian.AppendUint16(data, v)
	}
	if prefix == 1 {
		return append([]byte{byte(len(data))}, data...)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
}

func TestParseMalformed(t *testing.T) {
	ok := build([]tlsname.Suite{0x1301})
	for _, test := range []struct {
		name    string
		message []byte
		want    string // in the error
	}{
		{"another message", append([]byte{2}, ok[1:]...), "message type 2"},
		{"no suites", build(nil), "cipher_suites"},
		{"an extension twice", build([]tlsname.Suite{1}, Extension{23, nil}, Extension{23, nil}), "extended_master_secret: twice"},
		{"odd groups", build([]tlsname.Suite{1}, Extension{10, []byte{0, 3, 0, 29, 0}}), "supported_groups: a list of 3 bytes"},
		{"groups that end early", build([]tlsname.Suite{1}, Extension{10, []byte{0, 4, 0, 29}}), "supported_groups: malformed"},
		{"bytes behind groups", build([]tlsname.Suite{1}, Extension{10, []byte{0, 2, 0, 29, 0}}), "supported_groups: malformed"},
		{"no versions", build([]tlsname.Suite{1}, Extension{43, []byte{0}}), "supported_versions: a list of 0 bytes"},
		{"an empty name", build([]tlsname.Suite{1}, Extension{0, []byte{0, 3, 0, 0, 0}}), "server_name: malformed"},
		{"an empty protocol", build([]tlsname.Suite{1}, Extension{16, []byte{0, 1, 0}}), "negotiation: malformed"},
		{"a key share without a key", build([]tlsname.Suite{1}, Extension{51, []byte{0, 4, 0, 29, 0, 0}}), "key_share: malformed"},
		{"odd schemes of certificates", build([]tlsname.Suite{1}, Extension{50, []byte{0, 3, 4, 3, 4}}), "signature_algorithms_cert: a list of 3 bytes"},
		{"no modes of pre-shared keys", build([]tlsname.Suite{1}, Extension{45, []byte{0}}), "psk_key_exchange_modes: malformed"},
		{"a master secret with a value", build([]tlsname.Suite{1}, Extension{23, []byte{0}}), "extended_master_secret: malformed"},
		{"a pre-shared key without binders", build([]tlsname.Suite{1}, Extension{41, []byte{0, 7, 0, 1, 9, 0, 0, 0, 0, 0, 0}}), "pre_shared_key: malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseClientHello(test.message)
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, ErrIncomplete) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestParseFeatures(t *testing.T) {
	h, err := ParseClientHello(build([]tlsname.Suite{0x2a2a, 0x1301, 0x00ff, 0x5600},
		Extension{0x3a3a, nil},
		Extension{extSupportedVersions, list(1, 0x4a4a, 0x0304, 0x0303)},
		Extension{extSupportedGroups, list(2, 0x5a5a, 0x11ec, 0x001d)},
		Extension{extKeyShare, []byte{0, 10, 0x5a, 0x5a, 0, 1, 0, 0x11, 0xec, 0, 1, 7}},
		Extension{extSignatureAlgorithms, list(2, 0x0403)},
		Extension{extSignatureAlgorithmsCert, list(2, 0x0804)},
		Extension{extPSKKeyExchangeModes, []byte{1, 1}},
		Extension{extEarlyData, nil},
		Extension{extSessionTicket, []byte("ticket")},
		Extension{extExtendedMasterSecret, nil},
		Extension{extStatusRequest, []byte{1, 0, 0, 0, 0}},
		Extension{extEncryptedClientHello, []byte{0}},
		Extension{extPreSharedKey, []byte{0, 7, 0, 1, 9, 0, 0, 0, 0, 0, 2, 1, 5}},
	))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "suites", h.CipherSuites, []uint16{0x2a2a, 0x1301, 0x00ff, 0x5600})
	equal(t, "versions", h.Versions(), []uint16{0x0304, 0x0303})
	equal(t, "groups", h.Groups, []uint16{0x5a5a, 0x11ec, 0x001d})
	equal(t, "key shares", h.KeyShares, []uint16{0x5a5a, 0x11ec})
	if !h.KeyShares[1].PostQuantum() || h.Groups[2].PostQuantum() {
		t.Error("post-quantum groups are not told from others")
	}
	if !h.SecureRenegotiation || !h.FallbackSCSV || !h.EarlyData || !h.SessionTicket ||
		!h.EncryptedClientHello || h.PSKIdentities != 1 {
		t.Errorf("features are missing: %+v", h)
	}
	if got := h.Extensions[0].Type.String(); got != "GREASE(0x3A3A)" {
		t.Errorf("the first extension is %s", got)
	}
	if strings.Contains(h.ja3(), "10794") || !strings.HasPrefix(h.JA4(), "t13i0312") {
		t.Errorf("GREASE is in a fingerprint: %s, %s", h.ja3(), h.JA4())
	}
}

// The fingerprints of published ClientHellos (JA4's in its form before hashing).
func TestJA4(t *testing.T) {
	for _, test := range []struct{ want, suites, extensions, schemes string }{
		{"t13d1516h2_8daaf6152771_d8a2da3f94cd",
			"1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035",
			"002d,0033,0010,fe0d,0017,44cd,0000,000b,000a,002b,ff01,0023,0012,0005,000d,001b",
			"0403,0804,0401,0503,0805,0501,0806,0601"},
		{"t13i1011h2_61a7ad8aa9b6_69ed562cf35e",
			"00ff,1301,1302,1303,c02b,c02c,c02f,c030,cca8,cca9",
			"0005,000a,000b,000d,0017,001b,0023,002b,002d,0033,0010",
			"0503,0403,0807,0806,0805,0804,0601,0501,0401"},
	} {
		h := &ClientHello{SupportedVersions: []tlsname.Version{0x0a0a, 0x0303, 0x0304}, ALPN: []string{"h2", "http/1.1"}}
		for _, v := range parseHexList(t, test.suites) {
			h.CipherSuites = append(h.CipherSuites, tlsname.Suite(v))
		}
		for _, v := range parseHexList(t, test.extensions) {
			h.Extensions = append(h.Extensions, Extension{Type: ExtensionType(v)})
		}
		for _, v := range parseHexList(t, test.schemes) {
			h.SignatureSchemes = append(h.SignatureSchemes, tlsname.SignatureScheme(v))
		}
		if got := h.JA4(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
	for alpn, want := range map[string]string{
		"h2": "h2", "http/1.1": "h1", "q": "qq",
		"\xab": "ab", "\xab\xcd": "ad", "0\xab": "3b", "01\xab\xcd": "3d", "0\xab\xcd1": "01",
	} {
		h := &ClientHello{ALPN: []string{alpn}}
		if got := h.ja4ALPN(); got != want {
			t.Errorf("ALPN %q: got %s, want %s", alpn, got, want)
		}
	}
	if got, want := (&ClientHello{LegacyVersion: 0x0303}).JA4(), "t12i000000_000000000000_000000000000"; got != want {
		t.Errorf("of nothing: got %s, want %s", got, want)
	}
}

func parseHexList(t *testing.T, s string) []uint16 {
	t.Helper()
	var list []uint16
	for part := range strings.SplitSeq(s, ",") {
		v, err := tlsname.ParseSuite("0x" + part) // any number
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, uint16(v))
	}
	return list
}

func TestVersionsWithoutExtension(t *testing.T) {
	for legacy, want := range map[tlsname.Version][]uint16{
		0x0303: {0x0303, 0x0302, 0x0301}, 0x0301: {0x0301}, 0x0300: {0x0300}, 0x0304: {0x0303, 0x0302, 0x0301},
	} {
		equal(t, legacy.String(), (&ClientHello{LegacyVersion: legacy}).Versions(), want)
	}
}
