#!/usr/bin/env python3
# scripts/cross_validate.py — does sparse training cost accuracy? ten folds and three seeds of the digits say.
"""Trains a ReLU network on the 1,797 digits, one thing changed at a time, and compares it with dense training fold by fold.

    rigl        the hidden weights are sparsert.prune.DynamicSparse at 95 % zeros from the first step to the last
    set         the same, growing at random
    gradients   four ranks exchange 1 % of their gradients (sparsert.gradient.TopK, an in-process group), each on a
                quarter of every batch; dense training uses the whole batch

For each it prints the mean difference in accuracy over all folds and seeds, in percentage points, with a 95 %
t-interval over the folds (the seeds of a fold are averaged first), and what it costs in memory or on the wire.

    pip install numpy
    PYTHONPATH=build/dev/python python scripts/cross_validate.py rigl gradients --json results.json
"""

import argparse
import json
import pathlib
import time

import numpy as np

import sparsert as sp
from digits_training import Adam, cross_entropy

EPOCHS, BATCH, RATE, NOISE = 20, 32, 2e-3, 0.1
FOLDS, RANKS = 10, 4
T_95 = 2.262  # Student's t, 9 degrees of freedom
DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "digits.safetensors"


class Dense:
    def __init__(self, weight):
        self.weight, self.adam = weight, Adam(weight)

    def matrix(self):
        return self.weight

    def forward(self, x):
        return x @ self.weight.T

    def update(self, grad, rate, progress):
        self.weight = self.weight - self.adam.change(grad, rate)

    def nbytes(self):
        return self.weight.nbytes


class Sparse:
    """A weight that is CSR all the time; its pattern moves every 50 steps in the first three quarters."""

    def __init__(self, weight, zeros, method, seed):
        self.dynamic = sp.prune.DynamicSparse(weight, 1 - zeros, method=method, seed=seed, pattern="random")
        self.adam = Adam(self.dynamic.weight.values.numpy())
        self.steps = 0
        self.places()

    def places(self):
        matrix = self.dynamic.weight
        self.rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.row_offsets.numpy()))
        self.columns = matrix.columns.numpy()

    def matrix(self):
        return self.dynamic.weight.to_dense().numpy()

    def forward(self, x):
        return sp.linear(x, self.dynamic.weight).numpy()

    def update(self, grad, rate, progress):
        self.steps += 1
        if self.steps % 50 == 0 and progress < 0.75:
            self.dynamic.fraction = 0.15 * (1 + np.cos(np.pi * progress / 0.75))
            self.adam.mean, self.adam.square = (
                state.numpy().copy() for state in self.dynamic.step(grad, state=[self.adam.mean, self.adam.square])
            )
            self.places()
            return  # the step that moves the pattern moves nothing else
        values = self.dynamic.weight.values.numpy()
        values -= self.adam.change(grad[self.rows, self.columns], rate)  # in place: the matrix's own memory

    def nbytes(self):
        return self.dynamic.nbytes


def gradients(layers, biases, x, labels):
    activations = [x]
    for i, (layer, bias) in enumerate(zip(layers, biases)):
        x = layer.forward(x) + bias
        x = np.maximum(x, 0) if i + 1 < len(layers) else x
        activations.append(x)
    grad = cross_entropy(activations[-1], labels)[1]
    of_weights, of_biases = [], []
    for i in reversed(range(len(layers))):
        of_weights.insert(0, grad.T @ activations[i])
        of_biases.insert(0, grad.sum(axis=0))
        if i > 0:
            grad = (grad @ layers[i].matrix()) * (activations[i] > 0)
    return of_weights, of_biases


def accuracy(layers, biases, images, labels):
    x = images
    for i, (layer, bias) in enumerate(zip(layers, biases)):
        x = layer.forward(x) + bias
        x = np.maximum(x, 0) if i + 1 < len(layers) else x
    return float((x.argmax(axis=1) == labels).mean())


class Ranks:
    """Four ranks, each with a quarter of the batch and a compressor of its own."""

    def __init__(self, ratio):
        self.group = sp.dist.loopback(RANKS)
        self.compressors = [sp.gradient.TopK(ratio=ratio) for _ in range(RANKS)]
        self.sent = self.dense = 0

    def gradients(self, layers, biases, x, labels):
        packets = []
        for rank, compressor in enumerate(self.compressors):
            weights, offsets = gradients(layers, biases, x[rank::RANKS], labels[rank::RANKS])
            named = {f"weight{i}": g for i, g in enumerate(weights)} | {f"bias{i}": g for i, g in enumerate(offsets)}
            packets.append(compressor.compress({name: g.astype(np.float32) for name, g in named.items()}))
        self.sent += packets[0].nbytes
        self.dense += 4 * packets[0].numel
        total = {name: g.numpy() / RANKS for name, g in self.group.allreduce(packets).items()}
        return [total[f"weight{i}"] for i in range(len(layers))], [total[f"bias{i}"] for i in range(len(layers))]


