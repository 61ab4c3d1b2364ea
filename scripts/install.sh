#!/usr/bin/env bash
# Installs what is missing: `install.sh run` what the server and its build need, `install.sh test` what the tests need on
# top, `install.sh bench` what the benches compare with, `install.sh compose` a Docker engine and what makes a base image
# for it. Only Debian packages, npm, PyPI and crates.io are asked.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

# The oldest Node.js that Vite 8 runs on; Debian 12 has 18.
readonly NODE_OLDEST=20.19.0
readonly NODE_FALLBACK=22.23.3

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need_file() { [ -e "$1" ] || missing+=("$2"); }

packages() {
  need cc build-essential
  need curl curl
  need ffmpeg ffmpeg
  node_is_new_enough || need node nodejs
  need npm npm
  # etcd-client generates its types from etcd's protocol files when it is built.
  need protoc protobuf-compiler
  need_file /usr/include/google/protobuf/empty.proto libprotobuf-dev
  if [ "$1" = bench ]; then
    need nginx nginx-light
    need etcd etcd-server
    need wrk wrk
  fi
  [ "$1" = test ] || return 0
  need chromium chromium
  need strace strace
  need jq jq
  need etcd etcd-server
  # Clocks that jump, in the fault suite.
  need faketime faketime
  need_file /usr/share/fonts/truetype/dejavu fonts-dejavu-core
  # Debian's Python comes without what makes a virtual environment.
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
}

compose_packages() {
  docker info >/dev/null 2>&1 || need dockerd docker.io
  docker compose version >/dev/null 2>&1 || need docker-compose docker-compose
  need debootstrap debootstrap
  need curl curl
}

install_packages() {
  [ ${#missing[@]} -gt 0 ] || return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    # Without a terminal sudo must not ask for a password: nobody would answer.
    if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then as_root=(sudo); fi
  fi
  if ! command -v apt-get >/dev/null || { [ "$(id -u)" -ne 0 ] && [ ${#as_root[@]} -eq 0 ]; }; then
    fail "please install these packages (Debian's names) and run this again: ${missing[*]}"
  fi
  say "Installing ${missing[*]}"
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

node_is_new_enough() {
  local version
  version=$(node --version 2>/dev/null) || return 1
  [ "$(printf '%s\n' "$NODE_OLDEST" "${version#v}" | sort -V | head -n1)" = "$NODE_OLDEST" ]
}

# The npm packages `node-linux-*` hold the official binary; npm 9 of Debian 12 does not know Node 22, so npm comes along.
install_node() {
  if node_is_new_enough; then return 0; fi
  local machine
  case "$(uname -m)" in
    x86_64) machine=x64 ;;
    aarch64) machine=arm64 ;;
    *) fail "please install Node.js $NODE_OLDEST or newer: npm has no binary for $(uname -m)" ;;
  esac
  say "Installing Node.js $NODE_FALLBACK into .run/node (this system's is $(node --version 2>/dev/null || echo absent))"
  mkdir -p "$NODE_PREFIX"
  npm install --prefix "$NODE_PREFIX" --no-save --ignore-scripts "node-linux-$machine@$NODE_FALLBACK" npm@10
  "$NODE_PREFIX/node_modules/.bin/node" --version
}

install_nextest() {
  if cargo nextest --version >/dev/null 2>&1; then return 0; fi
  say "Installing cargo-nextest"
  cargo install cargo-nextest --locked
}

# Downloaders and parsers of other people, in an environment of their own; made anew when the list of them is newer.
install_checkers() {
  local list=checkers/requirements.txt
  if [ "$CHECKERS_PYTHON/installed" -nt "$list" ]; then return 0; fi
  say "Installing the Python packages of checkers/ into .run/checkers"
  python3 -m venv --clear "$CHECKERS_PYTHON"
  "$CHECKERS_PYTHON/bin/pip" install --quiet --disable-pip-version-check --requirement "$list"
  touch "$CHECKERS_PYTHON/installed"
}

if [ "${1:-}" = compose ]; then
  compose_packages
  install_packages
  # A package of its own since Debian 13.
  missing=()
  need docker docker-cli
  install_packages
  exit
fi
command -v cargo >/dev/null || fail "please install Rust first: https://rustup.rs, or your system's rustup package"
packages "${1:?run, test, bench or compose}"
install_packages
install_node
[ "$1" = test ] || exit 0
install_nextest
install_checkers
