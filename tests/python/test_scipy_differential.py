"""Random structures by Hypothesis, each operation against SciPy: small integers, so that every bit must agree."""

import numpy as np
import pytest
from conftest import same_bits

import sparsert as sp

hypothesis = pytest.importorskip("hypothesis")
sparse = pytest.importorskip("scipy.sparse")
st = hypothesis.strategies

EXAMPLES = hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
ZERO = np.float32(0)


@st.composite
def matrices(draw, rows=None, cols=None, index=None):
    """Coordinates with duplicates and stored zeros, in any order; an index type for both arrays."""
    rows = draw(st.integers(0, 12)) if rows is None else rows
    cols = draw(st.integers(0, 12)) if cols is None else cols
    count = draw(st.integers(0, 30)) if rows and cols else 0
    place = st.tuples(st.integers(0, max(rows - 1, 0)), st.integers(0, max(cols - 1, 0)), st.integers(-4, 4))
    entries = draw(st.lists(place, min_size=count, max_size=count))
    index = draw(st.sampled_from(["int32", "int64"])) if index is None else index
    r, c, v = (np.array([e[i] for e in entries]) for i in range(3))
    return r.astype(index), c.astype(index), v.astype(np.float32), (rows, cols)


def ours(parts):
    return sp.Coo(*parts).to_csr()


def theirs(parts):
    r, c, v, shape = parts
    a = sparse.coo_array((v, (r, c)), shape=shape).tocsr()
    a.sum_duplicates()
    a.sort_indices()
    return a


def same_matrix(got, expected):
    expected = expected.tocsr()
    expected.sum_duplicates()
    expected.sort_indices()
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got.row_offsets.numpy(), expected.indptr)
    np.testing.assert_array_equal(got.columns.numpy(), expected.indices)
    same_bits(got.values.numpy(), expected.data.astype(np.float32) + ZERO)


@EXAMPLES
@hypothesis.given(matrices())
def test_conversions(parts):
    a, b = ours(parts), theirs(parts)
    same_matrix(a, b)
    same_bits(a.to_dense().numpy(), b.toarray() + ZERO)
    csc, expected = a.to_csc(), b.tocsc()
    np.testing.assert_array_equal(csc.col_offsets.numpy(), expected.indptr)
    np.testing.assert_array_equal(csc.rows.numpy(), expected.indices)
    same_matrix(sp.transpose(a), b.T)
    for made in [a.to_bsr((2, 3)), a.to_bitmap(), a.to_nm(4, 4), csc, a.to_coo()]:
        same_bits(made.to_dense().numpy(), b.toarray() + ZERO)
        made.validate()
    kept = b.copy()
    kept.eliminate_zeros()
    same_matrix(sp.prune_zeros(a), kept)
    same_matrix(sp.from_scipy(b), b)


@EXAMPLES
@hypothesis.given(st.data())
def test_products(data):
    m, k, n = (data.draw(st.integers(0, 9)) for _ in range(3))
    index = data.draw(st.sampled_from(["int32", "int64"]))
    left, right = data.draw(matrices(m, k, index)), data.draw(matrices(k, n, index))
    a, b = ours(left), theirs(left)
    c, d = ours(right), theirs(right)
    dense = d.toarray()
    same_bits(sp.spmm(a, dense).numpy(), b @ dense + ZERO)
    same_bits(sp.matmul(b.toarray(), c).numpy(), b.toarray() @ d + ZERO)
    same_bits(sp.spmm_transposed(a, np.ascontiguousarray(b.toarray())).numpy(), (b.T @ b).toarray() + ZERO)
    product = sp.spgemm(a, c)
    same_bits(product.to_dense().numpy(), (b @ d).toarray() + ZERO)
    same_matrix(sp.prune_zeros(product), b @ d)  # SciPy leaves out sums that are zero
    same_bits(sp.row_sums(a).numpy(), np.asarray(b.sum(axis=1)).reshape(-1).astype(np.float32) + ZERO)
    same_bits(sp.column_sums(a).numpy(), np.asarray(b.sum(axis=0)).reshape(-1).astype(np.float32) + ZERO)


@EXAMPLES
@hypothesis.given(st.data())
def test_sums_of_matrices(data):
    m, n = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 9))
    index = data.draw(st.sampled_from(["int32", "int64"]))
    left, right = data.draw(matrices(m, n, index)), data.draw(matrices(m, n, index))
    same_bits((ours(left) + ours(right)).to_dense().numpy(), (theirs(left) + theirs(right)).toarray() + ZERO)
    whole = sparse.vstack([theirs(left), theirs(right)])
    same_bits(sp.concatenate([ours(left), ours(right)]).to_dense().numpy(), whole.toarray() + ZERO)
    begin = data.draw(st.integers(0, m))
    end = data.draw(st.integers(begin, m))
    same_matrix(ours(left)[begin:end], theirs(left)[begin:end])
