"""The small examples that texts on sparsity print, with the arithmetic done right."""

import numpy as np
from conftest import same_bits

import sparsert as sp

WEIGHTS = [[0.5, 0, 0.2], [0, 0, 0], [-0.3, 0, 0.8]]
ACTIVATIONS = [[2, -1, 0.5], [-3, 0, 4], [1, -2, -0.7]]
WORD_COUNTS = [[1, 0, 0, 5, 0, 0, 2]]
GRADIENT = [[0.01, 0, -0.02], [0, 0, 0], [0, 0.03, 0]]
ATTENTION = [[0.1, 0.3, 0.05, 0.02], [0, 0.6, 0, 0], [0, 0.2, 0, 0], [0.05, 0, 0, 0.4]]


def test_weights_have_five_zeros_of_nine(device):
    w = sp.tensor(WEIGHTS, device=device)
    assert sp.sparsity(w) == 5 / 9
    a = sp.to_csr(w)
    assert a.nnz == 4 and a.row_offsets.cpu().tolist() == [0, 2, 2, 4] and a.columns.cpu().tolist() == [0, 2, 0, 2]
    same_bits(a.values.cpu().numpy(), np.array([0.5, 0.2, -0.3, 0.8], np.float32))


def test_relu_leaves_five_zeros_of_nine(device):
    y = sp.relu(sp.tensor(ACTIVATIONS, device=device))
    assert y.cpu().tolist() == [[2, 0, 0.5], [0, 0, 4], [1, 0, 0]]
    assert sp.sparsity(y) == 5 / 9


def test_word_counts_have_three_entries_of_seven(device):
    counts = sp.to_csr(sp.tensor(WORD_COUNTS, device=device))
    assert counts.nnz == 3 and counts.density == 3 / 7 and counts.columns.cpu().tolist() == [0, 3, 6]
    assert counts.values.cpu().tolist() == [1, 5, 2]


def test_gradient_has_three_entries_of_nine(device):
    gradient = sp.to_coo(sp.tensor(GRADIENT, device=device))
    assert gradient.nnz == 3 and gradient.density == 3 / 9
    assert gradient.rows.cpu().tolist() == [0, 0, 2] and gradient.columns.cpu().tolist() == [0, 2, 1]
    values, indices = sp.topk(sp.tensor(GRADIENT, device=device).reshape(-1), 2)
    assert indices.cpu().tolist() == [7, 2]
    same_bits(values.cpu().numpy(), np.array([0.03, -0.02], np.float32))


def test_attention_has_eight_entries_of_sixteen(device):
    attention = sp.to_csr(sp.tensor(ATTENTION, device=device))
    assert attention.nnz == 8 and attention.density == 0.5
    assert attention.row_offsets.cpu().tolist() == [0, 4, 5, 6, 8]
    same_bits(attention.to_dense().cpu().numpy(), np.array(ATTENTION, np.float32))
