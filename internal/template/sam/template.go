// Package sam reads the project's SAM template and expands it for given
// parameters, as CloudFormation does, so that tests can check every way to deploy
// it and run what it deploys. It knows the intrinsic functions, resource types and
// policy elements that the template uses. Anything else is an error.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-anatomy.html
package sam

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Tree is the template or a part of it: its values are Trees, lists ([]any),
// strings, numbers, booleans and nil.
type Tree = map[string]any

// A Template is a template before expansion. Short forms of functions are written
// out: !Ref x is {Ref: x}, and !GetAtt x.y is {Fn::GetAtt: x.y}.
type Template struct{ Tree }

// Parse reads a template.
func Parse(data []byte) (*Template, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	if len(document.Content) != 1 {
		return nil, fmt.Errorf("template: empty")
	}
	root, err := written(document.Content[0])
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	tree, ok := root.(Tree)
	if !ok {
		return nil, fmt.Errorf("template: not a mapping")
	}
	return &Template{tree}, nil
}

// functions maps the short form of an intrinsic function to its full name.
var functions = map[string]string{
	"!Ref": "Ref", "!Condition": "Condition",
	"!GetAtt": "Fn::GetAtt", "!Sub": "Fn::Sub", "!If": "Fn::If", "!FindInMap": "Fn::FindInMap",
	"!Select": "Fn::Select", "!Split": "Fn::Split", "!Join": "Fn::Join",
	"!Equals": "Fn::Equals", "!Not": "Fn::Not", "!And": "Fn::And", "!Or": "Fn::Or", "!Contains": "Fn::Contains",
}

// written returns the value of a YAML node, with short forms of functions written out.
func written(node *yaml.Node) (value any, err error) {
	switch node.Kind {
	case yaml.MappingNode:
		fields := Tree{}
		for i := 0; i < len(node.Content); i += 2 {
			key := node.Content[i]
			if _, twice := fields[key.Value]; twice {
				return nil, fmt.Errorf("line %d: duplicate key %s", key.Line, key.Value)
			}
			if fields[key.Value], err = written(node.Content[i+1]); err != nil {
				return nil, err
			}
		}
		value = fields
	case yaml.SequenceNode:
		items := make([]any, len(node.Content))
		for i, item := range node.Content {
			if items[i], err = written(item); err != nil {
				return nil, err
			}
		}
		value = items
	case yaml.ScalarNode:
		value = node.Value
		if strings.HasPrefix(node.Tag, "!!") {
			if err := node.Decode(&value); err != nil {
				return nil, fmt.Errorf("line %d: %w", node.Line, err)
			}
		}
	default:
		return nil, fmt.Errorf("line %d: CloudFormation does not support aliases", node.Line)
	}
	if strings.HasPrefix(node.Tag, "!!") {
		return value, nil
	}
	long, ok := functions[node.Tag]
	if !ok {
		return nil, fmt.Errorf("line %d: unknown function %s", node.Line, node.Tag)
	}
	return Tree{long: value}, nil
}

// Section returns a top-level mapping of the template, empty if there is none.
func (t *Template) Section(name string) Tree {
	section, _ := t.Tree[name].(Tree)
	return section
}

// defaults returns the parameters' default values, as text, which is how
// CloudFormation passes them.
func (t *Template) defaults() map[string]string {
	defaults := make(map[string]string)
	for name, p := range t.Section("Parameters") {
		if p, ok := p.(Tree); ok && p["Default"] != nil {
			defaults[name] = fmt.Sprint(p["Default"])
		}
	}
	return defaults
}

// Walk visits every mapping in a part of a template.
func Walk(value any, visit func(Tree)) {
	switch value := value.(type) {
	case Tree:
		visit(value)
		for _, key := range slices.Sorted(maps.Keys(value)) {
			Walk(value[key], visit)
		}
	case []any:
		for _, v := range value {
			Walk(v, visit)
		}
	}
}

// References returns the names of the parameters and resources that a part of a
// template refers to, with duplicates.
func References(value any) []string {
	var names []string
	Walk(value, func(node Tree) {
		if name, ok := node["Ref"].(string); ok {
			names = append(names, name)
		}
		if attribute, ok := node["Fn::GetAtt"].(string); ok {
			name, _, _ := strings.Cut(attribute, ".")
			names = append(names, name)
		}
		text, local := subArguments(node["Fn::Sub"])
		for _, match := range variable.FindAllStringSubmatch(text, -1) {
			if name, _, _ := strings.Cut(match[1], "."); local[match[1]] == nil {
				names = append(names, name)
			}
		}
	})
	return names
}

// List returns a list as it is, nil as an empty list, and anything else as a list
// of one: many properties accept either.
func List(value any) []any {
	switch value := value.(type) {
	case nil:
		return nil
	case []any:
		return value
	default:
		return []any{value}
	}
}
