// Command tlswatch answers questions about TLS negotiations with AWS
// Application Load Balancers from their connection logs.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"tlswatch/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	os.Exit(cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
