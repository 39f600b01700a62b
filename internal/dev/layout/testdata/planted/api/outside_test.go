package api_test

import (
	"testing"

	"planted/api"
)

func TestOutside(t *testing.T) { _ = api.Unused }
