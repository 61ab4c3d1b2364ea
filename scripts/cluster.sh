#!/usr/bin/env bash
# A whole cluster on this machine: `cluster.sh start` one web-svc and four storage-svc as processes of their own,
# `cluster.sh stop` ends them. Data is in data/cluster, process ids and logs are in .run.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

WEB_PORT="${WEB_PORT:-8080}"
read -ra NODE_PORTS <<<"${NODE_PORTS:-8091 8092 8093 8094}"
CLUSTER_DIR="${CLUSTER_DIR:-data/cluster}"
PIDS="${PIDS:-.run}"
# How long a process may finish what it does, in seconds.
readonly GRACE=20

# Whether the process of a pid file lives; a number that another program has now does not count.
alive() {
  local pid program
  pid=$(cat "$1" 2>/dev/null) || return 1
  program=$(basename "$1" .pid)
  [[ "$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")" == *"/${program%%-[0-9]*} "* ]] && ! zombie "$pid"
}

zombie() { grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }

gone() { ! alive "$1"; }

# launch NAME PROGRAM ARGUMENTS...: in the background, out of reach of this terminal's Ctrl-C.
launch() {
  local name=$1 program=$2
  shift 2
  if alive "$PIDS/$name.pid"; then fail "$name runs already: make stop"; fi
  setsid "$BIN/$program" "$@" >"$PIDS/$name.log" 2>&1 </dev/null &
  echo $! >"$PIDS/$name.pid"
}

ready() { curl -sf -o /dev/null --max-time 2 "http://127.0.0.1:$1/readyz"; }

await() {
  wait_until 60 ready "$2" && return 0
  tail -n 20 "$PIDS/$1.log" >&2
  stop
  fail "$1 is not ready on port $2; its log is $PIDS/$1.log"
}

start() {
  local profile="${PROFILE:-release}" urls=() port
  BIN="$TARGET/$([ "$profile" = release ] && echo release || echo debug)"
  scripts/ui.sh
  say "Building ($profile)"
  cargo build --locked --profile "$profile" --package web-svc --package storage-svc --package admin-cli
  mkdir -p "$CLUSTER_DIR" "$PIDS"
  for port in "${NODE_PORTS[@]}"; do
    launch "storage-svc-$port" storage-svc --listen "127.0.0.1:$port" "$CLUSTER_DIR/node-$port"
    urls+=("http://127.0.0.1:$port")
  done
  for port in "${NODE_PORTS[@]}"; do await "storage-svc-$port" "$port"; done
  launch "web-svc-$WEB_PORT" web-svc --listen "127.0.0.1:$WEB_PORT" --data-dir "$CLUSTER_DIR/web" \
    --metadata "sqlite:$CLUSTER_DIR/web/catalog.db" --storage "$(IFS=,; echo "${urls[*]}")" --replicas 3
  await "web-svc-$WEB_PORT" "$WEB_PORT"
  say "The cluster runs; make stop ends it"
  printf 'web-svc      http://127.0.0.1:%s\n' "$WEB_PORT"
  printf 'storage-svc  %s\n' "${urls[@]}"
  printf 'logs         %s/*.log\n' "$PIDS"
}

stop() {
  local file files=("$PIDS"/web-svc-*.pid "$PIDS"/storage-svc-*.pid)
  # The web service first: it finishes its writes while the nodes are there.
  for file in "${files[@]}"; do
    alive "$file" || { rm -f "$file"; continue; }
    kill -TERM "$(cat "$file")"
    if ! wait_until "$GRACE" gone "$file"; then
      printf '%s did not end in %s s: killed\n' "$(basename "$file" .pid)" "$GRACE" >&2
      kill -KILL "$(cat "$file")"
    fi
    rm -f "$file"
  done
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  *) fail "usage: cluster.sh start|stop" ;;
esac
