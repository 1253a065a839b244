"""Making zeros in parameters."""

from __future__ import annotations

from collections.abc import Mapping

from . import _sparsert
from ._sparsert import Tensor
from .typing import ArrayLike

__all__ = ["global_magnitude", "magnitude"]


def magnitude(x: ArrayLike, amount: float) -> Tensor:
    """x with exactly round(amount * x.numel()) entries set to 0 (half to even): the smallest magnitudes.

    Ties go from the highest index; NaN ranks above Inf and is kept. Any shape, a floating dtype. ValueError for an
    amount outside [0, 1], or one that would reach a NaN; NotImplementedError for an integer dtype.
    """
    return _sparsert.prune_magnitude(x, amount)


def global_magnitude(tensors: Mapping[str, ArrayLike], amount: float) -> dict[str, Tensor]:
    """The same over all tensors as if they were one, in the mapping's order; all of one dtype and device."""
    return dict(_sparsert.prune_global_magnitude(list(tensors.items()), amount))
