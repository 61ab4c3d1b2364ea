#!/usr/bin/env bash
# Runs the commands of README.md that a comment `<!-- run -->` stands before, in their order, against a server of its own.
# `readme.sh --print` only prints them.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

blocks() {
  awk '/^<!-- run -->$/ { marked = 1; next }
       marked && /^```sh$/ { inside = 1; marked = 0; next }
       marked && NF { print "README.md:" NR ": no sh block after <!-- run -->" > "/dev/stderr"; exit 1 }
       inside && /^```$/ { inside = 0; print ""; next }
       inside' README.md
}

commands=$(blocks)
[ -n "$commands" ] || fail "README.md has no block marked <!-- run -->"
if [ "${1:-}" = --print ]; then
  printf '%s\n' "$commands"
  exit
fi

source scripts/server.sh
start_server
# What a reader has: the programs, a clip, the documented address.
export PATH="$TARGET/debug:$PATH" TRITON_SERVER="http://$ADDRESS"
cd "$SCRATCH" || exit
printf '%s\n' "${commands//127.0.0.1:8080/$ADDRESS}" >commands.sh
bash -euxo pipefail commands.sh
