"""Models of ONNX, TensorFlow, TensorFlow Lite, Keras and HDF5: what `load` gives is what the format's own library reads."""

import os
import pathlib

import numpy as np
import pytest

import sparsert as sp

FIXTURES = pathlib.Path(__file__).parents[1] / "files" / "fixtures"
WIDENED = {"int8": "int32", "int16": "int32", "uint16": "int32", "uint32": "int64"}
ONNX_TESTDATA = [
    pathlib.Path(p)
    for p in [os.environ.get("ONNX_TESTDATA", ""), "/usr/share/libonnx-testdata/data", "/usr/include/onnx/backend/test/data"]
    if p and pathlib.Path(p).is_dir()
]


def as_loaded(array):
    array = np.asarray(array)
    return array.astype(WIDENED.get(array.dtype.name, array.dtype.newbyteorder("=")))


def same(tensor, array):
    expected = as_loaded(array)
    got = tensor.numpy() if isinstance(tensor, sp.Tensor) else tensor.to_dense().numpy()
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert got.tobytes() == np.ascontiguousarray(expected).tobytes()


def expectations():
    files = {}
    for line in (FIXTURES / "expected.txt").read_text().splitlines():
        file, name, dtype, shape, layout, data = line.split("\t")
        files.setdefault(file, []).append((name, dtype, shape, layout, data))
    return files


@pytest.mark.parametrize("file", expectations())
def test_fixture(file):
    pytest.importorskip("ml_dtypes")
    state = sp.load(FIXTURES / file)
    expected = expectations()[file]
    assert set(state.keys()) == {row[0] for row in expected}
    for name, dtype, shape, layout, data in expected:
        tensor = state[name]
        assert isinstance(tensor, sp.Tensor) == (layout == "dense")
        dense = tensor.numpy() if layout == "dense" else tensor.to_dense().numpy()
        sizes = () if shape == "-" else tuple(map(int, shape.split(",")))
        assert dense.dtype.name == dtype
        # A sparse tensor is a matrix of its first dimension and all others.
        assert dense.shape == sizes if layout == "dense" else dense.size == np.prod(sizes)
        assert dense.tobytes() == (b"" if data == "-" else bytes.fromhex(data))


@pytest.mark.parametrize("raw", [True, False])
def test_onnx(tmp_path, random, raw):
    onnx = pytest.importorskip("onnx")
    arrays = {
        dtype: (random.standard_normal((17, 3)) * 50).astype(dtype)
        for dtype in ["float32", "float64", "int32", "int64", "int8", "bool"]
    }
    tensors = [
        onnx.numpy_helper.from_array(a, n)
        if raw
        else onnx.helper.make_tensor(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape, a.flatten().tolist())
        for n, a in arrays.items()
    ]
    path = tmp_path / "m.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], tensors)), path)
    state = sp.load(path)
    assert state.keys() == list(arrays)
    for name, array in arrays.items():
        same(state[name], array)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(sp.FileError, match="onnx, offset"):
        sp.load(path)


def test_onnx_external_data(tmp_path, random):
    onnx = pytest.importorskip("onnx")
    array = random.standard_normal((40, 30)).astype("float32")
    graph = onnx.helper.make_graph([], "g", [], [], [onnx.numpy_helper.from_array(array, "w")])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin")
    same(sp.load(tmp_path / "m.onnx")["w"], array)
    assert sp.inspect_file(tmp_path / "m.onnx").tensors[0].file == "w.bin"
    (tmp_path / "w.bin").write_bytes(b"short")
    with pytest.raises(sp.FileError, match="w.bin"):
        sp.load(tmp_path / "m.onnx")


def test_onnx_sparse_stays_sparse(tmp_path, random):
    onnx = pytest.importorskip("onnx")
    dense = np.where(random.random((50, 20)) < 0.1, random.standard_normal((50, 20)), 0).astype("float32")
    at = np.argwhere(dense != 0).astype(np.int64)
    sparse = onnx.helper.make_sparse_tensor(
        onnx.numpy_helper.from_array(dense[dense != 0], "w"), onnx.numpy_helper.from_array(at, "i"), dense.shape
    )
    graph = onnx.helper.make_graph([], "g", [], [], [], sparse_initializer=[sparse])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "m.onnx")
    tensor = sp.load(tmp_path / "m.onnx")["w"]
    assert not isinstance(tensor, sp.Tensor)
    assert tensor.nnz == np.count_nonzero(dense)
    same(tensor, dense)


