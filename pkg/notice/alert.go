package notice

import (
	"fmt"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/secpolicy"
)

// An Alert is an alert with what is needed to explain it.
type Alert struct {
	*alert.Alert

	// Policies are the listeners' security policies, as far as they are known.
	Policies secpolicy.ListenerPolicies

	// Known are the security policies that explain failures; nil means those
	// that are compiled in.
	Known *secpolicy.Set
}

// Message writes the message. To stay within MaxMessage, its document may list
// fewer log objects than the window has.
func (a Alert) Message() (Message, error) {
	e := a.explain()
	m := Message{
		Subject: e.subject(),
		Attributes: map[string]string{
			"rule":         a.Rule.Name,
			"severity":     a.Severity,
			"loadBalancer": a.Window.LoadBalancer,
			"region":       a.Window.Region,
		},
	}
	if a.Window.Account != "" { // SNS takes no empty value
		m.Attributes["account"] = a.Window.Account
	}
	d := e.document()
	for texts := (Texts{Email: e.email(), Card: e.card(), SMS: e.sms(), Document: &d}); ; d.Window.Objects = d.Window.Objects[:len(d.Window.Objects)/2] {
		var err error
		if m.Texts, err = texts.ByProtocol(); err != nil {
			return Message{}, fmt.Errorf("alert %s: %w", a.Rule.Name, err)
		}
		if len(d.Window.Objects) == 0 || m.Size() <= MaxMessage {
			return m, nil
		}
	}
}

func (a *Alert) subject() string {
	return fit(MaxSubject, "tlswatch "+a.Severity+": ", a.name(), ": "+a.headline())
}

// fit joins the three parts, and shortens the middle one so that they have at
// most so many bytes.
func fit(most int, before, middle, after string) string {
	if room := most - len(before) - len(after); len(middle) > room {
		middle = middle[:max(room-len("..."), 0)] + "..."
	}
	s := before + middle + after
	return s[:min(len(s), most)]
}

// maxSMS is the length of one text message; SNS splits longer ones.
// Source: https://docs.aws.amazon.com/sns/latest/dg/sms_sending-overview.html
const maxSMS = 160

// sms is one line.
func (e *explained) sms() string {
	s := fmt.Sprintf("tlswatch %s: %s: %s", e.Severity, e.name(), e.headline())
	if len(e.causes) > 0 {
		c := &e.causes[0]
		s += fmt.Sprintf(", mostly %s: %s", label(c.ID, ""), what(c.groups[0]))
	}
	if len(s) > maxSMS {
		s = s[:maxSMS-3] + "..."
	}
	return s
}
