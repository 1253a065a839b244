"""Names for the types that the functions of sparsert take and give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Union

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from . import _sparsert

__all__ = [
    "Array",
    "ArrayLike",
    "ArrayOperand",
    "BagMode",
    "Convertible",
    "DType",
    "DTypeLike",
    "MatrixLike",
    "Operand",
    "Order",
    "Output",
    "ShapeLike",
    "SparseLike",
    "WeightLike",
]

#: What NumPy gives and writes to.
Array = npt.NDArray[Any]

#: Memory that an operation writes to.
Output = Union["_sparsert.Tensor", Array]

#: What an operation takes where it needs a tensor: tensors, arrays, anything with DLPack, nested lists of numbers.
ArrayLike = Union["_sparsert.Tensor", npt.ArrayLike]

#: The other operand of ``@``, and of arithmetic operators.
ArrayOperand = Union["_sparsert.Tensor", Array]
Operand = Union[ArrayOperand, np.generic, float]

#: A dtype, and the ways to name one.
DType = np.dtype[Any]
DTypeLike = npt.DTypeLike

#: A sparse matrix of any format.
SparseLike = Union[
    "_sparsert.Csr",
    "_sparsert.Coo",
    "_sparsert.Csc",
    "_sparsert.Bsr",
    "_sparsert.Nm",
    "_sparsert.Bitmap",
]

#: What a product takes as its sparse matrix, and ``linear`` as its weight.
MatrixLike = Union[SparseLike, "_sparsert.Plan"]
WeightLike = Union[MatrixLike, ArrayLike]

#: What ``to_csr``, ``to_bsr`` and the other conversions take.
Convertible = Union[SparseLike, ArrayLike]

#: One size, or a sequence of them.
ShapeLike = Union[int, Sequence[int]]

#: How an operation orders its sums: the same bits everywhere, or a stated bound.
Order = Literal["canonical", "fast"]

#: How an embedding bag puts its rows together.
BagMode = Literal["sum", "mean", "max"]
