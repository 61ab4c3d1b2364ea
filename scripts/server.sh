# Sourced: a server of its own for one test script, on free ports, with a temporary directory, gone when the script ends.
# shellcheck shell=bash

# The clip has real motion and sound, and is long enough to seek in.
readonly CLIP_SECONDS=20 CLIP_FPS=30

# start_server: sets SCRATCH (a directory, with clip.mp4 in it), ADDRESS (host:port) and SERVER_LOG.
start_server() {
  SCRATCH=$(mktemp -d)
  SERVER_LOG="$SCRATCH/server.log"
  trap stop_server EXIT
  ffmpeg -v error -f lavfi -i "testsrc2=size=1280x720:rate=$CLIP_FPS:duration=$CLIP_SECONDS" \
    -f lavfi -i "sine=frequency=440:duration=$CLIP_SECONDS" \
    -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -shortest "$SCRATCH/clip.mp4"
  "$TARGET/debug/web-svc" --listen 127.0.0.1:0 --node-listen 127.0.0.1:0 --data-dir "$SCRATCH/data" \
    >"$SCRATCH/server.out" 2>"$SERVER_LOG" &
  SERVER_PID=$!
  wait_until 30 announced || fail "the server did not start: $(tail -n 20 "$SERVER_LOG")"
  ADDRESS=$(sed -n 's|^web-svc listens on http://||p' "$SCRATCH/server.out")
  wait_until 30 curl -sf -o /dev/null "http://$ADDRESS/readyz" || fail "the server is not ready: $(tail -n 20 "$SERVER_LOG")"
}

announced() {
  kill -0 "$SERVER_PID" 2>/dev/null || fail "the server ended: $(tail -n 20 "$SERVER_LOG")"
  grep -q '^web-svc listens on http://' "$SCRATCH/server.out"
}

ended() { ! kill -0 "$SERVER_PID" 2>/dev/null; }

stop_server() {
  local status=$?
  if [ "$status" -ne 0 ] && [ -s "$SERVER_LOG" ]; then
    printf '== the last lines of the server (%s)\n' "$SERVER_LOG" >&2
    tail -n 30 "$SERVER_LOG" >&2
  fi
  if [ -n "${SERVER_PID:-}" ] && kill -TERM "$SERVER_PID" 2>/dev/null; then
    wait_until 20 ended || kill -KILL "$SERVER_PID"
  fi
  rm -rf "$SCRATCH"
  exit "$status"
}
