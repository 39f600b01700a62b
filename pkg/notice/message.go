// Package notice writes the messages about an alert: email, chat card, SMS and
// a JSON document for machines. Package alert decides when to alert.
package notice

import (
	"encoding/json"
	"fmt"

	"tlswatch/internal/text"
)

// A Message is what Amazon SNS takes, with a text for each protocol.
type Message struct {
	Subject    string            // email subject: printable ASCII, at most MaxSubject characters
	Texts      map[string]string // by SNS protocol; "default" is always there
	Attributes map[string]string // for subscription filters
}

// Limits of SNS: the longest subject, in characters, and the largest message
// with its subject and attributes, in bytes.
// Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
const (
	MaxSubject = 99
	MaxMessage = 256 << 10
)

// Texts are the parts of a message.
type Texts struct {
	Email    string
	Card     Card
	SMS      string
	Document any // is encoded as JSON
}

// ByProtocol returns the texts by the names of SNS's protocols. The card is for
// https, by which Amazon Q Developer in chat applications subscribes.
// Source of the names: Publish, parameter MessageStructure.
func (t Texts) ByProtocol() (map[string]string, error) {
	document, err := text.JSON(t.Document, "")
	if err != nil {
		return nil, fmt.Errorf("encoding the document: %w", err)
	}
	card, err := text.JSON(t.Card, "")
	if err != nil {
		return nil, fmt.Errorf("encoding the chat card: %w", err)
	}
	return map[string]string{
		"default": t.Email, "email": t.Email,
		"https": string(card),
		"sms":   t.SMS,
		"sqs":   string(document), "lambda": string(document), "email-json": string(document),
	}, nil
}

// Size is what SNS counts of the message, in bytes, or a little more.
func (m *Message) Size() int {
	texts, _ := json.Marshal(m.Texts) // strings: cannot fail
	n := len(texts) + len(m.Subject)
	for name, value := range m.Attributes {
		n += len(name) + len("String") + len(value)
	}
	return n
}
