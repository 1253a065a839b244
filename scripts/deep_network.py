#!/usr/bin/env python3
"""A deep sparse network in the manner of the sparse-DNN Graph Challenge: every format, every thread count, one answer.

120 layers of 1,024 neurons, 32 entries a neuron in the mixed-radix pattern of RadiX-Net (1,024 = 32 x 32: neuron i takes
the inputs i + j * stride, j < 32, the stride 1 and 32 in turn), weight 1/16, bias -0.3, ReLU clipped at 32. The rows that
are still active at the end, and every bit of the result, must not depend on format, device or number of threads.

usage: deep_network.py [--layers 120] [--rows 256] [--devices cpu,...]
"""

from __future__ import annotations

import argparse
import hashlib
import time

import numpy as np

import sparsert as sp

NEURONS, ENTRIES = 1024, 32
WEIGHT, BIAS, CLIP = np.float32(1 / 16), np.float32(-0.3), np.float32(32)


def layer(number: int) -> sp.Csr:
    """The weight of a layer as (out, in): 32 entries in each row and in each column."""
    stride = ENTRIES ** (number % 2)
    columns = (np.arange(NEURONS)[:, None] + stride * np.arange(ENTRIES)) % NEURONS
    columns.sort(axis=1)
    offsets = np.arange(0, NEURONS * ENTRIES + 1, ENTRIES, dtype=np.int32)
    values = np.full(NEURONS * ENTRIES, WEIGHT, np.float32)
    return sp.Csr(offsets, columns.reshape(-1).astype(np.int32), values, (NEURONS, NEURONS))


def inputs(rows: int) -> np.ndarray:
    """Rows of zeros and ones of very different density, as thresholded images have."""
    random = np.random.default_rng(1)
    return (random.random((rows, NEURONS)) < random.random((rows, 1)) * 0.6).astype(np.float32)


def run(weights: list, x: np.ndarray, device: str) -> tuple[np.ndarray, float]:
    bias = sp.tensor(np.full(NEURONS, BIAS, np.float32), device=device)
    y = sp.tensor(x, device=device)
    begin = time.perf_counter()
    for w in weights:
        y = sp.linear(y, w, bias=bias, relu=True)
        if device == "cpu":
            np.minimum(y.numpy(), CLIP, out=y.numpy())
        else:
            y = sp.tensor(np.minimum(y.cpu().numpy(), CLIP), device=device)
    return y.cpu().numpy(), time.perf_counter() - begin


def scipy_run(matrices: list, x: np.ndarray) -> tuple[np.ndarray, float]:
    import scipy.sparse as sparse

    weights = [sparse.csc_array(w.to_scipy().T) for w in matrices]
    y = x
    begin = time.perf_counter()
    for w in weights:
        y = np.minimum(np.maximum(y @ w + BIAS, 0), CLIP)
    return y, time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=120)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--devices", default="cpu")
    options = parser.parse_args()
    x = inputs(options.rows)
    layers = [layer(n) for n in range(options.layers)]
    edges = options.rows * options.layers * NEURONS * ENTRIES
    answers = set()

    def report(name: str, result: tuple[np.ndarray, float], same: bool = True) -> None:
        y, seconds = result
        digest = hashlib.sha256(y.tobytes()).hexdigest()[:12]
        if same:
            answers.add(digest)
        active = int((y.max(axis=1) > 0).sum())
        print(f"{name:32} {seconds:8.3f} s  {edges / seconds / 1e9:7.2f} Gedges/s  {active} active rows  {digest}")

    for device in options.devices.split(","):
        on_device = [w.to(device) for w in layers]
        formats = {
            "csr": on_device,
            "csr, planned": [sp.Plan(w, n=options.rows) for w in on_device],
            "bsr 4x4": [w.to_bsr((4, 4)) for w in on_device],
            "bitmap": [w.to_bitmap() for w in on_device],
            "dense": [w.to_dense() for w in on_device],
        }
        for threads in [1, 2] if device == "cpu" else [1]:
            sp.set_num_threads(threads)
            for name, weights in formats.items():
                report(f"{device}, {threads} threads, {name}", run(weights, x, device))
    try:
        report("scipy (its own sums)", scipy_run(layers, x), same=False)
    except ImportError:
        print("scipy is not installed")
    if len(answers) != 1:
        raise SystemExit(f"{len(answers)} different answers")
    print("one answer, bit for bit")


if __name__ == "__main__":
    main()
