#!/usr/bin/env bash
# The fast part of the checks: what can be told without running anything.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

say "Format"
cargo fmt --all -- --check
scripts/ui.sh
say "Clippy"
cargo clippy --workspace --all-targets --locked -- -D warnings
say "Page: types and unit tests"
npm --prefix web-svc/ui test
