package notice

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tlswatch/internal/text"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/logkey"
)

// Phrases that several texts of an alert share.

// headline is the alert in one phrase.
func (a *Alert) headline() string {
	who := ""
	if a.Client != "" {
		who = " of client " + text.Name(a.Client)
	}
	return fmt.Sprintf("%s of %s TLS negotiations%s failed (%s)", text.Count(a.Failed), text.Count(a.Connections), who, text.Share(a.Percent()/100))
}

// name is the name by which people know the load balancer.
func (a *Alert) name() string { return text.Name(logkey.LoadBalancerName(a.Window.LoadBalancer)) }

// upTo qualifies a number of clients of which the window names some: each other
// one may be counted once for each object.
func (a *Alert) upTo(n, named int) string {
	if a.Window.ObjectCount > 1 && n > named {
		return "up to "
	}
	return ""
}

// clients says how many clients the group has.
func (a *Alert) clients(g alert.Group) string {
	return a.upTo(g.Clients, len(g.Top)) + text.Plural(g.Clients, "client")
}

// between says when the failures happened.
func (a *Alert) between() string {
	w := &a.Window
	s := fmt.Sprintf("%s to %s UTC, %s", clock(w.FirstFailed), clock(w.LastFailed), w.LastFailed.UTC().Format("2 January 2006"))
	if w.FirstFailed.IsZero() || len(a.Rule.Reasons) > 0 { // the times are those of all reasons
		s = fmt.Sprintf("%s, %s", a.span(), w.End.UTC().Format("2 January 2006"))
	}
	return s
}

// negotiated is the protocol and cipher suite that the group's clients used.
func negotiated(g alert.Group) string {
	return cmp.Or(strings.TrimSpace(g.Protocol+" "+g.Cipher), "nothing negotiated")
}

func what(g alert.Group) string {
	return negotiated(g) + ", port " + strconv.Itoa(int(g.ListenerPort))
}

// span says which time the window covers: "in the 5 minutes to 10:05 UTC".
func (a *Alert) span() string {
	return fmt.Sprintf("in the %s to %s UTC", a.minutes(), a.Window.End.UTC().Format("15:04"))
}

// minutes is how long the window is.
func (a *Alert) minutes() string {
	return text.Plural(a.Window.End.Sub(a.Window.Start)/time.Minute, "minute")
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

func capitalized(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}
