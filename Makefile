# Verbs only; what they do is in .ci/ and in the harness. `make` prints them.
.DEFAULT_GOAL := help
.PHONY: help parts wasm check test test-core test-wasm test-real demo chaos backwards bench bench-core bench-docs fuzz render

help: ## print these targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## watch false 404s disappear on three real kube-apiservers (KEEP=1 leaves it running)
	@.ci/tools && echo "compiling the demo (minutes the first time)" && cargo run --quiet --package peerway-harness --bin demo -- $(if $(KEEP),--keep)

chaos: ## servers come and go under load; the report is in target/chaos (SECONDS=180 each, SCENARIO=upgrade,etcd)
	@.ci/tools && echo "compiling (minutes the first time)" && cargo run --quiet --package peerway-harness --bin chaos -- $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(BALANCER),--balancer $(BALANCER))

test: test-core test-wasm test-real ## every test: the core, the core as wasm, and real Envoy before real servers

test-core: ## the core, the renderer, and every seed and crash of the fuzz targets, natively
	@.ci/tools && cargo test --package peerway-core --package envoy-config --package peerway-fuzz

test-wasm: ## the core, compiled to wasm, under node
	@.ci/test-wasm

test-real: parts ## the filter in real Envoy before real kube-apiservers
	@cargo test --package peerway-harness -- --test-threads=$(or $(TEST_THREADS),2)

check: ## format, clippy (native and wasm), docs, module size, scripts
	@.ci/check

wasm: ## build the module that ships, and print its size
	@.ci/wasm

parts: ## build or find the real servers and Envoy (cached outside this tree)
	@.ci/tools && cargo run --quiet --package peerway-harness --bin parts -- all

render: ## render the committed example again
	@cargo run --quiet --package envoy-config --bin peerway -- render envoy-config/examples/control-plane.yaml --out envoy-config/envoy

backwards: ## how often reads from three servers' caches go back in time, by connection and by request
	@.ci/tools && cargo run --quiet --package peerway-harness --bin backwards

bench: ## what Peerway costs, beside what else could be used: 12 minutes (QUICK=1: 2)
	@.ci/tools && echo "compiling the benchmark (minutes the first time)" && cargo run --quiet --package peerway-harness --bin bench -- $(if $(QUICK),--quick)

bench-core: ## micro benchmarks of the core alone
	@cargo bench --package peerway-core --bench core

bench-docs: ## the tables and pictures of docs/benchmarks.md, from the last `make bench`
	@cargo run --quiet --package peerway-harness --bin bench -- publish target/bench.json

fuzz: ## look for bytes that break what reads them (RUNS=20000 inputs each, TARGETS="request merge")
	@RUNS=$(RUNS) TARGETS="$(TARGETS)" .ci/fuzz
