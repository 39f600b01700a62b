package user

import (
	"testing"

	"planted/api"
)

func TestUse(t *testing.T) {
	var l api.List[int]
	l.Add(use())
}
