package sam

import (
	"fmt"
	"slices"
)

// MatchesEvent reports whether an EventBridge pattern matches an event: all fields
// of the pattern must match, each by any of its values.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html
func MatchesEvent(pattern, event Tree) bool {
	for field, want := range pattern {
		switch want := want.(type) {
		case Tree:
			if inner, ok := event[field].(Tree); !ok || !MatchesEvent(want, inner) {
				return false
			}
		case []any:
			if !slices.ContainsFunc(want, func(want any) bool { return matchesValue(want, event[field]) }) {
				return false
			}
		default:
			return false // not a pattern of EventBridge's
		}
	}
	return true
}

func matchesValue(want, got any) bool {
	text, ok := got.(string)
	if !ok {
		return false
	}
	if filter, ok := want.(Tree); ok {
		wildcard, ok := filter["wildcard"].(string)
		return ok && len(filter) == 1 && like(wildcard, text)
	}
	return fmt.Sprint(want) == text
}
