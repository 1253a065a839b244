"""Matrix Market files, sparse tensors of PyTorch, and advice."""

import numpy as np
import pytest
from conftest import same_bits

import sparsert as sp


def test_matrix_market(tmp_path, random):
    dense = np.where(random.random((9, 14)) < 0.4, random.standard_normal((9, 14)), 0.0)
    path = tmp_path / "a.mtx"
    sp.write_matrix_market(path, sp.to_csr(dense))
    a = sp.read_matrix_market(path)
    assert isinstance(a, sp.Coo)
    same_bits(a.to_dense().numpy(), dense)
    assert sp.read_matrix_market(path, dtype="float32").dtype == np.float32
    with pytest.raises(sp.FileError, match="line 1"):
        path.write_text("nothing")
        sp.read_matrix_market(path)


def test_matrix_market_with_scipy(tmp_path, random):
    io, sparse = pytest.importorskip("scipy.io"), pytest.importorskip("scipy.sparse")
    dense = np.where(random.random((12, 12)) < 0.3, random.integers(-3, 4, (12, 12)), 0)
    for matrix in [sparse.coo_array(dense.astype(np.float64)), sparse.coo_array((dense + dense.T).astype(np.float64))]:
        io.mmwrite(tmp_path / "s.mtx", matrix)
        same_bits(sp.read_matrix_market(tmp_path / "s.mtx").to_dense().numpy(), matrix.toarray())
    sp.write_matrix_market(tmp_path / "ours.mtx", sp.to_csc(dense.astype(np.float64)))
    same_bits(np.asarray(io.mmread(tmp_path / "ours.mtx").toarray()), dense.astype(np.float64))


class Fake:
    """As much of a PyTorch tensor as from_torch looks at."""

    def __init__(self, layout, shape, **parts):
        self.layout, self.shape, self.dtype = f"torch.{layout}", shape, "torch.float32"
        for name, value in parts.items():
            setattr(self, name, lambda value=value: FakeArray(value) if isinstance(value, np.ndarray) else value)


class FakeArray:
    def __init__(self, array):
        self.array, self.dtype = array, "torch.float32"

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self.array


def test_from_torch_by_its_methods(device):
    offsets, columns = np.array([0, 1, 3]), np.array([1, 0, 2])
    values = np.array([1, 2, 3], np.float32)
    dense = np.array([[0, 1, 0], [2, 0, 3]], np.float32)
    csr = sp.from_torch(Fake("sparse_csr", (2, 3), crow_indices=offsets, col_indices=columns, values=values), device)
    assert isinstance(csr, sp.Csr) and csr.device == device
    same_bits(csr.to_dense().cpu().numpy(), dense)
    csc = sp.from_torch(Fake("sparse_csc", (3, 2), ccol_indices=offsets, row_indices=columns, values=values))
    same_bits(csc.to_dense().numpy(), np.ascontiguousarray(dense.T))
    coo = Fake("sparse_coo", (2, 3), sparse_dim=2, _indices=np.array([[0, 1, 1], [1, 0, 2]]), _values=values)
    same_bits(sp.from_torch(coo).to_dense().numpy(), dense)
    blocks = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    bsr = sp.from_torch(Fake("sparse_bsr", (4, 6), crow_indices=offsets, col_indices=columns, values=blocks))
    assert isinstance(bsr, sp.Bsr) and bsr.block == (2, 2)
    with pytest.raises(TypeError, match="from_torch: tensor is of type ndarray"):
        sp.from_torch(dense)
    with pytest.raises(ValueError, match="sparse_bsc"):
        sp.from_torch(Fake("sparse_bsc", (4, 6)))


def test_torch_round_trip(random):
    pytest.importorskip("torch")
    dense = np.where(random.random((8, 12)) < 0.4, random.standard_normal((8, 12)), 0).astype(np.float32)
    csr = sp.to_csr(dense)
    for a in [csr, csr.to_coo(), csr.to_csc(), csr.to_bsr((4, 4)), csr.to_bitmap()]:
        t = sp.to_torch(a)
        same_bits(t.to_dense().numpy(), dense)
        same_bits(sp.from_torch(t).to_dense().numpy(), dense)


def test_advice(tmp_path, monkeypatch, random):
    monkeypatch.setenv("SPARSERT_CACHE_DIR", str(tmp_path))
    dense = (random.standard_normal((64, 64)) * (random.random((64, 64)) < 0.1)).astype(np.float32)
    r = sp.advise(sp.to_csr(dense), n=16)
    assert r.choice in {"dense", "csr", "bsr", "bitmap", "nm"} and r.choice == next(iter(r.seconds))
    assert {"dense", "csr", "bsr", "bitmap"} <= set(r.seconds) and all(s > 0 for s in r.seconds.values())
    assert r.nbytes["dense"] == dense.nbytes and r.reasons and not r.cached
    assert sp.advise(dense, n=16).cached
    assert sp.advice_file() == str(tmp_path / "advice.json")
    b = random.standard_normal((64, 16)).astype(np.float32)
    same_bits(sp.matmul(sp.to_csr(dense), b).numpy(), sp.spmm(sp.to_csr(dense), b).numpy())
    with pytest.raises(ValueError, match="advise: n is 0"):
        sp.advise(dense, n=0)
    (tmp_path / "advice.json").unlink()
    assert sp.advise(dense, n=5).choice
