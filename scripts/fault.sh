#!/usr/bin/env bash
# The long fault run: blobs on the ring under SIGKILL, SIGSTOP, cut and slow links, jumping clocks, full and failing disks, and
# with the coordinator ended at each step of a migration. SEEDS (1..=100), JOBS (2), SECONDS_EACH and REPORT change it.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

scripts/install.sh test
[ "$(id -u)" -eq 0 ] || say "Not root: disks of their own cannot be mounted, and what needs them is left out"
say "Building"
# A debug build: the steps of a migration can be armed in no other.
cargo build --locked -p storage-svc -p web-svc -p triton-chaos --bins
say "Seeds ${SEEDS:=1..=100}"
exec "$TARGET/debug/fault" --seeds "$SEEDS" --jobs "${JOBS:-2}" ${SECONDS_EACH:+--seconds "$SECONDS_EACH"} \
  --dir "$TARGET/fault" --report "${REPORT:-docs/fault-report.md}"
