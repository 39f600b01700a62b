package notice

import (
	"fmt"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/logkey"
)

// arn is empty if the account is unknown, or the name cannot be pasted.
func (a *Alert) arn() string {
	if a.Window.Account == "" || !printable(a.Window.LoadBalancer) {
		return ""
	}
	return logkey.LoadBalancerARN(a.Window.Region, a.Window.Account, a.Window.LoadBalancer)
}

func (a *Alert) describeListeners() string {
	region, arn := shellWord(a.Window.Region), shellWord(a.arn())
	if a.arn() == "" {
		arn = fmt.Sprintf(`"$(aws elbv2 describe-load-balancers --region %s --output text --query 'LoadBalancers[0].LoadBalancerArn' --names %s)"`, region, shellWord(a.name()))
	}
	return fmt.Sprintf("aws elbv2 describe-listeners --region %s --output table --query 'Listeners[].[Port,SslPolicy]' --load-balancer-arn %s", region, arn)
}

// fetchLog is the command that prints the failures in a log object, compressed
// or not. It is empty if no object's name fits on a line.
func (a *Alert) fetchLog() string {
	for _, uri := range a.Window.Objects {
		if printable(uri) {
			failures := "grep Failed:"
			if strings.HasPrefix(a.Window.LoadBalancer, "net/") { // no status in its log: failures have no handshake time, or an alert of the client
				failures = `awk '$9 == "-" || $12 ~ /^[1-9]/'`
			}
			return fmt.Sprintf("aws s3 cp --region %s %s - | gzip -cdf | %s", shellWord(a.Window.Region), shellWord(uri), failures)
		}
	}
	return ""
}

// report is the command that shows the whole window, "" without a selection.
func (a *Alert) report() string {
	selection := a.selection()
	if selection == "" {
		return ""
	}
	if policy := a.onlyPolicy(); policy != "" {
		selection = "--policy " + shellWord(policy) + " " + selection
	}
	return "tlswatch report --failed " + selection
}

// whatIf is the command that shows what the first change would do to all clients
// in the window, "" without one.
func (e *explained) whatIf() string {
	for _, c := range e.changes {
		if selection := e.selection(); c.to != nil && selection != "" {
			return fmt.Sprintf("tlswatch whatif --policy %s --to %s --port %d %s", shellWord(c.from.Name), shellWord(c.to.B.Name), c.port, selection)
		}
	}
	return ""
}

// selection is the arguments that select the window. It is empty unless one
// prefix that fits on a line has all objects.
func (a *Alert) selection() string {
	w := &a.Window
	prefix := ""
	for i, uri := range w.Objects {
		dir := uri[:strings.LastIndexByte(uri, '/')+1]
		if i > 0 && dir != prefix || !printable(dir) {
			return ""
		}
		prefix = dir
	}
	if prefix == "" || !printable(w.LoadBalancer) {
		return ""
	}
	return fmt.Sprintf("--load-balancer %s --since %s --until %s %s", shellWord(w.LoadBalancer),
		w.Start.UTC().Format(time.RFC3339), w.End.UTC().Format(time.RFC3339), shellWord(prefix))
}

// onlyPolicy is the security policy of all listeners with failures, "" if they
// differ or one is unknown.
func (a *Alert) onlyPolicy() string {
	only := ""
	for i, g := range a.Window.Groups {
		if policy := a.Policies.At(g.ListenerPort); i == 0 {
			only = policy
		} else if policy != only {
			return ""
		}
	}
	return only
}

// printable reports whether s can be pasted as it is.
func printable(s string) bool { return text.Printable(s) == s }

// shellWord makes s one word of a POSIX shell.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
