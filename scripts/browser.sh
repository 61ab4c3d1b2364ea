#!/usr/bin/env bash
# The browser tests: a real Chromium on a server of its own. Screenshots are in test-output/screenshots.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
source scripts/server.sh

start_server
mkdir -p test-output/screenshots
export TRITON_URL="http://$ADDRESS" TRITON_CLIP="$SCRATCH/clip.mp4" TRITON_SCREENSHOTS="$PWD/test-output/screenshots"
npm --prefix web-svc/ui run test:browser
