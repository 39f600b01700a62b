package secpolicy

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const describe = `{
    "SslPolicies": [
        {
            "SslProtocols": ["TLSv1.3", "TLSv1.2"],
            "Ciphers": [
                {"Name": "ECDHE-RSA-AES128-GCM-SHA256", "Priority": 2},
                {"Name": "TLS_AES_256_GCM_SHA384", "Priority": 1}
            ],
            "Name": "ELBSecurityPolicy-TLS13-1-2-PQ-FIPS-2031-01",
            "SupportedLoadBalancerTypes": ["application", "network"]
        },
        {
            "SslProtocols": ["TLSv1.2"],
            "Ciphers": [{"Name": "AES128-SHA", "Priority": 1}, {"Name": "ML-CIPHER-2030", "Priority": 2}],
            "Name": "ELBSecurityPolicy-TLS13-1-2-Ext1-PQ-2025-09",
            "SupportedLoadBalancerTypes": ["application"]
        }
    ]
}`

func TestLoad(t *testing.T) {
	descriptions, retrieved, err := Read(strings.NewReader(describe))
	if err != nil || retrieved != "" {
		t.Fatal(retrieved, err)
	}
	var saved bytes.Buffer
	if err := Write(&saved, "2031-02-03", descriptions); err != nil {
		t.Fatal(err)
	}
	again, retrieved, err := Read(bytes.NewReader(saved.Bytes()))
	if err != nil || retrieved != "2031-02-03" || !reflect.DeepEqual(again, descriptions) {
		t.Errorf("Read of Write's output: %v, %q, %v", again, retrieved, err)
	}

	set, err := Load(&saved)
	if err != nil {
		t.Fatal(err)
	}
	if set.Retrieved != "2031-02-03" || len(set.Policies()) != len(Builtin().Policies())+1 {
		t.Errorf("%q, %d policies", set.Retrieved, len(set.Policies()))
	}
	fresh, err := set.Lookup("ELBSecurityPolicy-TLS13-1-2-PQ-FIPS-2031-01")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(fresh.Protocols, fresh.Ciphers, fresh.PostQuantum, fresh.FIPS, fresh.ForwardSecrecy, fresh.Confirmed()) + fresh.Caveat(); got != "[TLSv1.2 TLSv1.3] [TLS_AES_256_GCM_SHA384 ECDHE-RSA-AES128-GCM-SHA256] true true true true" {
		t.Error(got)
	}
	replaced, err := set.Lookup("ELBSecurityPolicy-TLS13-1-2-Ext1-PQ-2025-09")
	if err != nil {
		t.Fatal(err)
	}
	if replaced.Confirmed() || replaced.ForwardSecrecy || len(replaced.Groups) != 7 || !strings.Contains(replaced.Caveat(), "ML-CIPHER-2030") {
		t.Errorf("%+v", replaced)
	}
	if v := replaced.Accepts(offer(t, 0x0303, "RC4-SHA")); v.Code != CipherListNotReadable {
		t.Errorf("%+v", v)
	}
	if v := lookup(t, "TLS13-1-2-Ext1-PQ-2025-09"); v.Status != StatusSingleSource || len(v.Ciphers) != 15 {
		t.Error("the built-in policies changed")
	}
}

func TestLoadErrors(t *testing.T) {
	policy := func(protocols, ciphers string) string {
		return fmt.Sprintf(`{"schema": %q, "policies": [{"name": "p", "protocols": [%s], "ciphers": [%s]}]}`, schema, protocols, ciphers)
	}
	for name, test := range map[string]struct{ data, want string }{
		"empty":        {"", "unexpected end of JSON input"},
		"not JSON":     {"{\n\"schema\":\n x}", "line 3: invalid character 'x'"},
		"wrong type":   {"{\"schema\": \"a\",\n\"policies\": 7}", "line 2: json: cannot unmarshal number"},
		"other schema": {`{"schema": "x/v1"}`, "neither the output of"},
		"no policies":  {`{"SslPolicies": []}`, "has none"},
		"a page":       {`{"SslPolicies": [{"Name": "p"}], "NextMarker": "m"}`, "one page of several"},
		"no name":      {`{"SslPolicies": [{"SslProtocols": ["TLSv1.2"]}]}`, `policy 1, "": has no name`},
		"twice":        {`{"SslPolicies": [{"Name": "p", "SslProtocols": ["TLSv1.2"], "Ciphers": [{"Name": "AES128-SHA"}]}, {"Name": "p", "SslProtocols": ["TLSv1.2"], "Ciphers": [{"Name": "AES128-SHA"}]}]}`, `policy 2, "p": appears twice`},
		"protocol":     {policy(`"TLSv9"`, `"AES128-SHA"`), `policy 1, "p": unknown`},
		"no protocol":  {policy(``, `"AES128-SHA"`), "has no protocols or no cipher suites"},
		"no cipher":    {policy(`"TLSv1.2"`, `"X"`), "has no protocols or no cipher suites"},
		"date":         {`{"schema": "` + schema + `", "retrieved": "yesterday", "policies": [{"name": "p"}]}`, `retrieved "yesterday": want a date`},
		"too long":     {strings.Repeat(" ", maxFile+1), "more than 8 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Load(strings.NewReader(test.data)); err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "security policies: ") {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(describe))
	f.Add([]byte(`{"schema": "` + schema + `", "retrieved": "2031-02-03", "policies": [{"name": "p", "protocols": ["TLSv1", "TLSv1.2"], "ciphers": ["AES128-SHA", "c02f"]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := Load(bytes.NewReader(data))
		if err != nil {
			return
		}
		descriptions, retrieved, err := Read(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		var saved bytes.Buffer
		if err := Write(&saved, retrieved, descriptions); err != nil {
			t.Fatal(err)
		}
		again, err := Load(&saved)
		if err != nil || !reflect.DeepEqual(again, set) {
			t.Fatalf("saved and loaded again: %v", err)
		}
	})
}
