#!/usr/bin/env bash
# scripts/tidy.sh BUILD_DIR [files...] — clang-tidy over the sources that a build compiles, or over the files named.
# Kernels and tests are left out: clang-tidy reads the code of every instruction set again for each, which takes minutes,
# and what it looks for is in the host code.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh

build=${1:?usage: tidy.sh BUILD_DIR [files...]}
shift
[ -f "$build/compile_commands.json" ] || fail "$build has no compile_commands.json: configure it first"
command -v clang-tidy >/dev/null || fail "clang-tidy is not installed"

if [ $# -gt 0 ]; then
  files=("$@")
else
  mapfile -t files < <(python3 - "$build/compile_commands.json" "$PWD" <<'PYTHON'
import json, os, sys
root = sys.argv[2]
names = {os.path.relpath(entry["file"], root) for entry in json.load(open(sys.argv[1], encoding="utf-8"))}
folders = ("device/", "runtime/", "tools/", "examples/")
print("\n".join(sorted(n for n in names if n.startswith(folders) and not n.startswith("device/simt/"))))
PYTHON
  )
fi
say "clang-tidy: ${#files[@]} files"
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" clang-tidy -p "$build" --quiet 2>/dev/null
