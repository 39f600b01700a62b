package tlswire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// A tap records what one end of a connection writes.
type tap struct {
	net.Conn
	written bytes.Buffer
}

func (t *tap) Write(b []byte) (int, error) {
	t.written.Write(b)
	return t.Conn.Write(b)
}

var certificate = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
})

// exchange runs a handshake between both ends of crypto/tls. It returns what the client
// and the server wrote, and what the server's end read in the ClientHello.
func exchange(t testing.TB, config *tls.Config) (client, server []byte, info *tls.ClientHelloInfo) {
	t.Helper()
	cert, err := certificate()
	if err != nil {
		t.Fatal(err)
	}
	config.InsecureSkipVerify = true
	if config.ServerName == "" {
		config.ServerName = "alb.example.test"
	}
	a, b := net.Pipe()
	from, to := &tap{Conn: a}, &tap{Conn: b}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer b.Close()
		tls.Server(to, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, SessionTicketsDisabled: true,
			GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
				info = i
				return nil, nil
			}}).Handshake()
	}()
	tls.Client(from, config).Handshake() // an error is an outcome too
	a.Close()
	<-done
	return from.written.Bytes(), to.written.Bytes(), info
}

// helloOf returns the ClientHello message that a configuration makes.
func helloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, _, _ := exchange(t, config)
	return firstMessage(client)
}

// firstMessage returns the contents of the first record.
func firstMessage(b []byte) []byte { return b[RecordHeaderLen:][:binary.BigEndian.Uint16(b[3:])] }

// record makes a record.
func record(contentType uint8, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{contentType, 3, 3}, uint16(len(payload))), payload...)
}
