"""Csr and Coo: made, checked, converted, to SciPy and back."""

import pickle

import numpy as np
import pytest
from conftest import DTYPES, same_bits

import sparsert as sp

INDICES = ["int32", "int64"]


def example(dtype="float32"):
    """[[1, 0, 2], [0, 0, 0], [3, 0, 4]]"""
    return np.array([0, 2, 2, 4]), np.array([0, 2, 0, 2]), np.array([1, 2, 3, 4], dtype), (3, 3)


def dense_of(offsets, columns, values, shape):
    dense = np.zeros(shape, values.dtype)
    for row in range(shape[0]):
        dense[row, columns[offsets[row] : offsets[row + 1]]] = values[offsets[row] : offsets[row + 1]]
    return dense


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("dtype", ["int32", "int64", "float16", "float32", "float64"])
def test_csr(index, dtype, device):
    offsets, columns, values, shape = example(dtype)
    a = sp.Csr(offsets.astype(index), columns.astype(index), values, shape).to(device)
    assert a.shape == shape and a.nnz == 4 and a.density == 4 / 9 and a.device == device
    assert a.dtype == np.dtype(dtype) and a.index_dtype == np.dtype(index)
    assert a.nbytes == (4 + 4) * np.dtype(index).itemsize + 4 * np.dtype(dtype).itemsize
    same_bits(a.row_offsets.cpu().numpy(), offsets.astype(index))
    same_bits(a.columns.cpu().numpy(), columns.astype(index))
    same_bits(a.values.cpu().numpy(), values)
    same_bits(a.to_dense().cpu().numpy(), dense_of(offsets, columns, values, shape))
    coo = a.to_coo()
    same_bits(coo.rows.cpu().numpy(), np.array([0, 0, 2, 2], index))
    same_bits(coo.to_csr().row_offsets.cpu().numpy(), offsets.astype(index))
    same_bits(coo.to_dense().cpu().numpy(), dense_of(offsets, columns, values, shape))
    assert coo.shape == shape and coo.nnz == 4 and coo.density == 4 / 9 and coo.device == device
    assert a.to_csr() is a and coo.to_coo() is coo


def test_construction_copies():
    offsets, columns, values, shape = example()
    a = sp.Csr(offsets, columns, values, shape)
    offsets[:] = columns[:] = 7
    values[:] = 0
    same_bits(a.to_dense().numpy(), np.array([[1, 0, 2], [0, 0, 0], [3, 0, 4]], np.float32))


def test_indices_are_read_only_and_values_are_the_matrixs_own():
    a = sp.Csr(*example())
    for indices in [a.row_offsets, a.columns, a.to_coo().rows]:
        assert indices.read_only
        with pytest.raises(ValueError, match="read-only"):
            indices.numpy()[0] = 1
        with pytest.raises(ValueError, match="relu_: x is read-only"):
            sp.relu_(indices)
    a.values.numpy()[0] = 9
    assert a.to_dense().numpy()[0, 0] == 9
    values = a.values
    del a
    same_bits(values.numpy(), np.array([9, 2, 3, 4], np.float32))


