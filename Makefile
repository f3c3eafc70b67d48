# What `sam build` calls, once per function. With `build_in_source` (samconfig.toml) it runs here and not on a copy of the
# tree, and every call builds all binaries together: the first compiles, the others find nothing left to do. One call
# per package would compile shared crates again wherever two functions ask for different features of them.
#
# ARCH must be the template's Architecture: sam build, then sam deploy, both with the same one.
# Needs cargo-lambda with zig (pip install cargo-lambda brings both): the binaries must run on provided.al2023,
# whose glibc is 2.34, whatever this machine has.

ARCH ?= arm64
TARGET_DIR ?= target
FUNCTIONS := -p notify-me-subscribe -p notify-me-restock -p notify-me-notify -p notify-me-feedback
# OpenSSL and librdkafka, small: by size, and in sections, so that the linker can leave out what is never called.
export CFLAGS ?= -Os -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables

.PHONY: binaries native build-SubscribeFunction build-RestockFunction build-NotifyFunction build-FeedbackFunction

ifdef PREBUILT
# A folder with a release's files: its binaries are taken, and nothing is compiled. SHA256SUMS speaks for them.
binaries:
	@cd "$(PREBUILT)" && sha256sum --quiet --check --ignore-missing SHA256SUMS
	@for function in subscribe restock notify feedback; do mkdir -p "$(TARGET_DIR)/lambda/$$function"; \
	  unzip -qo "$(PREBUILT)/$$function-$(ARCH).zip" bootstrap -d "$(TARGET_DIR)/lambda/$$function" || exit 1; done
else
# librdkafka's configure asks this machine's compiler, so the functions are built on the processor that they run on.
HOST_ARCH := $(patsubst aarch64,arm64,$(shell uname -m))
binaries:
	@test "$(ARCH)" = "$(HOST_ARCH)" || { echo "ARCH=$(ARCH) cannot be built on this machine ($(HOST_ARCH)). Either take a release's" \
	  "binaries: PREBUILT=FOLDER sam build; or build for this one: ARCH=$(HOST_ARCH) sam build, then deploy with" \
	  "Architecture=$(HOST_ARCH); or build on a $(ARCH) machine." >&2; exit 1; }
	cargo lambda build --release --locked $(if $(filter arm64,$(ARCH)),--arm64,--x86-64) $(FUNCTIONS)
endif

# The same for this machine and its own libraries, in a folder of their own: what the benchmarks measure.
native:
	cargo build --release --locked --target-dir $(TARGET_DIR)/functions $(FUNCTIONS)

build-SubscribeFunction: binaries
	cp $(TARGET_DIR)/lambda/subscribe/bootstrap $(ARTIFACTS_DIR)/bootstrap

build-RestockFunction: binaries
	cp $(TARGET_DIR)/lambda/restock/bootstrap $(ARTIFACTS_DIR)/bootstrap

build-NotifyFunction: binaries
	cp $(TARGET_DIR)/lambda/notify/bootstrap $(ARTIFACTS_DIR)/bootstrap

build-FeedbackFunction: binaries
	cp $(TARGET_DIR)/lambda/feedback/bootstrap $(ARTIFACTS_DIR)/bootstrap
