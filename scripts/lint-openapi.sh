#!/usr/bin/env bash
# Lints the committed OpenAPI documents with Spectral and Redocly. That they are what the code says is a test of xtask.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd openapi || exit

if [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci
fi
npm run lint