def test_lists_get_the_index_type_that_fits():
    a = sp.Csr([0, 1], [0], [1.0], (1, 1))
    assert a.index_dtype == np.int32 and a.dtype == np.float32
    assert sp.Csr([0, 1], [2**31], [1.0], (1, 2**31 + 1)).index_dtype == np.int64
    assert sp.Csr(np.array([0, 1]), [0], [1.0], (1, 1)).index_dtype == np.int64
    assert sp.Csr([0, 1], np.array([0], np.int32), [1.0], (1, 1)).index_dtype == np.int32
    assert sp.Csr([0, 0], [], [], (1, 3)).nnz == 0
    assert sp.Coo([], [], [], (0, 3)).to_csr().shape == (0, 3)
    assert sp.Coo([1, 0], [0, 1], [1.0, 2.0], [2, 2]).index_dtype == np.int32


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(row_offsets=[0, 2, 2]), r"csr: row_offsets has shape \(3,\), expected \(4,\)"),
        (dict(row_offsets=[1, 2, 2, 4]), r"csr: row_offsets\[0\] is 1, expected 0"),
        (dict(row_offsets=[0, 3, 2, 4]), r"csr: row_offsets\[2\] is 2, expected 3"),
        (dict(row_offsets=[0, 2, 2, 3]), r"csr: row_offsets\[3\] is 3, expected the number of columns given, 4"),
        (dict(row_offsets=[0, -1, 2, 4]), r"csr: row_offsets\[1\] is -1"),
        (dict(columns=[0, 3, 0, 2]), r"csr: columns\[1\] is 3, expected 0 to 2"),
        (dict(columns=[-1, 2, 0, 2]), r"csr: columns\[0\] is -1"),
        (dict(columns=[2, 0, 0, 2]), r"csr: columns\[1\] of row 0 is 0 after 2, expected ascending"),
        (dict(columns=[0, 0, 0, 2]), r"csr: columns\[1\] of row 0 is 0 after 0, a duplicate"),
        (dict(columns=[0.0, 2.0, 0.0, 2.0]), "csr: columns is float32, expected int32 or int64"),
        (
            dict(columns=np.array([0, 2, 0, 2], np.int32), row_offsets=np.array([0, 2, 2, 4])),
            "csr: columns is int32, expected int64",
        ),
        (dict(columns=[[0, 2, 0, 2]]), "csr: columns has shape"),
        (dict(values=[1.0, 2.0]), r"csr: values has shape \(2,\), expected \(4,\)"),
        (dict(shape=(3,)), r"csr: shape is \(3,\), expected two sizes"),
        (dict(shape=(3, -1)), r"csr: shape is \(3, -1\), expected two sizes"),
        (dict(shape=(3, 2**40), columns=np.array([0, 2, 0, 2], np.int32)), "csr: shape is .* needs int64 indices"),
    ],
)
def test_bad_csr(arguments, message):
    good = dict(zip(["row_offsets", "columns", "values", "shape"], example()))
    good.update(row_offsets=[0, 2, 2, 4], columns=[0, 2, 0, 2])
    with pytest.raises(ValueError, match=message):
        sp.Csr(**{**good, **arguments})


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(rows=[0, 3]), r"coo: rows\[1\] is 3, expected 0 to 2"),
        (dict(columns=[-1, 0]), r"coo: columns\[0\] is -1, expected 0 to 2"),
        (dict(rows=[0]), "coo: rows has shape"),
        (dict(values=[1.0]), r"coo: values has shape \(1,\), expected \(2,\)"),
        (dict(shape=[3, 3, 3]), "coo: shape is"),
    ],
)
def test_bad_coo(arguments, message):
    good = dict(rows=[0, 1], columns=[0, 1], values=[1.0, 2.0], shape=(3, 3))
    with pytest.raises(ValueError, match=message):
        sp.Coo(**{**good, **arguments})


def test_wrong_kinds():
    with pytest.raises(TypeError, match="csr: values is of type str"):
        sp.Csr([0, 1], [0], "1", (1, 1))
    with pytest.raises(TypeError, match="csr: shape holds a str"):
        sp.Csr([0, 1], [0], [1.0], "11")
    with pytest.raises(TypeError):
        sp.Csr([0, 1], [0], [1.0])


def test_a_device_for_all_three(device):
    if device == "cpu":
        return
    with pytest.raises(ValueError, match=f"csr: row_offsets is on cpu, expected {device}"):
        sp.Csr([0, 1], [0], sp.tensor([1.0], device=device), (1, 1))
    offsets, columns = (sp.tensor(i, "int32", device) for i in ([0, 1], [0]))
    assert sp.Csr(offsets, columns, sp.tensor([1.0], device=device), (1, 1)).device == device


def test_duplicates_of_coo_are_summed_in_order(device):
    big, one = np.float32(2**24), np.float32(1)
    values = np.array([big, one, one, -big, 5], np.float32)
    a = sp.Coo([1, 1, 1, 1, 0], [2, 2, 2, 2, 0], values, (2, 3)).to(device)
    assert a.nnz == 5
    total = np.float32(0)
    for value in values[:4]:
        total = np.float32(total + value)
    expected = np.array([[5, 0, 0], [0, 0, total]], np.float32)
    same_bits(a.to_csr().to_dense().cpu().numpy(), expected)
    same_bits(a.to_dense().cpu().numpy(), expected)
    assert a.to_csr().nnz == 2


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "bool"])
@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (31, 65), (64, 33)])
def test_dense_to_sparse(dtype, index, shape, device, random):
    dense = (random.integers(0, 3, shape) * (random.random(shape) < 0.3)).astype(dtype)
    if np.dtype(dtype).kind == "f" and dense.size:
        dense.flat[0], dense.flat[-1] = -0.0, np.nan
    rows, columns = np.nonzero(dense)
    x = sp.tensor(dense, device=device)
    a, c = sp.to_csr(x, index), sp.to_coo(x, index_dtype=index)
    assert a.device == c.device == device and a.shape == c.shape == shape
    same_bits(a.columns.cpu().numpy(), columns.astype(index))
    same_bits(a.row_offsets.cpu().numpy(), np.searchsorted(rows, np.arange(shape[0] + 1)).astype(index))
    same_bits(c.rows.cpu().numpy(), rows.astype(index))
    same_bits(c.values.cpu().numpy(), dense[rows, columns])
    same_bits(a.to_dense().cpu().numpy(), np.where(dense == 0, np.zeros((), dtype), dense))
    same_bits(sp.to_csr(c).columns.cpu().numpy(), columns.astype(index))
    assert sp.to_csr(a) is a and sp.to_coo(c) is c


