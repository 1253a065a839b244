"""Schedules, budgets, dynamic sparse training, low rank: the Python faces."""

import math

import numpy as np
import pytest
from conftest import same_bits

import sparsert as sp

schedule = sp.prune.schedule


def test_schedules():
    assert schedule.one_shot(4, 5, 0.5) == 0
    assert schedule.one_shot(5, 5, 0.5) == 0.5
    assert [schedule.stepwise(s, [(0, 0.3), (100, 0.5), (200, 0.7)]) for s in (0, 99, 100, 250)] == [0.3, 0.3, 0.5, 0.7]
    assert schedule.linear(5, 0, 10, 0.0, 0.8) == 0.4
    assert schedule.cubic(5, 0, 10, 0.0, 0.8) == pytest.approx(0.8 - 0.8 / 8)
    assert schedule.cosine(5, 0, 10, 0.0, 0.8) == pytest.approx(0.8 - 0.4 * (1 + math.cos(math.pi / 2)))
    with pytest.raises(ValueError, match="end is 1, expected at least begin, 2"):
        schedule.cubic(0, 2, 1, 0.0, 0.8)


def test_schedule_state():
    whole = schedule.Schedule(schedule.cubic, begin=0, end=9, initial=0.0, final=0.9)
    amounts = [whole.advance() for _ in range(12)]
    half = schedule.Schedule(schedule.cubic, begin=0, end=9, initial=0.0, final=0.9)
    for _ in range(5):
        half.advance()
    resumed = schedule.Schedule(schedule.cubic, begin=0, end=9, initial=0.0, final=0.9)
    resumed.load_state_dict(half.state_dict())
    assert [resumed.advance() for _ in range(7)] == amounts[5:]
    for other in [
        schedule.Schedule(schedule.linear, begin=0, end=9, initial=0.0, final=0.9),
        schedule.Schedule(schedule.cubic, begin=0, end=8, initial=0.0, final=0.9),
    ]:
        with pytest.raises(ValueError, match="schedule: "):
            other.load_state_dict(half.state_dict())
    with pytest.raises(ValueError, match="amount is 1.5 at step 0"):
        schedule.Schedule(lambda step: 1.5).advance()


def test_budgets():
    shapes = {"conv": (16, 3, 3, 3), "a": (512, 1024), "b": (10, 512)}
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    for budget in (
        schedule.uniform(shapes, 0.9),
        schedule.erk(shapes, 0.9),
        schedule.uniform(shapes, 0.9, keep_dense=["conv*"]),
        schedule.sensitivity(shapes, {n: [(0, 1.0), (0.95, 1.0 + sizes[n])] for n in shapes}, 0.9),
    ):
        assert list(budget) == list(shapes)
        assert sum(budget[n] * sizes[n] for n in shapes) == pytest.approx(0.9 * sum(sizes.values()))
    assert schedule.uniform(shapes, 0.9, keep_dense=["conv*"])["conv"] == 0


@pytest.mark.parametrize("method", ["rigl", "set"])
def test_dynamic_sparse(method, device, random):
    w = random.standard_normal((30, 40)).astype(np.float32)
    grads = random.standard_normal((4, 30, 40)).astype(np.float32)

    def run(device):
        dynamic = sp.prune.DynamicSparse(sp.tensor(w, device=device), 0.1, method=method, seed=3)
        assert dynamic.weight.nnz == 120
        assert isinstance(dynamic.weight, sp.Csr)
        moment = sp.tensor(np.arange(1, 121, dtype=np.float32), device=device)
        for grad in grads:
            before = dynamic.weight.to_dense().cpu().numpy()
            (moment,) = dynamic.step(sp.tensor(grad, device=device), state=[moment])
            after = dynamic.weight.to_dense().cpu().numpy()
            assert dynamic.weight.nnz == 120
            stays = after != 0
            same_bits(after[stays], before[stays])
            values = dynamic.weight.values.cpu().numpy()
            assert (moment.cpu().numpy()[values == 0] == 0).all()
            fresh = np.where(values == 0, np.float32(1), values)
            dynamic.weight = dynamic.weight.with_values(sp.tensor(fresh, device=device))
        assert dynamic.steps == 4
        return dynamic.weight.columns.cpu().numpy()

    same_bits(run(device), run("cpu"))
    with pytest.raises(ValueError, match="method is rig"):
        sp.prune.DynamicSparse(w, 0.1, method="rig")


