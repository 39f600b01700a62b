package s3

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"

	"tlswatch/internal/localaws/wire"
)

// operations are the implemented operations, by method, resource and subresource.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
var operations = map[string]string{
	"GET service":            "ListBuckets",
	"PUT bucket":             "CreateBucket",
	"DELETE bucket":          "DeleteBucket",
	"HEAD bucket":            "HeadBucket",
	"GET bucket":             "ListObjects", // or ListObjectsV2
	"GET bucket?versions":    "ListObjectVersions",
	"GET bucket?location":    "GetBucketLocation",
	"GET bucket?versioning":  "GetBucketVersioning",
	"PUT bucket?versioning":  "PutBucketVersioning",
	"GET bucket?uploads":     "ListMultipartUploads",
	"POST bucket?delete":     "DeleteObjects",
	"GET object":             "GetObject",
	"HEAD object":            "HeadObject",
	"DELETE object":          "DeleteObject",
	"PUT object":             "PutObject", // or CopyObject
	"POST object?uploads":    "CreateMultipartUpload",
	"PUT object?uploadId":    "UploadPart",
	"GET object?uploadId":    "ListParts",
	"POST object?uploadId":   "CompleteMultipartUpload",
	"DELETE object?uploadId": "AbortMultipartUpload",
}

// subresources are the query parameters that select another operation.
var subresources = []string{"uploadId", "uploads", "versioning", "versions", "location", "delete",
	"acl", "tagging", "policy", "notification", "lifecycle", "encryption", "cors", "logging", "replication",
	"website", "attributes", "object-lock", "legal-hold", "retention", "torrent", "restore", "select",
	"publicAccessBlock", "ownershipControls", "accelerate", "requestPayment", "inventory", "metrics",
	"analytics", "intelligent-tiering", "policyStatus"}

// operation names the operation of a request, or returns "Unknown" for one that
// is not implemented.
func operation(r *http.Request) string {
	query := r.URL.Query()
	resource := "object"
	switch bucket, key := bucketAndKey(r); {
	case bucket == "":
		resource = "service"
	case key == "":
		resource = "bucket"
	}
	if i := slices.IndexFunc(subresources, query.Has); i >= 0 {
		resource += "?" + subresources[i]
	}
	name, ok := operations[r.Method+" "+resource]
	switch {
	case !ok:
		return "Unknown"
	case name == "ListObjects" && query.Get("list-type") == "2":
		return "ListObjectsV2"
	case name == "PutObject" && r.Header.Get("X-Amz-Copy-Source") != "":
		return "CopyObject"
	}
	return name
}

// bucketAndKey splits a path-style request path.
func bucketAndKey(r *http.Request) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return bucket, key
}

// asRefusal reads the error in a reply of gofakes3, or returns nil.
func asRefusal(rec *wire.Recorder) *wire.Refusal {
	if rec.Status < http.StatusMultipleChoices {
		return nil
	}
	e := &wire.Refusal{Status: rec.Status}
	var doc struct{ Code, Message string }
	if err := xml.Unmarshal(rec.Body.Bytes(), &doc); err == nil {
		e.Code, e.Message = doc.Code, doc.Message
	}
	if e.Code == "" { // as after HEAD
		switch e.Status {
		case http.StatusNotModified:
			e.Code = "NotModified"
		case http.StatusNotFound:
			e.Code = "NotFound"
		default:
			e.Code = strings.ReplaceAll(http.StatusText(e.Status), " ", "")
		}
	}
	if e.Code == "BucketAlreadyExists" {
		e.Code = "BucketAlreadyOwnedByYou" // all buckets here have one owner
	}
	if m := messages(e.Code); m != "" {
		e.Message = m
	}
	return e
}

// messages returns S3's text for an error that callers are likely to show, or "".
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func messages(code string) string {
	switch code {
	case "NoSuchKey":
		return "The specified key does not exist."
	case "NoSuchBucket":
		return "The specified bucket does not exist"
	case "PreconditionFailed":
		return "At least one of the pre-conditions you specified did not hold"
	case "BadDigest":
		return "The checksum you specified did not match the calculated checksum."
	case "InvalidRange":
		return "The requested range is not satisfiable"
	case "BucketAlreadyOwnedByYou":
		return "Your previous request to create the named bucket succeeded and you already own it."
	}
	return ""
}

// writeError replies with S3's error document. Replies to HEAD and with status 304
// have no body.
func writeError(w http.ResponseWriter, r *http.Request, e *wire.Refusal) {
	if w.Header().Get("X-Amz-Request-Id") == "" {
		w.Header().Set("X-Amz-Request-Id", strings.ToUpper(wire.RandomHex(8)))
	}
	if e.Status == http.StatusNotModified || r.Method == http.MethodHead {
		w.WriteHeader(e.Status)
		return
	}
	bucket, key := bucketAndKey(r)
	doc := struct {
		XMLName    xml.Name `xml:"Error"`
		Code       string
		Message    string
		Key        string `xml:",omitempty"`
		BucketName string `xml:",omitempty"`
		RequestID  string `xml:"RequestId"`
		HostID     string `xml:"HostId"`
	}{Code: e.Code, Message: e.Message, RequestID: w.Header().Get("X-Amz-Request-Id"), HostID: "localaws"}
	switch e.Code {
	case "NoSuchKey":
		doc.Key = key
	case "NoSuchBucket":
		doc.BucketName = bucket
	}
	w.Header().Set("Content-Type", "application/xml")
	wire.WriteXML(w, e.Status, doc)
}
