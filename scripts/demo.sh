#!/usr/bin/env bash
# scripts/demo.sh — from nothing to the answer: installs what is missing, builds, and measures on this machine whether
# more zeros are better: first on the handwritten digits, then on a real transformer. The report is build/sweep.html.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh

bash scripts/setup.sh
build demo -DSPARSERT_PYTHON=ON
bin=build/demo/tools

say "the devices of this machine"
"$bin/sparsert-info"

say "are more zeros better? 1,797 handwritten digits, a 64-1024-1024-10 network, pruned step by step"
"$bin/sparsert" sweep --html build/sweep.html
say "the same as a page: $PWD/build/sweep.html"

say "a real transformer"
"$venv/bin/python" scripts/transformer.py --sparsert "$bin/sparsert"
