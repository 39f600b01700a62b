// Package wire reads the requests of AWS's SDK to CloudWatch, SNS and S3, and
// answers them, as far as the function uses these services. It follows AWS's
// documents and shares no code with the SDK.
package wire

import (
	"encoding/hex"
	"fmt"
	"net/http"
)

// A Reply is a service's answer.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Failure is an error as the service "s3", "sns" or "cloudwatch" writes it, or as
// a proxy before it does if it has no code.
func Failure(service string, status int, code string) Reply {
	switch {
	case code == "":
		return Reply{status, http.Header{"Content-Type": {"text/html"}}, []byte("<html><body><h1>" + http.StatusText(status) + "</h1></body></html>")}
	case service == "s3":
		return s3Error(status, code)
	case service == "sns":
		return Reply{status, http.Header{"Content-Type": {"text/xml"}}, []byte(`<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>` + blame(status) +
			"</Type><Code>" + code + "</Code><Message>chaos</Message></Error><RequestId>0</RequestId></ErrorResponse>")}
	}
	text := "com.amazonaws.cloudwatch#" + code
	body := "a1" + "66" + hex.EncodeToString([]byte("__type")) + "78" + fmt.Sprintf("%02x", len(text)) + hex.EncodeToString([]byte(text)) // {"__type": text}
	packed, err := hex.DecodeString(body)
	if err != nil {
		panic(err)
	}
	return Reply{status, http.Header{"Smithy-Protocol": {"rpc-v2-cbor"}, "Content-Type": {"application/cbor"}, "X-Amzn-Query-Error": {code + ";" + blame(status)}}, packed}
}

// blame says whose fault an error is, as AWS puts it.
func blame(status int) string {
	if status/100 == 4 {
		return "Sender"
	}
	return "Receiver"
}
