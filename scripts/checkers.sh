#!/usr/bin/env bash
# Parsers, players and downloaders of other people on a real server: first while a video grows, then when it is ready.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
source scripts/server.sh

if [ checkers/package-lock.json -nt checkers/node_modules/.package-lock.json ]; then
  npm --prefix checkers ci
fi
start_server
export TRITON_URL="http://$ADDRESS" TRITON_FRAMES=$((CLIP_SECONDS * CLIP_FPS)) TRITON_FPS=$CLIP_FPS
TRITON_VIDEO=$(curl -sf -F "file=@$SCRATCH/clip.mp4" "$TRITON_URL/api/v1/videos" | jq -r .id)
export TRITON_VIDEO
npm --prefix checkers test
cd checkers || exit
"$CHECKERS_PYTHON/bin/python" -m unittest -v test_downloads
