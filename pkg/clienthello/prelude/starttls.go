package prelude

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// binaryRequest parses the requests for TLS of protocols that are not text.
func binaryRequest(b []byte) (Prelude, int, bool) {
	if len(b) == 0 {
		return Prelude{}, 0, false
	}
	for _, parse := range []func([]byte) (Prelude, int, bool){postgreSQL, mySQL, ldap, rdp} {
		if p, n, more := parse(b); n > 0 || more {
			return p, n, more
		}
	}
	return Prelude{}, 0, false
}

// postgreSQL parses an SSLRequest, with a GSSENCRequest before it or not
// (https://www.postgresql.org/docs/current/protocol-message-formats.html).
func postgreSQL(b []byte) (Prelude, int, bool) {
	const ssl, gss = "\x00\x00\x00\x08\x04\xd2\x16\x2f", "\x00\x00\x00\x08\x04\xd2\x16\x30"
	n := 0
	if len(b) >= len(gss) && begins(b, gss) {
		n = len(gss)
	}
	switch rest := b[n:]; {
	case len(rest) >= len(ssl) && begins(rest, ssl):
		return Prelude{Name: "PostgreSQL SSLRequest"}, n + len(ssl), false
	case begins(rest, ssl) || begins(b, gss):
		return Prelude{}, 0, true
	}
	return Prelude{}, 0, false
}

// mySQL parses an SSLRequest: a packet of 32 bytes with the capability CLIENT_SSL
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_ssl_request.html).
func mySQL(b []byte) (Prelude, int, bool) {
	const header, length, capability = "\x20\x00\x00\x01", 4 + 32, 0x0800
	switch {
	case !begins(b, header):
	case len(b) < length:
		return Prelude{}, 0, true
	case binary.LittleEndian.Uint32(b[4:])&capability != 0:
		return Prelude{Name: "MySQL SSLRequest"}, length, false
	}
	return Prelude{}, 0, false
}

// ldap parses a StartTLS request, RFC 4511, Section 4.14.1.
func ldap(b []byte) (Prelude, int, bool) {
	const sequence, object = 0x30, "1.3.6.1.4.1.1466.20037"
	if b[0] != sequence {
		return Prelude{}, 0, false
	}
	if len(b) < 2 {
		return Prelude{}, 0, true
	}
	n := 2 + int(b[1])
	switch long := int(b[1] & 0x7f); {
	case b[1] < 0x80:
	case long > 4:
		return Prelude{}, 0, false
	case len(b) < 2+long:
		return Prelude{}, 0, true
	default:
		n = 0
		for _, v := range b[2 : 2+long] {
			n = n<<8 | int(v)
		}
		n += 2 + long
	}
	switch {
	case n > 128:
	case len(b) < n:
		return Prelude{}, 0, true
	case bytes.Contains(b[:n], []byte(object)):
		return Prelude{Name: "LDAP StartTLS"}, n, false
	}
	return Prelude{}, 0, false
}

// rdp parses an X.224 Connection Request that asks for TLS or CredSSP ([MS-RDPBCGR],
// Section 2.2.1.1).
func rdp(b []byte) (Prelude, int, bool) {
	const header, request, negotiation = "\x03\x00\x00", 0xe0, 8
	if !begins(b, header) {
		return Prelude{}, 0, false
	}
	if len(b) < 6 {
		return Prelude{}, 0, true
	}
	n := int(b[3])
	switch {
	case b[5] != request || n < 6+negotiation:
	case len(b) < n:
		return Prelude{}, 0, true
	case b[n-negotiation] == 1 && b[n-4]&3 != 0:
		return Prelude{Name: "RDP"}, n, false
	}
	return Prelude{}, 0, false
}

// xmpp looks for the element starttls, RFC 6120, Section 5.4.2.
func xmpp(b []byte) (Prelude, int, bool) {
	if !begins(b, "<?xml") && !begins(b, "<stream:stream") {
		return Prelude{}, 0, false
	}
	const element, end = "<starttls", "</starttls>"
	at := bytes.Index(b, []byte(element))
	if at < 0 {
		return Prelude{}, 0, true
	}
	tag := bytes.IndexByte(b[at:], '>')
	if tag < 0 {
		return Prelude{}, 0, true
	}
	n := at + tag + 1
	if b[n-2] != '/' {
		closing := bytes.Index(b[n:], []byte(end))
		if closing < 0 {
			return Prelude{}, 0, true
		}
		n += closing + len(end)
	}
	return Prelude{Name: "XMPP STARTTLS"}, n, false
}

// Commands that a client may send before it asks for TLS, and the protocol that they
// show. Those of IMAP follow a tag.
var (
	commands = map[string]string{
		"EHLO": "SMTP", "HELO": "SMTP", "LHLO": "LMTP", "RSET": "SMTP", "CAPA": "POP3", "STLS": "POP3",
		"FEAT": "FTP", "AUTH": "FTP", "HOST": "FTP", "CLNT": "FTP", "SYST": "FTP", "OPTS": "FTP",
		"CAPABILITIES": "NNTP", "MODE": "NNTP", "STARTTLS": "", "CAPABILITY": "ManageSieve", "CAP": "IRC", "NOOP": "", "USER": "",
	}
	imapCommands = []string{"CAPABILITY", "STARTTLS", "ID", "NOOP"}
)

const maxLine = 1024

// dialog parses the lines of a text protocol, up to the request for TLS: STARTTLS (RFC
// 3207, 9051, 4642), STLS (RFC 2595) or AUTH TLS (RFC 4217).
func dialog(b []byte) (Prelude, int, bool) {
	protocol := ""
	for n := 0; ; {
		line, rest, whole := bytes.Cut(b[n:], []byte("\n"))
		if len(line) > maxLine || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\r' && r != '\t' }) {
			return Prelude{}, 0, false
		}
		words := strings.Fields(strings.ToUpper(string(line)))
		if !whole {
			return Prelude{}, 0, n > 0 || mayBeCommand(words)
		}
		n = len(b) - len(rest)
		if len(words) == 0 {
			return Prelude{}, 0, false
		}
		name, known := commands[words[0]]
		if len(words) > 1 && slices.Contains(imapCommands, words[1]) {
			name, known = "IMAP", true
		}
		if !known && protocol == "" {
			return Prelude{}, 0, false
		}
		if protocol == "" || words[0] == "CAPA" {
			protocol = name
		}
		switch last := words[len(words)-1]; {
		case words[0] == "STARTTLS", name == "IMAP" && words[1] == "STARTTLS":
			return Prelude{Name: strings.TrimSpace(protocol + " STARTTLS")}, n, false
		case words[0] == "STLS":
			return Prelude{Name: "POP3 STLS"}, n, false
		case len(words) == 2 && words[0] == "AUTH" && (strings.HasPrefix(last, "TLS") || last == "SSL"):
			return Prelude{Name: "FTP AUTH TLS"}, n, false
		}
	}
}

// mayBeCommand reports whether the words of an unfinished line may become a command.
func mayBeCommand(words []string) bool {
	if len(words) == 0 {
		return false
	}
	if len(words) > 1 {
		_, known := commands[words[0]]
		return known || startsOne(words[1], imapCommands)
	}
	for command := range commands {
		if strings.HasPrefix(command, words[0]) {
			return true
		}
	}
	return len(words[0]) <= maxTag
}

const maxTag = 12 // of an IMAP command

func startsOne(word string, list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, word) })
}
