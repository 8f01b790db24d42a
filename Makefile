# The targets that people use. `make help` lists them.

# What was built last, whatever the C library in it: a link to that target's folder.
BUILT  := target/static
BINARY := $(BUILT)/etcd-signer

# The same bytes from whatever folder they are built in: no path of this machine gets in.
REMAP := --remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo

# cargo auditable embeds the list of dependencies in the executable. AUDITABLE=no does without.
AUDITABLE := yes
ifeq ($(AUDITABLE),yes)
CARGO := "$$(tests/tools/cargo-tool.sh cargo-auditable)" auditable
else
CARGO := cargo
endif

# Without an explicit target, the flags would reach procedural macros, which cannot be static.
FLAGS  := -C target-feature=+crt-static $(REMAP)
# TARGET= is another one than packaging/target.sh would choose.
TARGET := $$(packaging/target.sh)
STATIC := target=$(TARGET) && \
	RUSTFLAGS="$(FLAGS)" $(CARGO) build --release --locked --target $$target && \
	ln -sfn $$target/release $(BUILT)

INSTALL := tests/tools/install.sh
TOOLS   := cc ssh ssh-keygen sshd etcd etcdctl openssl unshare setpriv mount age python3

# What attacks the endpoint, or does its main job, besides OpenSSH.
ATTACKERS := ip gdb strace dbclient plink rsync xauth runuser paramiko asyncssh

export ETCD_SIGNER = $(CURDIR)/$(BINARY)
export ETCD_CLIENT_CERT = $(dir $(ETCD_SIGNER))etcd-client-cert

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
	@$(INSTALL) $(TOOLS) readelf strace journald promtool cron $(ATTACKERS)
	$(STATIC)
	cargo test --locked

.PHONY: test-renewal
test-renewal: ## a master and its etcd client through ten lifetimes of a minute (5 minutes)
	@$(INSTALL) $(TOOLS)
	$(STATIC)
	ETCD_CLIENT_CERT_LONG=1 cargo test --locked --test suite -- --nocapture renewer::renewals

.PHONY: test-sshd-load
test-sshd-load: ## sshd under load, and clients that stall or vanish (root; LOAD="masters stalled" is a part of it; RELEASE=trixie takes Debian 13's sshd)
	@$(INSTALL) $(TOOLS) $(ATTACKERS) $(if $(RELEASE),mmdebstrap)
	$(STATIC)
	@SIGNER=$(ETCD_SIGNER) tests/suite/sshd/$(if $(RELEASE),in-release.sh $(RELEASE) )load.sh $(LOAD)

.PHONY: test-sshd-login
test-sshd-login: ## check and etcd-signer-endpoint with an sshd as people have it (root; a part of make test; RELEASE=trixie as above)
	@$(INSTALL) $(TOOLS) ip $(if $(RELEASE),mmdebstrap)
	$(STATIC)
	@SIGNER=$(ETCD_SIGNER) tests/suite/sshd/$(if $(RELEASE),in-release.sh $(RELEASE) )login.sh

.PHONY: test-sshd-red
test-sshd-red: ## whether each attack on the endpoint can succeed without its line (root)
	@$(INSTALL) $(TOOLS) $(ATTACKERS)
	$(STATIC)
	@SIGNER=$(ETCD_SIGNER) tests/suite/sshd/red.sh

.PHONY: test-interop
test-interop: ## get-peers and members' renewals against etcd 3.5 (PyPI), and 3.6 and 3.7 (built with Go)
	@$(INSTALL) $(TOOLS)
	$(STATIC)
	@tests/interop.sh

.PHONY: lint
lint: ## formatting, clippy on all targets, shellcheck on every script
	@$(INSTALL) cc shellcheck
	cargo fmt --check
	cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	shellcheck -x $$(git ls-files '*.sh' .ci/run deploy/etcd-signer/etcd-signer-endpoint deploy/etcd-signer/etcd-signer-lock)

.PHONY: msrv
msrv: ## a build with the oldest Rust that Cargo.toml claims (rustup fetches it)
	@$(INSTALL) cc
	@command -v rustup >/dev/null || { echo "make msrv: it needs rustup, for another version of Rust" >&2; exit 1; }
	version=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) && \
		rustup toolchain install --profile minimal --no-self-update $$version && \
		rustup run $$version cargo build --locked --all-targets --target-dir target/msrv

.PHONY: deny
deny: ## licences, bans, duplicates, sources and advisories of all dependencies
	@$(INSTALL) cc git
	@tests/deny.sh

.PHONY: reproducible
reproducible: ## two builds from two folders, compared byte for byte, and the list of dependencies inside
	@$(INSTALL) cc git jq
	@tests/reproducible.sh

.PHONY: bench
bench: ## what a request costs, beside openssl, cfssl and a program that does nothing
	@$(INSTALL) $(TOOLS) strace cfssl
	$(STATIC)
	cargo bench --locked --bench requests

.PHONY: instructions
instructions: ## how many instructions a request takes: the same number every time (valgrind)
	@$(INSTALL) cc openssl valgrind
	$(STATIC)
	cargo build --locked --example confinement
	@tests/bench/instructions.sh $(BINARY)

.PHONY: fuzz
fuzz: ## all fuzz targets, FUZZ_SECONDS (600) each, on the stable toolchain
	@$(INSTALL) c++
	@tests/fuzz/run.sh

# Files in packages are as old as the last commit: the same package whenever it is built.
EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml)

# The target that was built last.
LAST := $$(readlink $(BUILT) | cut -d/ -f1)

.PHONY: deb
deb: ## the Debian packages, in target/debian
	@$(INSTALL) cc jq
	$(STATIC)
	@packaging/stage.sh
	@rm -rf target/debian
	SOURCE_DATE_EPOCH=$(EPOCH) "$$(tests/tools/cargo-tool.sh cargo-deb)" --no-build --no-strip --locked --target $(LAST)
	SOURCE_DATE_EPOCH=$(EPOCH) "$$(tests/tools/cargo-tool.sh cargo-deb)" --no-build --no-strip --locked --target $(LAST) --variant client

.PHONY: tarball
tarball: deb ## the tarball for other distributions, in target/debian
	@$(INSTALL) xz
	@packaging/tarball.sh target/debian/etcd-signer_*.deb $(EPOCH)

.PHONY: test-packages
test-packages: tarball ## what installing, upgrading and removing the packages does to a host (root); lintian
	@$(INSTALL) $(TOOLS) ip ps lintian
	@tests/packages.sh target/debian/etcd-signer_*.deb target/debian/etcd-signer-*.tar.gz '$(ROW)'

.PHONY: test-hosts
test-hosts: deb ## Debian hosts that become a cluster, with a signer and masters (root; RELEASE=trixie for Debian 13, RELEASE="bookworm trixie" for both)
	@$(INSTALL) $(TOOLS) ip mmdebstrap systemd-nspawn unshare
	@tests/hosts/run.sh target/debian/etcd-signer_*.deb target/debian/etcd-client-cert_*.deb

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST)
