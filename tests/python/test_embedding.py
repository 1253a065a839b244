"""Embedding bags and features."""

import numpy as np
import pytest
from conftest import same_bits

import sparsert as sp


@pytest.fixture
def bags(random):
    indices = random.integers(0, 20, 30)
    return random.integers(-4, 5, (20, 7)).astype(np.float32), indices, np.array([0, 4, 4, 11, 25])


def parts(indices, offsets):
    return [indices[a:b] for a, b in zip(offsets, [*offsets[1:], len(indices)])]


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_modes(bags, mode, device):
    table, indices, offsets = bags
    how = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    expected = np.stack([how(table[p], axis=0) if len(p) else np.zeros(7) for p in parts(indices, offsets)])
    got = sp.embedding_bag(*(sp.tensor(x, device=device) for x in bags), mode=mode)
    assert got.device == device
    np.testing.assert_allclose(got.cpu().numpy(), expected, rtol=1e-6)


def test_weights_and_gradient(bags, random, device):
    table, indices, offsets = bags
    weights = random.integers(-3, 4, 30).astype(np.float32)
    args = [sp.tensor(x, device=device) for x in bags]
    w = sp.tensor(weights, device=device)
    got = sp.embedding_bag(*args, weights=w)
    matrix = np.zeros((5, 20), np.float32)
    for b, part in enumerate(np.split(np.arange(30), offsets[1:])):
        np.add.at(matrix[b], indices[part], weights[part])
    same_bits(got.cpu().numpy(), matrix @ table + np.float32(0))
    grad = random.integers(-3, 4, (5, 7)).astype(np.float32)
    rows, values = sp.embedding_bag_backward(sp.tensor(grad, device=device), *args, weights=w)
    same_bits(rows.numpy(), np.unique(indices))
    same_bits(values.cpu().numpy(), (matrix.T @ grad)[np.unique(indices)] + np.float32(0))


def test_lists_and_errors(bags):
    table, _, _ = bags
    same_bits(sp.embedding_bag(table, [1, 2], [0]).numpy(), table[1:2] + table[2:3])
    with pytest.raises(ValueError, match=r"embedding_bag: indices\[0\] is 20"):
        sp.embedding_bag(table, [20], [0])
    with pytest.raises(ValueError, match="embedding_bag: mode is median, expected sum, mean or max"):
        sp.embedding_bag(table, [1], [0], mode="median")


def test_bag_of_words():
    texts = ["The cat saw the other cat.", "", "A dog, a cat!"]
    counts, vocabulary = sp.features.bag_of_words(texts)
    assert vocabulary == ["cat", "dog", "other", "saw", "the"]
    same_bits(counts.to_dense().numpy(), np.array([[2, 0, 1, 1, 2], [0] * 5, [1, 1, 0, 0, 0]], np.float32))
    bag = sp.features.bag_of_words(texts, vocabulary=["dog", "cat"])
    same_bits(bag.counts.to_dense().numpy(), np.array([[0, 2], [0, 0], [1, 1]], np.float32))


def test_bag_of_words_as_scikit_learn():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    texts = ["one two, three_3 two", "Three four 5 55 x", "été déjà vu"]
    vectorizer = text.CountVectorizer(token_pattern=r"\w\w+")
    expected = vectorizer.fit_transform(texts)
    counts, vocabulary = sp.features.bag_of_words(texts)
    assert vocabulary == list(vectorizer.get_feature_names_out())
    same_bits(counts.to_dense().numpy(), expected.toarray().astype(np.float32))


def test_hashing():
    a = sp.features.hashing(["foobar foobar", "hello"], 1000)
    expected = np.zeros((2, 1000), np.float32)
    expected[0, 0x85944171F73967E8 % 1000] = 2
    expected[1, 0xA430D84680AABD0B % 1000] = 1
    same_bits(a.to_dense().numpy(), expected)


def test_from_triples():
    a = sp.features.from_triples([1, 0, 1], [2, 0, 2], np.array([1.0, 2.0, 0.5], np.float32), (2, 3))
    same_bits(a.to_dense().numpy(), np.array([[2, 0, 0], [0, 0, 1.5]], np.float32))
    assert sp.features.from_triples(np.array([4]), np.array([7]), [1.0]).shape == (5, 8)
