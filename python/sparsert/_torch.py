"""Sparse tensors of PyTorch, told by their methods: PyTorch is imported only where a tensor of it is made."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from ._sparsert import Bsr, Coo, Csc, Csr
from .typing import SparseLike

__all__ = ["from_torch", "to_torch"]


def _array(tensor: Any) -> Any:
    """A tensor's elements as NumPy has them; bfloat16 by way of its bits, where ml_dtypes is installed."""
    host = tensor.detach().cpu()
    if str(host.dtype) == "torch.bfloat16":
        torch = importlib.import_module("torch")
        return host.view(torch.int16).numpy().view(importlib.import_module("ml_dtypes").bfloat16)
    return host.numpy()


def from_torch(tensor: Any, device: str | None = None) -> Coo | Csr | Csc | Bsr:
    """A copy of a sparse tensor of PyTorch (COO, CSR, CSC or BSR; two dimensions), on `device` or the CPU.

    TypeError for anything else, ValueError for a batch, for dense dimensions or for BSC.
    """
    layout = str(getattr(tensor, "layout", "")).removeprefix("torch.")
    if not layout.startswith("sparse"):
        raise TypeError(f"from_torch: tensor is of type {type(tensor).__name__}, expected a sparse tensor of PyTorch")
    shape = tuple(int(n) for n in tensor.shape)
    if len(shape) != 2 or layout == "sparse_bsc":
        raise ValueError(f"from_torch: tensor has layout {layout} and shape {shape}, expected COO, CSR, CSC or BSR, 2-D")
    matrix: Coo | Csr | Csc | Bsr
    if layout == "sparse_coo":
        if tensor.sparse_dim() != 2:
            raise ValueError(f"from_torch: tensor has {tensor.sparse_dim()} sparse dimensions, expected 2")
        indices = _array(tensor._indices())
        matrix = Coo(np.ascontiguousarray(indices[0]), np.ascontiguousarray(indices[1]), _array(tensor._values()), shape)
    elif layout == "sparse_csc":
        matrix = Csc(_array(tensor.ccol_indices()), _array(tensor.row_indices()), _array(tensor.values()), shape)
    else:
        made = Bsr if layout == "sparse_bsr" else Csr
        matrix = made(_array(tensor.crow_indices()), _array(tensor.col_indices()), _array(tensor.values()), shape)
    return matrix if device is None else matrix.to(device)


def to_torch(a: SparseLike) -> Any:
    """A copy as a sparse tensor of PyTorch on the CPU: COO, CSR, CSC and BSR as they are, all others as CSR.

    ImportError without PyTorch; ValueError for a BSR matrix whose blocks do not divide its shape.
    """
    torch = importlib.import_module("torch")

    def tensor(x: Any) -> Any:
        return torch.from_numpy(np.array(x.cpu().numpy(), copy=True))

    shape = a.shape
    if isinstance(a, Coo):
        indices = torch.stack([tensor(a.rows).long(), tensor(a.columns).long()])
        return torch.sparse_coo_tensor(indices, tensor(a.values), shape)
    if isinstance(a, Csc):
        return torch.sparse_csc_tensor(tensor(a.col_offsets), tensor(a.rows), tensor(a.values), shape)
    if isinstance(a, Bsr):
        if shape[0] % a.block[0] or shape[1] % a.block[1]:
            raise ValueError(f"to_torch: blocks of {a.block} do not divide {shape}, which PyTorch needs: use to_csr()")
        return torch.sparse_bsr_tensor(tensor(a.row_offsets), tensor(a.columns), tensor(a.values), shape)
    csr = a.to_csr()
    return torch.sparse_csr_tensor(tensor(csr.row_offsets), tensor(csr.columns), tensor(csr.values), shape)
