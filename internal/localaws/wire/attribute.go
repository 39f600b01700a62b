package wire

import (
	"fmt"
	"strconv"
	"strings"
)

const maxAttributeName = 256 // characters

// AttributeNameProblem says which rule for names of message attributes a name
// breaks, or returns "". SNS and SQS share the rules.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func AttributeNameProblem(name string) string {
	lower := strings.ToLower(name)
	switch {
	case name == "":
		return "A message attribute name must not be empty."
	case len(name) > maxAttributeName:
		return fmt.Sprintf("The message attribute name '%.20s...' is longer than %d characters.", name, maxAttributeName)
	case strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon."):
		return fmt.Sprintf("The message attribute name '%s' starts with a reserved prefix.", name)
	case strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, ".."):
		return fmt.Sprintf("The message attribute name '%s' has a period where none may be.", name)
	case strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.')
	}):
		return fmt.Sprintf("The message attribute name '%s' may only contain A-Z, a-z, 0-9, _, - and period.", name)
	}
	return ""
}

// IsNumber reports whether s is an integer or floating-point number in decimal
// notation, as message attributes of type Number must be.
func IsNumber(s string) bool {
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return false // hexadecimal, NaN, infinities, underscores
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}
