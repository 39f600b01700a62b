package cloudwatch

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"tlswatch/internal/localaws/wire"
)

// A message is a request or reply, independent of the protocol. Its values are
// nil, bool, string, float64, time.Time, []any or message.
type message map[string]any

// isCBOR reports whether a request is in CBOR, and not in JSON.
//
// https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
// https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html
func isCBOR(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, cborPath)
}

// readMessage reads a request in either protocol, compressed or not.
func readMessage(r *http.Request) (message, *wire.Refusal) {
	var body io.Reader = r.Body
	switch coding := r.Header.Get("Content-Encoding"); coding {
	case "", "identity":
	case "gzip":
		// A body that is over the limit compressed is over it uncompressed too:
		// gzip adds only a few bytes to data that do not compress.
		z, err := gzip.NewReader(io.LimitReader(r.Body, maxPutMetricDataBytes+4096))
		if err != nil {
			return nil, wire.Malformed("gzip body: %v", err)
		}
		body = z
	default:
		return nil, wire.NewRefusal(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "Content-Encoding "+coding+" is not supported.")
	}
	raw, err := io.ReadAll(io.LimitReader(body, maxPutMetricDataBytes+1))
	if err == nil && len(raw) > maxPutMetricDataBytes {
		io.Copy(io.Discard, io.LimitReader(r.Body, wire.MaxBody)) // or the client may not read the reply
		return nil, wire.NewRefusal(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
			fmt.Sprintf("Request size exceeded %d bytes", maxPutMetricDataBytes))
	}
	if err != nil {
		return nil, wire.Malformed("body: %v", err)
	}
	var in any
	switch {
	case len(raw) == 0:
		return message{}, nil
	case isCBOR(r):
		v, err := cbor.Decode(raw)
		if err == nil {
			in, err = fromCBOR(v)
		}
		if err != nil {
			return nil, wire.Malformed("cbor: %v", err)
		}
	default:
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, wire.Malformed("json: %v", err)
		}
		in = fromJSON(v)
	}
	m, ok := in.(message)
	if !ok {
		return nil, wire.Malformed("the input is not a structure")
	}
	return m, nil
}

// writeMessage writes a reply in the protocol of the request.
func writeMessage(w http.ResponseWriter, r *http.Request, status int, out message) {
	if out == nil {
		out = message{}
	}
	if !isCBOR(r) {
		wire.WriteJSON(w, status, toJSON(out))
		return
	}
	h := w.Header()
	h.Set("X-Amzn-Requestid", wire.NewUUID())
	h.Set("Smithy-Protocol", "rpc-v2-cbor")
	h.Set("Content-Type", "application/cbor")
	w.WriteHeader(status)
	w.Write(cbor.Encode(toCBOR(out)))
}

// writeError replies with an error that is AWS Query compatible: the name of the
// shape is in __type, and the code that SDKs report is in a header.
//
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#awsquerycompatible-trait
func writeError(w http.ResponseWriter, r *http.Request, e *wire.Refusal) {
	shape := "com.amazonaws.cloudwatch#"
	switch e.Code {
	case "InvalidParameterValue", "InvalidParameterCombination":
		shape += e.Code + "Exception"
	case "MissingParameter":
		shape += "MissingRequiredParameterException"
	case "InternalServiceError":
		shape += "InternalServiceFault"
	case "RequestEntityTooLarge":
		shape = "com.amazon.coral.service#RequestEntityTooLargeException"
	default:
		shape = "com.amazon.coral.service#" + e.Code
	}
	w.Header().Set("X-Amzn-Query-Error", e.Code+";"+e.Blame())
	writeMessage(w, r, e.Status, message{"__type": shape, "message": e.Message})
}

func fromCBOR(v cbor.Value) (any, error) {
	switch v := v.(type) {
	case cbor.Map:
		m := make(message, len(v))
		for name, member := range v {
			x, err := fromCBOR(member)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			m[name] = x
		}
		return m, nil
	case cbor.List:
		list := make([]any, len(v))
		for i, member := range v {
			x, err := fromCBOR(member)
			if err != nil {
				return nil, fmt.Errorf("member %d: %w", i+1, err)
			}
			list[i] = x
		}
		return list, nil
	case cbor.String:
		return string(v), nil
	case cbor.Bool:
		return bool(v), nil
	case *cbor.Nil, *cbor.Undefined:
		return nil, nil
	case *cbor.Tag:
		if v.ID != 1 { // RFC 8949 section 3.4.2: epoch-based date and time
			return nil, fmt.Errorf("unexpected tag %d", v.ID)
		}
		seconds, err := cbor.AsFloat64(v.Value)
		if err != nil {
			return nil, fmt.Errorf("timestamp: %w", err)
		}
		return epochSeconds(seconds)
	}
	f, err := cbor.AsFloat64(v)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// fromJSON converts a decoded JSON value. Timestamps stay numbers until
// [members.time] reads them.
func fromJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(message, len(v))
		for name, member := range v {
			m[name] = fromJSON(member)
		}
		return m
	case []any:
		for i, member := range v {
			v[i] = fromJSON(member)
		}
	}
	return v
}

