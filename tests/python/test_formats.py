"""Csc, Bsr, Nm and Bitmap: made, checked, converted; slices, concatenation, SciPy."""

import pickle

import numpy as np
import pytest
from conftest import same_bits

import sparsert as sp


@pytest.fixture
def dense(random):
    return (random.integers(-3, 4, (13, 22)) * (random.random((13, 22)) < 0.3)).astype(np.float32)


def everything(a):
    return [a.to_csr(), a.to_coo(), a.to_csc(), a.to_bsr((4, 3)), a.to_bitmap(), a.to_nm(8, 8)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32"])
@pytest.mark.parametrize("index", ["int32", "int64"])
def test_conversions(dense, dtype, index, device):
    dense = dense.astype(dtype)
    csr = sp.to_csr(sp.tensor(dense, device=device), index)
    for a in everything(csr):
        assert a.shape == (13, 22) and a.device == device and a.dtype == np.dtype(dtype)
        same_bits(a.to_dense().cpu().numpy(), dense)
        a.validate()
        for b in everything(a):
            same_bits(b.to_dense().cpu().numpy(), dense)
        same_bits(pickle.loads(pickle.dumps(a.cpu())).to_dense().numpy(), dense)
        assert repr(a).startswith(type(a).__name__ + "(shape=(13, 22), nnz=") and device in repr(a)
        back = sp.transpose(a)
        same_bits(back.to_dense().cpu().numpy(), np.ascontiguousarray(dense.T))


def test_from_dense(dense, device):
    x = sp.tensor(dense, device=device)
    assert isinstance(sp.to_csc(x), sp.Csc) and isinstance(sp.to_bsr(x, (4, 4)), sp.Bsr)
    assert isinstance(sp.to_bitmap(x), sp.Bitmap) and isinstance(sp.to_nm(x, 4, 4), sp.Nm)
    for a in [sp.to_csc(x), sp.to_bsr(x, (4, 4)), sp.to_bitmap(x), sp.to_nm(x, 4, 4)]:
        same_bits(a.to_dense().cpu().numpy(), dense)


def test_arrays(dense):
    bitmap = sp.to_bitmap(dense)
    same_bits(bitmap.bits.numpy(), np.packbits(dense != 0, axis=1, bitorder="little"))
    same_bits(bitmap.values.numpy(), dense[dense != 0])
    assert bitmap.nbytes == bitmap.bits.numpy().nbytes + 14 * 4 + bitmap.nnz * 4
    made = sp.Bitmap(np.packbits(dense != 0, axis=1, bitorder="little"), dense[dense != 0], dense.shape)
    same_bits(made.to_dense().numpy(), dense)
    bsr = sp.to_bsr(dense, (4, 3))
    assert bsr.block == (4, 3) and bsr.values.shape == (bsr.blocks, 4, 3)
    flat = sp.Bsr(bsr.row_offsets, bsr.columns, bsr.values.numpy().reshape(-1), dense.shape, block=(4, 3))
    same_bits(flat.to_dense().numpy(), dense)
    nm = sp.Nm([[1.0, 0.0], [2.0, 3.0]], np.array([[3, 255], [0, 1]], np.uint8), (2, 4), n=2, m=4)
    assert (nm.n, nm.m, nm.nnz) == (2, 4, 3)
    same_bits(nm.to_dense().numpy(), np.array([[0, 0, 0, 1.0], [2, 3, 0, 0]], np.float32))


def test_sparse_tensor_cores(device):
    x = sp.tensor(np.array([[0, 5, 0, 7, 0, 0, 3, 0]], np.float32), device=device)
    values, metadata = sp.to_nm(x, 2, 4).to_sparse_tensor_cores()
    same_bits(values.cpu().numpy(), np.array([[5, 7, 0, 3]], np.float32))
    same_bits(metadata.cpu().numpy(), np.array([[0x8D]], np.uint8))


def test_scipy(dense):
    sparse = pytest.importorskip("scipy.sparse")
    source = sparse.csr_array(dense)
    csc = sp.from_scipy(source.tocsc())
    assert isinstance(csc, sp.Csc) and csc.to_scipy().format == "csc"
    same_bits(csc.to_scipy().toarray(), dense)
    square = np.zeros((12, 21), np.float32)
    square[:, :] = dense[:12, :21]
    bsr = sp.from_scipy(sparse.csr_array(square).tobsr((4, 3)))
    assert isinstance(bsr, sp.Bsr) and bsr.to_scipy().blocksize == (4, 3)
    same_bits(bsr.to_scipy().toarray(), square)
    unsorted = sparse.csc_array((np.array([1.0, 2, 3, 4]), np.array([2, 0, 1, 1]), np.array([0, 2, 4])), shape=(3, 2))
    same_bits(sp.from_scipy(unsorted).to_dense().numpy(), unsorted.toarray())
    with pytest.raises(ValueError, match="to_scipy: blocks of .5, 5. do not divide"):
        sp.to_bsr(dense, (5, 5)).to_scipy()


def test_slices_and_concatenation(dense, device):
    a = sp.to_csr(sp.tensor(dense, device=device))
    same_bits(a[3:7].to_dense().cpu().numpy(), dense[3:7])
    same_bits(a[-4:].to_dense().cpu().numpy(), dense[-4:])
    assert a[5:2].shape == (0, 22)
    same_bits(sp.concatenate([a[:5], a[5:]]).to_dense().cpu().numpy(), dense)
    same_bits(sp.concatenate([a, a], axis=1).to_dense().cpu().numpy(), np.hstack([dense, dense]))
    with pytest.raises(ValueError, match="step 2"):
        a[::2]
    coo = sp.Coo([1, 0, 1], [0, 1, 0], [1.0, 2.0, 4.0], (2, 2)).to(device)
    same_bits(coo.coalesce().values.cpu().numpy(), np.array([2.0, 5.0], np.float32))


def test_prune_zeros(device):
    a = sp.Csr([0, 2, 3], [0, 2, 1], np.array([0, np.nan, -0.0], np.float32), (2, 3)).to(device)
    kept = sp.prune_zeros(a)
    assert kept.nnz == 1
    same_bits(kept.columns.cpu().numpy(), np.array([2], a.index_dtype))


def test_errors(dense):
    with pytest.raises(ValueError, match="to_nm: row .* have more than 1 entries"):
        sp.to_nm(np.ones((2, 8), np.float32), 1, 4)
    with pytest.raises(ValueError, match="csc: rows"):
        sp.Csc([0, 1], [5], [1.0], (3, 1))
    with pytest.raises(ValueError, match="bsr: values has shape"):
        sp.Bsr([0, 1], [0], np.ones((1, 2, 2)), (2, 2), block=(3, 2))
    with pytest.raises(ValueError, match="bitmap: bits"):
        sp.Bitmap(np.array([[255]], np.uint8), np.ones(8), (1, 3))
    with pytest.raises(ValueError, match="nm: positions"):
        sp.Nm([[1.0, 2.0]], np.array([[1, 0]], np.uint8), (1, 4), 2, 4)
    with pytest.raises(TypeError, match="transpose: a is of type"):
        sp.transpose(dense)
