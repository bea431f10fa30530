#!/usr/bin/env bash
# Builds everything that needs no GPU and runs every test that needs none: units, then end to end.
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/install_deps.sh --tests
preset=${GLM_PRESET:-cpu}
cmake --preset "$preset"
cmake --build --preset "$preset" -j "$(nproc)"
ctest --preset "$preset" -j "$(nproc)"
