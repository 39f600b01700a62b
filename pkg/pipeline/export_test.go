package pipeline

// What tests know of the inside.
const (
	MaxAlertAge  = maxAlertAge
	SkippedEmpty = skippedEmpty
)

// Owners is owners.
func Owners(jobs []Job) []string { return owners(jobs) }
