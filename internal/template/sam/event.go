package sam

import (
	"fmt"
	"slices"
)

// MatchesEvent is what an EventBridge rule does with an event: the fields of a
// pattern must all match, one of a field's values is enough.
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
			return false // EventBridge takes no such pattern
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
		return ok && len(filter) == 1 && Like(wildcard, text)
	}
	return fmt.Sprint(want) == text
}
