package s3

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"tlswatch/internal/localaws/wire"
)

// checksumPrefix begins the names of headers with checksums, in canonical form.
const checksumPrefix = "X-Amz-Checksum-"

// maxObject is the largest body of one PUT: 5 GiB.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html
const maxObject = 5 << 30

// newChecksum returns the algorithm that a checksum header names, or nil.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
func newChecksum(header string) hash.Hash {
	switch strings.TrimPrefix(header, checksumPrefix) {
	case "Crc32":
		return crc32.NewIEEE()
	case "Crc32c":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "Crc64nvme":
		return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) // NVMe base specification, reversed
	case "Sha1":
		return sha1.New()
	case "Sha256":
		return sha256.New()
	}
	return nil
}

// checkPayload verifies the checksum of a body and returns its header. If the
// request has none, it returns the CRC-64/NVME that S3 adds by itself.
func checkPayload(body []byte, header, trailer http.Header) (name, sum string, refusal *wire.Refusal) {
	for _, h := range [...]http.Header{header, trailer} {
		for name, values := range h {
			algorithm := newChecksum(name)
			if algorithm == nil || !strings.HasPrefix(name, checksumPrefix) {
				continue
			}
			algorithm.Write(body)
			sum := base64.StdEncoding.EncodeToString(algorithm.Sum(nil))
			if values[0] != sum {
				return "", "", wire.BadRequest("BadDigest", fmt.Sprintf(
					"The %s you specified did not match the calculated checksum.", strings.ToUpper(strings.TrimPrefix(name, checksumPrefix))))
			}
			return name, sum, nil
		}
	}
	name = checksumPrefix + "Crc64nvme"
	algorithm := newChecksum(name)
	algorithm.Write(body)
	return name, base64.StdEncoding.EncodeToString(algorithm.Sum(nil)), nil
}

// readPayload reads the body of a request, decoded if it is aws-chunked, and its
// trailer, if any.
func readPayload(r *http.Request) (body []byte, trailer http.Header, refusal *wire.Refusal) {
	if r.Body == nil {
		return nil, nil, nil
	}
	if r.ContentLength < 0 && r.Method == http.MethodPut {
		return nil, nil, wire.NewRefusal(http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	}
	limited := io.LimitReader(r.Body, maxObject+1)
	var err error
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		body, trailer, err = readAWSChunked(limited)
		if want := r.Header.Get("X-Amz-Decoded-Content-Length"); err == nil && want != strconv.Itoa(len(body)) {
			err = fmt.Errorf("decoded length is %d, not %s", len(body), want)
		}
	} else {
		body, err = io.ReadAll(limited)
	}
	if err != nil {
		return nil, nil, wire.BadRequest("IncompleteBody", "The request body is not as its headers say: "+err.Error())
	}
	if int64(len(body)) > maxObject {
		return nil, nil, wire.BadRequest("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
	}
	return body, trailer, nil
}

// readAWSChunked decodes the aws-chunked content coding: chunks as in HTTP/1.1
// (RFC 9112 section 7.1) inside the body. A chunk-signature extension is
// ignored.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
func readAWSChunked(r io.Reader) ([]byte, http.Header, error) {
	in := textproto.NewReader(bufio.NewReader(r))
	var body bytes.Buffer
	for {
		line, err := in.ReadLine()
		if err != nil {
			return nil, nil, fmt.Errorf("chunk header: %w", noEOF(err))
		}
		digits, _, _ := strings.Cut(line, ";")
		size, err := strconv.ParseUint(digits, 16, 63)
		if err != nil {
			return nil, nil, fmt.Errorf("chunk header %q: %w", line, err)
		}
		if size == 0 {
			break
		}
		if _, err := io.CopyN(&body, in.R, int64(size)); err != nil {
			return nil, nil, fmt.Errorf("chunk of %d bytes: %w", size, noEOF(err))
		}
		if line, err := in.ReadLine(); err != nil || line != "" {
			return nil, nil, fmt.Errorf("chunk of %d bytes does not end where it should", size)
		}
	}
	trailer, err := in.ReadMIMEHeader()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("trailer: %w", err)
	}
	return body.Bytes(), http.Header(trailer), nil
}

// noEOF reports an end of file as unexpected.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
