package localaws

import (
	"encoding/xml"
	"io"
	"net/http"
	"strings"
)

// s3Operation names the operation of a request by method, path and query, or
// returns "Unknown" for those that have no stand-in.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
func s3Operation(r *http.Request) string {
	query := r.URL.Query()
	bucket, key := bucketAndKey(r)
	var resource string // which kind of thing the request is about
	switch {
	case bucket == "":
		resource = "service"
	case key == "":
		resource = "bucket"
	default:
		resource = "object"
	}
	for _, sub := range [...]string{"uploadId", "uploads", "versioning", "versions", "location", "delete",
		"acl", "tagging", "policy", "notification", "lifecycle", "encryption", "cors", "logging", "replication",
		"website", "attributes", "object-lock", "legal-hold", "retention", "torrent", "restore", "select",
		"publicAccessBlock", "ownershipControls", "accelerate", "requestPayment", "inventory", "metrics",
		"analytics", "intelligent-tiering", "policyStatus"} {
		if query.Has(sub) {
			resource += "?" + sub
			break
		}
	}
	switch r.Method + " " + resource {
	case "GET service":
		return "ListBuckets"
	case "PUT bucket":
		return "CreateBucket"
	case "DELETE bucket":
		return "DeleteBucket"
	case "HEAD bucket":
		return "HeadBucket"
	case "GET bucket":
		if query.Get("list-type") == "2" {
			return "ListObjectsV2"
		}
		return "ListObjects"
	case "GET bucket?versions":
		return "ListObjectVersions"
	case "GET bucket?location":
		return "GetBucketLocation"
	case "GET bucket?versioning":
		return "GetBucketVersioning"
	case "PUT bucket?versioning":
		return "PutBucketVersioning"
	case "GET bucket?uploads":
		return "ListMultipartUploads"
	case "POST bucket?delete":
		return "DeleteObjects"
	case "GET object":
		return "GetObject"
	case "HEAD object":
		return "HeadObject"
	case "DELETE object":
		return "DeleteObject"
	case "PUT object":
		if r.Header.Get("X-Amz-Copy-Source") != "" {
			return "CopyObject"
		}
		return "PutObject"
	case "POST object?uploads":
		return "CreateMultipartUpload"
	case "PUT object?uploadId":
		return "UploadPart"
	case "GET object?uploadId":
		return "ListParts"
	case "POST object?uploadId":
		return "CompleteMultipartUpload"
	case "DELETE object?uploadId":
		return "AbortMultipartUpload"
	}
	return "Unknown"
}

// bucketAndKey splits a path-style request path.
func bucketAndKey(r *http.Request) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return bucket, key
}

// s3Refusal reads the error that a reply of gofakes3 is, or returns nil.
func s3Refusal(rec *recorder) *apiError {
	if rec.status < http.StatusMultipleChoices {
		return nil
	}
	e := &apiError{status: rec.status}
	var doc struct{ Code, Message string }
	if err := xml.Unmarshal(rec.body.Bytes(), &doc); err == nil {
		e.code, e.message = doc.Code, doc.Message
	}
	if e.code == "" { // as after HEAD
		switch e.status {
		case http.StatusNotModified:
			e.code = "NotModified"
		case http.StatusNotFound:
			e.code = "NotFound"
		default:
			e.code = strings.ReplaceAll(http.StatusText(e.status), " ", "")
		}
	}
	if e.code == "BucketAlreadyExists" {
		e.code = "BucketAlreadyOwnedByYou" // all buckets here have one owner
	}
	if m := s3Messages(e.code); m != "" {
		e.message = m
	}
	return e
}

// s3Messages are the texts S3 sends with the errors a caller is likely to show.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func s3Messages(code string) string {
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

// writeS3Error answers with S3's error document. HEAD has no body, 304 neither.
func writeS3Error(w http.ResponseWriter, r *http.Request, e *apiError) {
	if w.Header().Get("X-Amz-Request-Id") == "" {
		w.Header().Set("X-Amz-Request-Id", strings.ToUpper(randomHex(8)))
	}
	if e.status == http.StatusNotModified || r.Method == http.MethodHead {
		w.WriteHeader(e.status)
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
	}{Code: e.code, Message: e.message, RequestID: w.Header().Get("X-Amz-Request-Id"), HostID: "localaws"}
	switch e.code {
	case "NoSuchKey":
		doc.Key = key
	case "NoSuchBucket":
		doc.BucketName = bucket
	}
	body, err := xml.Marshal(doc)
	if err != nil {
		panic(err) // strings only: cannot happen
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(e.status)
	io.WriteString(w, xml.Header)
	w.Write(body)
}
