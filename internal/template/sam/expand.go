package sam

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Where a Stack is deployed. The account is the one of AWS's examples.
const (
	Region  = "us-east-1"
	Account = "123456789012"

	partition = "aws"
)

// A Stack is a template expanded for given parameters.
type Stack struct {
	Parameters map[string]string
	Resources  map[string]*Resource // those whose condition holds, by logical id
	Outputs    map[string]string
	Order      []string // logical ids in the order of creation: each after those it depends on

	name       string
	template   *Template
	conditions map[string]bool
	needs      map[string]map[string]bool
}

// A Resource is a resource of a stack.
type Resource struct {
	ID         string // logical id
	Type       string
	Properties Tree // with all functions evaluated
}

// Expand returns the stack with the given name. The parameters override the
// defaults. The error joins everything that CloudFormation would reject, as far as
// this package knows.
func (t *Template) Expand(name string, parameters map[string]string) (*Stack, error) {
	s := &Stack{
		name: name, template: t, Parameters: t.defaults(),
		Resources: make(map[string]*Resource), Outputs: make(map[string]string),
		conditions: make(map[string]bool), needs: make(map[string]map[string]bool),
	}
	maps.Copy(s.Parameters, parameters)
	if err := s.checkParameters(); err != nil {
		return nil, err
	}
	if err := s.checkRules(); err != nil {
		return nil, err
	}
	var faults []error
	for _, id := range slices.Sorted(maps.Keys(t.Section("Resources"))) {
		r, ok := t.Section("Resources")[id].(Tree)
		if !ok {
			faults = append(faults, fmt.Errorf("resource %s: not a mapping", id))
			continue
		}
		exists, err := s.exists(r)
		if err != nil {
			faults = append(faults, fmt.Errorf("resource %s: %w", id, err))
		}
		if !exists {
			continue
		}
		s.needs[id] = make(map[string]bool)
		kind, _ := r["Type"].(string)
		e := expander{s, s.needs[id]}
		properties, err := e.value(r["Properties"])
		if err != nil {
			faults = append(faults, fmt.Errorf("resource %s: %w", id, err))
		}
		tree, _ := properties.(Tree)
		s.Resources[id] = &Resource{id, kind, tree}
		for _, other := range List(r["DependsOn"]) {
			s.needs[id][fmt.Sprint(other)] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(t.Section("Outputs"))) {
		o, _ := t.Section("Outputs")[id].(Tree)
		exists, err := s.exists(o)
		if err != nil {
			faults = append(faults, fmt.Errorf("output %s: %w", id, err))
		}
		if !exists {
			continue
		}
		value, err := (expander{s, make(map[string]bool)}).text(o["Value"])
		if err != nil {
			faults = append(faults, fmt.Errorf("output %s: %w", id, err))
		}
		s.Outputs[id] = value
	}
	if err := s.order(); err != nil {
		faults = append(faults, err)
	}
	return s, errors.Join(faults...)
}

// checkParameters checks the parameters against the template's constraints.
func (s *Stack) checkParameters() error {
	declared := s.template.Section("Parameters")
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(s.Parameters)) {
		p, ok := declared[name].(Tree)
		if !ok {
			faults = append(faults, fmt.Errorf("no parameter %s", name))
		} else if err := Accepts(p, s.Parameters[name]); err != nil {
			faults = append(faults, fmt.Errorf("parameter %s: %w", name, err))
		}
	}
	for name := range declared {
		if _, ok := s.Parameters[name]; !ok {
			faults = append(faults, fmt.Errorf("parameter %s has neither a default nor a value", name))
		}
	}
	return errors.Join(faults...)
}

// Accepts returns an error if a declared parameter does not accept a value.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
func Accepts(parameter Tree, value string) error {
	if pattern, ok := parameter["AllowedPattern"].(string); ok {
		re, err := regexp.Compile(`^(?:` + pattern + `)$`)
		if err != nil {
			return err
		}
		if !re.MatchString(value) {
			return fmt.Errorf("%q does not match %s", value, pattern)
		}
	}
	if allowed, ok := parameter["AllowedValues"].([]any); ok {
		if !slices.ContainsFunc(allowed, func(v any) bool { return fmt.Sprint(v) == value }) {
			return fmt.Errorf("%q is not one of %v", value, allowed)
		}
	}
	if parameter["Type"] == "Number" {
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", value)
		}
		if least, ok := parameter["MinValue"].(int); ok && n < float64(least) {
			return fmt.Errorf("%s is less than %d", value, least)
		}
		if most, ok := parameter["MaxValue"].(int); ok && n > float64(most) {
			return fmt.Errorf("%s is more than %d", value, most)
		}
	}
	return nil
}

// checkRules returns the descriptions of the assertions that fail.
func (s *Stack) checkRules() error {
	var faults []error
	rules := s.template.Section("Rules")
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		rule, _ := rules[name].(Tree)
		applies := true
		if condition := rule["RuleCondition"]; condition != nil {
			var err error
			if applies, err = s.condition(condition); err != nil {
				faults = append(faults, fmt.Errorf("rule %s: %w", name, err))
			}
		}
		if !applies {
			continue
		}
		for _, a := range List(rule["Assertions"]) {
			a, _ := a.(Tree)
			holds, err := s.condition(a["Assert"])
			if err != nil {
				faults = append(faults, fmt.Errorf("rule %s: %w", name, err))
			} else if !holds {
				faults = append(faults, fmt.Errorf("rule %s: %v", name, a["AssertDescription"]))
			}
		}
	}
	return errors.Join(faults...)
}

