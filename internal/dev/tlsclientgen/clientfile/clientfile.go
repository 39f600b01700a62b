// Package clientfile has the form of the data files of tlsclientgen.
package clientfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"tlswatch/pkg/clienthello/tlswire"
	"tlswatch/pkg/tlsname"
)

// A Client is a version of a program, with what its ClientHello has.
type Client struct {
	Name          string   `json:"name,omitempty"` // in the source
	Software      string   `json:"software"`
	Version       string   `json:"version"`
	Platform      string   `json:"platform"`
	Kind          string   `json:"kind"`
	Released      int      `json:"released"` // year
	LegacyVersion string   `json:"legacyVersion"`
	Versions      []string `json:"versions"` // of supported_versions; null without it
	CipherSuites  []string `json:"cipherSuites"`
	Groups        []string `json:"groups"`
	KeyShares     []string `json:"keyShares"`
	Schemes       []string `json:"signatureSchemes"`
	Extensions    []uint16 `json:"extensions"`
	ALPN          []string `json:"alpn"`
	JA4           string   `json:"ja4"`
}

// Read decodes a file.
func Read(text []byte) ([]Client, error) {
	var file struct{ Clients []Client }
	err := json.Unmarshal(text, &file)
	return file.Clients, err
}

// Write encodes a file, one client a line.
func Write(clients []Client) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`{"clients": [`)
	for i, c := range clients {
		line, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n")
		b.Write(line)
	}
	b.WriteString("\n]}\n")
	return b.Bytes(), nil
}

// Set sets what a ClientHello has, without GREASE, which differs from connection to
// connection.
func (c *Client) Set(h *tlswire.ClientHello) {
	c.LegacyVersion, c.ALPN, c.JA4 = h.LegacyVersion.String(), append([]string{}, h.ALPN...), h.JA4()
	c.Versions, c.CipherSuites, c.Extensions = nil, nil, []uint16{}
	if h.SupportedVersions != nil {
		c.Versions = names(h.SupportedVersions)
	}
	for _, s := range h.CipherSuites {
		if !s.IsGREASE() {
			c.CipherSuites = append(c.CipherSuites, fmt.Sprintf("%04x", uint16(s)))
		}
	}
	for _, e := range h.Extensions {
		if !tlsname.IsGREASE(uint16(e.Type)) {
			c.Extensions = append(c.Extensions, uint16(e.Type))
		}
	}
	c.Groups, c.KeyShares, c.Schemes = names(h.Groups), names(h.KeyShares), names(h.SignatureSchemes)
}

func names[T interface {
	~uint16
	fmt.Stringer
}](list []T) []string {
	text := []string{}
	for _, v := range list {
		if !tlsname.IsGREASE(uint16(v)) {
			text = append(text, v.String())
		}
	}
	return text
}

// Equal reports whether two clients are the same. The order of extensions does not
// matter: some programs shuffle them.
func (c *Client) Equal(other *Client) bool {
	a, b := *c, *other
	a.Extensions, b.Extensions = slices.Sorted(slices.Values(a.Extensions)), slices.Sorted(slices.Values(b.Extensions))
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
