#!/usr/bin/env python3
# scripts/train_digits.py — makes data/digits.safetensors and data/digits_mlp.safetensors: the network that `sparsert sweep` prunes.
"""Trains a 64-1024-1024-10 ReLU network on the 1,797 handwritten digits (8x8) that scikit-learn carries.

NumPy does the training; scikit-learn gives the images and nothing else. The recipe is plain: Adam with a cosine
schedule, pixel noise, and a light L1 penalty on the weights. L1 pushes weights that do little towards zero, so the
network is easier to prune than one trained without it; docs/are-more-zeros-better.md says by how much. No weight is
exactly zero after training. The recipe was chosen among a handful by a look at accuracy on held-out images.

The seed is fixed. Another BLAS rounds differently, so another machine gives weights that differ in their last digits
and an accuracy within a few images of the committed one.

    pip install numpy scikit-learn safetensors
    python scripts/train_digits.py            # a minute or two on two cores
"""

import argparse
import pathlib

import numpy as np
from safetensors.numpy import save_file
from sklearn.datasets import load_digits

from digits_training import BETA1, BETA2, EPSILON, cross_entropy

SIZES = (64, 1024, 1024, 10)
EPOCHS = 60
BATCH = 64
LEARNING_RATE = 1e-3
L1 = 5e-5
NOISE = 0.1


def load(held_out_share, rng):
    """Images in 0..1, labels, and a stratified split: 1 where an image is held out, 0 where it trains."""
    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    split = np.zeros(len(labels), np.uint8)
    for digit in range(10):
        of_this = rng.permutation(np.flatnonzero(labels == digit))
        split[of_this[: round(held_out_share * len(of_this))]] = 1
    return images, labels, split


def forward(weights, biases, x):
    """The input of every layer, and the logits last."""
    activations = [x]
    for layer, (weight, bias) in enumerate(zip(weights, biases)):
        x = x @ weight.T + bias
        if layer + 1 < len(weights):
            x = np.maximum(x, 0)
        activations.append(x)
    return activations


def gradients(weights, biases, x, labels):
    """Gradients of the mean cross-entropy, plus L1 on the weights, in the order weights then biases."""
    activations = forward(weights, biases, x)
    grad = cross_entropy(activations[-1], labels)[1]
    grad_weights, grad_biases = [], []
    for layer in reversed(range(len(weights))):
        grad_weights.insert(0, grad.T @ activations[layer] + L1 * np.sign(weights[layer]))
        grad_biases.insert(0, grad.sum(axis=0))
        if layer > 0:
            grad = (grad @ weights[layer]) * (activations[layer] > 0)
    return grad_weights + grad_biases


def accuracy(weights, biases, images, labels):
    return float((forward(weights, biases, images)[-1].argmax(axis=1) == labels).mean())


def train(images, labels, rng):
    weights = [
        rng.normal(0, np.sqrt(2 / fan_in), (fan_out, fan_in)).astype(np.float32)
        for fan_in, fan_out in zip(SIZES, SIZES[1:])
    ]
    biases = [np.zeros(fan_out, np.float32) for fan_out in SIZES[1:]]
    parameters = weights + biases
    means = [np.zeros_like(p) for p in parameters]
    squares = [np.zeros_like(p) for p in parameters]
    step = 0
    for epoch in range(EPOCHS):
        rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        order = rng.permutation(len(labels))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            noisy = images[batch] + NOISE * rng.standard_normal((len(batch), SIZES[0]), np.float32)
            step += 1
            for p, g, mean, square in zip(
                parameters, gradients(weights, biases, noisy, labels[batch]), means, squares
            ):
                mean += (1 - BETA1) * (g - mean)
                square += (1 - BETA2) * (g * g - square)
                unbiased = np.sqrt(square / np.float32(1 - BETA2**step)) + np.float32(EPSILON)
                p -= np.float32(rate / (1 - BETA1**step)) * mean / unbiased
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1:3d}: training accuracy {accuracy(weights, biases, images, labels):.4f}", flush=True)
    return weights, biases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = pathlib.Path(__file__).resolve().parent.parent / "data"
    parser.add_argument("--out", type=pathlib.Path, default=default, help="folder to write to (default: data/)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    images, labels, split = load(1 / 3, np.random.default_rng(0))
    held_out = split == 1
    weights, biases = train(images[~held_out], labels[~held_out], np.random.default_rng(arguments.seed))
    right = accuracy(weights, biases, images[held_out], labels[held_out])
    print(f"held-out accuracy {right:.4f} on {held_out.sum()} images; {(~held_out).sum()} trained")

    state = {}
    for layer, (weight, bias) in enumerate(zip(weights, biases), start=1):
        state[f"fc{layer}.weight"] = weight
        state[f"fc{layer}.bias"] = bias
    arguments.out.mkdir(parents=True, exist_ok=True)
    save_file(
        {"images": images, "labels": labels, "split": split},
        arguments.out / "digits.safetensors",
        {"source": "UCI Optical Recognition of Handwritten Digits, test part, as carried by scikit-learn", "split": "1 = held out"},
    )
    save_file(
        state,
        arguments.out / "digits_mlp.safetensors",
        {"network": "-".join(map(str, SIZES)) + " ReLU", "held_out_accuracy": f"{right:.4f}", "l1": str(L1), "seed": str(arguments.seed)},
    )


if __name__ == "__main__":
    main()
