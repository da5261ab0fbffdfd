# Each target is one line over docker/root, which makes the Debian 13 environment on first use.
ROOT := docker/root
CARGO := $(ROOT) cargo

.PHONY: build demo test nightly bench failover lint arm64 image shell clean
build: ; @$(CARGO) build --release
demo: build ; @$(ROOT) docker/lab/demo
test: ; @$(ROOT) .ci/steps all
lint: ; @$(ROOT) .ci/steps lint
nightly: ; @$(ROOT) env EVENPATH_PACKETS=20000000 cargo test --release -p fastpath --no-default-features --test offload
arm64: ; @EVENPATH_ARCH=arm64 $(ROOT) .ci/arm64
bench: build ; @$(ROOT) perf/run --short
failover: build ; @$(ROOT) perf/failover
image: ; @docker/image
shell: ; @$(ROOT) bash
clean: ; rm -rf --one-file-system target
