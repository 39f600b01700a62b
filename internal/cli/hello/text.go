package hello

import (
	"bufio"
	"fmt"
	"strings"
	"time"

	"tlswatch/internal/cli/captures"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/text"
	"tlswatch/pkg/clienthello"
	"tlswatch/pkg/clienthello/prelude"
	"tlswatch/pkg/tlsname"
)

// textWriter writes handshakes for people.
type textWriter struct {
	w        *bufio.Writer
	verdicts *verdicts
	begun    bool
}

func (t *textWriter) begin() error { return nil }

func (t *textWriter) end() error { return nil }

func (t *textWriter) handshake(h *clienthello.Handshake) error {
	if t.begun {
		fmt.Fprintln(t.w)
	}
	t.begun = true
	name := ""
	if h.Hello != nil && h.Hello.ServerName != "" {
		name = "  " + text.Printable(h.Hello.ServerName)
	}
	fmt.Fprintf(t.w, "%s  %s -> %s%s\n", h.Time.Format(time.RFC3339Nano), h.Client, h.Server, name)
	for _, p := range h.Preludes {
		t.line("after", preludeText(h, p))
	}
	if h.Hello != nil && h.Hello.LegacyVersion != 0 {
		t.offer(h)
	}
	if h.Fault != nil {
		what := "invalid"
		if h.Truncated() {
			what = "incomplete"
		}
		t.line(what, h.Fault.Error())
	}
	t.line("ended", captures.Outcome(h))
	if v := t.verdicts.verdict(h); v != nil {
		t.verdict(v)
	}
	return nil
}

// preludeText describes what the client sent before TLS.
func preludeText(h *clienthello.Handshake, p prelude.Prelude) string {
	switch {
	case p.Proxy() && p.Client.IsValid():
		return fmt.Sprintf("a %s header of %s: the client is %s, which connected to %s", p.Name, h.Peer, p.Client, p.Server)
	case p.Proxy():
		return fmt.Sprintf("a %s header of %s without a client, as for a check by the proxy itself", p.Name, h.Peer)
	case p.Tunnel():
		return fmt.Sprintf("%s to %s: the TLS inside the tunnel is not with the proxy", p.Name, text.Printable(p.Target))
	}
	return p.Name + ": the connection began without TLS"
}

// columns is how wide paragraphs are at most.
const columns = 79

// line writes one property, on several lines if necessary.
func (t *textWriter) line(name, value string) {
	t.w.WriteString(text.Wrap(columns, fmt.Sprintf("  %-10s ", name), text.Printable(value)))
}

func (t *textWriter) offer(h *clienthello.Handshake) {
	hello := h.Hello
	versions := strings.Join(command.Names(hello.SupportedVersions), ", ")
	switch {
	case versions == "" && h.Fault != nil: // supported_versions may have been behind
		versions = "legacy version " + hello.LegacyVersion.String()
	case versions == "":
		versions = "up to " + hello.LegacyVersion.String()
	default:
		versions += " (legacy version " + hello.LegacyVersion.String() + ")"
	}
	if h.Protocol == clienthello.SSLv2Hello {
		versions += " in an SSLv2-compatible ClientHello"
	} else {
		versions += " in a " + h.RecordVersion.String() + " record"
	}
	if hello.FallbackSCSV {
		versions += "; a fallback: the client retries with a lower version than it supports (TLS_FALLBACK_SCSV)"
	}
	t.line("offers", versions)
	if len(hello.CipherSuites) > 0 {
		suites := make([]string, len(hello.CipherSuites))
		for i, s := range hello.CipherSuites {
			suites[i] = suiteText(s)
		}
		t.line("suites", fmt.Sprintf("%d: %s", len(suites), strings.Join(suites, ", ")))
	}
	if len(hello.Groups) > 0 {
		groups := strings.Join(command.Names(hello.Groups), ", ")
		if len(hello.KeyShares) > 0 {
			groups += "; key shares " + strings.Join(command.Names(hello.KeyShares), ", ")
			if h.PostQuantum() {
				groups += " (post-quantum)"
			}
		}
		t.line("groups", groups)
	}
	if len(hello.SignatureSchemes) > 0 {
		t.line("signatures", strings.Join(command.Names(hello.SignatureSchemes), ", "))
	}
	if len(hello.ALPN) > 0 {
		t.line("ALPN", text.Printable(strings.Join(hello.ALPN, ", ")))
	}
	var also []string
	for _, feature := range []struct {
		has  bool
		name string
	}{
		{hello.PSKIdentities > 0, "pre-shared key of an earlier session"},
		{hello.SessionTicket, "session ticket"},
		{hello.EarlyData, "early data"},
		{hello.EncryptedClientHello, "encrypted ClientHello (the name above is the outer one)"},
	} {
		if feature.has {
			also = append(also, feature.name)
		}
	}
	if len(also) > 0 {
		t.line("also", strings.Join(also, ", "))
	}
	if h.Fault == nil {
		segments := "in " + text.Plural(h.Segments, "TCP segment")
		if h.Segments > 1 && h.Size > 0 {
			segments = text.Plural(h.Size, "byte") + " " + segments
		}
		t.line("JA3, JA4", fmt.Sprintf("%s, %s (%s)", hello.JA3(), hello.JA4(), segments))
		t.line("software", captures.SoftwareOf(hello).Text)
	}
}

// suiteText returns the OpenSSL name of a suite and its number.
func suiteText(s tlsname.Suite) string {
	if s.IsGREASE() || !s.Known() {
		return s.String()
	}
	return fmt.Sprintf("%s (%s)", s, strings.ToLower(s.Hex()))
}

func (t *textWriter) verdict(v *captures.Verdict) {
	t.line("policy", v.Text())
	for _, hint := range v.Hints {
		t.line("", "may fail: "+hint)
	}
	if v.Caveat != "" {
		t.line("", "not confirmed: "+v.Caveat)
	}
}
