// Package clienthello reads packet captures and says what TLS clients offered
// and how each handshake ended.
//
// A [Tracker] reads captures and calls back with a [Handshake] for each connection
// whose ClientHello it found. Package capture decodes the packets, package prelude knows
// what may precede TLS, and package tlswire decodes records and messages. The Tracker puts
// TCP segments in order and follows both directions as far as they are readable.
//
// Memory is bounded however large the capture is: see [Tracker]. Whatever is dropped is
// counted: see [Stats].
//
// Only TLS over TCP is decoded. QUIC and DTLS are recognized and counted.
package clienthello