def zeros_by_layer(sizes, zeros, budget):
    """The share of zeros of each layer: the same, or by the Erdos-Renyi kernel, which leaves small layers denser."""
    if budget == "uniform":
        return [zeros] * (len(sizes) - 1)
    shapes = {str(i): (fan_out, fan_in) for i, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:]))}
    return list(sp.prune.schedule.erk(shapes, zeros).values())


def train(kind, images, labels, sizes, seed, shares, ratio):
    rng = np.random.default_rng(seed)
    weights = [
        rng.normal(0, np.sqrt(2 / fan_in), (fan_out, fan_in)).astype(np.float32)
        for fan_in, fan_out in zip(sizes, sizes[1:])
    ]
    if kind in ("rigl", "set"):
        # A sparse layer sees fewer inputs: its entries start larger, so that its outputs do not start smaller.
        seeds = [10 * seed + i for i in range(len(weights) - 1)] + [10 * seed + 9]
        layers = [
            Sparse(np.float32(1 / np.sqrt(1 - zeros)) * w, zeros, kind, s) for w, zeros, s in zip(weights, shares, seeds)
        ]
    else:
        layers = [Dense(w) for w in weights]
    ranks = Ranks(ratio) if kind == "gradients" else None
    biases = [np.zeros(n, np.float32) for n in sizes[1:]]
    of_biases = [Adam(b) for b in biases]
    steps = EPOCHS * (len(labels) // BATCH)
    step = 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(labels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            noisy = images[batch] + NOISE * rng.standard_normal((BATCH, sizes[0]), np.float32)
            rate = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            compute = ranks.gradients if ranks else gradients
            of_weights, of_offsets = compute(layers, biases, noisy, labels[batch])
            for layer, grad in zip(layers, of_weights):
                layer.update(grad.astype(np.float32), rate, step / steps)
            biases = [b - adam.change(g.astype(np.float32), rate) for b, adam, g in zip(biases, of_biases, of_offsets)]
            step += 1
    cost = {"bytes": sum(layer.nbytes() for layer in layers)}
    if ranks:
        cost |= {"wire_share": ranks.sent / ranks.dense}
    return layers, biases, cost


def folds(labels):
    """Ten stratified folds, the same every time."""
    rng = np.random.default_rng(0)
    fold = np.empty(len(labels), np.int64)
    for digit in range(10):
        of_this = rng.permutation(np.flatnonzero(labels == digit))
        fold[of_this] = np.arange(len(of_this)) % FOLDS
    return fold


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="+", choices=["rigl", "set", "gradients"])
    parser.add_argument("--hidden", type=int, default=256, help="neurons of each of the two hidden layers")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--zeros", type=float, default=0.95)
    parser.add_argument("--budget", choices=["uniform", "erk"], default="uniform", help="of zeros over the layers")
    parser.add_argument("--ratio", type=float, default=0.01)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()

    state = sp.load(str(DATA))
    images, labels = state["images"].numpy(), state["labels"].numpy()
    sizes = (images.shape[1], arguments.hidden, arguments.hidden, 10)
    fold_of = folds(labels)
    shares = zeros_by_layer(sizes, arguments.zeros, arguments.budget)
    started = time.time()
    right = {kind: np.zeros((FOLDS, arguments.seeds)) for kind in ["dense", *arguments.kinds]}
    cost = {}
    for fold in range(FOLDS):
        test = fold_of == fold
        for seed in range(arguments.seeds):
            for kind, results in right.items():
                layers, biases, cost[kind] = train(
                    kind, images[~test], labels[~test], sizes, seed, shares, arguments.ratio
                )
                results[fold, seed] = accuracy(layers, biases, images[test], labels[test])
    report = {"sizes": sizes, "folds": FOLDS, "seeds": arguments.seeds, "seconds": round(time.time() - started, 1)}
    for kind, results in right.items():
        difference = 100 * (results - right["dense"]).mean(axis=1)
        half = T_95 * difference.std(ddof=1) / np.sqrt(FOLDS)
        report[kind] = {
            "accuracy": round(100 * float(results.mean()), 2),
            "difference": round(float(difference.mean()), 2),
            "interval": [round(float(difference.mean() - half), 2), round(float(difference.mean() + half), 2)],
            **cost[kind],
        }
        print(kind, report[kind], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
