package config

import "slices"

// The settings that the small functions read, of those that the processor has.
var (
	Widget = []string{"LISTENER_POLICIES", "POLICY_FILE", "STATE_BUCKET"}
	Digest = []string{"ALERT_TOPIC_ARN", "LISTENER_POLICIES", "POLICY_FILE", "STATE_BUCKET"}
)

// Only returns a getenv for [FromEnv] that knows no other variables.
func Only(names []string, getenv func(string) string) func(string) string {
	return func(name string) string {
		if !slices.Contains(names, name) {
			return ""
		}
		return getenv(name)
	}
}

// SettingsOf lists the settings of the given names.
func SettingsOf(names []string) []Setting {
	return slices.DeleteFunc(Settings(), func(s Setting) bool { return !slices.Contains(names, s.Name) })
}
