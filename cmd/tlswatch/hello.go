package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/pkg/clienthello"
	"tlswatch/pkg/tlsname"
)

// A helloCommand is the flags of hello.
type helloCommand struct {
	ports   []uint
	clients []string
	format  string
	judge   helloJudge
}

func newHello() *cobra.Command {
	var h helloCommand
	cmd := &cobra.Command{
		Use:   "hello [flags] CAPTURE...",
		Short: "Show what clients offered in packet captures, and how it ended",
		Long: `hello finds the ClientHellos in packet captures, decodes them, and follows the
connections until it is clear how the handshakes ended. With --policy it says
whether a security policy accepts the client, why not, and which policies would.

CAPTURE is a pcap or pcapng file, which may be compressed with gzip, or - for
standard input. Several files are read as one, in the order of their packets,
and pipes after them. From 'tcpdump -w -' on standard input, handshakes appear
as they end; from files they are in the order of time.

VXLAN (VPC Traffic Mirroring) and GENEVE are unwrapped. QUIC and DTLS are
recognised and not decoded. A snap length that cuts packets hides offers: capture
with 'tcpdump -s 0'.`,
		Example: `  tlswatch hello capture.pcapng
  tcpdump -i any -s 0 -U -w - tcp port 443 | tlswatch hello -
  tlswatch hello --client 203.0.113.0/24 --policy ELBSecurityPolicy-TLS13-1-2-2021-06 capture.pcap`,
		Args: needs("CAPTURE: a packet capture, or - for standard input"),
		RunE: runs(func(cmd *cobra.Command, args []string) error { return h.run(cmd, args) }),
	}
	f := cmd.Flags()
	f.UintSliceVar(&h.ports, "port", nil, "only servers at these ports")
	f.Lookup("port").DefValue = "" // which help does not show
	f.StringSliceVar(&h.clients, "client", nil, "only these clients: addresses or CIDR blocks")
	f.StringVar(&h.format, "format", "table", "table or json")
	completeFlag(cmd, "format", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	h.judge.register(cmd)
	return cmd
}

// helloMemory makes the garbage collector work harder before memory gets scarce:
// what a Tracker needs is bounded.
const helloMemory = 96 << 20

// A helloWriter prints handshakes.
type helloWriter interface {
	begin() error
	handshake(*clienthello.Handshake) error
	end() error
}

func (h *helloCommand) run(cmd *cobra.Command, paths []string) error {
	options, err := h.options(paths)
	if err != nil {
		return &usageError{err}
	}
	if h.format != "table" && h.format != "json" {
		return &usageError{fmt.Errorf("--format %s: want table or json", h.format)}
	}
	if err := h.judge.prepare(cmd.Context()); err != nil {
		return err
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(helloMemory))
	out := bufio.NewWriter(cmd.OutOrStdout())
	var w helloWriter = &helloText{w: out, judge: &h.judge}
	if h.format == "json" {
		w = &helloJSONWriter{w: out, judge: &h.judge}
	}
	if err := w.begin(); err != nil {
		return err
	}
	tracker := clienthello.NewTracker(options, func(handshake *clienthello.Handshake) error {
		if err := w.handshake(handshake); err != nil {
			return err
		}
		return out.Flush()
	})
	err = readCaptures(cmd.Context(), tracker, paths, cmd.InOrStdin())
	if err := tracker.Close(); err != nil {
		return err
	}
	if err := errors.Join(w.end(), out.Flush()); err != nil {
		return err
	}
	writeRemarks(cmd.ErrOrStderr(), captureRemarks(tracker.Stats()))
	if cmd.Context().Err() != nil {
		return &failure{exitInterrupted, errors.New("interrupted: the captures were not read to their end")}
	}
	return err
}

// options reads the flags. Errors are about usage.
func (h *helloCommand) options(paths []string) (clienthello.Options, error) {
	options := clienthello.Options{InTimeOrder: true}
	dashes := 0
	for _, path := range paths {
		if path == stdinPath {
			dashes++
			options.InTimeOrder = h.format == "json"
		}
	}
	if dashes > 1 {
		return options, errors.New("standard input (-) can be read only once")
	}
	for _, port := range h.ports {
		if port == 0 || port > 65535 {
			return options, fmt.Errorf("--port %d: want a number from 1 to 65535", port)
		}
		options.Ports = append(options.Ports, uint16(port))
	}
	for _, client := range h.clients {
		network, err := parsePrefix(client)
		if err != nil {
			return options, fmt.Errorf("--client %q: want an address or a CIDR block", client)
		}
		options.Clients = append(options.Clients, network)
	}
	return options, nil
}

// readCaptures reads all captures, the others also where one is faulty: files in
// the order of their packets, then standard input and other pipes.
func readCaptures(ctx context.Context, t *clienthello.Tracker, paths []string, stdin io.Reader) error {
	var files []clienthello.Capture
	var pipes []string
	for _, path := range paths {
		if info, err := os.Stat(path); path == stdinPath || err == nil && !info.Mode().IsRegular() {
			pipes = append(pipes, path)
			continue
		}
		files = append(files, clienthello.Capture{Name: path, Open: func() (io.ReadCloser, error) {
			f, err := os.Open(path)
			if err != nil {
				return nil, errors.Unwrap(err) // without the path, which is named anyway
			}
			return f, nil
		}})
	}
	errs := []error{t.ReadAll(ctx, files)}
	for _, path := range pipes {
		if err := readPipe(ctx, t, path, stdin); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	return cmp.Or(ctx.Err(), errors.Join(errs...))
}

func readPipe(ctx context.Context, t *clienthello.Tracker, path string, stdin io.Reader) error {
	if path == stdinPath {
		return t.Read(ctx, stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer f.Close()
	return t.Read(ctx, f)
}

// captureRemarks are what a user should know of what was not shown.
func captureRemarks(s clienthello.Stats) []string {
	var remarks []string
	add := func(n int64, one, many string) {
		if n > 0 {
			remarks = append(remarks, counted(n, one, many))
		}
	}
	add(s.Cut, "TCP packet is cut by the snap length: capture with 'tcpdump -s 0'", "TCP packets are cut by the snap length: capture with 'tcpdump -s 0'")
	add(s.Midstream, "connection began before the capture, or its first packets are not in it", "connections began before the capture, or their first packets are not in it")
	add(s.Unreadable, "connection has its first bytes cut or lost", "connections have their first bytes cut or lost")
	add(s.Empty, "connection ended before the client sent anything", "connections ended before the client sent anything")
	add(s.Plaintext, "connection of HTTP on another port than 443 is not shown; --port shows it", "connections of HTTP on other ports than 443 are not shown; --port shows them")
	add(s.Other, "connection is neither TLS nor HTTP", "connections are neither TLS nor HTTP")
	add(s.QUIC, "flow is QUIC, which is out of scope: connection logs are of TLS over TCP", "flows are QUIC, which is out of scope: connection logs are of TLS over TCP")
	add(s.DTLS, "flow is DTLS, which is out of scope: connection logs are of TLS over TCP", "flows are DTLS, which is out of scope: connection logs are of TLS over TCP")
	add(s.Fragments, "IP fragment is without the rest of its packet", "IP fragments are without the rest of their packets")
	add(s.Malformed, "packet has headers that are cut or malformed", "packets have headers that are cut or malformed")
	add(s.OtherLinks, "packet is of a link type that is not read", "packets are of link types that are not read")
	add(s.GivenUp, "connection was given up to bound memory", "connections were given up to bound memory")
	if s.Handshakes == 0 {
		remarks = append(remarks, "no ClientHello among "+counted(s.Packets, "packet", "packets"))
	}
	return remarks
}

func writeRemarks(stderr io.Writer, remarks []string) {
	for _, remark := range remarks {
		complain(stderr, "%s", remark)
	}
}

// helloJSON is a handshake as --format json has it.
type helloJSON struct {
	Time             time.Time        `json:"time"`
	Client           string           `json:"client"`
	Server           string           `json:"server"`
	Protocol         string           `json:"protocol"` // TLS, SSLv2 ClientHello, HTTP, PROXY
	SNI              string           `json:"sni"`
	RecordVersion    string           `json:"recordVersion"`
	LegacyVersion    string           `json:"legacyVersion"`
	Versions         []string         `json:"versions"` // of the extension supported_versions
	CipherSuites     []suiteJSON      `json:"cipherSuites"`
	Groups           []string         `json:"groups"`
	KeyShares        []string         `json:"keyShares"`
	PostQuantum      bool             `json:"postQuantum"` // among the key shares
	SignatureSchemes []string         `json:"signatureSchemes"`
	ALPN             []string         `json:"alpn"`
	Extensions       []string         `json:"extensions"`
	PSK              bool             `json:"psk"`
	EarlyData        bool             `json:"earlyData"`
	FallbackSCSV     bool             `json:"fallbackSCSV"`
	Renegotiation    bool             `json:"secureRenegotiation"`
	JA3              string           `json:"ja3"`
	JA4              string           `json:"ja4"`
	Segments         int              `json:"segments"`
	Truncated        bool             `json:"truncated"`
	Fault            string           `json:"fault"`
	SecondHello      *secondHelloJSON `json:"secondHello"`
	Outcome          outcomeJSON      `json:"outcome"`
	Verdict          *helloVerdict    `json:"verdict,omitempty"`
}

// A suiteJSON is a cipher suite that a client offers. Names that it does not
// have are empty.
type suiteJSON struct {
	Hex     string `json:"hex"` // as tshark has it
	IANA    string `json:"iana"`
	OpenSSL string `json:"openssl"`
	GREASE  bool   `json:"grease"`
}

// secondHelloJSON is what a second ClientHello changes, after a
// HelloRetryRequest.
type secondHelloJSON struct {
	KeyShares []string `json:"keyShares"`
}

type outcomeJSON struct {
	Kind                       string `json:"kind"`
	Version                    string `json:"version"`
	CipherSuite                string `json:"cipherSuite"`
	Group                      string `json:"group"`
	Resumed                    bool   `json:"resumed"`
	HelloRetryRequest          string `json:"helloRetryRequest"` // the group asked for
	ClientCertificateRequested bool   `json:"clientCertificateRequested"`
	Alert                      string `json:"alert"`
	AlertLevel                 string `json:"alertLevel"`
	By                         string `json:"by"`
	Note                       string `json:"note"`
}

func newHelloJSON(h *clienthello.Handshake) *helloJSON {
	j := &helloJSON{
		Time:          h.Time,
		Client:        h.Client.String(),
		Server:        h.Server.String(),
		Protocol:      string(h.Protocol),
		RecordVersion: orEmpty(h.RecordVersion),
		CipherSuites:  []suiteJSON{},
		Segments:      h.Segments,
		Truncated:     h.Truncated(),
		Outcome: outcomeJSON{
			Kind:                       string(h.Outcome.Kind),
			Version:                    orEmpty(h.Outcome.Version),
			Group:                      orEmpty(h.Outcome.Group),
			Resumed:                    h.Outcome.Resumed,
			HelloRetryRequest:          orEmpty(h.Outcome.HelloRetry),
			ClientCertificateRequested: h.Outcome.ClientCertificateRequested,
			By:                         string(h.Outcome.By),
			Note:                       h.Outcome.Note,
		},
	}
	if h.Outcome.Version != 0 {
		j.Outcome.CipherSuite = h.Outcome.CipherSuite.String()
	}
	if h.Outcome.Kind == clienthello.AlertSent {
		j.Outcome.Alert, j.Outcome.AlertLevel = h.Outcome.Alert.String(), h.Outcome.Alert.LevelName()
	}
	if h.Fault != nil {
		j.Fault = h.Fault.Error()
	}
	hello := h.Hello
	if hello == nil {
		hello = &clienthello.ClientHello{}
	}
	j.SNI, j.LegacyVersion = hello.ServerName, orEmpty(hello.LegacyVersion)
	j.Versions, j.Groups, j.KeyShares = texts(hello.SupportedVersions), texts(hello.Groups), texts(hello.KeyShares)
	j.SignatureSchemes, j.ALPN = texts(hello.SignatureSchemes), append([]string{}, hello.ALPN...)
	j.PSK, j.EarlyData = hello.PSKIdentities > 0, hello.EarlyData
	j.FallbackSCSV, j.Renegotiation = hello.FallbackSCSV, hello.SecureRenegotiation
	j.PostQuantum = postQuantum(hello.KeyShares)
	for _, s := range hello.CipherSuites {
		j.CipherSuites = append(j.CipherSuites, suiteJSON{strings.ToLower(s.Hex()), s.IANA(), s.OpenSSL(), s.IsGREASE()})
	}
	j.Extensions = []string{}
	for _, e := range hello.Extensions {
		j.Extensions = append(j.Extensions, e.Type.String())
	}
	if h.Hello != nil && h.Fault == nil {
		j.JA3, j.JA4 = hello.JA3(), hello.JA4()
	}
	if h.SecondHello != nil {
		j.SecondHello = &secondHelloJSON{texts(h.SecondHello.KeyShares)}
	}
	return j
}

// orEmpty is the name of a value that is there.
func orEmpty[T interface {
	~uint16
	fmt.Stringer
}](v T) string {
	if v == 0 {
		return ""
	}
	return v.String()
}

func postQuantum(groups []tlsname.Group) bool {
	for _, g := range groups {
		if g.PostQuantum() {
			return true
		}
	}
	return false
}

// A helloJSONWriter writes a list, one handshake after the other.
type helloJSONWriter struct {
	w     *bufio.Writer
	judge *helloJudge
	begun bool
}

func (j *helloJSONWriter) begin() error {
	_, err := j.w.WriteString("[")
	return err
}

func (j *helloJSONWriter) handshake(h *clienthello.Handshake) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent(" ", " ")
	enc.SetEscapeHTML(false)
	document := newHelloJSON(h)
	document.Verdict = j.judge.verdict(h)
	if err := enc.Encode(document); err != nil {
		return err
	}
	separator := ",\n "
	if !j.begun {
		separator, j.begun = "\n ", true
	}
	j.w.WriteString(separator)
	_, err := j.w.Write(bytes.TrimRight(b.Bytes(), "\n"))
	return err
}

func (j *helloJSONWriter) end() error {
	last := "]\n"
	if j.begun {
		last = "\n]\n"
	}
	_, err := j.w.WriteString(last)
	return err
}
