SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

LOGS ?= events/sample
# The security policy of the listeners in LOGS, so that alerts say why negotiations failed. Set it for logs of your own.
POLICY ?= $(if $(filter events/sample,$(LOGS)),ELBSecurityPolicy-TLS13-1-2-2021-06)
FUZZTIME ?= 30s
ARCHITECTURE ?= arm64

# lambda.norpc leaves out net/rpc, a third of the binary, which the provided runtimes do not use.
function_flags := -tags lambda.norpc -trimpath -ldflags "-s -w"
# Builds with a profile share no object files with the tests' builds, so only what runs in AWS uses it
# (docs/performance.md).
optimized := -pgo=internal/dev/benchcompare/whole.pgo
functions := $(notdir $(wildcard functions/*))
goarch := $(if $(filter x86_64,$(ARCHITECTURE)),amd64,$(ARCHITECTURE))

# The packages, as ./paths, with a test file that matches an expression.
packages_with = $(sort $(dir $(shell grep -rlE --include='*_test.go' '$(1)' ./*.go ./cmd ./functions ./internal ./pkg)))

.PHONY: help build man run test crash chaos real load simulate handshakes captures incidents lint bench bench-compare pgo large fuzz golden package build-ProcessorFunction build-WidgetFunction build-DigestFunction
.PHONY: reproduce deploy uninstall

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the command and the processor function for this machine into build/
	CGO_ENABLED=0 go build -trimpath -o build/tlswatch ./cmd/tlswatch
	CGO_ENABLED=0 go build $(function_flags) -o build/bootstrap ./functions/processor

man: build ## write manual pages and shell completion into build/
	build/tlswatch man build/man
	mkdir -p build/completion
	for shell in bash zsh fish; do build/tlswatch completion $$shell > build/completion/tlswatch.$$shell; done

run: build ## run the function over LOGS (events/sample), end to end without AWS
	build/tlswatch local $(if $(POLICY),--policy $(POLICY)) $(LOGS)

test: ## run all tests; needs only Go
	go test ./...

crash: ## crash functions at the worst moments: 100,000 simulated schedules, 200 real kills
	SCHEDULES=100000 go test -timeout 60m -v -run 'Schedules|RulesMatter|Everything' ./internal/dev/simulation
	SCHEDULES=100000 go test -timeout 30m ./pkg/pipeline
	TLSWATCH_CRASHES=200 go test -timeout 30m -v -run Crash ./functions/processor

CHAOSFLAGS ?=

chaos: ## kill the built function 500 times and break 5,000 of its AWS calls, and judge the result; at most half an hour
	go run ./internal/dev/chaos $(CHAOSFLAGS)

real: ## let real TLS clients and servers negotiate, and compare verdicts with the outcomes; two minutes
	TLSWATCH_REAL=1 go test -timeout 30m -v ./internal/dev/realtls

load: ## send 20,000 object events through the real function, directly and through a queue, and measure
	TLSWATCH_LOAD=20000 go test -timeout 30m -v -run '^TestLoad$$' ./functions/processor

simulate: ## simulate up to 100,000 load balancers with AWS's quotas and prices; docs/scale.md has the results
	go run ./internal/dev/scale

incidents: ## measure the story of package incident on logs whose truth is known, beside simpler ways
	go run ./internal/dev/incidents $(INCIDENTSFLAGS)

HANDSHAKES ?= 40000

handshakes: ## check predictions of whatif against HANDSHAKES simulated clients (40000) in each of 15 scenarios
	HANDSHAKES=$(HANDSHAKES) go test -count=1 -timeout 30m -v -run '^TestScenarios$$' ./internal/dev/handshake

CAPTURES ?= 1000

captures: ## read CAPTURES simulated packet captures (1000) of which the truth is known, also with tshark; ten minutes
	CAPTURE_SEEDS=$(CAPTURES) go test -count=1 -timeout 60m -v -run '^TestSimulatedCaptures$$' ./pkg/clienthello

lint: ## check formatting, vet, staticcheck, and the limits of internal/dev/layout
	@unformatted=$$(gofmt -l .); [[ -z $$unformatted ]] || { echo "gofmt needed:" $$unformatted >&2; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go run ./internal/dev/layout

bench: ## run every benchmark
	go test -run '^$$' -bench . -benchmem $(call packages_with,^func Benchmark)

BENCHFLAGS ?=

build/benchcompare: FORCE
	CGO_ENABLED=0 go build $(optimized) -o $@ ./internal/dev/benchcompare

bench-compare: build build/processor-arm64.zip build/benchcompare ## compare tlswatch with gunzip, awk and others; fail if a target is missed by over a tenth
	build/benchcompare $(BENCHFLAGS)

pgo: ## renew the profile that optimizes the functions
	go run ./internal/dev/benchcompare job data build/bench 0.2
	go run ./internal/dev/benchcompare job profile internal/dev/benchcompare/whole.pgo $$(ls build/bench/large-*.log.gz | head -1)

large: ## run the memory tests in full: 5 million clients, a million ciphers, 10 GB compressed 1,000 times, a window of 1,200 records
	TLSWATCH_LARGE=1 go test -v -run Memory ./pkg/rollup ./pkg/connlog ./pkg/pipeline

fuzz: ## fuzz every target for FUZZTIME (30s)
	@targets=$$(go test -list '^Fuzz' ./... | awk '/^Fuzz/ { name[n++] = $$1 } /^ok/ { while (n) print $$2, name[--n] }'); \
	[[ -n $$targets ]] || { echo "no fuzz target found" >&2; exit 1; }; \
	while read -r package name; do \
		echo "fuzz $$package $$name"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x "$$package" </dev/null; \
	done <<<"$$targets"

golden: ## rewrite golden files and the generated parts of documents
	go test $(call packages_with,flag\.Bool.*"update"|clitest\.(Scripts|Update)) -update

zips := $(foreach f,$(functions),build/$(f)-arm64.zip build/$(f)-amd64.zip)

package: $(zips) ## build the functions' zip files into build/

reproduce: package ## build the zip files again in another directory and compare them
	@copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
	git ls-files -z | tar --null --files-from=- --create | tar --extract --directory="$$copy"; \
	$(MAKE) --no-print-directory -C "$$copy" package; \
	for zip in $(zips); do cmp "$$zip" "$$copy/$$zip"; done; \
	echo "identical: $(zips)"

deploy: ## build and deploy with the AWS SAM CLI; asks the first time, then uses samconfig.toml
	@command -v sam >/dev/null || { echo "make deploy needs the AWS SAM CLI; docs/deploy.md describes other ways" >&2; exit 1; }
	sam build
	sam deploy $(if $(wildcard samconfig.toml),,--guided --capabilities CAPABILITY_IAM)

uninstall: ## show how to delete a deployment, and what remains
	@sed -n '/^## Taking it down/,/^## /{/^## /!p;}' docs/deploy.md | grep ''

# Go decides what is out of date, so these always run. Without version control information, the same sources give the same
# bytes in any directory.
define packaged
build/$(1)-%.zip: build/%/$(1)/bootstrap
	go run github.com/aws/aws-lambda-go/cmd/build-lambda-zip -o $$@ $$<

build/arm64/$(1)/bootstrap build/amd64/$(1)/bootstrap: build/%/$(1)/bootstrap: FORCE
	CGO_ENABLED=0 GOOS=linux GOARCH=$$* go build -buildvcs=false $(function_flags) $(optimized) -o $$@ ./functions/$(1)
endef
$(foreach f,$(functions),$(eval $(call packaged,$(f))))

FORCE:

# sam build calls these targets. It does not pass the architecture, so set any other than arm64 in the environment, with
# the template's name for it: ARCHITECTURE=x86_64 sam build
build-ProcessorFunction:
	CGO_ENABLED=0 GOOS=linux GOARCH=$(goarch) go build $(function_flags) $(optimized) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/processor

build-WidgetFunction:
	CGO_ENABLED=0 GOOS=linux GOARCH=$(goarch) go build $(function_flags) $(optimized) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/widget

build-DigestFunction:
	CGO_ENABLED=0 GOOS=linux GOARCH=$(goarch) go build $(function_flags) $(optimized) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/digest
