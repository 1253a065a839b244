"""sparsert: a sparse compute runtime for deep learning, with the same bits on CPU and GPU."""

from . import cuda as cuda
from . import prune as prune
from . import typing as typing
from ._sparsert import (
    Coo,
    Csr,
    FileInfo,
    Plan,
    StateDict,
    Tensor,
    TensorInfo,
    __version__,
    add,
    count_nonzero,
    default_device,
    default_device_reason,
    devices,
    equal,
    from_dlpack,
    from_scipy,
    get_num_threads,
    inspect_file,
    linear,
    load,
    matmul,
    multiply,
    power,
    relu,
    relu_,
    relu_backward,
    save,
    set_num_threads,
    sparsity,
    spmm,
    subtract,
    tensor,
    to_coo,
    to_csr,
    topk,
    zeros,
)
from .errors import CommError, DeviceLost, DeviceUnavailable, FileError

__all__ = [
    "CommError", "Coo", "Csr", "DeviceLost", "DeviceUnavailable", "FileError", "FileInfo", "Plan", "StateDict",
    "Tensor", "TensorInfo", "__version__", "add", "count_nonzero", "cuda", "default_device",
    "default_device_reason", "devices", "equal", "from_dlpack", "from_scipy", "get_num_threads", "inspect_file",
    "linear", "load", "matmul", "multiply", "power", "prune", "relu", "relu_", "relu_backward", "save",
    "set_num_threads", "sparsity", "spmm", "subtract", "tensor", "to_coo", "to_csr", "topk", "typing", "zeros",
]
