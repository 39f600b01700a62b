package api

import "testing"

func TestUnused(t *testing.T) { (&Document{}).Load() }
