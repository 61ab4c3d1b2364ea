#!/usr/bin/env bash
# Builds the page that web-svc embeds, if it is not newer than its sources.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd web-svc/ui || exit

if [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say "Fetching the page's packages"
  npm ci
fi
if [ ! -e dist/index.html ] || [ -n "$(find src public index.html package-lock.json vite.config.ts -newer dist/index.html 2>/dev/null)" ]; then
  say "Building the page"
  npm run build
fi
