#!/usr/bin/env python3
"""A recommender on real ratings: triples -> CSR -> factors by sparse products -> the error on ratings held out.

The ratings are MovieLens' 100,000 (F. M. Harper and J. A. Konstan, 2015), as Debian's package r-cran-dslabs has them:
`apt install r-cran-dslabs`, or name the folder with its Rdata.rdb by --data. Users and items get factors P and Q; a step
of gradient descent takes the error on the entries there are (sddmm), and from it the gradients of P (spmm) and of Q
(spmm_transposed). Every device and number of threads ends with the same bits.

usage: recommender.py [--data FOLDER] [--rank 8] [--steps 100] [--devices cpu,...]
"""

from __future__ import annotations

import argparse
import bz2
import hashlib
import lzma
import pathlib
import struct
import time
import zlib

import numpy as np

import sparsert as sp

DEBIAN = pathlib.Path("/usr/lib/R/site-library/dslabs/data")


class RReader:
    """As much of R's serialization (binary, version 2 and 3) as data frames need."""

    def __init__(self, data: bytes) -> None:
        if data[:2] != b"X\n":
            raise SystemExit("recommender: not R's binary serialization")
        self.data, self.at, self.references = data, 2, []
        version = self.integers(3)[0]
        if version == 3:
            encoding = int(self.integers(1)[0])
            self.at += encoding

    def integers(self, count: int) -> np.ndarray:
        values = np.frombuffer(self.data, ">i4", count, self.at)
        self.at += 4 * count
        return values.astype(np.int32)

    def read(self) -> object:
        flags = int(self.integers(1)[0])
        kind = flags & 255
        if kind in (254, 253, 251, 242, 241):  # NULL and the like
            return None
        if kind == 255:
            return self.references[(flags >> 8 or int(self.integers(1)[0])) - 1]
        if kind == 1:
            self.references.append(self.read())
            return self.references[-1]
        if kind == 2:
            return self.pairs(flags)
        if kind == 9:
            length = int(self.integers(1)[0])
            text = self.data[self.at : self.at + max(length, 0)]
            self.at += max(length, 0)
            return text.decode("utf-8", "replace")
        length = int(self.integers(1)[0])
        if kind in (10, 13):
            value: object = self.integers(length)
        elif kind == 14:
            value = np.frombuffer(self.data, ">f8", length, self.at).astype(np.float64)
            self.at += 8 * length
        elif kind in (16, 19):
            value = [self.read() for _ in range(length)]
        else:
            raise SystemExit(f"recommender: R type {kind} is not read")
        attributes = self.read() if flags & 0x200 else {}
        if kind == 19 and isinstance(attributes, dict) and attributes.get("names"):
            return dict(zip(attributes["names"], value))
        return value

    def pairs(self, flags: int) -> dict:
        result = {}
        while flags & 255 == 2:
            if flags & 0x200:
                self.read()
            tag = self.read() if flags & 0x400 else None
            result[tag] = self.read()
            flags = int(self.integers(1)[0])
        return result


