package sns

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"tlswatch/internal/localaws/wire"
)

const (
	// maxMessage is the default size limit of a topic, in bytes, for a message
	// with its attributes. (A topic's MaximumMessageSize can raise it to 1 MiB.)
	maxMessage = 262144

	maxSubject = 99 // characters: "less than 100"
)

// protocols are the valid keys in a message with MessageStructure json.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-send-custom-platform-specific-payloads-mobile-devices.html
const protocols = " default http https email email-json sms sqs lambda application firehose" +
	" APNS APNS_SANDBOX APNS_VOIP APNS_VOIP_SANDBOX MACOS MACOS_SANDBOX GCM ADM BAIDU WNS MPNS "

// badParameter is the error for an invalid parameter, worded as by SNS.
func badParameter(format string, args ...any) *wire.Refusal {
	return wire.BadRequest("InvalidParameter", "Invalid parameter: "+fmt.Sprintf(format, args...))
}

// badAttribute is the error for an invalid message attribute.
func badAttribute(format string, args ...any) *wire.Refusal {
	return wire.BadRequest("ParameterValueInvalid", fmt.Sprintf(format, args...))
}

// parseMessage reads the message of a request and checks it.
func parseMessage(form url.Values) (m Message, refusal *wire.Refusal) {
	text := form.Get("Message")
	switch {
	case text == "":
		return m, badParameter("Empty message")
	case !utf8.ValidString(text):
		return m, badParameter("Message Reason: not UTF-8")
	}
	m.Messages = map[string]string{"default": text}
	switch m.Structure = form.Get("MessageStructure"); m.Structure {
	case "":
	case "json":
		if m.Messages, refusal = parseStructure(text); refusal != nil {
			return m, refusal
		}
	default:
		return m, badParameter("MessageStructure Reason: %q is not json", m.Structure)
	}
	if form.Has("Subject") {
		m.Subject = form.Get("Subject")
		if refusal := checkSubject(m.Subject); refusal != nil {
			return m, refusal
		}
	}
	attributes, size, refusal := parseAttributes(form)
	if refusal == nil && len(text)+size > maxMessage {
		refusal = badParameter("Message too long")
	}
	m.Attributes = attributes
	return m, refusal
}

// checkSubject enforces API_Publish: "less than 100 characters", no line breaks
// or control characters; and the older, stricter wording: ASCII, beginning with a
// letter, number or punctuation mark.
func checkSubject(subject string) *wire.Refusal {
	printable := func(r rune) bool { return r >= 0x20 && r <= 0x7e }
	switch {
	case subject == "":
		return badParameter("Subject Reason: empty")
	case utf8.RuneCountInString(subject) > maxSubject:
		return badParameter("Subject Reason: %d characters or more", maxSubject+1)
	case subject[0] == ' ':
		return badParameter("Subject Reason: must start with a letter, number or punctuation mark")
	case strings.ContainsFunc(subject, func(r rune) bool { return !printable(r) }):
		return badParameter("Subject Reason: only printable ASCII")
	}
	return nil
}

// parseStructure reads a message with MessageStructure json: an object with a
// string for "default". Duplicate keys are refused; values that are not
// strings and keys that are not protocols are ignored.
func parseStructure(text string) (map[string]string, *wire.Refusal) {
	unparsable := badParameter("Message Structure - JSON message body failed to parse")
	if !json.Valid([]byte(text)) {
		return nil, unparsable
	}
	in := json.NewDecoder(strings.NewReader(text))
	if open, err := in.Token(); err != nil || open != json.Delim('{') {
		return nil, unparsable
	}
	texts := make(map[string]string)
	seen := make(map[string]bool)
	for in.More() {
		token, err := in.Token()
		if err != nil {
			return nil, unparsable
		}
		key := token.(string) // a valid object's key
		if seen[key] {
			return nil, badParameter("Message Structure - duplicate key %q in JSON message body", key)
		}
		seen[key] = true
		var value any
		if err := in.Decode(&value); err != nil {
			return nil, unparsable
		}
		if s, ok := value.(string); ok && !strings.Contains(key, " ") && strings.Contains(protocols, " "+key+" ") {
			texts[key] = s
		}
	}
	if _, ok := texts["default"]; !ok {
		return nil, badParameter("Message Structure - No default entry in JSON message body")
	}
	return texts, nil
}

// parseAttributes reads and checks message attributes and returns their size:
// names, types and values.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
func parseAttributes(form url.Values) (map[string]string, int, *wire.Refusal) {
	attributes := make(map[string]string)
	size := 0
	for i := 1; ; i++ {
		entry := fmt.Sprintf("MessageAttributes.entry.%d.", i)
		if !slices.ContainsFunc([]string{"Name", "Value.DataType", "Value.StringValue", "Value.BinaryValue"},
			func(part string) bool { return form.Has(entry + part) }) {
			return attributes, size, nil
		}
		name, kind := form.Get(entry+"Name"), form.Get(entry+"Value.DataType")
		text, binary := form.Get(entry+"Value.StringValue"), form.Get(entry+"Value.BinaryValue")
		if problem := wire.AttributeNameProblem(name); problem != "" {
			return nil, 0, badAttribute("%s", problem)
		}
		if _, ok := attributes[name]; ok {
			return nil, 0, badAttribute("The message attribute name '%s' is used twice.", name)
		}
		value := text
		if kind == "Binary" {
			value = binary
		}
		if text != "" && binary != "" || value == "" {
			return nil, 0, badAttribute("The message attribute '%s' must contain exactly one non-empty value of its type '%s'.", name, kind)
		}
		length := len(value)
		switch kind {
		case "String":
		case "String.Array":
			var list []any
			if err := json.Unmarshal([]byte(value), &list); err != nil {
				return nil, 0, badAttribute("The message attribute '%s' is not a JSON array.", name)
			}
		case "Number":
			if !wire.IsNumber(value) {
				return nil, 0, badAttribute("Could not cast message attribute '%s' value to number.", name)
			}
		case "Binary":
			raw, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return nil, 0, badAttribute("The message attribute '%s' is not base64.", name)
			}
			length = len(raw)
		default:
			return nil, 0, badAttribute("The message attribute '%s' has an invalid message attribute type '%s': String, String.Array, Number or Binary.", name, kind)
		}
		attributes[name] = value
		size += len(name) + len(kind) + length
	}
}
