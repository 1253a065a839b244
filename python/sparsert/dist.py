"""Ranks that exchange compressed gradients: the same bits on all of them, or the same CommError.

    group = sp.dist.mpi()                                # under mpirun
    sums = group.allreduce(compressor.compress(grads))   # by name, dense

A collective has a deadline. Whatever goes wrong on one rank (it dies, stalls, disagrees, sends what cannot be read) is
the same CommError, with `rank` and `phase`, on every rank that is left, within the deadline and two seconds; the group
is unusable from then on, and `compressor.restore(packet)` puts back what was not delivered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from . import _sparsert
from ._sparsert import Group, LoopbackGroup, Packet, Tensor

Algorithm = Literal["automatic", "packets", "ranges"]

__all__ = ["Group", "LoopbackGroup", "loopback", "mpi", "sum"]


def loopback(
    size: int, *, deadline: float = 30.0, max_message: int = 1 << 30, algorithm: Algorithm = "automatic"
) -> LoopbackGroup:
    """A group of `size` ranks inside this process, for tests and debugging."""
    return _sparsert.dist_loopback(size, deadline, max_message, algorithm)


def mpi(*, deadline: float = 30.0, max_message: int = 1 << 30, algorithm: Algorithm = "automatic") -> Group:
    """This process's side of MPI's world: Open MPI, opened at run time. NotImplementedError where there is none.

    `deadline` is in seconds; payloads longer than `max_message` bytes are cut. By `algorithm` every packet goes to every
    rank ("packets"), or each rank adds a range of indices for all ("ranges"): the same bits.
    """
    return _sparsert.dist_mpi(deadline, max_message, algorithm)


def sum(packets: Sequence[Packet]) -> dict[str, Tensor]:
    """The sum of packets of one layout, entry by entry in their order: what an allreduce gives."""
    return dict(_sparsert.dist_sum(list(packets)))
