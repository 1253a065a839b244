"""
The compiled part of sparsert. Its names are public through the package `sparsert`.
"""

from collections.abc import Sequence
import types
from typing import Any, TypeVar

import numpy
import numpy.typing


def devices() -> list[str]:
    """
    The devices usable here: "cpu", "reference", "simt" when built in, and every "cuda:N".
    """

def default_device() -> str:
    """The first CUDA device if one is usable, else "cpu". Chosen once."""

def default_device_reason() -> str:
    """Why `default_device()` is what it is."""

def set_num_threads(threads: int) -> None:
    """
    Threads the CPU backend uses from now on; 0 means all. ValueError for a negative count.
    """

def get_num_threads() -> int:
    """Threads the CPU backend uses."""

class DeviceProperties:
    """What one GPU says of itself."""

    @property
    def id(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def compute_capability(self) -> tuple[int, int]: ...

    @property
    def memory_total(self) -> int:
        """Bytes."""

    @property
    def memory_free(self) -> int:
        """Bytes, at the time of the call."""

    @property
    def multiprocessors(self) -> int: ...

    def __repr__(self) -> str: ...

def cuda_is_available() -> bool: ...

def cuda_device_count() -> int: ...

def cuda_version() -> str | None: ...

def cuda_driver_version() -> str | None: ...

def cuda_unavailable_reason() -> str | None: ...

def cuda_current_device() -> int: ...

def cuda_set_device(device: int) -> None: ...

def cuda_device_properties(device: int) -> DeviceProperties: ...

def cuda_synchronize() -> None: ...

class Tensor:
    """
    A contiguous, row-major array on one device. Made by `tensor`, `from_dlpack`, `zeros` and the operations.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def ndim(self) -> int: ...

    @property
    def dtype(self) -> numpy.dtype[Any]: ...

    @property
    def device(self) -> str: ...

    @property
    def nbytes(self) -> int: ...

    @property
    def read_only(self) -> bool:
        """True for memory that nothing may write to, such as a matrix's indices."""

    def numel(self) -> int:
        """Number of elements."""

    def data_ptr(self) -> int:
        """Address of the first element."""

    def to(self, device: str) -> Tensor:
        """
        This tensor where it is on `device` already, else a copy there. DeviceUnavailable with the reason.
        """

    def cpu(self) -> Tensor:
        """`to("cpu")`."""

    def clone(self) -> Tensor:
        """A copy in writable memory."""

    def numpy(self) -> numpy.typing.NDArray[Any]:
        """
        The memory as a NumPy array, without a copy; read-only where the tensor is. ValueError on a GPU: use `cpu()`.
        """

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """The same memory under another shape; one size may be -1."""

    def astype(self, dtype: numpy.typing.DTypeLike) -> Tensor:
        """
        A copy in another dtype: nearest even to floats; toward zero, saturating, NaN to 0, to integers.
        """

    def item(self) -> Any:
        """The value of a tensor of one element."""

    def tolist(self) -> Any:
        """Nested lists of numbers."""

    def __len__(self) -> int: ...

    def __bool__(self) -> bool: ...

    def __repr__(self) -> str: ...

    def __reduce__(self) -> tuple[Any, ...]: ...

    def __array__(self, dtype: numpy.typing.DTypeLike | None = None, copy: bool | None = None) -> numpy.typing.NDArray[Any]: ...

    def __dlpack__(self, *, stream: int | None = None, max_version: tuple[int, int] | None = None, dl_device: tuple[int, int] | None = None, copy: bool | None = None) -> types.CapsuleType: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...

    __array_priority__: int = 1000

    def __add__(self, other: Tensor | numpy.typing.ArrayLike, /) -> Tensor: ...

    def __radd__(self, other: Tensor | numpy.typing.ArrayLike, /) -> Tensor: ...

    def __sub__(self, other: Tensor | numpy.typing.ArrayLike, /) -> Tensor: ...

    def __rsub__(self, other: Tensor | numpy.typing.ArrayLike, /) -> Tensor: ...

    def __mul__(self, other: Tensor | numpy.typing.ArrayLike, /) -> Tensor: ...

    def __rmul__(self, other: Tensor | numpy.typing.ArrayLike, /) -> Tensor: ...

    def __pow__(self, exponent: int, modulo: None = None, /) -> Tensor: ...

    def __eq__(self, other: object, /) -> bool: ...

    def __ne__(self, other: object, /) -> bool: ...

def tensor(array: Tensor | numpy.typing.ArrayLike, dtype: numpy.typing.DTypeLike | None = None, device: str | None = None) -> Tensor:
    """
    A copy of an array, of nested lists of numbers, a scalar, a tensor, or anything with DLPack.

    Without `dtype` arrays keep theirs; Python's floats become float32, its integers int64. Without `device`
    host data goes to the CPU, and a tensor's stays where it is. ValueError for a dtype that sparsert lacks,
    TypeError for what is no array, DeviceUnavailable with the reason.
    """

def from_dlpack(x: object) -> Tensor:
    """
    The memory of another library's array, without a copy. ValueError where it is strided.
    """

def zeros(shape: int | Sequence[int], dtype: numpy.typing.DTypeLike | None = None, device: str | None = None) -> Tensor:
    """Zeros of `shape`, float32 and on the CPU unless said."""

def add(x: Tensor | numpy.typing.ArrayLike, y: Tensor | numpy.typing.ArrayLike) -> Tensor:
    """
    x + y. Same dtype and device; same shape, or one operand has one element. A number takes the other's dtype.
    """

def subtract(x: Tensor | numpy.typing.ArrayLike, y: Tensor | numpy.typing.ArrayLike) -> Tensor:
    """x - y. Operands as for `add`."""

def multiply(x: Tensor | numpy.typing.ArrayLike, y: Tensor | numpy.typing.ArrayLike) -> Tensor:
    """x * y; integers wrap. Operands as for `add`."""

def power(x: Tensor | numpy.typing.ArrayLike, exponent: int) -> Tensor:
    """x to an integer power of 0 to 1024, by repeated multiplication."""

def equal(x: Tensor | numpy.typing.ArrayLike, y: Tensor | numpy.typing.ArrayLike) -> bool:
    """
    True for the same shape, dtype and values; NaN equals nothing. ValueError for operands on two devices.
    """

def relu(x: Tensor | numpy.typing.ArrayLike) -> Tensor:
    """max(x, 0), any shape and dtype: NaN stays NaN, -0 gives +0."""

T = TypeVar("T")

def relu_(x: T) -> T:
    """
    `relu` written over x, a tensor or a contiguous array; returns x. ValueError for read-only memory.
    """

def relu_backward(grad: Tensor | numpy.typing.ArrayLike, x: Tensor | numpy.typing.ArrayLike) -> Tensor:
    """
    grad where x > 0, 0 where x <= 0, NaN where x is NaN. Same shape, dtype and device.
    """