func toCBOR(v any) cbor.Value {
	switch v := v.(type) {
	case message:
		m := make(cbor.Map, len(v))
		for name, member := range v {
			m[name] = toCBOR(member)
		}
		return m
	case []any:
		list := make(cbor.List, len(v))
		for i, member := range v {
			list[i] = toCBOR(member)
		}
		return list
	case string:
		return cbor.String(v)
	case float64:
		return cbor.Float64(v)
	case bool:
		return cbor.Bool(v)
	case time.Time:
		return &cbor.Tag{ID: 1, Value: cbor.Float64(float64(v.UnixMilli()) / 1e3)}
	}
	return &cbor.Nil{}
}

func toJSON(v any) any {
	switch v := v.(type) {
	case message:
		m := make(map[string]any, len(v))
		for name, member := range v {
			m[name] = toJSON(member)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, member := range v {
			list[i] = toJSON(member)
		}
		return list
	case time.Time:
		return float64(v.UnixMilli()) / 1e3
	}
	return v
}

// epochSeconds converts a timestamp of either protocol, to the millisecond.
func epochSeconds(seconds float64) (time.Time, error) {
	if !(math.Abs(seconds) < 1e11) { // NaN too
		return time.Time{}, errors.New("timestamp out of range")
	}
	return time.UnixMilli(int64(math.Round(seconds * 1e3))).UTC(), nil
}

// A members reads the members of structures and keeps the first error about a
// wrong type. Absent members are zero values.
type members struct{ refusal *wire.Refusal }

func (b *members) wrong(name string, v any) {
	if b.refusal == nil {
		b.refusal = wire.Malformed("member %s has the wrong type %T", name, v)
	}
}

func (b *members) has(m message, name string) bool { return m[name] != nil }

// lacks refuses a member that the stand-in does not implement.
func (b *members) lacks(m message, name string) {
	if b.has(m, name) && b.refusal == nil {
		b.refusal = invalid("The stand-in does not implement the parameter %s.", name)
	}
}

// member returns a member of type T.
func member[T any](b *members, m message, name string) T {
	v, ok := m[name].(T)
	if !ok && m[name] != nil {
		b.wrong(name, m[name])
	}
	return v
}

// listOf returns a member that is a list of type T.
func listOf[T any](b *members, m message, name string) []T {
	members := member[[]any](b, m, name)
	list := make([]T, len(members))
	for i, v := range members {
		x, ok := v.(T)
		if !ok {
			b.wrong(name, v)
		}
		list[i] = x
	}
	return list
}

func (b *members) string(m message, name string) string { return member[string](b, m, name) }

func (b *members) strings(m message, name string) []string { return listOf[string](b, m, name) }

func (b *members) structures(m message, name string) []message { return listOf[message](b, m, name) }

func (b *members) number(m message, name string) float64 {
	f, ok := number(m[name])
	if !ok && m[name] != nil {
		b.wrong(name, m[name])
	}
	return f
}

func (b *members) numbers(m message, name string) []float64 {
	list := member[[]any](b, m, name)
	if list == nil {
		return nil
	}
	numbers := make([]float64, len(list))
	for i, v := range list {
		f, ok := number(v)
		if !ok {
			b.wrong(name, v)
		}
		numbers[i] = f
	}
	return numbers
}

// number reads a number, or a string for one that JSON has no notation for.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case string:
		switch v {
		case "NaN":
			return math.NaN(), true
		case "Infinity":
			return math.Inf(1), true
		case "-Infinity":
			return math.Inf(-1), true
		}
	}
	return 0, false
}

func (b *members) time(m message, name string) time.Time {
	switch v := m[name].(type) {
	case nil:
	case time.Time:
		return v
	case float64:
		t, err := epochSeconds(v)
		if err != nil {
			b.wrong(name, v)
		}
		return t
	default:
		b.wrong(name, v)
	}
	return time.Time{}
}
