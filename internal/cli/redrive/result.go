package redrive

import (
	"fmt"
	"io"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/deployed"
	"tlswatch/internal/text"
)

func (r *redriver) result(ended string) result {
	result := result{
		Queue:     r.queue.URL,
		Function:  r.o.function,
		DryRun:    r.o.dryRun,
		Ended:     ended,
		Received:  len(r.order),
		Throttled: r.function.Throttled(),
		Messages:  []message{},
	}
	for _, l := range r.order {
		if l.done {
			result.Done++
			continue
		}
		result.Left++
		if l.kind == unreadable {
			result.Unreadable++
		}
		if len(result.Messages) < command.MaxListed {
			result.Messages = append(result.Messages, message{*l.MessageId, l.kind, l.objects, l.reason})
		}
	}
	return result
}

// A result is what redrive did, as --format json prints it.
type result struct {
	Queue      string    `json:"queue"`
	Function   string    `json:"function"`
	DryRun     bool      `json:"dryRun"`
	Ended      string    `json:"ended"` // empty, max, interrupted or error
	Received   int       `json:"received"`
	Done       int       `json:"done"`       // accepted and deleted
	Left       int       `json:"left"`       // Received - Done
	Unreadable int       `json:"unreadable"` // of those left: not an event, so not sent
	Throttled  int64     `json:"throttled"`  // calls that Lambda throttled
	Messages   []message `json:"messages"`   // those left, at most 100
}

func (r result) write(w io.Writer, format string) error {
	if format == "json" {
		return command.WriteJSON(w, r)
	}
	b := console.NewWriter(w)
	endings := map[string]string{
		"empty":       "the queue has no others",
		"max":         "stopped at --max",
		"interrupted": "interrupted: partial result",
		"error":       "stopped by an error: partial result",
	}
	if r.DryRun {
		fmt.Fprintf(b, "DRY RUN: nothing was sent to %s\n\n", r.Function)
	}
	t := text.Table{Columns: "rw"}
	t.Add(text.Count(r.Received), "received; "+endings[r.Ended])
	t.Add(text.Count(r.Done), "processed and deleted")
	left := "left in the queue"
	if r.Unreadable > 0 {
		left += fmt.Sprintf(", %s of them unreadable and not sent", text.Count(r.Unreadable))
	}
	t.Add(text.Count(r.Left), left)
	if r.Throttled > 0 {
		t.Add(text.Count(r.Throttled), "repeated because Lambda throttled them")
	}
	b.Table(&t)
	if len(r.Messages) > 0 {
		fmt.Fprintf(b, "\nLEFT IN THE QUEUE\n\n")
		t := text.Table{Columns: "llrw"}
		t.Add("message", "kind", "objects", "reason")
		for _, m := range r.Messages {
			t.Add(m.MessageID, m.Kind, text.Count(m.Objects), deployed.OneLine(m.Reason))
		}
		b.Table(&t)
		if more := r.Left - len(r.Messages); more > 0 {
			fmt.Fprintf(b, "  and %s more\n", text.Count(more))
		}
	}
	return b.Flush()
}

type message struct {
	MessageID string `json:"messageId"`
	Kind      string `json:"kind"` // s3, eventbridge, sns, redrive (record of an invocation), ..., or unreadable
	Objects   int    `json:"objects"`
	Reason    string `json:"reason"`
}
