package pipeline

// An Object names one version of an S3 object, as an event announced it.
type Object struct {
	Bucket    string
	Key       string // decoded, as GetObject expects it
	AltKey    string // the key decoded in another way, used if there is no object Key; usually empty
	VersionID string // "" if the bucket is not versioned
	ETag      string // without quotes; "" if the event has none
	Size      int64  // bytes as stored (compressed); -1 if the event has none
}

// URI returns "s3://BUCKET/KEY".
func (o Object) URI() string { return "s3://" + o.Bucket + "/" + o.Key }