def test_lowrank(device, random):
    if not sp.lapack_library():
        pytest.skip("no LAPACK on this machine")
    x = random.standard_normal((30, 20))
    u, s, vt = np.linalg.svd(x)
    for rank in (0, 3, 20):
        f = sp.lowrank(sp.tensor(x, device=device), rank=rank)
        assert f.u.device == device
        assert f.u.shape == (30, rank) and f.v.shape == (rank, 20)
        best = (u[:, :rank] * s[:rank]) @ vt[:rank]
        assert np.allclose(f.u.cpu().numpy() @ f.v.cpu().numpy(), best, atol=1e-12)
        assert f.error == pytest.approx(np.linalg.norm(s[rank:]) / np.linalg.norm(s), abs=1e-13)
        assert f.nbytes == 50 * rank * 8
    assert sp.lowrank(x, rank=1).break_even_rank == 11
    energy = np.cumsum(s**2) / np.sum(s**2)
    assert sp.lowrank(x, energy=0.9).rank == int(np.searchsorted(energy, 0.9)) + 1
    sketch = sp.lowrank(x, rank=5, method="randomized", seed=2)
    assert sketch.error <= 1.05 * sp.lowrank(x, rank=5).error
    both = sp.lowrank_sparse(x, 0.9, rank=5, iterations=3)
    assert both.sparse.nnz == 60
    assert both.error < sp.lowrank(x, rank=5).error
    for arguments in ({}, {"rank": 1, "energy": 0.5}, {"rank": 21}, {"energy": 2.0}):
        with pytest.raises(ValueError, match="lowrank: "):
            sp.lowrank(x, **arguments)


def test_sparse_activations(device, random):
    x = random.standard_normal((9, 20)).astype(np.float32)
    x[0, :3] = [np.nan, 0.0, -0.0]
    grad = random.standard_normal((9, 20)).astype(np.float32)
    tensor, dense_grad = sp.tensor(x, device=device), sp.tensor(grad, device=device)
    kept = ~(x <= 0)
    for out in (sp.relu_to_csr(tensor), sp.relu_to_bitmap(tensor)):
        assert out.nnz == kept.sum() and out.device == device
        same_bits(out.to_dense().cpu().numpy(), np.where(kept, x, np.float32(0)))
        back = sp.relu_backward(dense_grad, out)
        assert type(back) is type(out)
        same_bits(back.to_dense().cpu().numpy(), np.where(kept, np.where(np.isnan(x), x, grad), np.float32(0)))
    assert sp.relu_to_csr(tensor, threshold=0.5).nnz == (~(x <= 0.5)).sum()
    assert sp.relu_to_csr(tensor, index_dtype="int64").index_dtype == np.int64
    same_bits(sp.squared_relu(tensor).cpu().numpy(), np.where(kept, x * x, np.float32(0)))
    same_bits(sp.leaky_relu(tensor, 0.5).cpu().numpy(), np.where(kept, x, x * np.float32(0.5)))
    same_bits(sp.leaky_relu_backward(dense_grad, tensor, 0.5).cpu().numpy()[1:],
              np.where(kept, grad, grad * np.float32(0.5))[1:])
    same_bits(sp.squared_relu_backward(dense_grad, tensor).cpu().numpy()[1:],
              np.where(kept, (x + x) * grad, np.float32(0))[1:])
    top = sp.topk_activation(tensor, 3).cpu().numpy()
    assert ((top != 0).sum(1) == 3).all()

    weight = sp.tensor(random.standard_normal((6, 20)).astype(np.float32), device=device)
    bias = sp.tensor(random.standard_normal(6).astype(np.float32), device=device)
    clean = sp.tensor(np.nan_to_num(x), device=device)
    expected = sp.linear(sp.relu(clean), weight, bias=bias, relu=True).cpu().numpy()
    for out in (sp.relu_to_csr(clean), sp.relu_to_bitmap(clean)):
        same_bits(sp.linear(out, weight, bias=bias, relu=True).cpu().numpy(), expected)

    statistics = sp.ActivationStatistics()
    statistics.add("fc1", sp.tensor(np.array([[0, 1.0, 0]]), device=device))
    statistics.add("fc1", sp.tensor(np.array([[0, 0, 2.0]]), device=device))
    layer = statistics.layers()["fc1"]
    assert (layer["zeros"], layer["dead"], layer["rows"]) == (4, 1, 2)
