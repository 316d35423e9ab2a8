# Everything a developer or CI runs. CI runs `make ci` and nothing else.

SHELL := /bin/bash
GO ?= go
BIN := bin
TOOLS := $(CURDIR)/.cache/bin
GOLANGCI_LINT_VERSION := v2.15.0
# Pinned by name, so that a new version is built when the number changes.
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
# Other people's programs that look at what svcctl is made of.
GOVULNCHECK_VERSION := v1.9.0
GOVULNCHECK := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)
GO_LICENSES_VERSION := v1.6.0
GO_LICENSES := $(TOOLS)/go-licenses-$(GO_LICENSES_VERSION)
INDEXDB_VERSION := v0.0.0-20261105234957-e22db6528018
INDEXDB := $(TOOLS)/indexdb-$(INDEXDB_VERSION)
# They allow that a program under Apache-2.0 is linked with what they cover. With MPL-2.0 its own sources must be offered.
LICENCES := Apache-2.0,MIT,BSD-2-Clause,BSD-3-Clause,ISC,MPL-2.0
# What makes the packages, and lists what is in the program. The last nfpm without a packager for MSIX, and its modules.
NFPM_VERSION := v2.45.0
NFPM := $(TOOLS)/nfpm-$(NFPM_VERSION)
CYCLONEDX_VERSION := v1.10.0
CYCLONEDX := $(TOOLS)/cyclonedx-gomod-$(CYCLONEDX_VERSION)
# Of packages: the tag, or what sorts before every tag.
VERSION ?= $(shell git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null | sed 's/^v//; s/-/~/g' | grep . || \
	TZ=UTC git log -1 --abbrev=12 --date=format-local:%Y%m%d%H%M --format=0.0.0~%cd.%h 2>/dev/null)
ARCHS ?= amd64 arm64
# CoreDNS, which loads the zones that svcctl writes, is built from a module of its own.
COREDNS := $(TOOLS)/coredns
FUZZTIME ?= 30s
FUZZ_TARGETS = $(shell grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/svcctl
	$(GO) build -trimpath -o $(BIN)/svcctl ./cmd/svcctl

.PHONY: demo
demo: build ## Show services carrying traffic, in private network namespaces
	@$(GO) run ./internal/demo

.PHONY: deps
deps: $(COREDNS) $(NFPM) $(CYCLONEDX) ## Get what the tests compare with and build with: Debian packages (as root; otherwise say what is missing), tools
	@./.ci/deps
	@./.ci/neighbours

$(COREDNS): $(wildcard internal/peer/coredns/*)
	mkdir -p $(TOOLS)
	cd internal/peer/coredns && $(GO) build -trimpath -o $@ .

.PHONY: test
test: deps ## Run all tests
	$(GO) test ./...

.PHONY: race
race: deps ## Run the tests of the compiler and the command line under the race detector
	$(GO) test -race -short ./compiler/... ./render/... ./cmd/...

.PHONY: golden
golden: ## Write golden/want anew; read the difference line by line before committing it
	GOLDIE_UPDATE=1 $(GO) test ./golden
	git --no-pager diff --stat -- golden/want

.PHONY: manual
manual packages: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
manual: ## Write docs/cli.md, and into bin/manual the manual pages and the completions
	SVCCTL_MANUAL=$(abspath $(BIN))/manual $(GO) test -count=1 ./cmd/svcctl -run '^TestManual$$'

.PHONY: packages
packages: manual $(NFPM) $(CYCLONEDX) ## Build deb and rpm packages, with SBOM and checksums, into bin/packages
	GO=$(GO) NFPM=$(NFPM) CYCLONEDX=$(CYCLONEDX) MANUAL=$(BIN)/manual deploy/packages/build $(BIN)/packages '$(VERSION)' $(ARCHS)

$(NFPM):
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)
	mv $(TOOLS)/nfpm $@

$(CYCLONEDX):
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION)
	mv $(TOOLS)/cyclonedx-gomod $@

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run the linters
	$(GOLANGCI_LINT) run --allow-parallel-runners ./...

$(GOLANGCI_LINT):
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(TOOLS)/golangci-lint $@

.PHONY: audit
audit: verify vuln licences ## Look at what svcctl is made of: checksums, vulnerabilities, licences

.PHONY: verify
verify: ## Check that the modules are what go.sum says
	$(GO) mod verify
	cd internal/peer/coredns && $(GO) mod verify

.PHONY: vuln
vuln: $(GOVULNCHECK) $(INDEXDB) ## Look for known vulnerabilities in code that svcctl calls
	@GO="$(GO)" ./.ci/vuln $(GOVULNCHECK) $(INDEXDB) $(CURDIR)/.cache/vulndb

# go-licenses tells the standard library by GOROOT, and speaks of assembly at length.
licences: export GOROOT = $(shell $(GO) env GOROOT)
.PHONY: licences
licences: $(GO_LICENSES) ## Check the licences of all modules, those of the tests' CoreDNS too
	$(GO_LICENSES) check ./... --include_tests --allowed_licenses=$(LICENCES) --stderrthreshold=ERROR --logtostderr=false
	cd internal/peer/coredns && $(GO_LICENSES) check . --ignore github.com/svcctl/svcctl --allowed_licenses=$(LICENCES) \
		--stderrthreshold=ERROR --logtostderr=false

notices: export GOROOT = $(shell $(GO) env GOROOT)
.PHONY: notices
notices: $(GO_LICENSES) ## Collect the licences of what is in bin/svcctl, and sources where they ask for that, in bin/notices
	$(GO_LICENSES) save ./cmd/svcctl --save_path=$(BIN)/notices --force --stderrthreshold=ERROR --logtostderr=false

$(GOVULNCHECK):
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	mv $(TOOLS)/govulncheck $@

$(GO_LICENSES):
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install github.com/google/go-licenses@$(GO_LICENSES_VERSION)
	mv $(TOOLS)/go-licenses $@

$(INDEXDB):
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vulndb/cmd/indexdb@$(INDEXDB_VERSION)
	mv $(TOOLS)/indexdb $@

.PHONY: bench
bench: build deps ## Measure against the budgets; parts of it with BENCH="-only apply"
	$(GO) run ./internal/bench $(BENCH)

.PHONY: bench-plot
bench-plot: deps ## Measure how cost grows with the number of Services, and draw it
	$(GO) run ./internal/bench -plot docs/benchmarks.svg -write docs/benchmarks.md

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (default 30s)
	@set -e; for dir in $(FUZZ_TARGETS); do \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$dir/*_test.go | sed 's/^func //'); do \
			echo "== $$dir $$f"; $(GO) test $$dir -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME); \
		done; \
	done

SOAK ?= 20000

.PHONY: soak
soak: deps ## Apply SOAK times (default 20000) while things go wrong, and print the figures of docs/soak.md
	SOAK=$(SOAK) $(GO) test ./internal/soak ./nft -run '^(TestSoak|TestFaultWalk)$$' -count=1 -v -timeout 12h

.PHONY: ci
ci: export SVCCTL_REQUIRE_NETNS = 1
ci: deps ## What CI runs: build, lint, audit, all tests with none skipped, the demo
	$(MAKE) build
	$(MAKE) lint
	$(MAKE) audit
	$(GO) test -count=1 ./...
	$(MAKE) race
	$(MAKE) demo
