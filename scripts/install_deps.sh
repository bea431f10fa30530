#!/usr/bin/env bash
# Installs what is missing of the packages glm is built from (Debian 12, Ubuntu 24.04 and later).
# As root, or as a user with sudo. Does nothing, and needs no network, when all are there.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config ca-certificates
  libcpp-httplib-dev libcurl4-openssl-dev libsqlite3-dev libspdlog-dev libfmt-dev
  libcli11-dev libssl-dev nlohmann-json3-dev libexpected-dev libpcre2-dev libutf8proc-dev
  libedit-dev
)
if [ "${1:-}" = "--tests" ]; then
  packages+=(libgtest-dev libgmock-dev python3 python3-numpy)
fi

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$state" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "install_deps: no apt-get here; install these and try again: ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "install_deps: missing packages need root; run as root: apt-get install ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
echo "install_deps: installing ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
