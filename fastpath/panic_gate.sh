#!/bin/bash
# panic_gate.sh [--self-test]: no function of the packet path can reach a panic. Needs no DPDK: it looks at the release build of
# the stages benchmark, into which the whole worker is compiled. --self-test plants a panic and fails unless it is found.
set -euo pipefail
cd "$(dirname "$0")/.."

# The benchmark's binary, built with these flags: path on the last line.
build() {
	RUSTFLAGS=${1-} cargo bench -q -p fastpath --no-default-features --bench stages --no-run --message-format=json |
		sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

if [ "${1-}" = --self-test ]; then
	export CARGO_TARGET_DIR=target/planted-panic
	if python3 .ci/panics "$(build '--cfg planted_panic')"; then
		echo "panic_gate: the planted panic was not found" >&2
		exit 1
	fi
	echo "panic_gate: the planted panic was found"
else
	python3 .ci/panics "$(build)"
fi
