"""sparsert: a sparse compute runtime for deep learning, with the same bits on CPU and GPU."""

from . import cuda as cuda
from .errors import CommError, DeviceLost, DeviceUnavailable, FileError
from ._sparsert import (
    Tensor,
    __version__,
    add,
    default_device,
    default_device_reason,
    devices,
    equal,
    from_dlpack,
    get_num_threads,
    multiply,
    power,
    relu,
    relu_,
    relu_backward,
    set_num_threads,
    subtract,
    tensor,
    zeros,
)

__all__ = [
    "CommError", "DeviceLost", "DeviceUnavailable", "FileError", "Tensor", "__version__", "add", "cuda",
    "default_device", "default_device_reason", "devices", "equal", "from_dlpack", "get_num_threads", "multiply", "power",
    "relu", "relu_", "relu_backward", "set_num_threads", "subtract", "tensor", "zeros",
]
