#!/usr/bin/env bash
# scripts/setup.sh — installs what is missing to build sparsert on Debian 12+ or Ubuntu 24.04+, and a Python
# environment under build/venv. Safe to run again: what is there is left alone. `setup.sh test` adds what tests need.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh

packages=(g++ cmake ninja-build ccache git pkg-config python3 python3-venv python3-dev
          libhwy-dev libtbb-dev nlohmann-json3-dev libcli11-dev zlib1g-dev libboost-context-dev libgtest-dev)
modules=(nanobind numpy safetensors)
if [ "${1:-}" = test ]; then
  packages+=(clang clang-format clang-tidy libclang-rt-14-dev libopenblas0-pthread openmpi-bin file strace)
  modules+=("pip>=23.1" pytest hypothesis jsonschema scipy ml_dtypes onnx h5py scikit-build-core mypy)
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "these packages are needed: ${missing[*]} (no apt-get here to install them)"
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ ! -x "$venv/bin/python" ]; then
  say "making a Python environment in $venv"
  /usr/bin/python3 -m venv "$venv"
fi
wanted=$(printf '%s\n' "${modules[@]}" | sort)
if ! [ "$(cat "$venv/.modules" 2>/dev/null)" = "$wanted" ]; then
  say "installing Python modules: ${modules[*]}"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${modules[@]}"
  printf '%s\n' "$wanted" >"$venv/.modules"
fi

if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
  say "CUDA toolkit: $(PATH=$PATH:/usr/local/cuda/bin nvcc --version | sed -n 's/.*release \([^,]*\),.*/\1/p')"
else
  say "no CUDA toolkit: the CPU backend is built; the simt device needs the toolkit's CCCL headers and is off"
fi
