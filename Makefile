# Everything a developer or CI runs. CI runs `make ci` and nothing else.

SHELL := /bin/bash
GO ?= go
BIN := bin
TOOLS := $(CURDIR)/.cache/bin
GOLANGCI_LINT_VERSION := v2.15.0
# Pinned by name, so that a new version is built when the number changes.
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
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
deps: $(COREDNS) ## Get what the tests compare with: Debian packages (as root; otherwise say what is missing), CoreDNS
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
manual: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
manual: ## Write docs/cli.md, and into bin/manual the manual pages and the completions
	SVCCTL_MANUAL=$(CURDIR)/$(BIN)/manual $(GO) test -count=1 ./cmd/svcctl -run '^TestManual$$'

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run the linters
	$(GOLANGCI_LINT) run --allow-parallel-runners ./...

$(GOLANGCI_LINT):
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(TOOLS)/golangci-lint $@

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
ci: deps ## What CI runs: build, lint, all tests with none skipped, the demo
	$(MAKE) build
	$(MAKE) lint
	$(GO) test -count=1 ./...
	$(MAKE) race
	$(MAKE) demo
