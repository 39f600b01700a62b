package localaws

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// A query is a service of the AWS query protocol: a form comes in, XML of this
// namespace goes out.
//
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
type query string

// maxForm caps the request body, in bytes: far more than a message may be, so
// that one too long is refused as such.
const maxForm = 16 << 20

// queryForm reads the form of a request and leaves the body as it was.
func queryForm(r *http.Request) url.Values {
	if r.Body == nil {
		return nil
	}
	form, err := url.ParseQuery(string(peekBody(r, maxForm)))
	if err != nil {
		return nil
	}
	return form
}

// queryList returns the members of a list in a form.
func queryList(form url.Values, name string) []string {
	var list []string
	for i := 1; ; i++ {
		key := name + ".member." + strconv.Itoa(i)
		if !form.Has(key) {
			return list
		}
		list = append(list, form.Get(key))
	}
}

func invalidAction(action string) *apiError {
	return &apiError{http.StatusBadRequest, "InvalidAction", "The action " + action + " is not valid for this web service."}
}

// reply answers a request with the result, or with the refusal if there is one.
func (q query) reply(w http.ResponseWriter, r *http.Request, action string, result any, refusal *apiError) {
	if refusal != nil {
		q.refuse(w, r, refusal)
		return
	}
	type metadata struct {
		RequestID string `xml:"RequestId"`
	}
	writeXML(w, http.StatusOK, struct {
		XMLName          xml.Name
		Result           any
		ResponseMetadata metadata
	}{xml.Name{Space: string(q), Local: action + "Response"}, result, metadata{newUUID()}})
}

// refuse answers with the protocol's error document.
func (q query) refuse(w http.ResponseWriter, _ *http.Request, e *apiError) {
	type detail struct{ Type, Code, Message string }
	writeXML(w, e.status, struct {
		XMLName   xml.Name
		Error     detail
		RequestID string `xml:"RequestId"`
	}{XMLName: xml.Name{Space: string(q), Local: "ErrorResponse"}, Error: detail{e.blame(), e.code, e.message}, RequestID: newUUID()})
}

func writeXML(w http.ResponseWriter, status int, doc any) {
	body, err := xml.Marshal(doc)
	if err != nil {
		panic(err) // structures of strings: cannot happen
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	io.WriteString(w, xml.Header)
	w.Write(body)
}
