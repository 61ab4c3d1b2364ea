#!/usr/bin/env bash
# The benches: `bench.sh` measures everything and writes bench/RESULTS.md and bench/results.svg; `bench.sh --only NAME` prints a
# part, `bench.sh --list` the names, `bench.sh --help` the rest. WHAT="storage-svc" builds less where a part needs less.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

scripts/install.sh bench
read -ra services <<<"${WHAT:-storage-svc web-svc}"
[[ " ${services[*]} " != *" web-svc "* ]] || scripts/ui.sh
say "Building"
packages=(--package triton-bench)
for service in "${services[@]}"; do packages+=(--package "$service"); done
cargo build --release --locked "${packages[@]}"
# Debian's nginx is in /usr/sbin, which not every user's PATH has.
PATH="$PATH:/usr/sbin" exec "$TARGET/release/triton-bench" "$@"
