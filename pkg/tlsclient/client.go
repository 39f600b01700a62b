// Package tlsclient knows what TLS programs offer in their ClientHellos: browsers,
// libraries, mail programs, crawlers and operating systems, by name and version.
//
// It answers what a security policy negotiates with each of them ([Negotiate]), which
// of them a ClientHello is from ([Identify]), and which of them a line of a
// connection log can be from ([Consistent]). All answers are about a program in its
// default settings. Programs share libraries, so several often fit: then no answer
// names only one of them.
//
// The clients and everything they refer to are shared: do not change them.
package tlsclient

import (
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

//go:generate go run ../../internal/dev/tlsclientgen -o tables.go

// A Client is a version of a program, with what it offers in its first ClientHello to
// a server.
type Client struct {
	Software string // "IE"
	Version  string // "11"
	Platform string // "Windows 7"; "" if unknown or without influence
	Kind     Kind
	Released int    // year
	JA4      string // of FoxIO's specification

	// Offer has no GREASE, signalling values and drafts. A list is nil if its extension
	// is missing.
	Offer     secpolicy.Offer
	KeyShares []tlsname.Group // nil without TLS 1.3
}

// Kind is a kind of program.
type Kind uint8

const (
	browser Kind = iota
	library
	system // an operating system's own TLS, as apps use it
	mail
	crawler
)

// String returns the name in JSON documents.
func (k Kind) String() string {
	return [...]string{browser: "browser", library: "library", system: "system", mail: "mail", crawler: "crawler"}[k]
}

// Clients returns all known clients, grouped by software, older versions first.
func Clients() []Client { return clients[:] }

// String returns the name for people, such as "IE 11 on Windows 7".
func (c *Client) String() string {
	name := c.Software + " " + c.Version
	if c.Platform != "" {
		name += " on " + c.Platform
	}
	return name
}
