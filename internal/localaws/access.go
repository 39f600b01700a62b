package localaws

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// An Access is what a request asks for, in the words of IAM.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
type Access struct {
	AccessKeyID string            // of the credentials that signed the request
	Action      string            // such as "s3:ListBucket"
	Resource    string            // its ARN; "*" for an action that knows none
	Context     map[string]string // condition keys, such as "cloudwatch:namespace"
}

// An AuthorizeFunc decides whether an access is allowed. A request may come to
// several of them. It is called from many goroutines.
type AuthorizeFunc func(Access) bool

// SetAuthorize has all stand-ins ask f about every request before they answer
// it, as IAM is asked; what it does not allow is refused with status 403. Nil
// allows everything. Signatures are not checked: who asks is who they say.
func (s *Stack) SetAuthorize(f AuthorizeFunc) {
	for _, e := range s.endpoints() {
		e.mu.Lock()
		e.authorize = f
		e.mu.Unlock()
	}
}

// allows reports whether all that a request comes to is allowed. It puts back
// what it reads of the body.
func (e *endpoint) allows(r *http.Request, operation string) bool {
	e.mu.Lock()
	authorize := e.authorize
	e.mu.Unlock()
	if authorize == nil || e.accesses == nil {
		return true
	}
	for _, a := range e.accesses(r, operation) {
		a.AccessKeyID = accessKeyID(r)
		if !authorize(a) {
			return false
		}
	}
	return true
}

var credential = regexp.MustCompile(`\bCredential=([^/,\s]+)/`)

// accessKeyID returns whose signature a request bears.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func accessKeyID(r *http.Request) string {
	if m := credential.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		return m[1]
	}
	return ""
}

// s3Actions are the actions of operations that have other names.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
var s3Actions = map[string]string{
	"ListObjectsV2": "ListBucket", "ListObjects": "ListBucket", "HeadBucket": "ListBucket",
	"HeadObject": "GetObject", "CreateMultipartUpload": "PutObject", "UploadPart": "PutObject", "CompleteMultipartUpload": "PutObject",
}

func s3Accesses(r *http.Request, operation string) []Access {
	bucket, key := bucketAndKey(r)
	a := Access{Action: "s3:" + operation, Resource: "arn:aws:s3:::" + bucket}
	if action, ok := s3Actions[operation]; ok {
		a.Action = "s3:" + action
	}
	if key != "" {
		a.Resource += "/" + key
	}
	if a.Action == "s3:GetObject" && r.URL.Query().Has("versionId") {
		a.Action = "s3:GetObjectVersion"
	}
	list := []Access{a}
	if a.Action == "s3:ListBucket" {
		list[0].Context = map[string]string{"s3:prefix": r.URL.Query().Get("prefix")}
	}
	if a.Action == "s3:PutObject" && r.Header.Get("If-Match") != "" {
		// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
		list = append(list, Access{Action: "s3:GetObject", Resource: a.Resource})
	}
	return list
}

// hides reports whether S3 must not tell the client of a request that a key is
// missing: without s3:ListBucket it says 403 instead of 404.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html#API_GetObject_RequestSyntax
func (s *S3) hides(r *http.Request) bool {
	s.endpoint.mu.Lock()
	authorize := s.authorize
	s.endpoint.mu.Unlock()
	bucket, _ := bucketAndKey(r)
	return authorize != nil && !authorize(Access{AccessKeyID: accessKeyID(r), Action: "s3:ListBucket", Resource: "arn:aws:s3:::" + bucket})
}

func cloudWatchAccesses(r *http.Request, operation string) []Access {
	a := Access{Action: "cloudwatch:" + operation, Resource: "*"}
	if operation == "PutMetricData" {
		clone := r.Clone(r.Context())
		clone.Body = io.NopCloser(bytes.NewReader(peekBody(r, 2*maxPutMetricDataBytes)))
		if in, refusal := readMessage(clone); refusal == nil {
			if namespace, ok := in["Namespace"].(string); ok {
				a.Context = map[string]string{"cloudwatch:namespace": namespace}
			}
		}
	}
	return []Access{a}
}

func snsAccesses(r *http.Request, operation string) []Access {
	a := Access{Action: "sns:" + operation, Resource: queryForm(r).Get("TopicArn")}
	if operation == "PublishBatch" {
		a.Action = "sns:Publish"
	}
	return []Access{a}
}

func (s *SQS) accesses(r *http.Request, operation string) []Access {
	var in sqsInput
	json.Unmarshal(peekBody(r, maxForm), &in) // what cannot be read is refused later
	_, name, _ := strings.Cut(in.QueueURL, "/"+accountID+"/")
	return []Access{{Action: "sqs:" + operation, Resource: "arn:aws:sqs:" + s.region + ":" + accountID + ":" + name}}
}

func elbAccesses(_ *http.Request, operation string) []Access {
	return []Access{{Action: "elasticloadbalancing:" + operation, Resource: "*"}}
}
