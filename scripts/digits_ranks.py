#!/usr/bin/env python3
# scripts/digits_ranks.py — the digits network trained by four ranks: compressed gradients against dense ones.
"""Trains a 64-256-256-10 ReLU network on the 1,797 handwritten digits that scikit-learn carries, with gradients that
four ranks compute on a quarter of each batch, and compares

    dense       the mean of all gradients, by momentum SGD
    top-k       1 % of each tensor, error feedback, momentum correction and masking, warm-up over the first epochs

on the same folds, seeds, batches and learning rates. The ranks are in one process (`sp.dist.loopback`): what they send
is what they would send over a network. What a rank sends for dense gradients is counted as a ring allreduce does it,
2 (N - 1) / N of the gradient.

    pip install sparsert numpy scipy scikit-learn
    python scripts/digits_ranks.py            # --quick: one fold, one seed
"""

import argparse
import json
import math
import sys

import numpy as np
from scipy.stats import t
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

import sparsert as sp
from digits_training import cross_entropy

SIZES = (64, 256, 256, 10)
RANKS = 4
BATCH = 128
EPOCHS = 40
WARMUP_EPOCHS = 4
LEARNING_RATE = 0.1
MOMENTUM = 0.9
CLIP = 1.0
RATIO = 0.01


def initial(rng):
    layers = {}
    for layer, (fan_in, fan_out) in enumerate(zip(SIZES, SIZES[1:])):
        layers[f"w{layer}"] = rng.normal(0, np.sqrt(2 / fan_in), (fan_out, fan_in)).astype(np.float32)
        layers[f"b{layer}"] = np.zeros(fan_out, np.float32)
    return layers


def forward(layers, x):
    activations = [x]
    for layer in range(len(SIZES) - 1):
        x = x @ layers[f"w{layer}"].T + layers[f"b{layer}"]
        if layer + 2 < len(SIZES):
            x = np.maximum(x, 0)
        activations.append(x)
    return activations


def gradients(layers, x, labels):
    """Of the mean cross-entropy, their norm clipped to CLIP."""
    activations = forward(layers, x)
    grad = cross_entropy(activations[-1], labels)[1]
    result = {}
    for layer in reversed(range(len(SIZES) - 1)):
        result[f"w{layer}"] = grad.T @ activations[layer]
        result[f"b{layer}"] = grad.sum(axis=0)
        if layer > 0:
            grad = (grad @ layers[f"w{layer}"]) * (activations[layer] > 0)
    norm = math.sqrt(sum(float((g * g).sum()) for g in result.values()))
    return {name: (g * np.float32(min(1.0, CLIP / max(norm, 1e-12)))) for name, g in result.items()}


def train(images, labels, seed, compressed):
    """The trained layers, and bytes that a rank sent."""
    rng = np.random.default_rng(seed)
    layers = initial(rng)
    steps = len(labels) // BATCH
    group = sp.dist.loopback(RANKS)
    compressors = [
        sp.gradient.TopK(ratio=RATIO, momentum=MOMENTUM, warmup_steps=WARMUP_EPOCHS * steps) for _ in range(RANKS)
    ]
    velocity = {name: np.zeros_like(x) for name, x in layers.items()}
    numel = sum(x.size for x in layers.values())
    sent = 0.0
    for epoch in range(EPOCHS):
        rate = np.float32(LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * epoch / EPOCHS)))
        order = rng.permutation(len(labels))
        for step in range(steps):
            batch = order[step * BATCH : (step + 1) * BATCH]
            of_ranks = [gradients(layers, images[part], labels[part]) for part in np.split(batch, RANKS)]
            if compressed:
                packets = [c.compress(g) for c, g in zip(compressors, of_ranks)]
                update = {name: x.numpy() for name, x in group.allreduce(packets).items()}
                sent += group.member(0).traffic["bytes_sent"]
            else:
                for name, v in velocity.items():
                    v *= np.float32(MOMENTUM)
                    v += sum(g[name] for g in of_ranks)
                update = velocity
                sent += 2 * (RANKS - 1) / RANKS * 4 * numel
            for name, x in layers.items():
                x -= rate / RANKS * update[name]
    return layers, sent / (EPOCHS * steps)


def interval(values):
    """Mean and the half width of its 95 % interval, by Student's t."""
    values = np.asarray(values)
    if len(values) < 2:
        return float(values.mean()), 0.0
    return float(values.mean()), float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))


def main():
    parser = argparse.ArgumentParser(description="Digits on four ranks: compressed gradients against dense ones.")
    parser.add_argument("--quick", action="store_true", help="one fold, one seed")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    sp.set_num_threads(1)  # small tensors: threads of one's own cost more than they bring
    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    accuracies = {"dense": [], "top-k": []}
    sent = {}
    seeds = 1 if arguments.quick else arguments.seeds
    for seed in range(seeds):
        folds = StratifiedKFold(arguments.folds, shuffle=True, random_state=seed)
        for fold, (train_rows, test_rows) in enumerate(folds.split(images, digits.target)):
            if arguments.quick and fold > 0:
                break
            print(f"seed {seed}, fold {fold}", file=sys.stderr, flush=True)
            for name in accuracies:
                layers, sent[name] = train(images[train_rows], digits.target[train_rows], seed, name == "top-k")
                guess = forward(layers, images[test_rows])[-1].argmax(axis=1)
                accuracies[name].append(float((guess == digits.target[test_rows]).mean()))
    result = {"runs": len(accuracies["dense"]), "ranks": RANKS, "ratio": RATIO}
    for name, values in accuracies.items():
        mean, half = interval(values)
        result[name] = {"accuracy": mean, "interval": half, "bytes_per_step": sent[name]}
    mean, half = interval(np.array(accuracies["top-k"]) - np.array(accuracies["dense"]))
    result["difference"] = {"accuracy": mean, "interval": half}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
