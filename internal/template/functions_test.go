package template_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"tlswatch/internal/template/sam"
	"tlswatch/pkg/config"
)

// lambdas are the functions of the template by logical id, with the settings that each reads.
var lambdas = map[string]struct {
	path     string // of the main package
	settings []config.Setting
	never    []string // API calls in its packages that it does not make
}{
	"ProcessorFunction": {"functions/processor", config.Settings(), []string{"elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing:DescribeSSLPolicies"}}, // the command's
	// A reader of the ledger writes nothing.
	"WidgetFunction": {"functions/widget", config.Settings(config.Widget...), []string{"s3:PutObject"}},
	"DigestFunction": {"functions/digest", config.Settings(config.Digest...), []string{"s3:PutObject"}},
}

// runtimeVariables are environment variables that the Go runtime reads.
var runtimeVariables = []string{"GOMEMLIMIT"}

// checkEnvironment: each function has the environment variables that it reads and no others, with the same defaults, and
// accepts their values.
func checkEnvironment(template *sam.Template) (p problems) {
	for _, id := range slices.Sorted(maps.Keys(lambdas)) {
		given := at[sam.Tree](template.Tree, "Resources", id, "Properties", "Environment", "Variables")
		defaults := map[string]string{}
		for _, s := range lambdas[id].settings {
			defaults[s.Name] = s.Default
			if given[s.Name] == nil {
				p.add("%s reads %s, which the template does not set", id, s.Name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(given)) {
			if slices.Contains(runtimeVariables, name) {
				continue
			}
			value, known := defaults[name]
			if !known {
				p.add("%s has %s, which it does not read", id, name)
			}
			ref, _ := given[name].(sam.Tree)
			parameter, ok := template.Section("Parameters")[fmt.Sprint(ref["Ref"])].(sam.Tree)
			if ok && fmt.Sprint(parameter["Default"]) != value {
				p.add("%s: %s defaults to %q in the template, to %q in the function", id, name, fmt.Sprint(parameter["Default"]), value)
			}
		}
	}
	p.each(template, func(name string, s *sam.Stack) {
		for _, f := range s.OfType("AWS::Serverless::Function") {
			if _, err := config.FromEnv(func(variable string) string { return f.Text("Environment", "Variables", variable) }); err != nil {
				p.add("%s: %s does not start: %v", name, f.ID, err)
			}
		}
	})
	return p
}

// checkFunctions: how each function is built, logs and runs.
func checkFunctions(template *sam.Template) (p problems) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		panic(missing(err.Error()))
	}
	for id, r := range template.Section("Resources") {
		if at[string](r, "Type") != "AWS::Serverless::Function" {
			continue
		}
		if _, known := lambdas[id]; !known {
			p.add("unexpected function %s", id)
		}
		if got := at[string](r, "Metadata", "BuildMethod"); got != "makefile" {
			p.add("%s is built by %s", id, got)
		}
		_, recipe, _ := strings.Cut(string(makefile), "\nbuild-"+id+":")
		recipe, _, _ = strings.Cut(recipe, "\n\n")
		for _, want := range []string{"CGO_ENABLED=0", "GOOS=linux", "-o \"$(ARTIFACTS_DIR)/bootstrap\""} {
			if !strings.Contains(recipe, want) {
				p.add("the Makefile's target build-%s does not contain %s", id, want)
			}
		}
		for property, want := range map[string]any{"Runtime": "provided.al2023", "Handler": "bootstrap", "CodeUri": "."} {
			if got := at[any](r, "Properties", property); got != want {
				p.add("%s has %s %v, want %v", id, property, got, want)
			}
		}
		if got := at[string](r, "Properties", "LoggingConfig", "LogFormat"); got != "JSON" {
			p.add("%s logs %s", id, got)
		}
	}
	p.each(template, func(name string, s *sam.Stack) {
		for _, f := range s.OfType("AWS::Serverless::Function") {
			if ref, err := s.Ref(f); err != nil || !slices.Contains(slices.Collect(maps.Values(s.Outputs)), ref) {
				p.add("%s: no output has the name of %s (%v)", name, f.ID, err)
			}
			found := false
			for _, group := range s.OfType("AWS::Logs::LogGroup") {
				if f.Text("LoggingConfig", "LogGroup") == "tlswatch-"+group.ID {
					found = true
					if group.At("RetentionInDays") == nil {
						p.add("%s: %s keeps logs forever", name, group.ID)
					}
				}
			}
			if !found {
				p.add("%s: %s logs to %q, which is not a log group of the stack", name, f.ID, f.Text("LoggingConfig", "LogGroup"))
			}
			if s.ByARN(f.Text("Role")) == nil {
				p.add("%s: %s has no role of the stack, so SAM generates one", name, f.ID)
			}
			reserved := f.Text("ReservedConcurrentExecutions")
			if want := map[string]string{"elsewhere ProcessorFunction": "1"}[name+" "+f.ID]; reserved != want {
				p.add("%s: %s reserves %q, want %q", name, f.ID, reserved, want)
			}
		}
		for _, r := range s.OfType("AWS::IAM::Role") {
			if got, want := r.Text("PermissionsBoundary"), s.Parameters["PermissionsBoundaryArn"]; got != want {
				p.add("%s: %s has the permissions boundary %q, want %q", name, r.ID, got, want)
			}
		}
	})
	return p
}
