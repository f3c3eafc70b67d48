# What `sam build` calls, once per function. All three come from one workspace and one target directory, so the shared
# crates compile once; with `build_in_source` (samconfig.toml) sam runs this here instead of on a copy of the tree.
#
# ARCH must be the template's Architecture. Building needs cargo-lambda, which brings zig as the cross linker:
# the binaries must run on provided.al2023, whose glibc is 2.34, whatever this machine has.

ARCH ?= arm64
BINARIES = target/lambda

.PHONY: build-SubscribeFunction build-RestockFunction build-NotifyFunction

build-SubscribeFunction: FUNCTION = subscribe
build-RestockFunction: FUNCTION = restock
build-NotifyFunction: FUNCTION = notify

build-SubscribeFunction build-RestockFunction build-NotifyFunction:
	cargo lambda build --release --locked --$(if $(filter arm64,$(ARCH)),arm64,x86-64) -p $(FUNCTION)
	cp $(BINARIES)/$(FUNCTION)/bootstrap $(ARTIFACTS_DIR)/bootstrap
