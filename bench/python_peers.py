#!/usr/bin/env python3
"""bench/python_peers.py — sparsert from Python against NumPy, SciPy and PyTorch, those that are installed.

Each case is checked before it is timed; all contenders of a case are timed in turn. The table goes to standard output,
with --json the same as JSON. Set PYTHONPATH to where the sparsert package is.
"""
import argparse
import json
import os
import platform
import sys
import time

MICROSECOND = 1e-6


def clock():
    """Wall time and processor time of this process."""
    return time.perf_counter(), time.process_time()


def time_interleaved(contenders, seconds, one_thread):
    """Best seconds per call for each (name, function). On one thread processor time counts where it is less: what other
    programs take of the processor is theirs."""
    calls = {}
    for name, function in contenders:
        function()
        start = time.perf_counter()
        function()
        calls[name] = max(1, int(0.002 / max(time.perf_counter() - start, 1e-9)))
    best = dict.fromkeys(calls, float("inf"))
    deadline = time.perf_counter() + seconds
    rounds = 0
    while rounds < 5 or time.perf_counter() < deadline:
        for name, function in contenders:
            count = calls[name]
            wall, cpu = clock()
            for _ in range(count):
                function()
            wall_end, cpu_end = clock()
            spent = wall_end - wall
            if one_thread and count * best[name] > 0.002:
                spent = min(spent, cpu_end - cpu)
            best[name] = min(best[name], spent / count)
        rounds += 1
    return best


class Libraries:
    """What can be imported here, with versions."""

    def __init__(self):
        import numpy
        import sparsert
        self.np, self.sp = numpy, sparsert
        self.versions = {"sparsert": sparsert.__version__, "numpy": numpy.__version__}
        try:
            import scipy.sparse
            self.scipy_sparse = scipy.sparse
            self.versions["scipy"] = scipy.__version__
        except ImportError:
            self.scipy_sparse = None
        try:
            import torch
            self.torch = torch
            self.versions["torch"] = torch.__version__
        except ImportError:
            self.torch = None


def overhead_cases(lib, quick):
    """An operation on 1 x 1 operands: under 10 us from Python."""
    del quick
    np, sp = lib.np, lib.sp
    x = sp.tensor(np.array([[2.0]], dtype=np.float32))
    a = sp.to_csr(x)
    n = np.array([[2.0]], dtype=np.float32)
    for name, ours, peer in [("relu", lambda: sp.relu(x), lambda: np.maximum(n, 0)),
                             ("add", lambda: x + x, lambda: n + n),
                             ("spmm", lambda: sp.spmm(a, x), lambda: n @ n),
                             ("matmul", lambda: sp.matmul(x, x), lambda: n @ n),
                             ("topk", lambda: sp.topk(x, 1), lambda: np.argsort(-np.abs(n))),
                             ("prune", lambda: sp.prune.magnitude(x, 0.25), None)]:
        contenders = [("sparsert", ours)] + ([("numpy", peer)] if peer else [])
        yield "overhead", f"{name} 1x1", contenders, lambda: None, ("under 10 us", 10 * MICROSECOND)


def relu_cases(lib, quick):
    np, sp = lib.np, lib.sp
    n = (1 << 20) if quick else (64 << 20)
    values = np.random.default_rng(1).standard_normal(n, dtype=np.float32)
    x, out = sp.tensor(values), np.empty_like(values)
    contenders = [("sparsert", lambda: sp.relu(x)), ("numpy", lambda: np.maximum(values, 0, out=out))]
    if lib.torch:
        t = lib.torch.from_numpy(values)
        contenders.append(("torch", lambda: lib.torch.relu(t)))

    def check():
        assert np.array_equal(sp.relu(x).numpy(), np.maximum(values, 0))

    yield "relu", f"float32 n={n}", contenders, check, None


def topk_cases(lib, quick):
    np, sp = lib.np, lib.sp
    for n in [10**5] if quick else [10**6, 10**7]:
        values = np.random.default_rng(1).standard_normal(n, dtype=np.float32)
        x = sp.tensor(values)
        for share in (0.001, 0.01):
            k = int(n * share)

            def numpy_way(k=k, n=n, values=values):
                magnitude = np.abs(values)
                chosen = np.argpartition(magnitude, n - k)[n - k:]
                return chosen[np.argsort(-magnitude[chosen], kind="stable")]

            contenders = [("sparsert", lambda x=x, k=k: sp.topk(x, k)), ("numpy", numpy_way)]
            if lib.torch:
                t = lib.torch.from_numpy(values)
                contenders.append(("torch", lambda t=t, k=k: lib.torch.topk(t.abs(), k)))

            def check(x=x, k=k, values=values):
                got, indices = sp.topk(x, k)
                assert np.array_equal(values[indices.numpy()], got.numpy())
                assert np.array_equal(np.abs(got.numpy()), -np.sort(-np.abs(values))[:k])

            yield "topk", f"n={n} k={k}", contenders, check, None


