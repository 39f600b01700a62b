package realtls

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// pcap writes a packet with each ClientHello.
func pcap(t *testing.T, hellos [][]byte) string {
	t.Helper()
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	if err := w.WriteFileHeader(1<<16, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	for i, hello := range hellos {
		ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IPv4(192, 0, 2, 1), DstIP: net.IPv4(192, 0, 2, 2)}
		tcp := &layers.TCP{SrcPort: layers.TCPPort(40000 + i), DstPort: 443, Seq: 1, ACK: true, PSH: true, Window: 65535}
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ip, tcp, gopacket.Payload(hello)); err != nil {
			t.Fatal(err)
		}
		if err := w.WritePacket(gopacket.CaptureInfo{CaptureLength: len(b.Bytes()), Length: len(b.Bytes())}, b.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(t.TempDir(), "hellos.pcap")
	if err := os.WriteFile(name, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// fromTShark returns the JA4 fingerprints of ClientHellos, computed from what tshark
// decodes; tshark itself knows JA4 since version 4.2.
func fromTShark(t *testing.T, hellos [][]byte) (list []string) {
	t.Helper()
	args := []string{"-r", pcap(t, hellos), "-Y", "tls.handshake.type==1", "-T", "fields", "-E", "separator=|", "-E", "aggregator=,"}
	for _, field := range []string{
		"version", "extensions.supported_version", "ciphersuite", "extension.type", "sig_hash_alg_len", "sig_hash_alg", "extensions_alpn_str",
	} {
		args = append(args, "-e", "tls.handshake."+field)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		list = append(list, ja4(t, strings.Split(strings.TrimRight(line, "\n"), "|")))
	}
	return list
}

// ja4 computes a fingerprint from tshark's fields, by FoxIO's specification.
func ja4(t *testing.T, fields []string) string {
	t.Helper()
	words := func(i int) []string { return strings.FieldsFunc(fields[i], func(r rune) bool { return r == ',' }) }
	numbers := func(words []string) (list []string) { // as four hexadecimal digits, without GREASE
		for _, text := range words {
			n, err := strconv.ParseUint(text, 0, 16)
			if err != nil {
				t.Fatal(err)
			}
			if n&0x0f0f != 0x0a0a || n>>8 != n&0xff {
				list = append(list, fmt.Sprintf("%04x", n))
			}
		}
		return list
	}
	hash := func(list ...string) string {
		sum := sha256.Sum256([]byte(strings.Join(list, "_")))
		return hex.EncodeToString(sum[:6])
	}
	version := slices.Max(append(numbers(words(1)), fields[0][2:]))
	suites, extensions, all := numbers(words(2)), numbers(words(3)), words(5)
	// Three extensions have lists of schemes, in the order of the message; that of
	// signature_algorithms counts.
	var schemes []string
	lengths := words(4)
	for _, e := range extensions {
		if e != "000d" && e != "0022" && e != "0032" {
			continue
		}
		n, err := strconv.Atoi(lengths[0])
		if err != nil {
			t.Fatal(err)
		}
		if e == "000d" {
			schemes = numbers(all[:n/2])
		}
		lengths, all = lengths[1:], all[n/2:]
	}
	name := "i"
	if slices.Contains(extensions, "0000") {
		name = "d"
	}
	alpn := "00"
	if first, _, _ := strings.Cut(fields[6], ","); first != "" {
		alpn = first[:1] + first[len(first)-1:]
	}
	a := fmt.Sprintf("t%s%s%02d%02d%s", map[string]string{"0304": "13", "0303": "12"}[version], name, len(suites), len(extensions), alpn)
	hashed := slices.DeleteFunc(slices.Clone(extensions), func(e string) bool { return e == "0000" || e == "0010" })
	slices.Sort(suites)
	slices.Sort(hashed)
	return a + "_" + hash(strings.Join(suites, ",")) + "_" + hash(strings.Join(hashed, ","), strings.Join(schemes, ","))
}
