#!/usr/bin/env bash
# Everything that says whether the GPU backend is right, in one go: kernels against their references,
# the tiny family against the CPU, true dimensions against transformers, and compute-sanitizer on few
# shapes. Prints one line each and fails if any does. Some eight minutes on an H100.
#
#   scripts/gpu/verify.sh [BUILD] [OUT]     BUILD: build/cuda; OUT: whole outputs, a temporary folder
#
# Needs python3 with numpy, torch, transformers and safetensors, and compute-sanitizer in the PATH.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

build=${1:-build/cuda}
out=${2:-$(mktemp -d)}
mkdir -p "$out"
tests=$build/tests
failures=$out/failures
: >"$failures"

# say NAME COMMAND...: runs it and tells how it went.
say() {
  local name=$1 begun=$SECONDS
  shift
  if "$@" >"$out/$name.txt" 2>&1; then
    echo "ok     $name ($((SECONDS - begun)) s)"
  else
    echo "FAILED $name (exit $?), see $out/$name.txt" | tee -a "$failures"
  fi
}

for kind in ops rows mla_parts mla_decode attention products moe_layer sample; do
  say "$kind" timeout 300 "$tests/kernels_cuda_${kind}_test"
done
say models timeout 300 "$tests/models_cuda_tiny_test"

prompts=tests/golden/tiny/heldout.jsonl
for model in models/glm-tiny models/glm-tiny-int4; do
  say "company-$(basename "$model")" timeout 300 "$tests/engine_answers" "$model" "$prompts"
done
say family-bf16 timeout 300 "$tests/tiny_answers" models/glm-tiny "$prompts" --count 500
family=$(mktemp -d)
trap 'rm -rf "$family"' EXIT
formats=$(python3 -c 'import sys; sys.path.insert(0, "scripts/train_tiny"); import quantize; print(*quantize.FORMATS)') || exit
for format in $formats; do
  python3 scripts/train_tiny/quantize.py models/glm-tiny "$family/$format" --format "$format" >/dev/null || exit
  say "family-$format" timeout 300 "$tests/tiny_answers" "$family/$format" "$prompts" --count 500
done

for model in glm-4.7-flash glm-4.7; do
  say "true-$model" timeout 900 python3 scripts/gpu/true_dimensions.py "$tests/teacher_forced" --model "$model"
done

export GLM_TEST_REDUCED=1
for tool in memcheck racecheck synccheck; do
  check() { say "$tool-$1" timeout 400 compute-sanitizer --error-exitcode 9 --tool "$tool" "$tests/kernels_cuda_$1_test" "--gtest_filter=$2"; }
  check ops '*Rms*:*Embedding*:*Router*'
  check rows '*'
  check mla_parts '*'
  check mla_decode '*'
  check attention '*'
  check products '*Small*'
  check moe_layer '*Small*'
  check sample '*Reference:*Ids*'
done

if [ -s "$failures" ]; then
  echo "verify: $(wc -l <"$failures") failed" >&2
  exit 1
fi
echo "verify: all right"