def prune_cases(lib, quick):
    np, sp = lib.np, lib.sp
    n = 10**5 if quick else 16 << 20
    values = np.random.default_rng(1).standard_normal(n, dtype=np.float32)
    x = sp.tensor(values)
    remove = round(0.9 * n)

    def numpy_way():
        magnitude = np.abs(values)
        return values * (magnitude > np.partition(magnitude, remove - 1)[remove - 1])

    contenders = [("sparsert", lambda: sp.prune.magnitude(x, 0.9)), ("numpy", numpy_way)]
    if lib.torch:
        t = lib.torch.from_numpy(values)

        def torch_way():
            mask = lib.torch.ones_like(t)
            mask[lib.torch.topk(t.abs(), remove, largest=False)[1]] = 0
            return t * mask

        contenders.append(("torch", torch_way))

    def check():
        assert np.count_nonzero(sp.prune.magnitude(x, 0.9).numpy() == 0) == remove

    yield "prune", f"n={n} 90%", contenders, check, None


def spmm_cases(lib, quick):
    np, sp = lib.np, lib.sp
    size = 256 if quick else 1024
    for zeros in (0.7, 0.9, 0.95):
        random = np.random.default_rng(1)
        dense = random.standard_normal((size, size), dtype=np.float32)
        dense[random.random((size, size)) < zeros] = 0
        b = random.standard_normal((size, 128), dtype=np.float32)
        plan, x = sp.Plan(sp.to_csr(sp.tensor(dense)), n=128), sp.tensor(b)
        contenders = [("sparsert", lambda plan=plan, x=x: sp.spmm(plan, x)), ("numpy", lambda d=dense, b=b: d @ b)]
        if lib.scipy_sparse:
            s = lib.scipy_sparse.csr_array(dense)
            contenders.append(("scipy", lambda s=s, b=b: s @ b))
        if lib.torch:
            t, tb = lib.torch.from_numpy(dense).to_sparse_csr(), lib.torch.from_numpy(b)
            contenders.append(("torch", lambda t=t, tb=tb: t @ tb))

        def check(plan=plan, x=x, dense=dense, b=b):
            exact = dense.astype(np.float64) @ b.astype(np.float64)
            bound = 2.0**-23 * size * (np.abs(dense).astype(np.float64) @ np.abs(b))
            assert np.all(np.abs(sp.spmm(plan, x).numpy() - exact) <= bound)

        yield "spmm", f"{size}x{size} n=128 {round(100 * zeros)}% zeros", contenders, check, None


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--op", default="", help="only operations whose name contains this")
    parser.add_argument("--seconds", type=float, default=1.0, help="measuring time of a case")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="small cases")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)  # before the libraries are imported
    lib = Libraries()
    lib.sp.set_num_threads(options.threads)
    if lib.torch:
        lib.torch.set_num_threads(options.threads)
    rows = []
    for family in (overhead_cases, relu_cases, topk_cases, prune_cases, spmm_cases):
        if options.op not in family.__name__:
            continue
        for op, name, contenders, check, goal in family(lib, options.quick):
            check()
            seconds = 0.05 if options.quick else options.seconds
            best = time_interleaved(contenders, seconds, options.threads == 1)
            row = {"op": op, "name": name, "seconds": best,
                   "ratios": {peer: best[peer] / best["sparsert"] for peer in best if peer != "sparsert"}}
            if goal:
                row["goal"] = {"text": goal[0], "met": best["sparsert"] <= goal[1]}
            rows.append(row)
            if not options.json:
                ratios = ", ".join(f"{ratio:.2f}x {peer}" for peer, ratio in row["ratios"].items())
                verdict = f"; {'met' if row['goal']['met'] else 'MISSED'}: {goal[0]}" if goal else ""
                print(f"{op + ' ' + name:40}{best['sparsert'] * 1e6:12.2f} us  {ratios}{verdict}", flush=True)
    if options.json:
        json.dump({"versions": lib.versions, "python": platform.python_version(), "threads": options.threads,
                   "load_average": os.getloadavg()[0], "cases": rows}, sys.stdout, indent=2)
        print()
    else:
        print("versions: " + ", ".join(f"{name} {version}" for name, version in lib.versions.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
