package input

// Paths describes the arguments of commands that read logs.
const Paths = "PATH: a log file, a directory, s3://BUCKET/PREFIX, or - for standard input"

// PathHelp explains the arguments of commands that read logs.
const PathHelp = `PATH is a log file, gzip-compressed or not, a directory of them (*.log.gz and
*.log), s3://BUCKET/PREFIX, or - for standard input. You can mix them. Files and
objects that are not connection logs are skipped and counted.

Reading from S3 uses your AWS configuration, and needs the permissions
s3:ListBucket and s3:GetObject. With --since or --until, only the folders of those
days are listed. ` + TimeHelp
