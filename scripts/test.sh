#!/usr/bin/env bash
# scripts/test.sh — installs what is missing, builds, and runs every test.
# With `quick` only the main build is tested; without it also the CUDA build; `slow` adds sanitizers, clang, clang-tidy
# and the long campaigns.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh

mode=${1:-all}
case $mode in all | quick | slow) ;; *) fail "usage: test.sh [quick|slow]" ;; esac
started=$SECONDS
step() { say "$* ($((SECONDS - started)) s so far)"; }

# run_ctest PRESET arguments...: the tests of one build.
run_ctest() {
  local preset=$1
  shift
  ctest --test-dir "build/$preset" --parallel "$(nproc)" --output-on-failure --no-tests=error "$@"
}

bash scripts/setup.sh test

export ASAN_OPTIONS=allocator_may_return_null=1  # tests ask for more memory than there is, and expect an error
sanitized='slow|python|install|lint'  # tests of other things than the library's memory and threads

if [ "$mode" != quick ]; then
  if have_nvcc; then
    step "the CUDA build, on a machine that may have no GPU"
    build cuda -DSPARSERT_SIMT=OFF -- sparsert sparsert_info sparsert_command device_test cuda_faults_test cuda_libraries_test
    run_ctest cuda --label-regex 'unit' --exclude-regex NOT_BUILT --quiet
  else
    say "no nvcc: the CUDA build is not tested here"
  fi
fi

if [ "$mode" = slow ]; then
  step "clang: AddressSanitizer, UndefinedBehaviorSanitizer and the fuzz targets"
  build fuzz
  run_ctest fuzz --label-exclude "$sanitized" --quiet
  step "ThreadSanitizer"
  build tsan -- test_programs
  run_ctest tsan --label-regex 'op|unit' --label-exclude "$sanitized" --exclude-regex 'verify|^info$|NOT_BUILT' --quiet
  step "clang-tidy"
  bash scripts/tidy.sh build/fuzz
fi

step "the main build"
build dev -DSPARSERT_PYTHON=ON
cmake --build build/dev --target all_verify_interface_header_sets >build/dev/headers.log 2>&1 ||
  { tail -n 40 build/dev/headers.log; fail "a public header is not self-contained"; }
if [ "$mode" = slow ]; then labels=(--label-exclude python); else labels=(--label-exclude 'slow|python'); fi
run_ctest dev "${labels[@]}"
step "Python"
PYTHONPATH=build/dev/python "$venv/bin/python" -m pytest -q tests/python
