"""spmm, linear, matmul and plans, against fp64 with the contract's bound, and bit by bit on small integers."""

import threading

import numpy as np
import pytest
from conftest import same_bits

import sparsert as sp

SHAPES = [(1, 1, 1), (3, 0, 2), (0, 4, 3), (4, 5, 0), (31, 33, 17), (64, 65, 32), (5, 1030, 3), (127, 61, 129)]


def random_sparse(random, m, k, dtype="float32", density=0.3, integers=False):
    values = random.integers(-4, 5, (m, k)) if integers else random.standard_normal((m, k))
    return (values * (random.random((m, k)) < density)).astype(dtype)


def bound_of(a, b, dtype=np.float32):
    """u |c64| + gamma(n + 1) S + n eta, from the rounded inputs."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    exact, total = a64 @ b64, np.abs(a64) @ np.abs(b64)
    n, u = a.shape[1], np.finfo(dtype).eps / 2
    gamma = (n + 1) * u / (1 - (n + 1) * u)
    return u * np.abs(exact) + gamma * total + n * np.finfo(dtype).smallest_subnormal


@pytest.mark.parametrize("m, k, n", SHAPES)
def test_spmm(m, k, n, device, random):
    a, b = random_sparse(random, m, k), random.standard_normal((k, n)).astype(np.float32)
    csr, x = sp.to_csr(sp.tensor(a, device=device)), sp.tensor(b, device=device)
    c = sp.spmm(csr, x)
    assert c.device == device and c.shape == (m, n) and c.dtype == np.float32
    got = c.cpu().numpy()
    assert (np.abs(got - a.astype(np.float64) @ b) <= bound_of(a, b)).all()
    for same in [
        csr @ x,
        sp.Plan(csr, n=max(1, n)) @ x,
        sp.spmm(sp.Plan(csr), x),
        sp.matmul(sp.tensor(a, device=device), x),
        sp.tensor(a, device=device) @ x,
    ]:
        same_bits(same.cpu().numpy(), got)
    same_bits(got, sp.spmm(sp.to_csr(a), b).numpy())  # the CPU's bits
    y = sp.linear(sp.tensor(np.ascontiguousarray(b.T), device=device), csr)
    same_bits(y.cpu().numpy(), np.ascontiguousarray(got.T))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("index", ["int32", "int64"])
def test_small_integers_are_exact(dtype, index, device, random):
    a, b = random_sparse(random, 33, 40, dtype, integers=True), random.integers(-4, 5, (40, 20)).astype(dtype)
    c = sp.spmm(sp.to_csr(sp.tensor(a, device=device), index), sp.tensor(b, device=device))
    same_bits(c.cpu().numpy(), (a.astype(np.float64) @ b.astype(np.float64)).astype(dtype) + np.zeros((), dtype))


def test_options(device, random):
    a, b = random_sparse(random, 30, 40, integers=True), random.integers(-4, 5, (40, 20)).astype(np.float32)
    bias, before = random.integers(-4, 5, 30).astype(np.float32), random.integers(-4, 5, (30, 20)).astype(np.float32)
    csr, x = sp.to_csr(sp.tensor(a, device=device)), sp.tensor(b, device=device)
    for matrix in [csr, sp.Plan(csr, n=20)]:
        out = sp.tensor(before, device=device)
        result = sp.spmm(matrix, x, bias=sp.tensor(bias, device=device), relu=True, alpha=2, beta=-1, out=out)
        assert result is out
        expected = np.maximum(2 * (a @ b) - before + bias[:, None], 0) + np.float32(0)
        same_bits(out.cpu().numpy(), expected)
        fresh = sp.zeros((30, 20), device=device)
        assert sp.spmm(matrix, x, out=fresh) is fresh
        same_bits(fresh.cpu().numpy(), a @ b + np.float32(0))
        same_bits(sp.spmm(matrix, x, order="fast").cpu().numpy(), a @ b + np.float32(0))


def test_linear(device, random):
    w, x = random_sparse(random, 20, 40, integers=True), random.integers(-4, 5, (7, 40)).astype(np.float32)
    bias = random.integers(-4, 5, 20).astype(np.float32)
    expected = np.maximum(x @ w.T + bias, 0) + np.float32(0)
    csr, dense = sp.to_csr(sp.tensor(w, device=device)), sp.tensor(w, device=device)
    for weight in [csr, sp.Plan(csr, n=7), dense]:
        out = sp.zeros((7, 20), device=device)
        y = sp.linear(sp.tensor(x, device=device), weight, bias=sp.tensor(bias, device=device), relu=True, out=out)
        assert y is out
        same_bits(y.cpu().numpy(), expected)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_threads_do_not_change_the_bits(threads, random):
    a, b = random_sparse(random, 300, 1100), random.standard_normal((1100, 70)).astype(np.float32)
    sp.set_num_threads(1)
    expected = sp.spmm(sp.to_csr(a), b).numpy()
    sp.set_num_threads(threads)
    assert sp.get_num_threads() == threads
    same_bits(sp.spmm(sp.to_csr(a), b).numpy(), expected)
    same_bits(sp.matmul(a, b).numpy(), expected)


def test_arrays_where_tensors_are_wanted(random):
    a, b = random_sparse(random, 6, 5, integers=True), random.integers(-4, 5, (5, 4)).astype(np.float32)
    csr = sp.to_csr(a)
    expected = a @ b + np.float32(0)
    out = np.full((6, 4), np.nan, np.float32)
    assert sp.spmm(csr, b, out=out) is out
    same_bits(out, expected)
    same_bits((csr @ b).numpy(), expected)
    same_bits(sp.spmm(csr, np.asfortranarray(b)).numpy(), expected)
    same_bits(sp.matmul(a, b, out=out), expected)
    assert isinstance(a @ sp.tensor(b), sp.Tensor)
    for bad in [np.zeros((4, 6), np.float32).T, np.zeros((6, 8), np.float32)[:, ::2], np.zeros((6, 4), ">f4")]:
        with pytest.raises(ValueError, match="spmm: out is an array that cannot be written in place"):
            sp.spmm(csr, b, out=bad)
        assert not bad.any()


def test_plans(device, random):
    a, b = random_sparse(random, 30, 40, integers=True), random.integers(-4, 5, (40, 20)).astype(np.float32)
    csr, x = sp.to_csr(sp.tensor(a, device=device)), sp.tensor(b, device=device)
    plan = sp.Plan(csr, n=20)
    assert plan.shape == (30, 40) and plan.device == device and plan.nbytes >= 0
    assert repr(plan).startswith(f"Plan(shape=(30, 40), nnz={csr.nnz}, device='{device}'")
    same_bits(plan.matrix.values.cpu().numpy(), csr.values.cpu().numpy())
    doubled = csr.values * 2
    plan.update_values(doubled)
    same_bits((plan @ x).cpu().numpy(), 2 * (a @ b) + np.float32(0))
    same_bits((csr @ x).cpu().numpy(), a @ b + np.float32(0))
    with pytest.raises(ValueError, match="update_values: values has shape"):
        plan.update_values(sp.zeros(csr.nnz + 1, device=device))
    with pytest.raises(TypeError):
        sp.Plan(a)
    with pytest.raises(ValueError, match="plan: n is -1"):
        sp.Plan(csr, n=-1)


def test_plans_are_updated_between_products(random):
    a, b = random_sparse(random, 60, 80, integers=True), random.integers(-4, 5, (80, 30)).astype(np.float32)
    csr = sp.to_csr(a)
    plan, once, twice = sp.Plan(csr, n=30), a @ b + np.float32(0), 2 * (a @ b) + np.float32(0)
    stop, wrong = threading.Event(), []

    def multiply():
        while not stop.is_set():
            got = (plan @ b).numpy()
            if not (np.array_equal(got, once) or np.array_equal(got, twice)):
                wrong.append(got)

    workers = [threading.Thread(target=multiply) for _ in range(3)]
    for worker in workers:
        worker.start()
    for i in range(200):
        plan.update_values(csr.values * (1 + i % 2))
    stop.set()
    for worker in workers:
        worker.join()
    assert not wrong


def test_bad_operands():
    a = sp.to_csr(np.eye(3, 4, dtype=np.float32))
    b = np.ones((4, 2), np.float32)
    with pytest.raises(ValueError, match=r"spmm: b has 3 rows, expected a.cols\(\) = 4"):
        sp.spmm(a, b[:3])
    with pytest.raises(ValueError, match="spmm: b is float64, expected float32 like the matrix"):
        sp.spmm(a, b.astype(np.float64))
    with pytest.raises(ValueError, match=r"spmm: b has shape \(4,\), expected 2 dim"):
        sp.spmm(a, b[:, 0])
    with pytest.raises(ValueError, match=r"spmm: bias has shape \(2,\), expected \(3,\)"):
        sp.spmm(a, b, bias=np.ones(2, np.float32))
    with pytest.raises(ValueError, match=r"spmm: out has shape \(3, 3\), expected \(3, 2\)"):
        sp.spmm(a, b, out=sp.zeros((3, 3)))
    with pytest.raises(ValueError, match="spmm: beta is .* without out"):
        sp.spmm(a, b, beta=1)
    with pytest.raises(ValueError, match="spmm: order is quick, expected canonical or fast"):
        sp.spmm(a, b, order="quick")
    with pytest.raises(ValueError, match="spmm: order is 3, expected canonical or fast"):
        sp.spmm(a, b, order=3)
    with pytest.raises(ValueError, match="spmm: a is int64, expected a floating type"):
        sp.spmm(sp.to_csr(np.eye(3, dtype=np.int64)), np.eye(3, dtype=np.int64))
    with pytest.raises(ValueError, match="linear: x has 3 columns"):
        sp.linear(np.ones((2, 3), np.float32), a)
    with pytest.raises(ValueError, match="linear: w has 4 columns, expected x's, 3"):
        sp.linear(np.ones((2, 3), np.float32), np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match="matmul: y has 4 rows, expected x's columns, 2"):
        sp.matmul(b, b)
    with pytest.raises(TypeError, match="spmm: a is of type numpy.ndarray, expected a Csr or a Plan"):
        sp.spmm(b, b)
    with pytest.raises(TypeError):
        sp.spmm(a)
    with pytest.raises(TypeError):
        a @ "b"
    with pytest.raises(TypeError):
        sp.tensor(b) @ None
    with pytest.raises(TypeError, match="spmm: out is of type list"):
        sp.spmm(a, b, out=[])


def test_overlap_is_refused():
    square = sp.to_csr(np.eye(4, dtype=np.float32))
    b = sp.tensor(np.ones((4, 4), np.float32))
    with pytest.raises(ValueError, match="spmm: out"):
        sp.spmm(square, b, out=b)
    same_bits(b.numpy(), np.ones((4, 4), np.float32))
    array = np.ones((4, 4), np.float32)
    with pytest.raises(ValueError, match="matmul: out"):
        sp.matmul(array, array, out=array)


def test_devices_do_not_mix(device):
    if device == "cpu":
        return
    a = sp.to_csr(np.eye(3, dtype=np.float32))
    with pytest.raises(ValueError, match=f"spmm: b is on {device}, expected cpu"):
        sp.spmm(a, sp.zeros((3, 2), device=device))
    with pytest.raises(ValueError, match=f"expected {device}"):
        sp.Plan(a.to(device)).update_values(np.ones(3, np.float32))