def load_ratings(folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, items (each numbered from 0) and ratings."""
    index = RReader(zlib.decompress((folder / "Rdata.rdx").read_bytes(), 47)).read()
    offset, length = (int(n) for n in index["variables"]["movielens"])
    block = (folder / "Rdata.rdb").read_bytes()[offset : offset + length]
    (size,) = struct.unpack(">i", block[:4])
    unpack = {b"2": bz2.decompress, b"Z": lambda b: lzma.decompress(b, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])}
    body = unpack[block[4:5]](block[5:]) if block[4:5] in unpack else zlib.decompress(block[4:])
    if len(body) != size:
        raise SystemExit("recommender: the data is damaged")
    frame = RReader(body).read()
    users = np.unique(frame["userId"], return_inverse=True)[1]
    items = np.unique(frame["movieId"], return_inverse=True)[1]
    return users, items, np.asarray(frame["rating"], np.float32)


def made_up_ratings() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratings of a known low rank with noise, for a machine without the data: what tests run on."""
    random = np.random.default_rng(3)
    p, q = random.standard_normal((300, 4)), random.standard_normal((200, 4))
    places = random.permutation(300 * 200)[:12_000]
    users, items = places // 200, places % 200
    ratings = 3 + (p[users] * q[items]).sum(1) * 0.5 + random.standard_normal(len(users)) * 0.3
    return users, items, ratings.astype(np.float32)


def fit(train: sp.Csr, rank: int, steps: int, rate: float, penalty: float) -> tuple[sp.Tensor, sp.Tensor]:
    """Factors P (users, rank) and Q (items, rank) by gradient descent, the counts of a row evening out its steps."""
    device = train.device
    random = np.random.default_rng(0)
    p = sp.tensor((random.standard_normal((train.shape[0], rank)) * 0.1).astype(np.float32), device=device)
    q = sp.tensor((random.standard_normal((train.shape[1], rank)) * 0.1).astype(np.float32), device=device)
    ones = train.with_values(sp.tensor(np.ones(train.nnz, np.float32), device=device))
    # A step of a user with many ratings must not be larger than that of one with few.
    by_user = 1 / np.maximum(sp.row_sums(ones).cpu().numpy(), 1)
    by_item = 1 / np.maximum(sp.column_sums(ones).cpu().numpy(), 1)
    p_rate = sp.tensor(np.repeat((rate * by_user)[:, None], rank, 1).astype(np.float32), device=device)
    q_rate = sp.tensor(np.repeat((rate * by_item)[:, None], rank, 1).astype(np.float32), device=device)
    for _ in range(steps):
        error = train.with_values(train.values - sp.sddmm(train, p, q))
        p_step, q_step = sp.spmm(error, q), sp.spmm_transposed(error, p)
        p, q = p * (1 - penalty) + p_rate * p_step, q * (1 - penalty) + q_rate * q_step
    return p, q


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, default=DEBIAN)
    parser.add_argument("--made-up", action="store_true", help="ratings that need no data")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--devices", default="cpu")
    options = parser.parse_args()
    if not options.made_up and not (options.data / "Rdata.rdb").is_file():
        raise SystemExit(f"recommender: no Rdata.rdb in {options.data} (apt install r-cran-dslabs, or --made-up)")
    users, items, ratings = made_up_ratings() if options.made_up else load_ratings(options.data)
    shape = (int(users.max()) + 1, int(items.max()) + 1)
    held = np.random.default_rng(1).random(len(ratings)) < 0.1
    mean = ratings[~held].mean(dtype=np.float64).astype(np.float32)
    print(f"{len(ratings)} ratings of {shape[0]} users and {shape[1]} items, {held.sum()} held out")

    def matrix(chosen: np.ndarray) -> sp.Csr:
        return sp.features.from_triples(users[chosen], items[chosen], ratings[chosen] - mean, shape)

    train, test = matrix(~held), matrix(held)
    baseline = float(np.sqrt(np.mean(np.square(test.values.numpy(), dtype=np.float64))))
    print(f"held-out error of the mean: {baseline:.4f}")
    answers = set()
    for device in options.devices.split(","):
        for threads in [1, 2] if device == "cpu" else [1]:
            sp.set_num_threads(threads)
            begin = time.perf_counter()
            p, q = fit(train.to(device), options.rank, options.steps, rate=0.4, penalty=0.04)
            seconds = time.perf_counter() - begin
            error = test.values - sp.sddmm(test.to(device), p, q).cpu()
            rmse = float(np.sqrt(np.mean(np.square(error.numpy(), dtype=np.float64))))
            digest = hashlib.sha256(p.cpu().numpy().tobytes() + q.cpu().numpy().tobytes()).hexdigest()[:12]
            answers.add(digest)
            print(f"{device}, {threads} threads: {seconds:7.2f} s, held-out error {rmse:.4f}, factors {digest}")
            if not rmse < baseline:
                raise SystemExit("the factors are no better than the mean")
    if len(answers) != 1:
        raise SystemExit(f"{len(answers)} different answers")
    print("one answer, bit for bit")


if __name__ == "__main__":
    main()
