package template_test

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tlswatch/internal/template/sam"
)

var expanded = flag.String("expanded", "", "write the expanded template of each variant into this folder, for other validators")

// TestExpanded checks the expanded template of each variant with cfn-lint: without conditions and intrinsic functions,
// every value can be checked against its schema.
func TestExpanded(t *testing.T) {
	template := loadTemplate(t)
	folder := *expanded
	if folder == "" {
		folder = t.TempDir()
	} else if err := os.MkdirAll(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, name := range slices.Sorted(maps.Keys(variants)) {
		s, err := template.Expand("tlswatch", variants[name])
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.MarshalIndent(plain(s), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, strings.NewReplacer(" ", "-", ",", "").Replace(name)+".json")
		if err := os.WriteFile(file, data, 0o666); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	program, err := exec.LookPath("cfn-lint")
	if err != nil {
		t.Log("SKIPPED: cfn-lint did not check the expanded templates: it is not on PATH")
		return
	}
	// E3502 needs references between queues, which are expanded.
	args := []string{"--ignore-checks", "E3502", "--"}
	if out, err := exec.Command(program, append(args, files...)...).CombinedOutput(); err != nil {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}

// plain returns a stack as a CloudFormation template, with the resources that SAM would generate from functions.
func plain(s *sam.Stack) sam.Tree {
	resources := sam.Tree{}
	for id, r := range s.Resources {
		properties := maps.Clone(r.Properties)
		kind := r.Type
		if kind == "AWS::Serverless::Function" {
			kind = "AWS::Lambda::Function"
			properties["Code"] = sam.Tree{"S3Bucket": "amzn-s3-demo-bucket", "S3Key": "function.zip"}
			delete(properties, "CodeUri")
			if c, ok := properties["EventInvokeConfig"].(sam.Tree); ok {
				delete(properties, "EventInvokeConfig")
				invoke := maps.Clone(c)
				invoke["FunctionName"], invoke["Qualifier"] = "tlswatch-"+id, "$LATEST"
				invoke["DestinationConfig"] = sam.Tree{"OnFailure": sam.Tree{"Destination": at[string](c, "DestinationConfig", "OnFailure", "Destination")}}
				resources[id+"InvokeConfig"] = sam.Tree{"Type": "AWS::Lambda::EventInvokeConfig", "Properties": invoke}
			}
		}
		resource := sam.Tree{"Type": kind}
		if len(properties) > 0 {
			resource["Properties"] = properties
		}
		resources[id] = resource
	}
	outputs := sam.Tree{}
	for id, value := range s.Outputs {
		outputs[id] = sam.Tree{"Value": value}
	}
	return sam.Tree{"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources, "Outputs": outputs}
}