def onnx_tensors():
    """Every tensor of ONNX's test data, of the package and of Debian's `libonnx-testdata`."""
    onnx = pytest.importorskip("onnx")
    folders = [pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data", *ONNX_TESTDATA]
    for folder in folders:
        for path in sorted(folder.rglob("*.pb")):
            tensor = onnx.TensorProto()
            try:
                tensor.ParseFromString(path.read_bytes())
                yield path, onnx.numpy_helper.to_array(tensor)
            except Exception:  # a sequence or an optional, which is no tensor
                continue


def test_onnx_test_data():
    compared = 0
    for path, array in onnx_tensors():
        if array.dtype.kind in "OSU" or array.dtype.name not in WIDENED and not _is_loadable(array.dtype):
            with pytest.raises(sp.FileError, match="not stored here"):
                sp.load(path)
            continue
        (tensor,) = sp.load(path).values()
        same(tensor, array)
        compared += 1
    assert compared >= 300


def _is_loadable(dtype):
    return dtype.name in ["bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


def test_hdf5(tmp_path, random):
    h5py = pytest.importorskip("h5py")
    arrays = {
        "plain": random.standard_normal((9, 4)).astype("float32"),
        "group/big": random.standard_normal((9, 4)).astype(">f8"),
        "group/chunked": random.integers(-9, 9, (33, 21)).astype("int16"),
        "half": random.standard_normal(100).astype("float16"),
    }
    for libver in ["earliest", "latest"]:
        with h5py.File(tmp_path / "m.h5", "w", libver=libver) as out:
            for name, array in arrays.items():
                chunked = {"chunks": (33, 21), "compression": "gzip", "shuffle": True, "fletcher32": True}
                out.create_dataset(name, data=array, **(chunked if "chunked" in name else {}))
            for i in range(20):
                out.attrs[f"note{i}"] = f"text {i}"  # so many that newer files keep them in a heap
        state = sp.load(tmp_path / "m.h5")
        assert set(state.keys()) == set(arrays)
        assert state.metadata["note19"] == "text 19"
        for name, array in arrays.items():
            same(state[name], array)


def test_hdf5_links_are_not_followed(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as out:
        out["secret"] = np.ones(3)
    for link in [h5py.SoftLink("/x"), h5py.ExternalLink("other.h5", "/secret")]:
        with h5py.File(tmp_path / "m.h5", "w") as out:
            out["x"] = np.zeros(2)
            out["link"] = link
        with pytest.raises(sp.FileError, match="link"):
            sp.load(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "w") as out:
        out.create_dataset("x", (3,), "f8", external=[("data.bin", 0, 24)])
    with pytest.raises(sp.FileError, match="other files"):
        sp.load(tmp_path / "m.h5")


def test_torch_layout():
    state = sp.load(FIXTURES / "keras.h5")
    torch = sp.load(FIXTURES / "keras.h5", layout="torch")
    name = "model_weights/conv/sequential/conv/kernel"
    np.testing.assert_array_equal(torch[name].numpy(), state[name].numpy().transpose(3, 2, 0, 1))
    name = "model_weights/dense/sequential/dense/kernel"
    np.testing.assert_array_equal(torch[name].numpy(), state[name].numpy().T)


def test_tensorflow_checkpoint(tmp_path, random):
    tf = pytest.importorskip("tensorflow")
    arrays = {"w": random.standard_normal((30, 7)).astype("float32"), "n": np.arange(5)}
    tf.train.Checkpoint(**{n: tf.Variable(a) for n, a in arrays.items()}).write(str(tmp_path / "c"))
    reader = tf.train.load_checkpoint(str(tmp_path / "c"))
    state = sp.load(tmp_path / "c.index")
    assert len(state) >= 2
    for name in state.keys():
        same(state[name], reader.get_tensor(name))
