package handshake

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/whatif"
)

func readPolicies(t *testing.T) map[string]*Policy {
	t.Helper()
	data, err := os.ReadFile("../../../pkg/secpolicy/testdata/elb-security-policies.json")
	if err != nil {
		t.Fatal(err)
	}
	policies, err := ParsePolicies(data)
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

// An answer is what the command says about a client: the class, and its lines by
// class.
type answer struct {
	class                                             string
	keeps, likely, breaks, fixed, stillFails, unknown int
	reason                                            string
}

// ask puts the question of a run to the command.
func ask(t *testing.T, run Run) map[string]answer {
	t.Helper()
	args := []string{"--to", run.To, "--format", "csv"}
	if run.Policy != "" {
		args = append(args, "--policy", run.Policy)
	}
	for _, kind := range run.Certificates {
		args = append(args, "--certificate", kind)
	}
	var stdout, stderr bytes.Buffer
	if status := command.Run(context.Background(), whatif.New(), append(args, "-"), bytes.NewReader(run.Log), &stdout, &stderr); status != command.ExitOK {
		t.Fatalf("%q: exit status %d: %s", args, status, &stderr)
	}
	rows, err := csv.NewReader(&stdout).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	answers := make(map[string]answer)
	column := make(map[string]int)
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, row := range rows[1:] {
		n := func(name string) int {
			n, err := strconv.Atoi(row[column[name]])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		answers[row[column["client"]]] = answer{
			row[column["class"]], n("keepsWorking"), n("likely"), n("breaks"), n("fixed"), n("stillFails"), n("unknown"), row[column["reason"]],
		}
	}
	return answers
}

// A score sums up the answers to the runs of a scenario.
type score struct {
	clients, lines, certain, wrong, likely, likelyRight, unknown, unknownClients int
	examples                                                                     []string
}

// judge compares answers with the truth. A line of a class is right if the program
// behind it does what the class says, so no class may have more lines than the truth.
func (s *score) judge(t *testing.T, run Run, answers map[string]answer) {
	t.Helper()
	if len(answers) != len(run.Clients) {
		t.Errorf("%d answers about %d clients", len(answers), len(run.Clients))
	}
	for client, truth := range run.Clients {
		a := answers[client]
		if lines := a.keeps + a.likely + a.breaks + a.fixed + a.stillFails + a.unknown; lines != truth.Keeps+truth.Breaks+truth.Fixed+truth.Fails {
			t.Errorf("%s: answers about %d lines: %+v, %+v", client, lines, a, truth)
		}
		s.clients++
		s.lines += truth.Keeps + truth.Breaks + truth.Fixed + truth.Fails
		s.certain += a.keeps + a.breaks + a.fixed + a.stillFails
		s.unknown += a.unknown
		if a.class == "unknown" {
			s.unknownClients++
		}
		if a.keeps > truth.Keeps || a.breaks > truth.Breaks || a.fixed > truth.Fixed || a.stillFails > truth.Fails {
			if s.wrong++; len(s.examples) < 3 {
				var lines []string
				for line := range strings.Lines(string(run.Log)) {
					if strings.Contains(line, " "+client+" ") {
						lines = append(lines, line)
					}
				}
				s.examples = append(s.examples, fmt.Sprintf("--policy %s --to %s --certificate %v\n%+v, but %+v\n%s", run.Policy, run.To, run.Certificates, a, truth, strings.Join(lines, "")))
			}
		}
		s.likely += a.likely
		s.likelyRight += min(a.likely, truth.Keeps+truth.Fixed-a.keeps-a.fixed)
	}
}

// TestScenarios runs 12 scenarios and compares the command's answers with what the
// clients then do: no client certain and wrong, and at least 95 % of what is likely
// right. HANDSHAKES sets the number of clients of each.
func TestScenarios(t *testing.T) {
	policies := readPolicies(t)
	clients := 1000
	if n := os.Getenv("HANDSHAKES"); n != "" {
		var err error
		if clients, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	for i, scenario := range Scenarios {
		t.Run(scenario.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(20261130, uint64(i)))
			var s score
			for s.clients < clients {
				run := scenario.Run(r, policies, min(1000, clients/4))
				s.judge(t, run, ask(t, run))
			}
			t.Logf("%d clients, %d lines: %d certain, %d likely (%.1f%% right), %d unknown; %d clients unknown, %d certain and wrong",
				s.clients, s.lines, s.certain, s.likely, 100*float64(s.likelyRight)/float64(max(1, s.likely)), s.unknown, s.unknownClients, s.wrong)
			if s.wrong > 0 {
				t.Errorf("%d clients certain and wrong:\n%s", s.wrong, strings.Join(s.examples, "\n"))
			}
			if 100*s.likelyRight < 95*s.likely {
				t.Errorf("only %d of %d likely lines are right", s.likelyRight, s.likely)
			}
		})
	}
}
