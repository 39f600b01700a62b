// Package tlswire decodes what both ends of a TLS connection send before it is encrypted:
// records (RFC 8446, Section 5), alerts, and the messages ClientHello and ServerHello,
// with the fingerprints of the former. It knows no packets and no connections.
package tlswire
