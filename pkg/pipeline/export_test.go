package pipeline

// What tests know of the inside.
const (
	MaxAlertAge  = maxAlertAge
	SkippedEmpty = skippedEmpty
)
