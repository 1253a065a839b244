"""What pickles refer to: a pickled tensor is an array, a dtype and a device."""

from __future__ import annotations

import numpy.typing

from . import _sparsert


def tensor(array: numpy.typing.ArrayLike, dtype: str, device: str) -> _sparsert.Tensor:
    return _sparsert.tensor(array, dtype, device)
