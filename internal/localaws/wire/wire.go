// Package wire is what all stand-ins share: a server on loopback, the endpoint
// that counts and authorizes requests and injects faults, and the AWS query
// protocol.
package wire

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"time"
)

// What all stand-ins have in common.
const (
	AccountID     = "123456789012" // AWS's own example account
	DefaultRegion = "us-east-1"

	// MaxBody is the largest request body, in bytes, that services with small
	// messages read. It is far above their limits, so that a message over the
	// limit gets the service's own error.
	MaxBody = 16 << 20
)

// Config is what the stand-ins of a stack have in common. All fields are
// required.
type Config struct {
	Region string
	Now    func() time.Time
	Calls  *Calls
}

// A Refusal is an error of a service, before it takes the shape of a protocol.
type Refusal struct {
	Status  int    // HTTP status
	Code    string // as SDKs report it: "NoSuchKey", "InvalidParameterValue"
	Message string
}

// NewRefusal returns a refusal with any HTTP status.
func NewRefusal(status int, code, message string) *Refusal {
	return &Refusal{Status: status, Code: code, Message: message}
}

// BadRequest returns a refusal with status 400.
func BadRequest(code, message string) *Refusal {
	return NewRefusal(http.StatusBadRequest, code, message)
}

// Malformed returns the refusal of a body that is not in the service's protocol.
func Malformed(format string, args ...any) *Refusal {
	return BadRequest("SerializationException", fmt.Sprintf(format, args...))
}

// UnknownOperation returns the refusal of an operation that is not implemented,
// in the JSON and CBOR protocols.
func UnknownOperation() *Refusal {
	return NewRefusal(http.StatusNotFound, "UnknownOperationException", "The stand-in does not implement this operation.")
}

func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

// Blame is the side at fault, in the words of the AWS protocols: "Sender" or
// "Receiver".
func (r *Refusal) Blame() string {
	if r.Status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

// BaseEnv returns the environment that keeps an SDK from looking for a region
// and credentials anywhere else.
func BaseEnv(region string) map[string]string {
	return map[string]string{
		"AWS_REGION":                region,
		"AWS_DEFAULT_REGION":        region,
		"AWS_ACCESS_KEY_ID":         "local",
		"AWS_SECRET_ACCESS_KEY":     "local",
		"AWS_EC2_METADATA_DISABLED": "true",
	}
}

// WriteXML replies with a document, as text/xml unless the header has another
// type.
func WriteXML(w http.ResponseWriter, status int, doc any) {
	body, err := xml.Marshal(doc)
	if err != nil {
		panic(err) // structures of strings: cannot happen
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/xml")
	}
	w.WriteHeader(status)
	io.WriteString(w, xml.Header)
	w.Write(body)
}

// WriteJSON replies with a document in the awsJson1.0 protocol; nil is an empty
// body.
func WriteJSON(w http.ResponseWriter, status int, doc any) {
	var body []byte
	if doc != nil {
		var err error
		if body, err = json.Marshal(doc); err != nil {
			panic(err) // structures of strings and finite numbers: cannot happen
		}
	}
	w.Header().Set("X-Amzn-Requestid", NewUUID())
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	w.Write(body)
}

// RandomHex returns n random bytes in hex.
func RandomHex(n int) string {
	p := make([]byte, n)
	rand.Read(p)
	return hex.EncodeToString(p)
}

// NewUUID returns a random UUID (RFC 9562 section 5.4), the form of AWS's
// request and message ids.
func NewUUID() string {
	var p [16]byte
	rand.Read(p[:])
	p[6] = p[6]&0x0f | 0x40
	p[8] = p[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", p[:4], p[4:6], p[6:8], p[8:10], p[10:])
}