// exists reports whether the condition of a resource or output holds.
func (s *Stack) exists(item Tree) (bool, error) {
	name, ok := item["Condition"].(string)
	if !ok {
		return true, nil
	}
	return s.named(name)
}

// named evaluates one of the template's conditions.
func (s *Stack) named(name string) (bool, error) {
	if value, known := s.conditions[name]; known {
		return value, nil
	}
	condition, ok := s.template.Section("Conditions")[name]
	if !ok {
		return false, fmt.Errorf("no condition %s", name)
	}
	value, err := s.condition(condition)
	if err != nil {
		return false, fmt.Errorf("condition %s: %w", name, err)
	}
	s.conditions[name] = value
	return value, nil
}

// condition evaluates an expression of Conditions or Rules.
func (s *Stack) condition(value any) (bool, error) {
	tree, _ := value.(Tree)
	if len(tree) != 1 {
		return false, fmt.Errorf("%v is not a condition", value)
	}
	for function, argument := range tree {
		arguments := List(argument)
		switch function {
		case "Condition":
			return s.named(fmt.Sprint(argument))
		case "Fn::Not", "Fn::And", "Fn::Or":
			if n := len(arguments); function == "Fn::Not" && n != 1 || function != "Fn::Not" && (n < 2 || n > 10) {
				return false, fmt.Errorf("%s with %d conditions", function, n)
			}
			result := function != "Fn::Or"
			for _, a := range arguments {
				holds, err := s.condition(a)
				if err != nil {
					return false, err
				}
				switch function {
				case "Fn::Not":
					result = !holds
				case "Fn::And":
					result = result && holds
				case "Fn::Or":
					result = result || holds
				}
			}
			return result, nil
		case "Fn::Equals", "Fn::Contains":
			if len(arguments) != 2 {
				return false, fmt.Errorf("%s with %d values", function, len(arguments))
			}
			e := expander{s, make(map[string]bool)}
			a, err := e.value(arguments[0])
			if err != nil {
				return false, err
			}
			b, err := e.text(arguments[1])
			if err != nil {
				return false, err
			}
			if function == "Fn::Equals" {
				return fmt.Sprint(a) == b, nil
			}
			return slices.ContainsFunc(List(a), func(v any) bool { return fmt.Sprint(v) == b }), nil
		}
		return false, fmt.Errorf("%s is not a condition", function)
	}
	panic("unreachable")
}

// order sets Order, or returns an error that names a circular dependency.
func (s *Stack) order() error {
	const begun, done = 1, 2
	state := make(map[string]int)
	var path []string
	var visit func(id string) error
	visit = func(id string) error {
		switch state[id] {
		case done:
			return nil
		case begun:
			return fmt.Errorf("circular dependency: %s", strings.Join(append(path[slices.Index(path, id):], id), " -> "))
		}
		state[id] = begun
		path = append(path, id)
		for _, other := range slices.Sorted(maps.Keys(s.needs[id])) {
			if s.Resources[other] == nil {
				continue // reported by the expansion of what refers to it
			}
			if err := visit(other); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		state[id] = done
		s.Order = append(s.Order, id)
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(s.Resources)) {
		if err := visit(id); err != nil {
			return err
		}
	}
	return nil
}

// OfType returns the resources of a type, sorted by logical id.
func (s *Stack) OfType(kind string) []*Resource {
	var list []*Resource
	for _, id := range slices.Sorted(maps.Keys(s.Resources)) {
		if s.Resources[id].Type == kind {
			list = append(list, s.Resources[id])
		}
	}
	return list
}

// ByARN returns the resource with an ARN, or nil.
func (s *Stack) ByARN(arn string) *Resource {
	for _, id := range slices.Sorted(maps.Keys(s.Resources)) {
		for _, attribute := range []string{"Arn", "TopicArn"} {
			if got, err := s.attribute(s.Resources[id].Type, id, attribute); err == nil && got == arn {
				return s.Resources[id]
			}
		}
	}
	return nil
}

// At returns the value at a path of properties, nil if there is none.
func (r *Resource) At(path ...string) any {
	var value any = r.Properties
	for _, field := range path {
		tree, _ := value.(Tree)
		value = tree[field]
	}
	return value
}

// Text returns the value at a path as text, "" if there is none.
func (r *Resource) Text(path ...string) string {
	if value := r.At(path...); value != nil {
		return fmt.Sprint(value)
	}
	return ""
}

// Int returns the value at a path as a number, which may be text as in parameters.
func (r *Resource) Int(path ...string) (int, error) {
	n, err := strconv.Atoi(r.Text(path...))
	if err != nil {
		return 0, fmt.Errorf("%s: %s is %q, want an integer", r.ID, strings.Join(path, "."), r.Text(path...))
	}
	return n, nil
}
