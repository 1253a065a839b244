#!/usr/bin/env python3
# bench/exchange.py — one step of data-parallel training on local ranks: sparse against dense, over MPI and Gloo.
"""Times compress + exchange + apply of a gradient on N local ranks, beside MPI_Allreduce and Gloo on all of it.

    python bench/exchange.py --n 100000000 --ratio 0.001 --ranks 2 4

starts `mpirun` for each number of ranks, and prints a row of seconds (the slowest rank, the least of some steps) for

    compress     top-k with error feedback
    exchange     the allreduce of packets, until every rank holds the dense sums
    apply        parameters less the sums
    MPI          MPI_Allreduce of the dense gradient, and apply
    Gloo         torch.distributed's, where PyTorch is installed, and apply
"""

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np


def best_steps(steps, barrier, *parts):
    """For each part the time of the best step, as the total has it."""
    best = None
    for _ in range(steps):
        barrier()
        times = [time.perf_counter()]
        for part in parts:
            part()
            times.append(time.perf_counter())
        taken = [b - a for a, b in zip(times, times[1:])]
        if best is None or sum(taken) < sum(best):
            best = taken
    return best


class Mpi:
    """The few calls that are timed, of the library that the ranks have loaded."""

    def __init__(self):
        self.library = ctypes.CDLL("libmpi.so.40", mode=ctypes.RTLD_GLOBAL)

    def handle(self, name):
        return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(self.library, name)))

    def barrier(self):
        self.library.MPI_Barrier(self.handle("ompi_mpi_comm_world"))

    def allreduce(self, array, operation="ompi_mpi_op_sum"):
        result = np.empty_like(array)
        kind = {np.dtype(np.float32): "ompi_mpi_float", np.dtype(np.float64): "ompi_mpi_double"}[array.dtype]
        code = self.library.MPI_Allreduce(
            array.ctypes.data_as(ctypes.c_void_p),
            result.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int(array.size),
            self.handle(kind),
            self.handle(operation),
            self.handle("ompi_mpi_comm_world"),
        )
        assert code == 0
        return result


def rank(arguments):
    import sparsert as sp

    sp.set_num_threads(max(1, (os.cpu_count() or 1) // arguments.size))
    group = sp.dist.mpi(deadline=300.0, algorithm=arguments.algorithm)
    mpi = Mpi()
    n = arguments.n
    grad = np.random.default_rng(group.rank).standard_normal(n, dtype=np.float32)
    tensor = sp.from_dlpack(grad)
    parameters = np.zeros(n, np.float32)
    compressor = sp.gradient.TopK(ratio=arguments.ratio)
    held = {}

    def apply():
        np.subtract(parameters, held["sums"], out=parameters)

    def exchange():
        held["sums"] = group.allreduce(held["packet"])["w"].numpy()

    def compress():
        held["packet"] = compressor.compress({"w": tensor})

    def dense():
        held["sums"] = mpi.allreduce(grad)

    times = best_steps(arguments.steps, mpi.barrier, compress, exchange, apply)
    row = {"compress": times[0], "exchange": times[1], "apply": times[2], "sparse": sum(times)}
    sent = group.traffic["bytes_sent"]
    row["MPI"] = sum(best_steps(arguments.steps, mpi.barrier, dense, apply))
    try:
        import torch.distributed as td

        store = "file://" + arguments.store
        td.init_process_group("gloo", init_method=store, rank=group.rank, world_size=group.size)

        def gloo():
            held["sums"] = grad.copy()
            td.all_reduce(td_tensor(held["sums"]))

        row["Gloo"] = sum(best_steps(arguments.steps, mpi.barrier, gloo, apply))
    except ImportError:
        pass
    names = sorted(row)
    slowest = mpi.allreduce(np.array([row[name] for name in names]), "ompi_mpi_op_max")
    if group.rank == 0:
        row = dict(zip(names, slowest.tolist()))
        print(json.dumps({"n": n, "ratio": arguments.ratio, "ranks": group.size, "bytes_sent": sent, **row}), flush=True)


def td_tensor(array):
    import torch

    return torch.from_numpy(array)


def main():
    parser = argparse.ArgumentParser(description="Sparse against dense allreduce on local ranks.")
    parser.add_argument("--n", type=int, nargs="+", default=[100_000_000])
    parser.add_argument("--ratio", type=float, nargs="+", default=[0.001])
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--algorithm", default="automatic")
    parser.add_argument("--size", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.size:
        arguments.n, arguments.ratio = arguments.n[0], arguments.ratio[0]
        return rank(arguments)
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        sys.exit("exchange.py: no mpirun on this machine")
    for n in arguments.n:
        for ratio in arguments.ratio:
            for size in arguments.ranks:
                with tempfile.TemporaryDirectory() as folder:
                    command = [mpirun, "--allow-run-as-root", "--oversubscribe", "-n", str(size), sys.executable, __file__]
                    options = ["--n", n, "--ratio", ratio, "--steps", arguments.steps, "--size", size]
                    options += ["--algorithm", arguments.algorithm, "--store", folder + "/store"]
                    subprocess.run([*command, *map(str, options)], check=True)


if __name__ == "__main__":
    main()
