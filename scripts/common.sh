# scripts/common.sh — what the scripts share. Sourced from the project's root.

venv=build/venv

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

say() { printf '%s==> %s%s\n' "$bold" "$*" "$plain"; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else fail "root rights are needed for: $*"; fi
}

# build PRESET [cmake arguments...] [-- targets...]: configures and builds, quietly unless it fails.
build() {
  local preset=$1 arguments=() targets=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    arguments+=("$1")
    shift
  done
  [ $# -eq 0 ] || { shift && targets=(--target "$@"); }
  say "building: $preset"
  mkdir -p "build/$preset"
  cmake --preset "$preset" -DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache \
    -DPython_EXECUTABLE="$PWD/$venv/bin/python" "${arguments[@]}" >"build/$preset/configure.log" 2>&1 ||
    { cat "build/$preset/configure.log"; fail "configuring $preset"; }
  grep -E '^-- sparsert:|sparsert: the simt' "build/$preset/configure.log" || true
  if [ -t 1 ]; then
    cmake --build "build/$preset" --parallel "$(nproc)" "${targets[@]}"
  else
    cmake --build "build/$preset" --parallel "$(nproc)" "${targets[@]}" >"build/$preset/build.log" 2>&1 ||
      { tail -n 80 "build/$preset/build.log"; fail "building $preset"; }
  fi
}

have_nvcc() { command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; }

export PATH=$PATH:/usr/local/cuda/bin
