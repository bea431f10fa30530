#!/usr/bin/env bash
# From a clean clone to an answer: installs what is missing, builds, asks the tiny model.
# Leaves no process behind; may be repeated.
set -euo pipefail
cd "$(dirname "$0")/.."

options=("-DGLM_CUDA=${GLM_CUDA:-AUTO}")
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
    # Code for the cards that are here. Hopper's warpgroups multiply only in code for 90a, which
    # "native" would not give.
    cards=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | tr -d '. ' | sort -un | awk '$1 >= 80' |
      sed 's/^90$/90a/' | paste -sd';')
    if [ -n "$cards" ]; then
      options+=("-DCMAKE_CUDA_ARCHITECTURES=$cards")
    else
      echo "quickstart: the GPU here is older than compute capability 8.0, so this builds for the CPU" >&2
      options=(-DGLM_CUDA=OFF)
    fi
  else
    echo "quickstart: a GPU is here but no CUDA toolkit, so this builds for the CPU. For the GPU:" >&2
    echo "  install the toolkit (https://developer.nvidia.com/cuda-downloads), then run this again" >&2
  fi
fi

./scripts/install_deps.sh
build=build/quickstart
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGLM_TESTS=OFF "${options[@]}"
cmake --build "$build" -j "$(nproc)"

# A home and a port of its own: a daemon or models you already have stay as they are.
GLM_HOME=$(mktemp -d)
export GLM_HOME
export GLM_HOST=127.0.0.1:$((20000 + RANDOM % 20000))
glm=$build/bin/glm
trap '"$glm" stop --all >/dev/null 2>&1 || true; rm -rf "$GLM_HOME"' EXIT

echo
echo '$ glm run tiny "What is 17 + 25?"'
"$glm" run tiny "What is 17 + 25?"
