# The work is in scripts/; `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help run test check check-deps fmt bench cluster stop compose-up compose-down compose-test openapi clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Install what is missing, build, and run the all-in-one server on http://127.0.0.1:8080
	@scripts/run.sh

test: ## Install what is missing for the tests and run every check and test
	@scripts/test.sh

check: ## The fast checks: format, clippy, types and unit tests of the page
	@scripts/check.sh

check-deps: ## Licences, advisories and sources of the dependencies (compiles cargo-deny the first time)
	@cargo deny --version >/dev/null 2>&1 || cargo install cargo-deny --locked
	cargo deny check bans licenses sources

fmt: ## Format the Rust code
	cargo fmt --all

bench: ## Measure the services against nginx and plain loops; writes bench/RESULTS.md (BENCH="--only get" for a part)
	@scripts/bench.sh $(BENCH)

cluster: ## Run one web-svc and four storage-svc in the background (PROFILE=dev builds faster)
	@scripts/cluster.sh start

stop: ## Stop the cluster
	@scripts/cluster.sh stop

compose-up: ## Run the replicated cluster of compose.yaml in containers (installs a Docker engine where there is none)
	@scripts/compose.sh up

compose-down: ## Stop the containers; their data stays
	@scripts/compose.sh down

compose-test: ## Build the images, start the cluster, play a video through it, and run the long chaos test against it
	@scripts/compose.sh test

openapi: ## Regenerate openapi/*.json from the code, and lint them
	cargo xtask openapi
	@scripts/lint-openapi.sh

clean: stop ## Remove what was built; data/ stays
	cargo clean
	rm -rf web-svc/ui/dist web-svc/ui/node_modules openapi/node_modules test-output .run
