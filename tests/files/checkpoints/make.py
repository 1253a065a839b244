#!/usr/bin/env python3
# tests/files/checkpoints/make.py — small model files made with the formats' own libraries, and what they hold.
#
# usage: make.py torch|numpy|msgpack|gguf [FOLDER]. Each writes the files of one family beside a file
# `<name>.expected.safetensors` with the same tensors as the family's own library reads them, bit for bit. The files are
# committed, so that the tests need none of these libraries: torch (1.13 and newer), numpy, ml_dtypes, msgpack, gguf,
# safetensors. Sparse tensors are expected as `<name>/rows`, `<name>/columns` and `<name>/values`.
import pathlib
import sys

import numpy as np

FOLDER = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).parent)


def expected(name, arrays, kind="expected"):
    """The expectation is written without the library, so that a machine with torch alone can do it."""
    import json
    import struct

    types = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int32": "I32", "int64": "I64",
             "uint8": "U8", "bool": "BOOL"}
    header, data = {}, b""
    for key, (dtype, array) in arrays.items():
        raw = np.asarray(array).tobytes()  # in C order
        header[key] = {"dtype": types[dtype], "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    (FOLDER / f"{name}.{kind}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def widened(array):
    wide = {"int8": "int32", "int16": "int32", "uint16": "int32", "uint32": "int64"}.get(array.dtype.name)
    return array.astype(wide) if wide else array


def of_array(array):
    array = widened(np.asarray(array))
    array = array.astype(array.dtype.newbyteorder("="))
    return array.dtype.name, array


def make_torch():
    import collections

    import torch
    import torch.nn.utils.prune

    def of_tensor(tensor):
        tensor = tensor.detach()
        if tensor.dtype == torch.bfloat16:
            raw = tensor.contiguous().view(torch.int16).numpy()
            return "bfloat16", raw
        return of_array(tensor.contiguous().numpy())

    def save(name, value, tensors, legacy=True):
        torch.save(value, FOLDER / f"{name}.pt")
        if legacy:
            torch.save(value, FOLDER / f"{name}_legacy.pt", _use_new_zipfile_serialization=False)
            expected(f"{name}_legacy", tensors)
        expected(name, tensors)

    torch.manual_seed(1)
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    types = {str(t).removeprefix("torch."): torch.tensor([1, 2, 3]).to(t)
             for t in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
                       torch.uint8, torch.bool)}
    state = collections.OrderedDict(
        [("whole", base), ("transposed", base.t()), ("rows", base[1:3]), ("column", base[:, 2]), ("steps", base[::2, ::3]),
         ("scalar", base[2, 3]), ("empty", torch.zeros(0, 5)), ("tied", base), *types.items()])
    save("views", state, {k: of_tensor(v) for k, v in state.items()})

    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Linear(4, 3))
    tensors = {k: of_tensor(v) for k, v in net.state_dict().items()}
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))])
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3)
    optimizer.step()
    checkpoint = {"epoch": 3, "global_step": 12, "pytorch-lightning_version": "1.9.0", "state_dict": net.state_dict(),
                  "loops": {"fit_loop": {"state_dict": {}}}, "optimizer_states": [optimizer.state_dict()],
                  "hyper_parameters": {"lr": 0.5, "path": pathlib.PurePosixPath("a/b")}, "callbacks": {}}
    save("lightning", checkpoint, tensors)
    save("module", net, tensors)
    save("nested", {"a": {"b": [torch.ones(2), torch.zeros(3)]}, "n": 5}, {"a.b.0": of_tensor(torch.ones(2)), "a.b.1": of_tensor(torch.zeros(3))})
    torch.save(net.state_dict(), FOLDER / "protocol4.pt", pickle_protocol=4)
    expected("protocol4", tensors)

    torch.nn.utils.prune.l1_unstructured(net[2], "weight", 0.5)
    save("pruned", net.state_dict(), {k: of_tensor(v) for k, v in net.state_dict().items()}, legacy=False)

    dense = torch.tensor([[0, 1.5, 0, 0], [2.5, 0, 0, -3], [0, 0, 0, 0], [0, 0, 7, 0]])
    coo = dense.to_sparse()
    uncoalesced = torch.sparse_coo_tensor([[2, 0, 2], [1, 3, 1]], torch.tensor([1.0, 2.0, 3.0]), (3, 4))
    cube = torch.sparse_coo_tensor([[0, 1], [1, 0], [2, 3]], torch.tensor([4.0, 5.0]), (2, 2, 4))
    vector = torch.sparse_coo_tensor([[3, 1]], torch.tensor([4.0, 5.0]), (6,))
    sparse = {"coo": coo, "uncoalesced": uncoalesced, "cube": cube, "vector": vector, "csr": dense.to_sparse_csr(),
              "dense": dense}
    tensors = {"dense": of_tensor(dense)}
    for name, value in sparse.items():
        if name == "dense":
            continue
        if value.layout == torch.sparse_coo:
            index = value._indices().numpy()
            shape = value.shape
            rows = index[0] if len(shape) > 1 else np.zeros_like(index[0])
            columns = np.ravel_multi_index(index[1:], shape[1:]) if len(shape) > 1 else index[0]
            values = value._values().numpy()
        else:
            rows = np.repeat(np.arange(value.shape[0]), np.diff(value.crow_indices().numpy()))
            columns, values = value.col_indices().numpy(), value.values().numpy()
        for part, array in (("rows", rows), ("columns", columns)):
            tensors[f"{name}/{part}"] = ("int64", np.asarray(array, "i8"))
        tensors[f"{name}/values"] = ("float32", np.asarray(values, "f4"))
    save("sparse", sparse, tensors, legacy=False)

    quantized = {"tensor": torch.quantize_per_tensor(dense, 0.25, 3, torch.quint8),
                 "channel": torch.quantize_per_channel(dense, torch.tensor([0.5, 0.25, 1.0, 2.0], dtype=torch.float64),
                                                       torch.tensor([0, 1, -2, 3]), 0, torch.qint8)}
    save("quantized", quantized, {k: of_array(v.int_repr().numpy()) for k, v in quantized.items()})
    expected("quantized.real", {k: of_tensor(v.dequantize()) for k, v in quantized.items()})

    class Scripted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(3, 2)
            self.register_buffer("table", torch.arange(4.0))

        def forward(self, x):
            return self.inner(x) + self.table[:2]

    module = torch.jit.script(Scripted())
    module.save(str(FOLDER / "script.pt"))
    expected("script", {k: of_tensor(v) for k, v in module.state_dict().items()})


