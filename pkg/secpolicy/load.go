package secpolicy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"tlswatch/pkg/tlsname"
)

// schema is the format of the files that [Write] writes. Later versions may add
// members, but not change or remove them.
const schema = "tlswatch.policies/v1"

// A Description is a policy in the answer of DescribeSSLPolicies.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_SslPolicy.html
type Description struct {
	Name      string   `json:"name"`
	Protocols []string `json:"protocols"`
	Ciphers   []string `json:"ciphers"` // most preferred first
}

// file is the input of Load: the output of Write or of
// `aws elbv2 describe-ssl-policies`.
type file struct {
	Schema    string        `json:"schema"`
	Retrieved string        `json:"retrieved"` // date, YYYY-MM-DD
	Policies  []Description `json:"policies"`

	SslPolicies []struct {
		Name         string   `json:"Name"`
		SslProtocols []string `json:"SslProtocols"`
		Ciphers      []struct {
			Name     string `json:"Name"`
			Priority int    `json:"Priority"`
		} `json:"Ciphers"`
	} `json:"SslPolicies"`
	NextMarker string `json:"NextMarker"`
	NextToken  string `json:"NextToken"` // from the AWS CLI with --max-items
}

// maxFile bounds a data file. One with all policies has about 100 KB.
const maxFile = 8 << 20

// Read reads the output of [Write] or of `aws elbv2 describe-ssl-policies`. It
// returns the descriptions and their date, "" if the file has none.
func Read(r io.Reader) ([]Description, string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, "", fmt.Errorf("security policies: %w", err)
	}
	if len(data) > maxFile {
		return nil, "", fmt.Errorf("security policies: more than %d MiB", maxFile>>20)
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, "", fmt.Errorf("security policies: %w", at(data, err))
	}
	switch {
	case f.SslPolicies != nil && (f.NextMarker != "" || f.NextToken != ""):
		return nil, "", errors.New("security policies: this is one page of several; save the output of `aws elbv2 describe-ssl-policies` without --max-items and --no-paginate")
	case f.SslPolicies != nil:
		for _, p := range f.SslPolicies {
			slices.SortStableFunc(p.Ciphers, func(a, b struct {
				Name     string `json:"Name"`
				Priority int    `json:"Priority"`
			}) int {
				return a.Priority - b.Priority
			})
			d := Description{Name: p.Name, Protocols: p.SslProtocols}
			for _, c := range p.Ciphers {
				d.Ciphers = append(d.Ciphers, c.Name)
			}
			f.Policies = append(f.Policies, d)
		}
	case f.Schema != schema:
		return nil, "", fmt.Errorf("security policies: neither the output of `aws elbv2 describe-ssl-policies` nor a file of schema %s (schema %q)", schema, f.Schema)
	}
	return f.Policies, f.Retrieved, nil
}

// at adds the line number to a JSON error.
func at(data []byte, err error) error {
	var offset int64
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = e.Offset
	} else if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = e.Offset
	} else {
		return err
	}
	return fmt.Errorf("line %d: %w", 1+strings.Count(string(data[:min(offset, int64(len(data)))]), "\n"), err)
}

// Write writes descriptions and their date, YYYY-MM-DD, for [Read] and [Load].
func Write(w io.Writer, retrieved string, descriptions []Description) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(struct {
		Schema    string        `json:"schema"`
		Retrieved string        `json:"retrieved"`
		Policies  []Description `json:"policies"`
	}{schema, retrieved, descriptions})
}

// Load reads a data file like [Read]. It returns the policies of [Builtin],
// replaced or extended by those of the file.
func Load(r io.Reader) (*Set, error) {
	descriptions, retrieved, err := Read(r)
	if err != nil {
		return nil, err
	}
	return Builtin().With(retrieved, descriptions)
}

// With returns a copy of the set in which the described policies replace those
// of the same name, with new ones at the end. What DescribeSSLPolicies lacks
// comes from the replaced policy or from the name.
func (s *Set) With(retrieved string, descriptions []Description) (*Set, error) {
	if len(descriptions) == 0 {
		return nil, errors.New("security policies: the data has none")
	}
	if retrieved != "" {
		if _, err := time.Parse(time.DateOnly, retrieved); err != nil {
			return nil, fmt.Errorf("security policies: retrieved %q: want a date, YYYY-MM-DD", retrieved)
		}
	}
	t := &Set{slices.Clone(s.policies), retrieved}
	seen := make(map[string]bool)
	for i, d := range descriptions {
		p, err := d.policy()
		if err == nil && seen[d.Name] {
			err = errors.New("appears twice")
		}
		if err != nil {
			return nil, fmt.Errorf("security policies: policy %d, %q: %w", i+1, d.Name, err)
		}
		seen[d.Name] = true
		if old := slices.IndexFunc(t.policies, func(q Policy) bool { return q.Name == p.Name }); old >= 0 {
			known := &t.policies[old]
			p.Groups, p.SignatureSchemes, p.CertificateSchemes, p.Legacy = known.Groups, known.SignatureSchemes, known.CertificateSchemes, known.Legacy
			*known = p
		} else {
			t.policies = append(t.policies, p)
		}
	}
	return t, nil
}

// policy parses a description.
func (d Description) policy() (Policy, error) {
	p := Policy{
		Name: d.Name,
		// DescribeSSLPolicies has no fields for these; the names show them.
		PostQuantum:    strings.Contains(d.Name, "-PQ-"),
		FIPS:           strings.Contains(d.Name, "-FIPS-"),
		ForwardSecrecy: true,
		OrderConfirmed: true,
	}
	if d.Name == "" {
		return p, errors.New("has no name")
	}
	for _, name := range d.Protocols {
		v, err := tlsname.ParseVersion(name)
		if err != nil {
			return p, err
		}
		p.Protocols = append(p.Protocols, v)
	}
	slices.Sort(p.Protocols)
	for _, name := range d.Ciphers {
		suite, err := tlsname.ParseSuite(name)
		if err != nil {
			p.Unrecognized = append(p.Unrecognized, name)
			continue
		}
		p.Ciphers = append(p.Ciphers, suite)
		p.ForwardSecrecy = p.ForwardSecrecy && suite.ForwardSecrecy()
	}
	if len(p.Protocols) == 0 || len(p.Ciphers) == 0 {
		return p, errors.New("has no protocols or no cipher suites that can be read")
	}
	return p, nil
}
