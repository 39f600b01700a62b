package notice

import (
	"fmt"
	"slices"
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

// card is for chat programs.
func (e *explained) card() Card {
	w := &e.Window
	card := NewCard(e.subject(), fmt.Sprintf("*%s* on %s %s.", e.headline(), Code(w.LoadBalancer), e.span()), Metadata{
		ThreadID:  e.Rule.Name + " " + text.Name(w.LoadBalancer),
		Summary:   e.headline(),
		EventType: "tlswatch." + e.Rule.Name,
		Resources: notEmpty(e.arn()),
	})
	steps := []string{}
	changes := e.changes[:min(len(e.changes), maxCardItems-3)]
	for i, c := range e.causes[:min(len(e.causes), maxCardItems-1)] {
		card.Add(fmt.Sprintf("\n\n*%s*, %s: %s", c.title(), text.Plural(c.failed, "failure"), withoutCode(c.Cause)))
		for _, g := range c.groups[:min(len(c.groups), maxCardItems-1)] {
			card.Add(fmt.Sprintf("\n- %s: %s, port %d, %s", text.Count(g.Failed), Code(negotiated(g)), g.ListenerPort, e.clients(g)))
		}
		if i < maxCardItems-1-len(changes) {
			steps = append(steps, c.title()+": "+withoutCode(c.Remedy))
		}
	}
	for _, c := range changes {
		steps = append(steps, fmt.Sprintf("Port %d has %s. %s", c.port, c.from.Name, withoutCode(c.advice())))
	}
	for i, c := range w.Clients[:min(len(w.Clients), maxCardItems)] {
		part := fmt.Sprintf("%s (%s of %s)", Code(c.Client), text.Count(c.Failed), text.Count(c.Connections))
		if i == 0 {
			card.Add("\n\nClients with most failures: " + part)
		} else {
			card.Add(", " + part)
		}
	}
	card.Content.NextSteps = append(steps, "See the listeners' policies: "+Code(e.describeListeners()))
	card.Content.Keywords = notEmpty(e.Severity, e.Rule.Name, w.Region, w.Account)
	return card
}

// notEmpty returns the texts that are not empty.
func notEmpty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}