def test_bad_conversions():
    with pytest.raises(ValueError, match="to_csr: dense has shape .*, expected 2 dim"):
        sp.to_csr([1.0, 2.0])
    with pytest.raises(ValueError, match="to_coo: index_dtype is float32, expected int32 or int64"):
        sp.to_coo([[1.0]], "float32")
    with pytest.raises(ValueError, match="to_csr: index_dtype is for a dense x"):
        sp.to_csr(sp.to_coo([[1.0]]), "int64")
    with pytest.raises(TypeError, match="to_csr: x is of type str"):
        sp.to_csr("1")


def test_with_values(device):
    a = sp.Csr(*example()).to(device)
    b = a.with_values(sp.tensor([5.0, 6, 7, 8], device=device))
    same_bits(b.to_dense().cpu().numpy(), np.array([[5, 0, 6], [0, 0, 0], [7, 0, 8]], np.float32))
    assert b.columns.data_ptr() == a.columns.data_ptr()
    with pytest.raises(ValueError, match=r"with_values: values has shape \(3,\), expected \(4,\)"):
        a.with_values(sp.tensor([1.0, 2, 3], device=device))
    array = np.array([5.0, 6, 7, 8])
    if device == "cpu":
        c = a.with_values(array)
        array[:] = 0
        same_bits(c.values.numpy(), np.array([5.0, 6, 7, 8]))


def test_pickle():
    for a in [sp.Csr(*example()), sp.Coo([1, 0], [0, 1], [1.0, 2.0], (2, 2))]:
        same_bits(pickle.loads(pickle.dumps(a)).to_dense().numpy(), a.to_dense().numpy())


def test_repr(device):
    a = sp.Csr(*example()).to(device)
    assert repr(a) == f"Csr(shape=(3, 3), nnz=4, dtype=float32, index_dtype=int64, device='{device}')"
    assert repr(a.to_coo()).startswith("Coo(shape=(3, 3), nnz=4")


# ---- SciPy


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr", "lil", "dok", "dia"])
def test_scipy_round_trip(dtype, layout, random):
    sparse = pytest.importorskip("scipy.sparse")
    dense = (random.integers(-3, 4, (12, 20)) * (random.random((12, 20)) < 0.4)).astype(dtype)
    for make in [sparse.csr_matrix, sparse.csr_array]:
        source = make(dense).asformat(layout)
        a = sp.from_scipy(source)
        kind = {"coo": sp.Coo, "csc": sp.Csc, "bsr": sp.Bsr}.get(layout, sp.Csr)
        assert isinstance(a, kind) and a.dtype == np.dtype(dtype)
        same_bits(a.to_dense().numpy(), dense)
        back = a.to_scipy()
        assert back.format == (layout if layout in ("coo", "csc", "bsr") else "csr")
        same_bits(back.toarray(), dense)
        same_bits(source.toarray(), dense)
    kept = a.to_scipy()
    kept.data[:] = 0  # a copy
    same_bits(a.to_dense().numpy(), dense)


def test_scipy_on_devices(device):
    sparse = pytest.importorskip("scipy.sparse")
    a = sp.from_scipy(sparse.csr_array(np.eye(3, dtype=np.float32)), device=device)
    assert a.device == device
    same_bits(a.to_scipy().toarray(), np.eye(3, dtype=np.float32))


def test_scipy_unsorted_and_duplicate_columns():
    sparse = pytest.importorskip("scipy.sparse")
    unsorted = sparse.csr_array((np.array([1.0, 2, 3, 4]), np.array([2, 0, 1, 1]), np.array([0, 2, 4])), shape=(2, 3))
    a = sp.from_scipy(unsorted)
    same_bits(a.columns.numpy(), np.array([0, 2, 1], unsorted.indices.dtype))
    same_bits(a.to_dense().numpy(), np.array([[2, 0, 1], [0, 7, 0]], np.float64))
    assert unsorted.indices.tolist() == [2, 0, 1, 1]


def test_scipy_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="from_scipy: m is of type numpy.ndarray, expected a matrix or array"):
        sp.from_scipy(np.eye(3))
    with pytest.raises(ValueError, match="from_scipy: data is complex"):
        sp.from_scipy(sparse.csr_array(np.eye(3, dtype=complex)))
    with pytest.raises(TypeError, match="relu: x is"):
        sp.relu(sparse.csr_array(np.eye(3)))
    with pytest.raises(TypeError, match="spmm: a is of type .*, expected a Csr or a Plan"):
        sp.spmm(sparse.csr_array(np.eye(3)), np.eye(3))
