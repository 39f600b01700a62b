package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

var errCBOR = errors.New("CBOR is cut off or malformed")

// decodeCBOR reads one value (RFC 8949): float64 for all numbers, string, []byte,
// bool, nil, []any and map[string]any. A tag is left out.
func decodeCBOR(b []byte) (any, error) {
	d := cborDecoder{b: b}
	v, err := d.value(0)
	if err == nil && (len(d.b) > 0 || v == (cborEnd{})) {
		err = errCBOR
	}
	return v, err
}

type cborDecoder struct{ b []byte }

// cborEnd is the value that ends one of indefinite length.
type cborEnd struct{}

// head reads the first bytes of a value: its type, its argument, and whether
// its length is indefinite.
func (d *cborDecoder) head() (major byte, info byte, n uint64, err error) {
	if len(d.b) == 0 {
		return 0, 0, 0, errCBOR
	}
	major, info = d.b[0]>>5, d.b[0]&31
	d.b = d.b[1:]
	if info < 24 {
		return major, info, uint64(info), nil
	}
	if info == 31 {
		return major, info, 0, nil
	}
	size := 1 << (info - 24)
	if info > 27 || len(d.b) < size {
		return 0, 0, 0, errCBOR
	}
	var word [8]byte
	copy(word[8-size:], d.b[:size])
	d.b = d.b[size:]
	return major, info, binary.BigEndian.Uint64(word[:]), nil
}

func (d *cborDecoder) value(depth int) (any, error) {
	major, info, n, err := d.head()
	if err != nil || depth > 32 {
		return nil, errors.Join(err, errCBOR)
	}
	indefinite := info == 31
	switch major {
	case 0:
		return float64(n), nil
	case 1:
		return -1 - float64(n), nil
	case 2, 3:
		text, err := d.text(n, indefinite, depth)
		if major == 2 {
			return text, err
		}
		return string(text), err
	case 4:
		return d.list(n, indefinite, depth)
	case 5:
		list, err := d.list(2*n, indefinite, depth)
		if err != nil || len(list)%2 != 0 {
			return nil, errors.Join(err, errCBOR)
		}
		m := make(map[string]any)
		for i := 0; i < len(list); i += 2 {
			key, ok := list[i].(string)
			if !ok {
				return nil, errCBOR
			}
			m[key] = list[i+1]
		}
		return m, nil
	case 6:
		return d.value(depth + 1)
	}
	switch info {
	case 20, 21:
		return info == 21, nil
	case 22, 23:
		return nil, nil
	case 25:
		return half(uint16(n)), nil
	case 26:
		return float64(math.Float32frombits(uint32(n))), nil
	case 27:
		return math.Float64frombits(n), nil
	case 31:
		return cborEnd{}, nil
	}
	return nil, errCBOR
}

func (d *cborDecoder) text(n uint64, indefinite bool, depth int) ([]byte, error) {
	if !indefinite {
		if n > uint64(len(d.b)) {
			return nil, errCBOR
		}
		text := d.b[:n]
		d.b = d.b[n:]
		return text, nil
	}
	var text []byte
	parts, err := d.list(0, true, depth)
	for _, part := range parts {
		switch part := part.(type) {
		case string:
			text = append(text, part...)
		case []byte:
			text = append(text, part...)
		default:
			return nil, errCBOR
		}
	}
	return text, err
}

func (d *cborDecoder) list(n uint64, indefinite bool, depth int) ([]any, error) {
	var list []any
	for indefinite || uint64(len(list)) < n {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if v == (cborEnd{}) {
			if indefinite {
				return list, nil
			}
			return nil, errCBOR
		}
		list = append(list, v)
	}
	return list, nil
}

// half widens a number of 16 bits.
func half(bits uint16) float64 {
	sign, exponent, fraction := 1.0, int(bits>>10&31), float64(bits&1023)
	if bits>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(fraction+1024, exponent-25)
}
