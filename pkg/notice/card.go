package notice

import (
	"strings"

	"tlswatch/internal/text"
)

// A Card is a custom notification of Amazon Q Developer in chat applications.
// Source: https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
type Card struct {
	Version  string   `json:"version"` // "1.0"
	Source   string   `json:"source"`  // "custom"
	Content  Content  `json:"content"`
	Metadata Metadata `json:"metadata"`
}

// Content is what a card shows.
type Content struct {
	TextType    string   `json:"textType"` // "client-markdown"
	Title       string   `json:"title"`
	Description string   `json:"description"`
	NextSteps   []string `json:"nextSteps,omitempty"`
	Keywords    []string `json:"keywords,omitempty"`
}

// Metadata groups cards.
type Metadata struct {
	ThreadID  string   `json:"threadId"` // cards of one thread are shown together
	Summary   string   `json:"summary"`
	EventType string   `json:"eventType"`
	Resources []string `json:"relatedResources,omitzero"`
}

// Limits of a card. AWS documents none; these are on the safe side.
const (
	maxCardText  = 3000 // characters of the description
	maxCardItems = 5    // entries of a list
)

// NewCard returns a card whose description begins with text.
func NewCard(title, text string, m Metadata) Card {
	return Card{
		Version:  "1.0",
		Source:   "custom",
		Content:  Content{TextType: "client-markdown", Title: title, Description: text},
		Metadata: m,
	}
}

// Add appends text to the description if there is room for all of it, so that no
// markup is cut.
func (c *Card) Add(text string) {
	if len(c.Content.Description)+len(text) <= maxCardText {
		c.Content.Description += text
	}
}

// Code is a code span in Markdown, harmless for a chat program.
func Code(s string) string { return "`" + withoutCode(text.Printable(s)) + "`" }

// withoutCode replaces the marks of code spans: a chat program would pair them
// across parts.
func withoutCode(s string) string { return strings.ReplaceAll(s, "`", "'") }
