"""Making zeros in parameters.

An amount is a share of the entries, blocks or slices; exactly round(amount * count) of them go (half to even), ties
from the highest index. NaN ranks above Inf and is kept. ValueError for an amount outside [0, 1], or one that would
reach a NaN; NotImplementedError for an integer dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Union

from . import _sparsert
from . import schedule as schedule
from ._sparsert import DynamicSparse, InputNorms, Tensor
from .typing import ArrayLike

__all__ = [
    "DynamicSparse",
    "InputNorms",
    "block",
    "block_norms",
    "global_block",
    "global_magnitude",
    "group_soft_threshold",
    "hard_threshold",
    "kept_slices",
    "magnitude",
    "n_m",
    "random",
    "schedule",
    "soft_threshold",
    "structured",
    "take",
    "wanda",
]

Group = Literal["tensor", "row"]
#: 1, 2, or the largest magnitude: float("inf") or "inf".
Norm = Union[int, float, str]


def _norm(norm: Norm) -> str:
    return {1: "1", 2: "2", float("inf"): "inf"}.get(norm, str(norm))  # type: ignore[arg-type]


def magnitude(x: ArrayLike, amount: float, group: Group = "tensor") -> Tensor:
    """The smallest magnitudes go: of the whole tensor, or the same amount of each row (the first dimension)."""
    return _sparsert.prune_magnitude(x, amount, group)


def global_magnitude(tensors: Mapping[str, ArrayLike], amount: float) -> dict[str, Tensor]:
    """The same over all tensors as if they were one, in the mapping's order; all of one dtype and device."""
    return dict(_sparsert.prune_global_magnitude(list(tensors.items()), amount))


def random(x: ArrayLike, amount: float, seed: int = 0) -> Tensor:
    """Entries drawn at random go: the same for one seed on every device."""
    return _sparsert.prune_random(x, amount, seed)


def n_m(x: ArrayLike, n: int, m: int, axis: int = -1) -> Tensor:
    """Of each m entries along an axis the n largest magnitudes stay, ties to the lower index; m is at most 32.

    Where m does not divide the axis, the last group is smaller.
    """
    return _sparsert.prune_n_m(x, n, m, axis)


def block(x: ArrayLike, shape: tuple[int, int], amount: float, norm: Norm = 2) -> Tensor:
    """Whole blocks of a matrix (the first dimension, and the rest) go, those with the smallest norms."""
    return _sparsert.prune_block(x, shape, amount, _norm(norm))


def global_block(
    tensors: Mapping[str, ArrayLike], shape: tuple[int, int], amount: float, norm: Norm = 2
) -> dict[str, Tensor]:
    """The same over all tensors as if they were one."""
    return dict(_sparsert.prune_global_block(list(tensors.items()), shape, amount, _norm(norm)))


def block_norms(x: ArrayLike, shape: tuple[int, int], norm: Norm = 2) -> Tensor:
    """Norms of the blocks of a matrix: (down, across), float64."""
    return _sparsert.prune_block_norms(x, shape, _norm(norm))


def structured(x: ArrayLike, amount: float, axis: int = 0, norm: Norm = 2, width: int = 1) -> Tensor:
    """Whole slices along an axis (rows, columns, channels) go, those with the smallest norms.

    With `width` > 1 that many neighbours are one slice, as in the head of an attention layer.
    """
    return _sparsert.prune_structured(x, amount, axis, _norm(norm), width)


def kept_slices(x: ArrayLike, amount: float, axis: int = 0, norm: Norm = 2, width: int = 1) -> Tensor:
    """Positions along the axis of what `structured` would keep: int64, ascending."""
    return _sparsert.prune_kept_slices(x, amount, axis, _norm(norm), width)


def take(x: ArrayLike, indices: ArrayLike, axis: int = 0) -> Tensor:
    """x at `indices` of an axis: the shrunk tensor.

    With the indices of `kept_slices` of a layer's rows it is that layer, its bias, and along axis 1 the layers that
    read its outputs.
    """
    return _sparsert.prune_take(x, indices, axis)


def wanda(x: ArrayLike, input_norms: ArrayLike, amount: float, group: Group = "row") -> Tensor:
    """The smallest |x| * input_norms go, of each row or of the whole tensor: x is (out, in), `input_norms` (in).

    `InputNorms` makes the norms from batches of a calibration run.
    """
    return _sparsert.prune_wanda(x, input_norms, amount, group)


def soft_threshold(x: ArrayLike, lam: float) -> Tensor:
    """sign(x) * max(|x| - lam, 0): the proximal step of lam * sum(|x|)."""
    return _sparsert.prune_soft_threshold(x, lam)


def hard_threshold(x: ArrayLike, lam: float) -> Tensor:
    """x where |x| > lam, else 0: the proximal step of lam**2 / 2 times the number of non-zeros."""
    return _sparsert.prune_hard_threshold(x, lam)


def group_soft_threshold(x: ArrayLike, lam: float, axis: int = 0) -> Tensor:
    """x * max(1 - lam / norm, 0) of each slice along an axis: the proximal step of lam times the sum of their norms."""
    return _sparsert.prune_group_soft_threshold(x, lam, axis)
