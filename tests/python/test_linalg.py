"""spmv, sddmm, spgemm, softmax, sums, scaling and gradients, against NumPy and SciPy."""

import numpy as np
import pytest
from conftest import same_bits

import sparsert as sp


def integers(random, m, n, density=0.4):
    return (random.integers(-4, 5, (m, n)) * (random.random((m, n)) < density)).astype(np.float32)


def formats(a):
    return [a, a.to_coo(), a.to_csc(), a.to_bsr((4, 4)), a.to_bitmap(), a.to_nm(8, 8)]


@pytest.fixture
def pair(random, device):
    a = integers(random, 23, 34)
    return a, sp.to_csr(sp.tensor(a, device=device))


def test_products_of_every_format(pair, random, device):
    a, csr = pair
    b = random.integers(-4, 5, (34, 9)).astype(np.float32)
    x = random.integers(-4, 5, (7, 23)).astype(np.float32)
    v = np.ascontiguousarray(b[:, 0])
    dense_b, dense_x = sp.tensor(b, device=device), sp.tensor(x, device=device)
    zero = np.float32(0)
    for matrix in formats(csr):
        same_bits(sp.spmm(matrix, dense_b).cpu().numpy(), a @ b + zero)
        same_bits(sp.matmul(matrix, dense_b).cpu().numpy(), a @ b + zero)
        same_bits(sp.matmul(dense_x, matrix).cpu().numpy(), x @ a + zero)
        same_bits(sp.spmv(matrix, sp.tensor(v, device=device)).cpu().numpy(), a @ v + zero)
        same_bits(sp.linear(sp.tensor(np.ascontiguousarray(b.T), device=device), matrix).cpu().numpy(), (a @ b).T + zero)
        same_bits(sp.spmm_transposed(matrix, sp.tensor(np.ascontiguousarray(x.T), device=device)).cpu().numpy(),
                  a.T @ x.T + zero)
    same_bits((dense_x @ csr).cpu().numpy(), x @ a + zero)
    same_bits(sp.spmv(sp.Plan(csr, n=1), sp.tensor(v, device=device)).cpu().numpy(), a @ v + zero)


def test_sddmm(pair, random, device):
    a, csr = pair
    x, y = random.integers(-4, 5, (23, 20)).astype(np.float32), random.integers(-4, 5, (34, 20)).astype(np.float32)
    values = sp.sddmm(csr, sp.tensor(x, device=device), sp.tensor(y, device=device))
    same_bits(values.cpu().numpy(), (x @ y.T)[a != 0] + np.float32(0))


def test_spgemm(pair, random, device):
    sparse = pytest.importorskip("scipy.sparse")
    a, csr = pair
    b = integers(random, 34, 19)
    c = sp.spgemm(csr, sp.to_csr(sp.tensor(b, device=device)))
    same_bits(c.to_dense().cpu().numpy(), a @ b + np.float32(0))
    expected = sparse.csr_array(a) @ sparse.csr_array(b)
    expected.sort_indices()
    # SciPy leaves out sums that are zero; our pattern is of all products.
    same_bits(sp.prune_zeros(c).columns.cpu().numpy(), expected.indices.astype(np.int32))
    assert isinstance(sp.matmul(csr, sp.to_csr(sp.tensor(b, device=device))), sp.Csr)
    with pytest.raises(MemoryError, match="spgemm: the result has"):
        sp.spgemm(csr, sp.to_csr(sp.tensor(b, device=device)), max_bytes=10)


def test_sums_and_scaling(pair, random, device):
    a, csr = pair
    same_bits(sp.row_sums(csr).cpu().numpy(), a.sum(1) + np.float32(0))
    same_bits(sp.column_sums(csr).cpu().numpy(), a.sum(0) + np.float32(0))
    rows, cols = random.integers(1, 5, 23).astype(np.float32), random.integers(1, 5, 34).astype(np.float32)
    same_bits(sp.scale_rows(csr, sp.tensor(rows, device=device)).to_dense().cpu().numpy(), a * rows[:, None] + np.float32(0))
    same_bits(sp.scale_columns(csr, sp.tensor(cols, device=device)).to_dense().cpu().numpy(), a * cols + np.float32(0))
    same_bits((csr + csr).to_dense().cpu().numpy(), a + a)


