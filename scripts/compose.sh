#!/usr/bin/env bash
# The cluster of compose.yaml: `compose.sh up` makes what is missing (engine, base image, images) and waits until all of it
# works, `compose.sh down` ends it and keeps its data, `compose.sh test` tries it from end to end on data of its own.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

export COMPOSE_PROJECT_NAME="${COMPOSE_PROJECT_NAME:-tritontube}"
# The first start of a large cluster on a small machine takes its time, in seconds.
readonly START_SECONDS=300
readonly TRANSCODE_SECONDS=600
readonly WEBS=(web-1 web-2)
# The chaos test of `test`: how long, which seed (another one each time if empty), where its report goes.
CHAOS_MINUTES="${CHAOS_MINUTES:-10}"
CHAOS_SEED="${CHAOS_SEED:-}"
CHAOS_REPORT="${CHAOS_REPORT:-docs/chaos-report.md}"

# Compose v2 where there is one.
compose() {
  if docker compose version >/dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi
}

# BuildKit comes with Docker 20.10 to 22, and as a plug-in later; without it the plain builder does the same, one stage at a time.
choose_builder() {
  [ -z "${DOCKER_BUILDKIT:-}" ] || return 0
  local version
  version=$(docker version --format '{{.Client.Version}}')
  if [ "${version%%.*}" -lt 23 ] || docker buildx version >/dev/null 2>&1; then
    export DOCKER_BUILDKIT=1
  else
    export DOCKER_BUILDKIT=0
  fi
  export COMPOSE_DOCKER_CLI_BUILD=1
}

# One service of each image: the others use what it built.
build() {
  scripts/images.sh
  choose_builder
  say "Building the images (the first time takes a while)"
  compose build etcd-1 proxy storage-1 web-1
}

# within SERVICE COMMAND...: in the service's container, with its secret in the environment.
within() {
  local service=$1
  shift
  compose exec -T "$service" "$@" </dev/null
}

ready() { within "$1" curl -sf -o /dev/null --max-time 3 http://127.0.0.1:8080/readyz 2>/dev/null; }

# Every container of the project that has a health, and what it is.
unhealthy() {
  docker ps --all --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
    --filter label=com.docker.compose.oneoff=False --format '{{.Label "com.docker.compose.service"}} {{.Status}}' |
    grep -vE '^cluster-secret Exited \(0\)|\(healthy\)'
}

all_healthy() { ! unhealthy >/dev/null; }

up() {
  say "Starting"
  if ! compose up --detach --no-build; then
    logs
    fail "the cluster does not start"
  fi
  if ! wait_until "$START_SECONDS" all_healthy; then
    logs
    fail "not healthy after $START_SECONDS s: $(unhealthy | tr '\n' ';')"
  fi
  local service
  for service in "${WEBS[@]}"; do
    wait_until "$START_SECONDS" ready "$service" || { logs; fail "$service is not ready"; }
  done
  say "The cluster runs; make compose-down ends it and keeps its data"
  compose ps
  printf 'open http://%s\n' "$(compose port proxy 8080)"
}

logs() { compose logs --tail 30 >&2; }

state() { within web-2 curl -sf --max-time 10 "http://127.0.0.1:8080/api/v1/videos/$1"; }

is_ready() {
  local video
  video=$(state "$1") || return 1
  [[ "$video" != *'"state":"failed"'* ]] || fail "the video failed: $video"
  [[ "$video" == *'"state":"ready"'* ]]
}

# A clip goes in through one web service and plays through the other; through the proxy, too.
smoke() {
  local id answer proxy
  say "A video in through web-1, out through web-2"
  within worker-1 ffmpeg -v error -f lavfi -i testsrc2=size=1280x720:rate=30:duration=20 -f lavfi -i sine=duration=20 \
    -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -shortest -f mp4 -y /tmp/clip.mp4
  answer=$(within worker-1 curl -sS --fail-with-body -F title=Smoke -F file=@/tmp/clip.mp4 http://web-1:8080/api/v1/videos)
  id=$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' <<<"$answer")
  [ -n "$id" ] || fail "no id in the answer: $answer"
  wait_until "$TRANSCODE_SECONDS" is_ready "$id" || { logs; fail "not transcoded after $TRANSCODE_SECONDS s: $(state "$id")"; }
  plays "http://web-2:8080/media/$id" 600
  plays "http://proxy:8080/media/$id" 600
  within worker-1 curl -sf -o /tmp/original.mp4 "http://proxy:8080/api/v1/videos/$id/download"
  within worker-1 cmp /tmp/original.mp4 /tmp/clip.mp4
  proxy=$(compose port proxy 8080)
  curl -sf "http://$proxy/api/v1/videos?q=smoke" | grep -q "$id" || fail "the published port does not list the video"
  within worker-1 rm /tmp/clip.mp4 /tmp/original.mp4
  within web-1 tritonctl cluster status
}

# plays BASE FRAMES: both manifests, with every frame.
plays() {
  local manifest frames
  for manifest in manifest.mpd master.m3u8; do
    frames=$(within worker-1 ffprobe -v error -select_streams v:0 -count_packets -show_entries stream=nb_read_packets \
      -of csv=p=0 "$1/$manifest" | grep -m 1 .)
    [ "${frames%%,*}" = "$2" ] || fail "$1/$manifest has ${frames:-no} frames, not $2"
    within worker-1 ffmpeg -v error -xerror -i "$1/$manifest" -f null -
  done
}

# Viewers, uploaders and an admin at work on the containers, while a nemesis kills them and cuts their network.
chaos() {
  local seed=()
  [ -z "$CHAOS_SEED" ] || seed=(--seed "$CHAOS_SEED")
  say "Chaos for $CHAOS_MINUTES minutes; the report is $CHAOS_REPORT"
  mkdir -p "$(dirname "$CHAOS_REPORT")"
  "$TARGET/release/chaos" compose --project "$COMPOSE_PROJECT_NAME" --replicas "${TRITON_REPLICAS:-3}" \
    --minutes "$CHAOS_MINUTES" "${seed[@]}" --report "$CHAOS_REPORT"
}

# All of it with its data, and the spare node that the chaos test starts beside it.
remove() {
  docker rm --force --volumes "$COMPOSE_PROJECT_NAME-chaos-storage-5" >/dev/null 2>&1 || true
  docker volume rm "$COMPOSE_PROJECT_NAME-chaos-storage-5" >/dev/null 2>&1 || true
  compose down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1
}

test_all() {
  export COMPOSE_PROJECT_NAME="$COMPOSE_PROJECT_NAME-test" TRITON_PUBLISH="${TRITON_PUBLISH:-127.0.0.1:0}"
  scripts/install.sh run
  say "Building the chaos test"
  cargo build --release --locked --package triton-chaos --bin chaos
  build
  # Whatever an earlier run left. KEEP=1 leaves this one running, to be looked at.
  remove
  [ -n "${KEEP:-}" ] || trap remove EXIT
  up
  smoke
  chaos
  say "compose-test passed"
}

case "${1:-}" in
  up)
    build
    up
    ;;
  down) compose down ;;
  test) test_all ;;
  *) fail "usage: compose.sh up|down|test" ;;
esac
