"""Pruning at an exact amount, zeros counted, the largest chosen."""

import numpy as np
import pytest
from conftest import FLOATS, same_bits, values_of

import sparsert as sp


def pruned_of(x, amount):
    """The smallest magnitudes go, ties from the highest index; NaN is the largest."""
    flat = x.reshape(-1).copy()
    count = int(np.rint(amount * flat.size))
    magnitude = np.where(np.isnan(flat), np.inf, np.abs(flat.astype(np.float64)))
    order = sorted(range(flat.size), key=lambda i: (bool(np.isnan(flat[i])), magnitude[i], -i))
    flat[order[:count]] = 0
    return flat.reshape(x.shape)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("amount", [0, 0.1, 0.25, 0.5, 0.7])
def test_magnitude(dtype, amount, device, random):
    for x in [values_of(dtype, (31, 13), random), random.integers(-3, 4, (25,)).astype(dtype), np.zeros((0, 3), dtype)]:
        got = sp.prune.magnitude(sp.tensor(x, device=device), amount)
        assert got.device == device
        same_bits(got.cpu().numpy(), pruned_of(x, amount))
    assert 25 - sp.count_nonzero(sp.prune.magnitude(np.arange(1, 26, dtype=dtype), 0.1)) == 2  # half to even


def test_global_magnitude(device, random):
    tensors = {
        "a": values_of("float32", (5, 7), random),
        "b": values_of("float32", (40,), random),
        "c": np.zeros(0, np.float32),
    }
    got = sp.prune.global_magnitude({name: sp.tensor(x, device=device) for name, x in tensors.items()}, 0.6)
    assert list(got) == ["a", "b", "c"]
    together = pruned_of(np.concatenate([x.reshape(-1) for x in tensors.values()]), 0.6)
    same_bits(got["a"].cpu().numpy(), together[:35].reshape(5, 7))
    same_bits(got["b"].cpu().numpy(), together[35:])
    assert sp.prune.global_magnitude({}, 0.5) == {}


def test_bad_amounts():
    x = np.array([1.0, np.nan, 3.0])
    for amount in [-0.1, 1.1, np.nan]:
        with pytest.raises(ValueError, match="magnitude: amount is .*, expected"):
            sp.prune.magnitude(x, amount)
    with pytest.raises(ValueError, match="magnitude: .*NaN"):
        sp.prune.magnitude(x, 1.0)
    with pytest.raises(NotImplementedError, match="magnitude: "):
        sp.prune.magnitude([1, 2, 3], 0.5)
    with pytest.raises(TypeError):
        sp.prune.magnitude(x, "0.5")
    with pytest.raises(ValueError, match="global_magnitude: "):
        sp.prune.global_magnitude({"a": np.ones(3), "b": np.ones(3, np.float32)}, 0.5)
    with pytest.raises(TypeError, match="global_magnitude: w is of type str"):
        sp.prune.global_magnitude({"w": "x"}, 0.5)


def test_sparsity(device):
    x = sp.tensor([[0.0, -0.0, np.nan, 1.0]], device=device)
    assert sp.sparsity(x) == 0.5 and sp.count_nonzero(x) == 2
    assert sp.sparsity(sp.tensor([], device=device)) == 0
    assert sp.sparsity(sp.tensor([0, 1, 2], device=device)) == 1 / 3
    assert sp.sparsity(sp.tensor([True, False], device=device)) == 0.5
    a = sp.Csr([0, 2], [0, 2], [0.0, 1.0], (1, 4)).to(device)
    assert sp.sparsity(a) == 0.75 and a.density == 0.5  # a stored zero is a zero
    assert sp.sparsity(sp.Csr([0], [], [], (0, 4)).to(device)) == 0


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape, k", [((1,), 1), ((100,), 7), ((3, 50), 50), ((2, 3, 20), 1), ((4, 5), 0), ((0, 5), 2)])
def test_topk(dtype, shape, k, device, random):
    x = values_of(dtype, shape, random)
    values, indices = sp.topk(sp.tensor(x, device=device), k)
    assert values.shape == indices.shape == (*shape[:-1], k) and indices.dtype == np.int64
    rows = x.reshape(-1, shape[-1])

    def rank(row, i):
        return (-bool(np.isnan(row[i])), -abs(float(row[i])) if not np.isnan(row[i]) else 0, i)

    chosen = np.array([sorted(range(len(row)), key=lambda i: rank(row, i))[:k] for row in rows], np.int64)
    chosen = chosen.reshape(len(rows), k)
    same_bits(indices.cpu().numpy(), chosen.reshape(*shape[:-1], k))
    same_bits(values.cpu().numpy(), np.take_along_axis(rows, chosen, 1).reshape(*shape[:-1], k))


def test_bad_topk():
    for k in [-1, 4]:
        with pytest.raises(ValueError, match=f"topk: k is {k}, expected 0 to 3"):
            sp.topk([1.0, 2.0, 3.0], k)
    with pytest.raises(TypeError):
        sp.topk([1.0], 1.0)
    with pytest.raises(NotImplementedError, match="topk: dtype int64"):
        sp.topk([1, 2], 1)
