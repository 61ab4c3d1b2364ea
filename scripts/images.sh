#!/usr/bin/env bash
# What `docker-compose build` needs on a bare Debian machine: an engine that answers, and the base image. Where no registry
# has the base image, debootstrap makes one of the same name, and this machine's certificates are lent to the builds.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

BASE_IMAGE="${BASE_IMAGE:-debian:trixie-slim}"
# How long a registry may take, in seconds.
readonly PULL_SECONDS=120
readonly CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt

answers() { docker info >/dev/null 2>&1; }

engine() {
  if answers; then return 0; fi
  scripts/install.sh compose
  # Where an init system runs, the package has started it.
  if wait_until 10 answers; then return 0; fi
  [ "$(id -u)" -eq 0 ] || fail "no Docker engine answers: start one, or run this as root"
  say "Starting dockerd; its log is .run/dockerd.log"
  mkdir -p .run
  setsid dockerd >.run/dockerd.log 2>&1 </dev/null &
  wait_until 60 answers || fail "dockerd does not answer: $(tail -n 20 .run/dockerd.log)"
}

base_image() {
  if docker image inspect "$BASE_IMAGE" >/dev/null 2>&1; then return 0; fi
  if timeout "$PULL_SECONDS" docker pull "$BASE_IMAGE"; then return 0; fi
  case "$BASE_IMAGE" in
    debian:*) ;;
    *) fail "no registry has $BASE_IMAGE, and only debian:SUITE can be made here" ;;
  esac
  [ "$(id -u)" -eq 0 ] || fail "no registry has $BASE_IMAGE, and making it needs root"
  make_base_image
}

make_base_image() {
  local suite root
  suite="${BASE_IMAGE#debian:}"
  suite="${suite%-slim}"
  say "Making $BASE_IMAGE with debootstrap: no registry has it"
  scripts/install.sh compose
  root=$(mktemp -d)
  # shellcheck disable=SC2064 # this directory, now
  trap "rm -rf '$root'" EXIT
  debootstrap --variant=minbase "$suite" "$root/rootfs" >"$root/log" || fail "debootstrap failed: $(tail -n 20 "$root/log")"
  # The suite's own line in sources.list, once more for its updates and its security fixes.
  sed -i -E "s|^(deb .*)/debian $suite (.*)|&\n\1/debian $suite-updates \2\n\1/debian-security $suite-security \2|" \
    "$root/rootfs/etc/apt/sources.list"
  # As in the public image: no documents, and no fsync for every file that a package has.
  echo force-unsafe-io >"$root/rootfs/etc/dpkg/dpkg.cfg.d/image"
  printf 'path-exclude /usr/share/%s/*\n' doc man info locale >>"$root/rootfs/etc/dpkg/dpkg.cfg.d/image"
  rm -rf "$root"/rootfs/usr/share/{doc,man,info,locale}/*
  rm -rf "$root"/rootfs/var/lib/apt/lists/* "$root"/rootfs/var/cache/apt/*.bin "$root"/rootfs/var/cache/apt/archives/*.deb
  tar -C "$root/rootfs" -c . | docker import --change 'CMD ["bash"]' - "$BASE_IMAGE"
}

# Debian's bundle comes from the ca-certificates package. One that differs from it has certificates of this machine, such as
# those of a proxy that ends TLS; without them the builds reach no package registry.
certificates() {
  [ -s "$CA_BUNDLE" ] || return 0
  if [ "$(grep -c 'BEGIN CERTIFICATE' "$CA_BUNDLE")" -gt "$(find /usr/share/ca-certificates -name '*.crt' 2>/dev/null | wc -l)" ]; then
    cmp -s "$CA_BUNDLE" deploy/ca/host.crt || cp "$CA_BUNDLE" deploy/ca/host.crt
  fi
}

engine
base_image
certificates
