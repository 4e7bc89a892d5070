# Short names for what one does with this project; `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help demo test pages screenshots fuzz bench build fmt lint clean-demo

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r name text; do printf '%-18s %s\n' "$$name" "$$text"; done

demo: ## run node, pool and miner on this machine and watch blocks being found
	@scripts/demo.sh

test: ## format, lints and all tests, with a real Bitcoin Core
	@scripts/test.sh

pages: ## only the tests of the pages, with a real browser
	cargo build --workspace
	scripts/pages-check.sh

screenshots: ## pictures of all pages in target/screenshots, and the one in the README
	cargo build --workspace
	scripts/pages-check.sh screenshots

fuzz: ## run each fuzz target for a minute, and keep what it finds
	@scripts/fuzz.sh

bench: ## measure the pool, beside the floor that the kernel sets; seven minutes once it is built
	@scripts/bench.sh

build: ## build the pool, the miner and the instruments, in target/release
	cargo build --release --workspace

fmt: ## format the code
	cargo fmt --all

lint: ## clippy, with warnings as errors
	cargo clippy --workspace --all-targets -- -D warnings

clean-demo: ## remove what the demo left: its chain, database and logs
	@scripts/demo.sh --clean
