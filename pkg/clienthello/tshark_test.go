package clienthello

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"
)

var update = flag.Bool("update", false, "rewrite testdata/captures/tshark.tsv, with tshark")

const tsharkFile = "testdata/captures/tshark.tsv"

// tsharkFields are what tshark prints of each ClientHello.
var tsharkFields = []string{
	"tcp.srcport", "tls.record.version", "tls.handshake.version", "tls.handshake.extensions.supported_version",
	"tls.handshake.ciphersuite", "tls.handshake.extensions_server_name", "tls.handshake.extensions_supported_group",
	"tls.handshake.extensions_key_share_group", "tls.handshake.sig_hash_alg", "tls.handshake.extensions_alpn_str", "tls.handshake.ja3",
}

// asTshark writes a handshake as tshark prints these fields.
func asTshark(h *Handshake) string {
	hello := h.Hello
	return strings.Join([]string{
		fmt.Sprint(h.Client.Port()), fmt.Sprintf("0x%04x", uint16(h.RecordVersion)), fmt.Sprintf("0x%04x", uint16(hello.LegacyVersion)),
		hexes(hello.SupportedVersions), hexes(hello.CipherSuites), hello.ServerName, hexes(hello.Groups),
		decimals(hello.KeyShares), hexes(slices.Concat(hello.SignatureSchemes, hello.CertSchemes)), strings.Join(hello.ALPN, ","), hello.JA3(),
	}, "\t")
}

func hexes[T ~uint16](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprintf("0x%04x", uint16(v))
	}
	return strings.Join(texts, ",")
}

func decimals[T ~uint16](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(uint16(v))
	}
	return strings.Join(texts, ",")
}

// tshark runs the program on a capture. Without it, the test is skipped.
func tshark(t *testing.T, capture []byte, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("SKIPPED: tshark is not on PATH: ClientHellos were not compared with it")
	}
	file := filepath.Join(t.TempDir(), "capture")
	if err := os.WriteFile(file, capture, 0o666); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-n", "-r", file, "-Y", "tls.handshake.type==1", "-T", "fields"}, args...)
	for _, field := range tsharkFields {
		args = append(args, "-e", field)
	}
	cmd := exec.Command(program, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, &stderr)
	}
	return string(out)
}

// The captures of real clients are decoded as by tshark: its recorded output and, if it
// is on PATH, its current output.
func TestCaptures(t *testing.T) {
	files := captureFiles(t)
	names := slices.Sorted(maps.Keys(files))
	if *update {
		var b strings.Builder
		for _, name := range names {
			for line := range strings.Lines(tshark(t, files[name])) {
				b.WriteString(name + "\t" + line)
			}
		}
		if err := os.WriteFile(tsharkFile, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(tsharkFile)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, name := range names {
		h := one(t, files[name])
		if h.Fault != nil {
			t.Fatalf("%s: %v", name, h.Fault)
		}
		got.WriteString(name + "\t" + asTshark(h) + "\n")
	}
	if got.String() != string(golden) {
		t.Errorf("got\n%swant\n%s", &got, golden)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if got, want := asTshark(one(t, files[name]))+"\n", tshark(t, files[name]); got != want {
				t.Errorf("got  %swant %s", got, want)
			}
		})
	}
}

// Generated captures are decoded as by tshark too.
func TestEqualsTshark(t *testing.T) {
	vxlan := func(ip []byte) []byte {
		outer := ipPacket(newScript("[2001:db8::1]:1", "[2001:db8::2]:1").ends[0].Addr(), newScript("[2001:db8::1]:1", "[2001:db8::2]:1").ends[1].Addr(),
			layers.IPProtocolUDP, &layers.UDP{SrcPort: 50000, DstPort: 4789}, append([]byte{8, 0, 0, 0, 0, 0, 7, 0}, ethernet(ip)...))
		return ethernet(outer)
	}
	many := usual()
	for i, flights := range [][]flight{hybrid(), classical(), hybrid()} {
		s := newScript(fmt.Sprintf("198.51.100.77:%d", 41000+i), "198.51.100.10:443")
		s.at = many.at
		many.packets = append(many.packets, s.play(flights, 500+300*i).packets...)
		many.at = s.at
	}
	for name, capture := range map[string][]byte{
		"three connections": ethernetPcap(many.packets),
		"VXLAN inside IPv6": pcapOf(layers.LinkTypeEthernet, vxlan, usual().play(hybrid(), 700).packets),
		"IPv4 fragments":    ethernetPcap(fragmented(usual().play(hybrid(), 1448).packets, []int{2, 0, 1}, fragment4)),
	} {
		t.Run(name, func(t *testing.T) {
			all, _ := track(t, Options{InTimeOrder: true}, capture)
			var got strings.Builder
			for _, h := range all {
				got.WriteString(asTshark(h) + "\n")
			}
			if want := tshark(t, capture); got.String() != want {
				t.Errorf("got\n%swant\n%s", &got, want)
			}
		})
	}
}
