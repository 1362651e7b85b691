# The two commands that most people need are `make demo` and `make test`; `make help` lists all.

SHELL := /bin/sh
.DEFAULT_GOAL := help

export PATH := $(PATH):$(HOME)/.cargo/bin
export CARGO_TARGET_DIR := $(shell deploy/dev/target.sh)
# Static queries are checked against .sqlx, not against a database that happens to be near.
export SQLX_OFFLINE := true
unexport DATABASE_URL

DEMO_DATA ?= $(CARGO_TARGET_DIR)/demo
KAFKA_DATA ?= $(CARGO_TARGET_DIR)/kafka
DEMO_ARGS ?= --devices 300 --interval 2s
TEST_ARGS ?=
SOAK_MINUTES ?= 30
SOAK_ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=

.PHONY: help demo demo-clean kafka build soak test lint doc deny sqlx ci fuzz

help: ## lists what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: build ## installs what is missing, builds, and watches a virtual fleet; DEMO_ARGS, DEMO_DATA
	@$(CARGO_TARGET_DIR)/release/mast demo --data $(DEMO_DATA) $(DEMO_ARGS)

kafka: ## installs a Kafka broker for development and runs it; KAFKA_DATA
	@deploy/dev/install.sh
	@deploy/dev/kafka/kafka.sh run $(KAFKA_DATA)

demo-clean: ## forgets the demo's data
	rm -rf $(DEMO_DATA)

build: ## installs what is missing, builds `mast` for use
	@deploy/dev/install.sh
	@echo "Building mast; the first time this compiles everything it uses, for many minutes on two cores."
	@cargo build --locked --release --package mast

soak: build ## the demo under trouble for SOAK_MINUTES: is memory flat, are descriptors, and the answers right? SOAK_ARGS
	@$(CARGO_TARGET_DIR)/release/mast bench soak --minutes $(SOAK_MINUTES) $(SOAK_ARGS)

test: ## installs what is missing, also a Kafka broker, runs all tests; TEST_ARGS
	@deploy/dev/install.sh --tests
	@deploy/dev/kafka/kafka.sh install
	cargo test --locked --workspace --no-fail-fast $(TEST_ARGS)

lint: ## format and lints, warnings are errors
	@deploy/dev/install.sh --lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

doc: ## the API documentation, warnings are errors
	@deploy/dev/install.sh
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

deny: ## licences, sources and bans of what we depend on
	@deploy/dev/install.sh
	deploy/dev/cargo-deny.sh --locked check bans licenses sources

sqlx: ## whether .sqlx is what the queries and migrations say
	@deploy/dev/install.sh
	env -u SQLX_OFFLINE deploy/dev/sqlx.sh --check

fuzz: ## fuzzes the parsers, see fuzz/README.md; FUZZ_SECONDS for each, FUZZ_TARGETS (all)
	@deploy/dev/install.sh
	FUZZ_SECONDS=$(FUZZ_SECONDS) deploy/dev/fuzz.sh $(FUZZ_TARGETS)

ci: ## lint, deny, doc, sqlx and test, as CI does
	.ci/run
