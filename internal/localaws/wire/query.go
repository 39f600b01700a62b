package wire

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
)

// A Query is a service of the AWS query protocol: a form comes in, XML goes
// out.
//
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
type Query struct {
	Namespace string                                      // of the XML
	Actions   map[string]func(url.Values) (any, *Refusal) // by name; they return the Result element
}

// Operation names the action of a request, or returns "Unknown".
func (q Query) Operation(r *http.Request) string {
	action := Form(r).Get("Action")
	if q.Actions[action] == nil {
		return "Unknown"
	}
	return action
}

// Apply performs the action and replies.
func (q Query) Apply(w http.ResponseWriter, r *http.Request) {
	form := Form(r)
	action := form.Get("Action")
	perform := q.Actions[action]
	if perform == nil {
		q.Refuse(w, r, BadRequest("InvalidAction", "The action "+action+" is not valid for this web service."))
		return
	}
	result, refusal := perform(form)
	if refusal != nil {
		q.Refuse(w, r, refusal)
		return
	}
	type metadata struct {
		RequestID string `xml:"RequestId"`
	}
	WriteXML(w, http.StatusOK, struct {
		XMLName          xml.Name
		Result           any
		ResponseMetadata metadata
	}{xml.Name{Space: q.Namespace, Local: action + "Response"}, result, metadata{NewUUID()}})
}

// Refuse replies with the protocol's error document.
func (q Query) Refuse(w http.ResponseWriter, _ *http.Request, e *Refusal) {
	type detail struct{ Type, Code, Message string }
	WriteXML(w, e.Status, struct {
		XMLName   xml.Name
		Error     detail
		RequestID string `xml:"RequestId"`
	}{XMLName: xml.Name{Space: q.Namespace, Local: "ErrorResponse"}, Error: detail{e.Blame(), e.Code, e.Message}, RequestID: NewUUID()})
}

// Form reads the form of a request and leaves the body as it was.
func Form(r *http.Request) url.Values {
	if r.Body == nil {
		return nil
	}
	form, err := url.ParseQuery(string(PeekBody(r, MaxBody)))
	if err != nil {
		return nil
	}
	return form
}

// List returns the members of a list in a form.
func List(form url.Values, name string) []string {
	var list []string
	for i := 1; ; i++ {
		key := name + ".member." + strconv.Itoa(i)
		if !form.Has(key) {
			return list
		}
		list = append(list, form.Get(key))
	}
}
