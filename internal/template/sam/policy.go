package sam

import (
	"fmt"
	"strings"
)

// A Policy is the statements of an IAM policy.
type Policy []Statement

// A Statement allows or denies actions on resources to principals.
type Statement struct {
	Sid        string
	Effect     string
	Actions    []string
	Resources  []string
	Services   []string // principals of a resource policy
	AWS        []string // principals of a resource policy
	Anybody    bool     // the principal "*"
	Conditions map[string]map[string][]string
}

// readPolicy reads a policy document.
func readPolicy(document any) (Policy, error) {
	tree, _ := document.(Tree)
	var p Policy
	for i, item := range List(tree["Statement"]) {
		s, err := readStatement(item)
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		p = append(p, s)
	}
	if len(p) == 0 {
		return nil, fmt.Errorf("policy without statements")
	}
	return p, nil
}

func readStatement(value any) (Statement, error) {
	tree, _ := value.(Tree)
	var s Statement
	for element, value := range tree {
		switch element {
		case "Sid":
			s.Sid = fmt.Sprint(value)
		case "Effect":
			s.Effect = fmt.Sprint(value)
		case "Action":
			s.Actions = texts(value)
		case "Resource":
			s.Resources = texts(value)
		case "Principal":
			if value == "*" {
				s.Anybody = true
				continue
			}
			kinds, _ := value.(Tree)
			for kind, names := range kinds {
				switch kind {
				case "Service":
					s.Services = texts(names)
				case "AWS":
					s.AWS = texts(names)
				default:
					return s, fmt.Errorf("%s: unknown principal %s", s.Sid, kind)
				}
			}
		case "Condition":
			s.Conditions = make(map[string]map[string][]string)
			operators, _ := value.(Tree)
			for operator, keys := range operators {
				switch operator {
				case "StringEquals", "StringLike", "ArnEquals", "ArnLike", "Bool":
				default:
					return s, fmt.Errorf("%s: unknown condition operator %s", s.Sid, operator)
				}
				s.Conditions[operator] = make(map[string][]string)
				keys, _ := keys.(Tree)
				for key, values := range keys {
					s.Conditions[operator][key] = texts(values)
				}
			}
		default:
			return s, fmt.Errorf("unknown element %s", element)
		}
	}
	if s.Effect != "Allow" && s.Effect != "Deny" {
		return s, fmt.Errorf("%s: effect %q", s.Sid, s.Effect)
	}
	return s, nil
}

func texts(value any) []string {
	var list []string
	for _, v := range List(value) {
		list = append(list, fmt.Sprint(v))
	}
	return list
}

// Role returns the inline policies of the role with an ARN, as one policy.
func (s *Stack) Role(arn string) (Policy, error) {
	r := s.ByARN(arn)
	if r == nil || r.Type != "AWS::IAM::Role" {
		return nil, fmt.Errorf("the stack has no role %s", arn)
	}
	var all Policy
	for _, inline := range List(r.At("Policies")) {
		tree, _ := inline.(Tree)
		p, err := readPolicy(tree["PolicyDocument"])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.ID, err)
		}
		all = append(all, p...)
	}
	return all, nil
}

// PolicyOf returns the policy at a path of properties, which is a document or a
// single statement.
func (r *Resource) PolicyOf(path ...string) (Policy, error) {
	value := r.At(path...)
	if tree, ok := value.(Tree); ok && tree["Statement"] == nil {
		value = Tree{"Statement": value}
	}
	p, err := readPolicy(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.ID, err)
	}
	return p, nil
}

// A Request is what a policy allows or denies.
type Request struct {
	Action   string            // "s3:GetObject"
	Resource string            // ARN; "*" for an action without resources
	Service  string            // the principal, if it is an AWS service
	Context  map[string]string // condition keys
}

// Allows reports whether a statement allows the request and none denies it.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
func (p Policy) Allows(r Request) bool {
	allowed := false
	for _, s := range p {
		if !s.covers(r) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s Statement) covers(r Request) bool {
	matches := func(patterns []string, value string, fold bool) bool {
		for _, p := range patterns {
			if fold {
				p, value = strings.ToLower(p), strings.ToLower(value)
			}
			if like(p, value) {
				return true
			}
		}
		return false
	}
	resourceOK := r.Resource == "*" && matches(s.Resources, "*", false) || r.Resource != "*" && matches(s.Resources, r.Resource, false)
	if !matches(s.Actions, r.Action, true) || !resourceOK {
		return false
	}
	if r.Service != "" && !s.Anybody && !matches(s.Services, r.Service, false) {
		return false
	}
	for operator, keys := range s.Conditions {
		for key, values := range keys {
			value, ok := r.Context[key]
			if !ok {
				return false
			}
			if operator == "StringLike" || operator == "ArnLike" || operator == "ArnEquals" {
				if !matches(values, value, false) {
					return false
				}
				continue
			}
			found := false
			for _, v := range values {
				found = found || v == value
			}
			if !found {
				return false
			}
		}
	}
	return true
}

// like matches a value with a pattern in which * stands for any characters and ?
// for one, as in IAM policies. (EventBridge's wildcards have no ?.)
func like(pattern, value string) bool {
	star, back := -1, 0
	p, v := 0, 0
	for v < len(value) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, back = p, v
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == value[v]):
			p++
			v++
		case star >= 0:
			back++
			p, v = star+1, back
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