def test_softmax(random, device):
    a = integers(random, 20, 30)
    out = sp.sparse_softmax(sp.to_csr(sp.tensor(a, device=device)))
    got = out.to_dense().cpu().numpy()
    weights = np.where(a != 0, np.exp(a.astype(np.float64)), 0)
    total = weights.sum(1, keepdims=True)
    np.testing.assert_allclose(got, weights / np.where(total == 0, 1, total), rtol=1e-6)
    gradient = random.standard_normal(out.nnz).astype(np.float32)
    back = sp.sparse_softmax_backward(sp.tensor(gradient, device=device), out)
    same = sp.sparse_softmax_backward(out.with_values(sp.tensor(gradient, device=device)), out)
    same_bits(back.values.cpu().numpy(), same.values.cpu().numpy())
    g = np.zeros_like(a)
    g[a != 0] = gradient
    np.testing.assert_allclose(
        back.to_dense().cpu().numpy(), got * (g - (g * got).sum(1, keepdims=True)), rtol=1e-4, atol=1e-6
    )


def test_gradients(pair, random, device):
    a, csr = pair
    b = random.integers(-4, 5, (34, 9)).astype(np.float32)
    grad = random.integers(-4, 5, (23, 9)).astype(np.float32)
    values, gb = sp.spmm_backward(sp.tensor(grad, device=device), csr, sp.tensor(b, device=device))
    zero = np.float32(0)
    same_bits(values.cpu().numpy(), (grad @ b.T)[a != 0] + zero)
    same_bits(gb.cpu().numpy(), a.T @ grad + zero)
    x = random.integers(-4, 5, (6, 34)).astype(np.float32)
    grad = random.integers(-4, 5, (6, 23)).astype(np.float32)
    gx, gw, gbias = sp.linear_backward(sp.tensor(grad, device=device), sp.tensor(x, device=device), csr)
    same_bits(gx.cpu().numpy(), grad @ a + zero)
    same_bits(gw.cpu().numpy(), (grad.T @ x)[a != 0] + zero)
    same_bits(gbias.cpu().numpy(), grad.sum(0) + zero)
    dense = sp.linear_backward(sp.tensor(grad, device=device), sp.tensor(x, device=device), csr.to_dense())
    same_bits(dense[1].cpu().numpy(), grad.T @ x + zero)
    left, right = random.integers(-4, 5, (23, 5)).astype(np.float32), random.integers(-4, 5, (34, 5)).astype(np.float32)
    g = csr.values
    gx, gy = sp.sddmm_backward(g, csr, sp.tensor(left, device=device), sp.tensor(right, device=device))
    same_bits(gx.cpu().numpy(), a @ right + zero)
    same_bits(gy.cpu().numpy(), a.T @ left + zero)


def test_errors():
    a = sp.to_csr(np.eye(3, 4, dtype=np.float32))
    with pytest.raises(TypeError, match="sddmm: pattern is of type numpy.ndarray"):
        sp.sddmm(np.eye(3), np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match=r"spmv: x has shape \(3,\), expected \(4,\)"):
        sp.spmv(a, np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"spgemm: b has 3 rows"):
        sp.spgemm(a, a)
    with pytest.raises(ValueError, match="sparse_softmax_backward: grad has shape"):
        sp.sparse_softmax_backward(sp.to_csr(np.ones((3, 4), np.float32)), a)
    with pytest.raises(ValueError, match="matmul: out"):
        sp.matmul(a, sp.transpose(a), out=sp.zeros((3, 3)))
