"""Damaged safetensors, ours against the format's own library: what both read is the same, and we never read more."""

import random
import re

import numpy as np
import pytest

import sparsert as sp

safetensors = pytest.importorskip("safetensors")
from safetensors.numpy import save as reference_save  # noqa: E402

MUTANTS = 5000

# Where docs/files.md says that we are stricter than the reference.
STRICTER = re.compile(
    r"twice|got the key|got null, expected an object of strings|is not stored here|a BOOL is|more than 64 dimensions"
    r"|less than 2\^63|got an (object|array), expected|does not begin with"
)

TOKENS = [b"0", b"1", b"-1", b"-0", b"1e3", b"4294967296", b"9223372036854775808", b"18446744073709551616", b"{", b"}",
          b"[", b"]", b",", b":", b'"', b"\\u0000", b" ", b"null", b"F32", b"U8", b"BOOL", b"F4", b"__metadata__", b"\xff"]


def seeds():
    rng = np.random.default_rng(0)
    first = {"layer.weight": rng.standard_normal((3, 4), dtype=np.float32), "layer.bias": np.arange(3, dtype=np.int64),
             "mask": np.array([True, False, True]), "empty": np.zeros((0, 2), np.float16)}
    return [reference_save(first, metadata={"format": "np", "é": "\n"}), reference_save({"x": np.ones(1, np.uint8)}),
            reference_save({})]


def mutate(data, rng):
    """One to three changes; mostly with the header's length put right, so that what is behind it is reached."""
    length = int.from_bytes(data[:8], "little")
    header, body = bytearray(data[8:8 + length]), bytearray(data[8 + length:])
    for _ in range(rng.randint(1, 3)):
        part = header if rng.random() < 0.8 else body
        at = rng.randrange(len(part) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(part):
            part[at] = rng.randrange(256)
        elif kind == 1:
            part[at:at] = rng.choice(TOKENS)
        elif kind == 2:
            del part[at:at + rng.randint(1, 8)]
        elif kind == 3 and (number := re.compile(rb"\d+").search(part, at)):
            part[number.start():number.end()] = rng.choice(TOKENS[:8])
        elif kind == 4 and at < len(part):
            part[at] ^= 1 << rng.randrange(8)
        else:
            part[at:at] = part[at:at + rng.randint(1, 40)]
    length = len(header) if rng.random() < 0.9 else rng.choice([0, 1, len(header) + 1, 2**32, 2**63, 2**64 - 1])
    return length.to_bytes(8, "little") + bytes(header) + bytes(body)


def ours(path):
    try:
        return {name: x.numpy().tobytes() for name, x in sp.load(path).items()}, None
    except sp.FileError as error:
        return None, str(error)


def theirs(data):
    try:
        return {name: bytes(tensor["data"]) for name, tensor in safetensors.deserialize(data)}
    except safetensors.SafetensorError:
        return None


def test_damaged_files_are_read_alike_or_refused(tmp_path):
    rng = random.Random(5)
    originals = seeds()
    both = stricter = 0
    for i in range(MUTANTS):
        data = mutate(originals[i % len(originals)], rng)
        path = tmp_path / f"{i}.safetensors"
        path.write_bytes(data)
        mine, error = ours(path)
        path.unlink()
        reference = theirs(data)
        if mine is not None:
            assert reference is not None, f"only we read mutant {i}: {data!r}"
            assert mine == reference, f"mutant {i} is read differently: {data!r}"
            both += 1
        elif reference is not None:
            assert STRICTER.search(error), f"only the reference reads mutant {i}: {error}: {data!r}"
            stricter += 1
    assert both > MUTANTS / 50 and stricter > 0, f"{both} read by both, {stricter} refused by us alone"
