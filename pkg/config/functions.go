package config

// Names of the settings that the smaller functions read. The processor reads all.
var (
	Widget = []string{"LISTENER_POLICIES", "POLICY_FILE", "STATE_BUCKET"}
	Digest = []string{"ALERT_TOPIC_ARN", "LISTENER_POLICIES", "POLICY_FILE", "STATE_BUCKET"}
)
