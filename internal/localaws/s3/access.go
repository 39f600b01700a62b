package s3

import (
	"net/http"

	"tlswatch/internal/localaws/wire"
)

// actions are the IAM actions of operations whose action has another name.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
var actions = map[string]string{
	"ListObjectsV2": "ListBucket", "ListObjects": "ListBucket", "HeadBucket": "ListBucket",
	"HeadObject": "GetObject", "CreateMultipartUpload": "PutObject", "UploadPart": "PutObject", "CompleteMultipartUpload": "PutObject",
}

func accesses(r *http.Request, operation string) []wire.Access {
	bucket, key := bucketAndKey(r)
	a := wire.Access{Action: "s3:" + operation, Resource: "arn:aws:s3:::" + bucket}
	if action, ok := actions[operation]; ok {
		a.Action = "s3:" + action
	}
	if key != "" {
		a.Resource += "/" + key
	}
	if a.Action == "s3:GetObject" && r.URL.Query().Has("versionId") {
		a.Action = "s3:GetObjectVersion"
	}
	list := []wire.Access{a}
	if a.Action == "s3:ListBucket" {
		list[0].Context = map[string]string{"s3:prefix": r.URL.Query().Get("prefix")}
	}
	if a.Action == "s3:PutObject" && r.Header.Get("If-Match") != "" {
		// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
		list = append(list, wire.Access{Action: "s3:GetObject", Resource: a.Resource})
	}
	return list
}

// hides reports whether S3 replies 403 instead of 404 for a missing key: to a
// client without s3:ListBucket.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html#API_GetObject_RequestSyntax
func (s *Service) hides(r *http.Request) bool {
	bucket, _ := bucketAndKey(r)
	return !s.Allows(r, wire.Access{Action: "s3:ListBucket", Resource: "arn:aws:s3:::" + bucket})
}
