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


def kept_of(scores, amount):
    """Which of `scores` stay: the lowest go, ties from the highest index."""
    flat = scores.reshape(-1)
    order = sorted(range(flat.size), key=lambda i: (flat[i], -i))
    keep = np.ones(flat.size, bool)
    keep[order[: int(np.rint(amount * flat.size))]] = False
    return keep.reshape(scores.shape)


@pytest.mark.parametrize("dtype", FLOATS)
def test_methods(dtype, device, random):
    x = random.standard_normal((16, 24)).astype(dtype)
    wide = np.abs(x.astype(np.float64))
    tensor = sp.tensor(x, device=device)

    def check(got, keep):
        assert got.device == device
        same_bits(got.cpu().numpy(), np.where(keep, x, np.zeros((), dtype)))

    groups = wide.reshape(16, 6, 4)
    check(sp.prune.n_m(tensor, 2, 4), (np.argsort(np.argsort(-groups, -1, "stable"), -1) < 2).reshape(16, 24))
    blocks = wide.reshape(4, 4, 6, 4)
    for norm, scores in [(1, blocks.sum((1, 3))), (2, (blocks**2).sum((1, 3))), (float("inf"), blocks.max((1, 3)))]:
        keep = kept_of(scores, 0.3).repeat(4, 0).repeat(4, 1)
        check(sp.prune.block(tensor, (4, 4), 0.3, norm), keep)
        check(sp.prune.global_block({"x": tensor}, (4, 4), 0.3, norm)["x"], keep)
    rows = kept_of((wide**2).sum(1), 0.5)
    check(sp.prune.structured(tensor, 0.5), rows[:, None])
    heads = kept_of(wide.reshape(16, 6, 4).sum((0, 2)), 0.5).repeat(4)
    check(sp.prune.structured(tensor, 0.5, axis=-1, norm=1, width=4), heads[None, :])
    kept = sp.prune.kept_slices(tensor, 0.5, axis=1, norm=1, width=4)
    same_bits(kept.cpu().numpy(), np.flatnonzero(heads))
    same_bits(sp.prune.take(tensor, kept, axis=1).cpu().numpy(), x[:, heads])

    norms = sp.prune.InputNorms()
    inputs = random.standard_normal((10, 24)).astype(dtype)
    norms.add(sp.tensor(inputs[:4], device=device))
    norms.add(sp.tensor(inputs[4:], device=device))
    assert norms.rows == 10
    same = np.sqrt((inputs.astype(np.float64) ** 2).sum(0))
    assert np.allclose(norms.norms().cpu().numpy(), same, rtol=1e-12)
    scores = wide * norms.norms().cpu().numpy()
    check(sp.prune.wanda(tensor, norms.norms(), 0.5), np.stack([kept_of(row, 0.5) for row in scores]))
    check(sp.prune.wanda(tensor, norms.norms(), 0.5, group="tensor"), kept_of(scores, 0.5))
    check(sp.prune.magnitude(tensor, 0.25, group="row"), np.stack([kept_of(row, 0.25) for row in wide]))


def test_random_depends_on_the_seed_alone(device):
    x = np.ones((50, 40), np.float32)
    got = [sp.prune.random(sp.tensor(x, device=device), 0.3, seed=seed).cpu().numpy() for seed in (0, 0, 1)]
    assert all((g == 0).sum() == 600 for g in got)
    same_bits(got[0], got[1])
    assert (got[0] != got[2]).any()
    same_bits(got[0], sp.prune.random(x, 0.3).numpy())


def test_proximal_steps(device, random):
    x = random.standard_normal((6, 9)).astype(np.float32)
    tensor = sp.tensor(x, device=device)
    lam = np.float32(0.25)
    soft = np.where(np.abs(x) <= lam, np.float32(0), np.sign(x) * (np.abs(x) - lam))
    same_bits(sp.prune.soft_threshold(tensor, 0.25).cpu().numpy(), soft)
    same_bits(sp.prune.hard_threshold(tensor, 0.25).cpu().numpy(), np.where(np.abs(x) <= lam, np.float32(0), x))
    norms = np.sqrt((x.astype(np.float64) ** 2).sum(1, keepdims=True))
    group = x * np.maximum(1 - 2.5 / norms, 0)
    assert np.allclose(sp.prune.group_soft_threshold(tensor, 2.5).cpu().numpy(), group, atol=1e-6)


def test_torch_agrees(random):
    """What torch.nn.utils.prune covers: magnitude and structured pruning of one tensor."""
    torch = pytest.importorskip("torch")
    utils = pytest.importorskip("torch.nn.utils.prune")
    x = random.standard_normal((30, 20)).astype(np.float32)
    layer = torch.nn.Linear(20, 30, bias=False)
    for amount in (0.1, 0.5, 0.9):
        for method, got in [
            (lambda: utils.l1_unstructured(layer, "weight", amount), sp.prune.magnitude(x, amount)),
            (lambda: utils.ln_structured(layer, "weight", amount, n=2, dim=0), sp.prune.structured(x, amount)),
            (lambda: utils.ln_structured(layer, "weight", amount, n=1, dim=1), sp.prune.structured(x, amount, 1, 1)),
        ]:
            layer.weight.data.copy_(torch.from_numpy(x))
            method()
            utils.remove(layer, "weight")
            assert np.array_equal(layer.weight.detach().numpy(), got.numpy())


def test_bad_methods():
    x = np.ones((4, 6), np.float32)
    with pytest.raises(ValueError, match="n_m: got 5:4"):
        sp.prune.n_m(x, 5, 4)
    with pytest.raises(ValueError, match="norm is 3, expected 1, 2 or inf"):
        sp.prune.block(x, (2, 2), 0.5, norm=3)
    with pytest.raises(ValueError, match="group is column"):
        sp.prune.magnitude(x, 0.5, group="column")
    with pytest.raises(NotImplementedError, match="int32"):
        sp.prune.random(x.astype(np.int32), 0.5)
