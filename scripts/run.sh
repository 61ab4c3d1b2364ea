#!/usr/bin/env bash
# Installs what is missing, builds everything and runs the all-in-one server in the foreground.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

scripts/install.sh run
# A Node.js that install.sh has just put there.
[ ! -x "$NODE_PREFIX/node_modules/.bin/node" ] || export PATH="$NODE_PREFIX/node_modules/.bin:$PATH"
scripts/ui.sh
say "Building the server (the first time takes some minutes)"
cargo build --release --locked --package web-svc --package admin-cli

listen="${TRITON_LISTEN:-127.0.0.1:8080}"
say "Starting: open http://$listen in a browser; Ctrl-C stops it"
printf 'Upload from a shell:  %s video upload FILE\n' "${TARGET#"$PWD"/}/release/tritonctl"
exec "$TARGET/release/web-svc" --listen "$listen" --data-dir "${TRITON_DATA_DIR:-data}"
