package input

// Paths describes the arguments of commands that read logs.
const Paths = "PATH: a log file, a directory, s3://BUCKET/PREFIX, or - for standard input"

// PathHelp explains the arguments of commands that read logs.
const PathHelp = `PATH is a log file, gzip-compressed or not, a directory of them (*.log.gz and
*.log), s3://BUCKET/PREFIX, or - for standard input, in any mix. What a directory
or bucket holds beside connection logs is passed over and counted. S3 is read
with the usual AWS credentials, profiles and regions, and needs the permissions
s3:ListBucket and s3:GetObject; with --since or --until, only the folders of those
days are listed. A time is ` + TimeForms + `.`
