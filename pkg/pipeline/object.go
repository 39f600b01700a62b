package pipeline

// An Object names one version of an S3 object, as an event announced it.
type Object struct {
	Bucket    string
	Key       string // decoded: as GetObject wants it
	AltKey    string // another reading of the key, to be tried if there is no object of Key; usually empty
	VersionID string // empty where the bucket is not versioned
	ETag      string // without quotes; empty where the event carried none
	Size      int64  // bytes as stored (compressed); -1 where the event carried none
}

// URI returns "s3://BUCKET/KEY".
func (o Object) URI() string { return "s3://" + o.Bucket + "/" + o.Key }
