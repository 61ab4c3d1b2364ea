# Sourced by the other scripts: strict mode, the repository as working directory, where things are.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Where scripts/install.sh puts a newer Node.js than the system has.
readonly NODE_PREFIX="$PWD/.run/node"
# And the Python packages of checkers/.
# shellcheck disable=SC2034 # the scripts that source this use it
readonly CHECKERS_PYTHON="$PWD/.run/checkers"
if [ -x "$NODE_PREFIX/node_modules/.bin/node" ]; then
  PATH="$NODE_PREFIX/node_modules/.bin:$PATH"
fi
[ ! -d "$HOME/.cargo/bin" ] || PATH="$PATH:$HOME/.cargo/bin"
export PATH

# shellcheck disable=SC2034 # the scripts that source this use it
readonly TARGET="${CARGO_TARGET_DIR:-$PWD/target}"
if [ ! -t 2 ]; then
  export CARGO_TERM_PROGRESS_WHEN=never
fi
export npm_config_audit=false npm_config_fund=false npm_config_progress=false npm_config_update_notifier=false

say() { printf '\n== %s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# wait_until SECONDS COMMAND...: until it succeeds.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}
