// Package hello is the command hello: it shows what clients offered in packet
// captures.
package hello

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/captures"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/text"
	"tlswatch/pkg/clienthello"
	"tlswatch/pkg/clienthello/tlswire"
)

// options are the flags of hello.
type options struct {
	ports    []uint
	clients  []string
	format   string
	summary  bool
	verdicts verdicts
}

// New returns the command.
func New() *cobra.Command {
	var h options
	cmd := &cobra.Command{
		Use:   "hello [flags] CAPTURE...",
		Short: "Show what clients offered in packet captures",
		Long: `hello decodes the ClientHellos in packet captures and shows how the handshakes
ended. With --policy, it says whether a security policy accepts the client, why
not, and which policies would.

CAPTURE is a pcap or pcapng file, compressed with gzip or not, or - for standard
input. Several files are merged in the order of their packets; pipes are read
after the files. From standard input, as in 'tcpdump -w - | tlswatch hello -',
handshakes are printed as they end; from files, in the order of time.

VXLAN (VPC Traffic Mirroring), GENEVE, GRE with ERSPAN, MPLS and PPPoE are
decapsulated; what is not looked into is counted by kind. QUIC and DTLS are
recognized but not decoded. A snap length that truncates packets hides offers:
capture with 'tcpdump -s 0'.

--summary counts how handshakes ended, and shows which clients send ClientHellos
that do not reach the server whole. Ctrl-C ends a live capture with it.`,
		Example: `  tlswatch hello capture.pcapng
  tcpdump -i any -s 0 -U -w - tcp port 443 | tlswatch hello -
  tlswatch hello --summary capture.pcapng
  tlswatch hello --client 203.0.113.0/24 --policy ELBSecurityPolicy-TLS13-1-2-2021-06 capture.pcap`,
		Args: command.Needs("CAPTURE: a packet capture, or - for standard input"),
		RunE: command.Runs(func(cmd *cobra.Command, args []string) error { return h.run(cmd, args) }),
	}
	input.AddPeers(cmd, &h.ports, &h.clients)
	command.AddFormat(cmd, &h.format, "table", "json")
	cmd.Flags().BoolVar(&h.summary, "summary", false, "count how handshakes ended, and the sizes of ClientHellos by client, instead of showing each")
	h.verdicts.register(cmd)
	return cmd
}

// memoryLimit makes the garbage collector run more often when much memory is in use.
// A Tracker bounds what it needs.
const memoryLimit = 96 << 20

// A writer prints handshakes.
type writer interface {
	begin() error
	handshake(*clienthello.Handshake) error
	end() error
}

func (h *options) run(cmd *cobra.Command, paths []string) error {
	options, err := h.trackerOptions(paths)
	if err != nil {
		return command.Usage(err)
	}
	if err := h.verdicts.prepare(cmd.Context()); err != nil {
		return err
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryLimit))
	out := bufio.NewWriter(cmd.OutOrStdout())
	var w writer
	switch {
	case h.summary:
		w = nothing{}
	case h.format == "json":
		w = &jsonWriter{w: out, verdicts: &h.verdicts}
	default:
		w = &textWriter{w: out, verdicts: &h.verdicts}
	}
	if err := w.begin(); err != nil {
		return err
	}
	summary := captures.NewSummary()
	tracker := clienthello.NewTracker(options, func(handshake *clienthello.Handshake) error {
		summary.Add(handshake)
		if err := w.handshake(handshake); err != nil {
			return err
		}
		return out.Flush()
	})
	err = captures.Read(cmd.Context(), tracker, paths, cmd.InOrStdin())
	if err := tracker.Close(); err != nil {
		return err
	}
	interrupted := cmd.Context().Err() != nil
	if err := errors.Join(w.end(), h.writeSummary(cmd, out, summary, tracker.Stats(), interrupted), out.Flush()); err != nil {
		return err
	}
	command.WriteRemarks(cmd.ErrOrStderr(), captures.Remarks(tracker.Stats()))
	if interrupted {
		return command.Interrupted("interrupted: the captures were not read to the end")
	}
	return err
}

// writeSummary writes the summary if it is asked for, or if Ctrl-C ended the command. The
// JSON list of handshakes is on standard output alone.
func (h *options) writeSummary(cmd *cobra.Command, out *bufio.Writer, summary *captures.Summary, stats clienthello.Stats, interrupted bool) error {
	screen := console.Screen(cmd.OutOrStdout())
	switch {
	case h.summary && h.format == "json":
		return summary.WriteJSON(out, stats)
	case h.summary:
		return summary.Write(out, screen)
	case interrupted && h.format == "json":
		return summary.Write(cmd.ErrOrStderr(), screen)
	case interrupted:
		out.WriteString("\n")
		return summary.Write(out, screen)
	}
	return nil
}

// nothing is a writer that prints no handshakes.
type nothing struct{}

func (nothing) begin() error                           { return nil }
func (nothing) handshake(*clienthello.Handshake) error { return nil }
func (nothing) end() error                             { return nil }

// trackerOptions reads the flags. Errors are about usage.
func (h *options) trackerOptions(paths []string) (clienthello.Options, error) {
	options := clienthello.Options{InTimeOrder: !h.summary}
	dashes := 0
	for _, path := range paths {
		if path == command.StdinPath {
			dashes++
			options.InTimeOrder = false
		}
	}
	if dashes > 1 {
		return options, errors.New("standard input (-) can be read only once")
	}
	var err error
	options.Ports, options.Clients, err = input.ParsePeers(h.ports, h.clients)
	return options, err
}

