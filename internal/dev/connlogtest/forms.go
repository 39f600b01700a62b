package connlogtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// FieldNames are the fields of a connection log, as CloudWatch log deliveries name them.
var FieldNames = []string{
	"time", "client_ip", "client_port", "listener_port", "tls_protocol", "tls_cipher", "tls_handshake_latency",
	"leaf_client_cert_subject", "leaf_client_cert_validity", "leaf_client_cert_serial_number", "tls_verify_status",
	"conn_trace_id", "tls_keyexchange", "elb", "ip_address",
}

// A Form is a format of connection logs. Format converts valid lines of the classic
// format, with the fields to write by their index in FieldNames.
type Form struct {
	Name   string
	Whole  bool // always has all fields, in order
	Format func(lines []string, fields []int) string
}

// Forms are the formats in which CloudWatch delivers vended logs.
var Forms = []Form{
	{"plain, space", true, delimited(" ", "")},
	{"plain, tab", true, delimited("\t", "")},
	{"plain, comma", true, delimited(",", "")},
	{"plain, two bars", true, delimited("||", "")},
	{"header, space", false, delimited(" ", "%s")},
	{"header, comma", false, delimited(",", "%s")},
	{"w3c, space", false, delimited(" ", "#Version: 1.0\n#Fields: %s")},
	{"w3c, tab", false, delimited("\t", "#Version: 1.0\n#Fields: %s")},
	{"w3c, comma", false, delimited(",", "#Fields:%s\n#Remark: none")},
	{"w3c, names by space and fields by tab", false, func(lines []string, fields []int) string {
		return "#Fields: " + strings.Join(namesOf(fields), " ") + "\n" + delimited("\t", "")(lines, fields)
	}},
	{"json", false, objects(false)},
	{"json, numbers and nulls", false, objects(true)},
}

func namesOf(fields []int) (names []string) {
	for _, f := range fields {
		names = append(names, FieldNames[f])
	}
	return names
}

// AllFields returns all fields, in order.
func AllFields() (fields []int) {
	for i := range FieldNames {
		fields = append(fields, i)
	}
	return fields
}

// SomeFields returns the mandatory fields and some others, in random order.
func SomeFields(r *rand.Rand) []int {
	fields := []int{0, 10}
	for i := range FieldNames {
		if i != 0 && i != 10 && r.IntN(3) > 0 {
			fields = append(fields, i)
		}
	}
	r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return fields
}

// mustReference returns all fields of a valid line, missing ones as "".
func mustReference(line string) []string {
	f := Reference(line)
	if f == nil {
		panic(fmt.Sprintf("not a line of a connection log: %q", line))
	}
	return append(f, make([]string, len(FieldNames)-len(f))...)
}

func delimited(delimiter, header string) func([]string, []int) string {
	return func(lines []string, fields []int) string {
		var b strings.Builder
		if header != "" {
			fmt.Fprintf(&b, header+"\n", strings.Join(namesOf(fields), delimiter))
		}
		for _, line := range lines {
			all := mustReference(line)
			var texts []string
			for _, f := range fields {
				text := cmp.Or(all[f], "-")
				if FieldNames[f] == "leaf_client_cert_subject" {
					text = `"` + text + `"`
				}
				texts = append(texts, text)
			}
			b.WriteString(strings.Join(texts, delimiter) + "\n")
		}
		return b.String()
	}
}

// objects writes JSON lines. Typed lines have numbers, and null or no member for a
// missing value; the others have strings only.
func objects(typed bool) func([]string, []int) string {
	return func(lines []string, fields []int) string {
		var b strings.Builder
		for i, line := range lines {
			all := mustReference(line)
			var members []string
			for _, f := range fields {
				name := FieldNames[f]
				value, err := json.Marshal(cmp.Or(all[f], "-"))
				if err != nil {
					panic(err)
				}
				switch {
				case !typed:
				case all[f] == "" && i%2 == 0:
					continue
				case all[f] == "":
					value = []byte("null")
				case name == "client_port", name == "listener_port", name == "tls_handshake_latency":
					value = []byte(all[f])
				}
				members = append(members, fmt.Sprintf("%q:%s", name, value))
			}
			b.WriteString("{" + strings.Join(members, ",") + "}\n")
		}
		return b.String()
	}
}