def make_numpy():
    import ml_dtypes

    rng = np.random.default_rng(1)
    arrays = {"a": rng.standard_normal((3, 4)).astype("f4"), "fortran": np.asfortranarray(rng.standard_normal((2, 3, 4))),
              "big": rng.integers(-9, 9, (5,)).astype(">i4"), "half": rng.standard_normal(7).astype("f2"),
              "flags": np.array([True, False]), "scalar": np.array(2.5), "empty": np.zeros((0, 3), "f4"),
              "narrow": np.array([-128, 127], "i1"), "wide": np.array([2**32 - 1], "u4"), "zeros": np.zeros((16, 16))}
    want = {k: of_array(v) for k, v in arrays.items()}
    bf16 = rng.standard_normal(6).astype(ml_dtypes.bfloat16)
    want["bf16"] = ("bfloat16", bf16.view("u2"))
    arrays["bf16"] = bf16
    np.savez(FOLDER / "arrays.npz", **arrays)
    expected("arrays", want)
    np.savez_compressed(FOLDER / "deflated.npz", **arrays)
    expected("deflated", want)
    np.savez(FOLDER / "objects.npz", a=arrays["a"], o=np.array([None, "x"], dtype=object))
    np.save(FOLDER / "one.npy", arrays["fortran"])
    expected("one", {"array": of_array(arrays["fortran"])})


def flax_array(array, name=None):
    """As flax.serialization packs one: an extension of type 1 with shape, type and bytes."""
    import msgpack

    return msgpack.ExtType(1, msgpack.packb((array.shape, name or array.dtype.name, array.tobytes()), use_bin_type=True))