// handshakeJSON is a handshake as --format json prints it.
type handshakeJSON struct {
	Time             time.Time          `json:"time"`
	Client           string             `json:"client"`
	Peer             string             `json:"peer"` // the end of the TCP connection: the client, or a proxy that sent a PROXY header
	Server           string             `json:"server"`
	Protocol         string             `json:"protocol"` // TLS, SSLv2 ClientHello, HTTP, PROXY
	Preludes         []preludeJSON      `json:"preludes"`
	SNI              string             `json:"sni"`
	RecordVersion    string             `json:"recordVersion"`
	LegacyVersion    string             `json:"legacyVersion"`
	Versions         []string           `json:"versions"` // of the extension supported_versions
	CipherSuites     []suiteJSON        `json:"cipherSuites"`
	Groups           []string           `json:"groups"`
	KeyShares        []string           `json:"keyShares"`
	PostQuantum      bool               `json:"postQuantum"` // among the key shares
	SignatureSchemes []string           `json:"signatureSchemes"`
	ALPN             []string           `json:"alpn"`
	Extensions       []string           `json:"extensions"`
	PSK              bool               `json:"psk"`
	EarlyData        bool               `json:"earlyData"`
	FallbackSCSV     bool               `json:"fallbackSCSV"`
	Renegotiation    bool               `json:"secureRenegotiation"`
	JA3              string             `json:"ja3"`
	JA4              string             `json:"ja4"`
	Software         *captures.Software `json:"software"` // null if the ClientHello is not whole
	Segments         int                `json:"segments"`
	Size             int                `json:"size"` // bytes of the ClientHello, record headers included
	Truncated        bool               `json:"truncated"`
	Fault            string             `json:"fault"`
	SecondHello      *secondHelloJSON   `json:"secondHello"`
	Outcome          outcomeJSON        `json:"outcome"`
	Verdict          *captures.Verdict  `json:"verdict,omitempty"`
}

// A preludeJSON is what the client sent before TLS. Values that it does not have are empty.
type preludeJSON struct {
	Name   string `json:"name"`
	Client string `json:"client"` // of a PROXY header
	Server string `json:"server"`
	Target string `json:"target"` // of CONNECT and SOCKS
}

// A suiteJSON is a cipher suite that a client offers. Names that it does not
// have are empty.
type suiteJSON struct {
	Hex     string `json:"hex"` // as tshark has it
	IANA    string `json:"iana"`
	OpenSSL string `json:"openssl"`
	GREASE  bool   `json:"grease"`
}

// secondHelloJSON is what changes in the second ClientHello, after a
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

	HelloRetryRequests int                `json:"helloRetryRequests"` // their number
	HalfDelivered      *halfDeliveredJSON `json:"halfDelivered"`
}

// halfDeliveredJSON is how much of a ClientHello the server acknowledged.
type halfDeliveredJSON struct {
	Acknowledged  int  `json:"acknowledged"`
	Sent          int  `json:"sent"`
	LikelyDropped bool `json:"likelyDropped"`
}

func newHandshakeJSON(h *clienthello.Handshake) *handshakeJSON {
	j := &handshakeJSON{
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
			HelloRetryRequests:         h.Outcome.HelloRetries,
		},
		Peer:     h.Peer.String(),
		Preludes: []preludeJSON{},
		Size:     h.Size,
	}
	for _, p := range h.Preludes {
		j.Preludes = append(j.Preludes, preludeJSON{p.Name, addressText(p.Client), addressText(p.Server), p.Target})
	}
	if d := h.Outcome.HalfDelivered; d != nil {
		j.Outcome.HalfDelivered = &halfDeliveredJSON{d.Acknowledged, d.Sent, d.LikelyDropped()}
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
		hello = &tlswire.ClientHello{}
	}
	j.SNI, j.LegacyVersion = hello.ServerName, orEmpty(hello.LegacyVersion)
	j.Versions, j.Groups, j.KeyShares = command.Names(hello.SupportedVersions), command.Names(hello.Groups), command.Names(hello.KeyShares)
	j.SignatureSchemes, j.ALPN = command.Names(hello.SignatureSchemes), append([]string{}, hello.ALPN...)
	j.PSK, j.EarlyData = hello.PSKIdentities > 0, hello.EarlyData
	j.FallbackSCSV, j.Renegotiation = hello.FallbackSCSV, hello.SecureRenegotiation
	j.PostQuantum = h.PostQuantum()
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
		j.SecondHello = &secondHelloJSON{command.Names(h.SecondHello.KeyShares)}
	}
	return j
}

// orEmpty returns the name of a value, "" for 0.
func orEmpty[T interface {
	~uint16
	fmt.Stringer
}](v T) string {
	if v == 0 {
		return ""
	}
	return v.String()
}

// addressText returns an address, "" if it is invalid.
func addressText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// A jsonWriter writes handshakes as a JSON list.
type jsonWriter struct {
	w        *bufio.Writer
	verdicts *verdicts
	software captures.SoftwareCache
	begun    bool
}

func (j *jsonWriter) begin() error {
	_, err := j.w.WriteString("[")
	return err
}

func (j *jsonWriter) handshake(h *clienthello.Handshake) error {
	document := newHandshakeJSON(h)
	document.Verdict = j.verdicts.verdict(h)
	if h.Hello != nil && h.Fault == nil {
		document.Software = j.software.Of(h.Hello)
	}
	b, err := text.JSON(document, " ")
	if err != nil {
		return err
	}
	separator := ",\n "
	if !j.begun {
		separator, j.begun = "\n ", true
	}
	j.w.WriteString(separator)
	_, err = j.w.Write(bytes.ReplaceAll(b, []byte("\n"), []byte("\n ")))
	return err
}

func (j *jsonWriter) end() error {
	last := "]\n"
	if j.begun {
		last = "\n]\n"
	}
	_, err := j.w.WriteString(last)
	return err
}
