#!/usr/bin/env bash
# Everything: what CI runs, and what to run before a push.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

scripts/install.sh test
[ ! -x "$NODE_PREFIX/node_modules/.bin/node" ] || export PATH="$NODE_PREFIX/node_modules/.bin:$PATH"
scripts/check.sh
say "OpenAPI lint"
scripts/lint-openapi.sh
say "Building the programs"
cargo build --workspace --bins --locked
say "Browser tests"
scripts/browser.sh
say "Parsers, players and downloaders of other people"
scripts/checkers.sh
say "The commands of the README"
scripts/readme.sh
say "Doc tests"
cargo test --workspace --doc --locked --quiet
say "Tests"
cargo nextest run --workspace --locked --no-fail-fast
