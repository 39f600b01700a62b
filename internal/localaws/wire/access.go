package wire

import (
	"net/http"
	"regexp"
	"slices"
)

// An Access is a permission that a request needs, in the words of IAM.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
type Access struct {
	AccessKeyID string            // of the credentials that signed the request
	Action      string            // such as "s3:ListBucket"
	Resource    string            // its ARN; "*" for an action without resources
	Context     map[string]string // condition keys, such as "cloudwatch:namespace"
}

// An AuthorizeFunc decides whether an access is allowed. A request may need
// several. It is called from many goroutines.
type AuthorizeFunc func(Access) bool

// SetAuthorize makes the endpoint ask f about every request, as AWS asks IAM, and
// refuse with status 403 what f denies. Nil allows everything. Signatures are not
// checked: the access key is taken as given.
func (e *Endpoint) SetAuthorize(f AuthorizeFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.authorize = f
}

// Allows reports whether one access is allowed to the client of a request.
func (e *Endpoint) Allows(r *http.Request, a Access) bool {
	e.mu.Lock()
	authorize := e.authorize
	e.mu.Unlock()
	a.AccessKeyID = accessKeyID(r)
	return authorize == nil || authorize(a)
}

// allows reports whether all accesses of a request are allowed.
func (e *Endpoint) allows(r *http.Request, operation string) bool {
	e.mu.Lock()
	unchecked := e.authorize == nil || e.protocol.Accesses == nil
	e.mu.Unlock()
	return unchecked || !slices.ContainsFunc(e.protocol.Accesses(r, operation), func(a Access) bool { return !e.Allows(r, a) })
}

var credential = regexp.MustCompile(`\bCredential=([^/,\s]+)/`)

// accessKeyID returns the access key that signed a request.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func accessKeyID(r *http.Request) string {
	if m := credential.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		return m[1]
	}
	return ""
}