def make_msgpack():
    import msgpack
    import msgpack_numpy

    rng = np.random.default_rng(2)
    kernel, bias = rng.standard_normal((3, 4)).astype("f4"), rng.standard_normal(4).astype("f8")
    conv = rng.standard_normal((2, 2, 3, 5)).astype("f4")
    half, long = rng.standard_normal(10).astype("f2"), rng.standard_normal(12).astype("f4")
    bf16 = (np.arange(6, dtype="u2") + 0x3F80).reshape(2, 3)
    tree = {"params": {"dense": {"kernel": flax_array(kernel), "bias": flax_array(bias)},
                       "conv": {"kernel": flax_array(conv)}, "half": flax_array(half),
                       "brain": flax_array(bf16, "bfloat16"), "layers": {"0": flax_array(np.array([1, -2], "i1"))},
                       "long": {"__msgpack_chunked_array__": True, "shape": {"0": 3, "1": 4},
                                "chunks": {"0": flax_array(long[:8]), "1": flax_array(long[8:])}}},
            "step": 7, "note": "x", "none": None, "rate": 0.5}
    (FOLDER / "flax.msgpack").write_bytes(msgpack.packb(tree, strict_types=True))
    expected("flax", {"params.dense.kernel": of_array(kernel), "params.dense.bias": of_array(bias),
                      "params.conv.kernel": of_array(conv), "params.half": of_array(half),
                      "params.brain": ("bfloat16", bf16), "params.layers.0": of_array(np.array([1, -2], "i4")),
                      "params.long": of_array(long.reshape(3, 4))})
    arrays = {"a": kernel, "b": [bias, conv.astype(">f4")], "flags": np.array([True, False]), "name": "x", "n": np.float32(2.5)}
    (FOLDER / "numpy.msgpack").write_bytes(msgpack.packb(arrays, default=msgpack_numpy.encode))
    expected("numpy", {"a": of_array(kernel), "b.0": of_array(bias), "b.1": of_array(conv),
                       "flags": of_array(arrays["flags"]), "n": of_array(np.array(2.5, "f4"))})


def make_gguf():
    import gguf

    rng = np.random.default_rng(3)
    writer = gguf.GGUFWriter(FOLDER / "blocks.gguf", "llama")
    writer.add_uint32("example.count", 3)
    writer.add_string("example.note", "a note")
    writer.add_array("example.words", ["a", "bc"])
    writer.add_bool("example.flag", True)
    writer.add_float32("example.rate", 0.5)
    want = {}
    weight = rng.standard_normal((4, 64)).astype("f4")
    for name, array in (("f32", weight), ("f16", weight.astype("f2")), ("i32", np.arange(5, dtype="i4"))):
        writer.add_tensor(name, array)
        want[name] = of_array(array)
    brain = (weight.view("u4") >> 16).astype("u2")
    writer.add_tensor("bf16", brain.view("u1").reshape(4, 128), raw_dtype=gguf.GGMLQuantizationType.BF16)
    want["bf16"] = ("bfloat16", brain)
    for kind in ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"):
        code = gguf.GGMLQuantizationType[kind]
        packed = gguf.quants.quantize(weight, code)
        writer.add_tensor(kind.lower(), packed, raw_dtype=code)
        want[kind.lower()] = ("float32", gguf.quants.dequantize(packed, code))
    # Blocks of 256 that the library reads and does not write: any bits are some values, but the scales are finite.
    for kind, halves in (("Q4_K", (0, 2)), ("Q5_K", (0, 2)), ("Q6_K", (208,))):
        code = gguf.GGMLQuantizationType[kind]
        packed = rng.integers(0, 256, (3, 2, gguf.GGML_QUANT_SIZES[code][1])).astype("u1")
        for at in halves:
            packed[:, :, at + 1] = packed[:, :, at + 1] & 0xBF
        packed = packed.reshape(3, -1)
        writer.add_tensor(kind.lower(), packed, raw_dtype=code)
        want[kind.lower()] = ("float32", gguf.quants.dequantize(packed, code))
    finish(writer)
    expected("blocks", want)
    # A model in three files, the last of them without tensors.
    want = {}
    for number in range(3):
        writer = gguf.GGUFWriter(FOLDER / f"parts-{number + 1:05}-of-00003.gguf", "llama")
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 3)
        writer.add_int32("split.tensors.count", 2)
        if number < 2:
            writer.add_tensor(f"part{number}", weight[number])
            want[f"part{number}"] = of_array(weight[number])
        finish(writer)
    expected("parts", want, "whole")  # not beside a file of its name


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    globals()["make_" + sys.argv[1]]()
