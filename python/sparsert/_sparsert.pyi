"""
The compiled part of sparsert. Its names are public through the package `sparsert`.
"""

from collections.abc import Iterator, Mapping, Sequence
import os
import pathlib
from typing import Any, TypeVar

from typing_extensions import CapsuleType

import sparsert.typing


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
    def dtype(self) -> sparsert.typing.DType: ...

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

    def numpy(self) -> sparsert.typing.Array:
        """
        The memory as a NumPy array, without a copy; read-only where the tensor is. ValueError on a GPU: use `cpu()`.
        """

    def reshape(self, *shape: sparsert.typing.ShapeLike) -> Tensor:
        """The same memory under another shape; one size may be -1."""

    def astype(self, dtype: sparsert.typing.DTypeLike) -> Tensor:
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

    def __array__(self, dtype: sparsert.typing.DTypeLike | None = None, copy: bool | None = None) -> sparsert.typing.Array: ...

    def __dlpack__(self, *, stream: int | None = None, max_version: tuple[int, int] | None = None, dl_device: tuple[int, int] | None = None, copy: bool | None = None) -> CapsuleType: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...

    __array_priority__: int = 1000

    def __add__(self, arg: sparsert.typing.Operand, /) -> Tensor: ...

    def __radd__(self, arg: sparsert.typing.Operand, /) -> Tensor: ...

    def __sub__(self, arg: sparsert.typing.Operand, /) -> Tensor: ...

    def __rsub__(self, arg: sparsert.typing.Operand, /) -> Tensor: ...

    def __mul__(self, arg: sparsert.typing.Operand, /) -> Tensor: ...

    def __rmul__(self, arg: sparsert.typing.Operand, /) -> Tensor: ...

    def __pow__(self, exponent: int, modulo: None = None, /) -> Tensor: ...

    def __eq__(self, other: object, /) -> bool: ...

    def __ne__(self, other: object, /) -> bool: ...

    def __matmul__(self, arg: sparsert.typing.ArrayOperand, /) -> Tensor: ...

    def __rmatmul__(self, arg: sparsert.typing.ArrayOperand, /) -> Tensor: ...

def tensor(array: sparsert.typing.ArrayLike, dtype: sparsert.typing.DTypeLike | None = None, device: str | None = None) -> Tensor:
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

def zeros(shape: sparsert.typing.ShapeLike, dtype: sparsert.typing.DTypeLike | None = None, device: str | None = None) -> Tensor:
    """Zeros of `shape`, float32 and on the CPU unless said."""

def add(x: sparsert.typing.ArrayLike, y: sparsert.typing.ArrayLike) -> Tensor:
    """
    x + y. Same dtype and device; same shape, or one operand has one element. A number takes the other's dtype.
    """

def subtract(x: sparsert.typing.ArrayLike, y: sparsert.typing.ArrayLike) -> Tensor:
    """x - y. Operands as for `add`."""

def multiply(x: sparsert.typing.ArrayLike, y: sparsert.typing.ArrayLike) -> Tensor:
    """x * y; integers wrap. Operands as for `add`."""

def power(x: sparsert.typing.ArrayLike, exponent: int) -> Tensor:
    """x to an integer power of 0 to 1024, by repeated multiplication."""

def equal(x: sparsert.typing.ArrayLike, y: sparsert.typing.ArrayLike) -> bool:
    """
    True for the same shape, dtype and values; NaN equals nothing. ValueError for operands on two devices.
    """

def relu(x: sparsert.typing.ArrayLike) -> Tensor:
    """max(x, 0), any shape and dtype: NaN stays NaN, -0 gives +0."""

T = TypeVar("T")

def relu_(x: T) -> T:
    """
    `relu` written over x, a tensor or a contiguous array; returns x. ValueError for read-only memory.
    """

def relu_backward(grad: sparsert.typing.ArrayLike, x: Csr | Bitmap | sparsert.typing.ArrayLike) -> Any:
    """
    grad where x > 0, 0 where x <= 0, NaN where x is NaN. Same shape, dtype and device.

    With what `relu_to_csr` or `relu_to_bitmap` gave for x: the same on its pattern, as sparse as that is.
    """

class Csr:
    """
    Compressed sparse rows: within a row the columns ascend, without duplicates.

    `row_offsets` (rows + 1) and `columns` (nnz) are int32 or int64, `values` (nnz) of any dtype. Arrays
    are copied and checked: ValueError that says what is wrong (offsets, range, order, duplicates), and where.
    """

    def __init__(self, row_offsets: sparsert.typing.ArrayLike, columns: sparsert.typing.ArrayLike, values: sparsert.typing.ArrayLike, shape: sparsert.typing.ShapeLike) -> None: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def nnz(self) -> int:
        """Entries stored, zeros among them."""

    @property
    def density(self) -> float:
        """Entries / (rows * columns); 0 for an empty matrix."""

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""

    @property
    def dtype(self) -> sparsert.typing.DType: ...

    @property
    def device(self) -> str: ...

    def to(self, device: str) -> Csr:
        """
        On `device`: shares what is there already. DeviceUnavailable with the reason.
        """

    def cpu(self) -> Csr:
        """`to("cpu")`."""

    def to_dense(self) -> Tensor:
        """A dense tensor of the same shape."""

    def validate(self) -> None:
        """
        Checks again what the constructor checks; ValueError that says what is wrong, and where.
        """

    @property
    def index_dtype(self) -> sparsert.typing.DType: ...

    def to_csr(self) -> Csr:
        """This matrix."""

    def to_coo(self) -> Coo:
        """In coordinates, row by row."""

    def to_csc(self) -> Csc:
        """In compressed columns."""

    def to_bsr(self, block: tuple[int, int]) -> Bsr:
        """In the blocks (r, c) that hold an entry."""

    def to_bitmap(self) -> Bitmap:
        """One bit an element, and the values."""

    def to_nm(self, n: int, m: int) -> Nm:
        """At most n of each m columns of a row; ValueError where there are more."""

    @property
    def row_offsets(self) -> Tensor:
        """(rows + 1), read-only."""

    @property
    def columns(self) -> Tensor:
        """(nnz), read-only."""

    @property
    def values(self) -> Tensor:
        """(nnz): the matrix's own memory."""

    def with_values(self, values: sparsert.typing.ArrayLike) -> Csr:
        """
        The same pattern with other values (nnz), of any dtype, on the same device. A tensor is shared, an array copied.
        """

    def __repr__(self) -> str: ...

    def __getitem__(self, rows: slice) -> Csr:
        """Rows, as a slice without steps."""

    def to_scipy(self) -> Any:
        """A copy as scipy.sparse.csr_array."""

    def __reduce__(self) -> tuple[Any, ...]: ...

    def __matmul__(self, arg: sparsert.typing.ArrayOperand, /) -> Tensor: ...

    def __add__(self, arg: Csr, /) -> Csr:
        """Entries of both are added, all others copied."""

class Coo:
    """
    Coordinates in any order; duplicates mean their sum, in the order given.

    `rows`, `columns` (nnz) are int32 or int64, `values` (nnz) of any dtype. Arrays are copied and checked:
    ValueError that says which index is out of range, and where.
    """

    def __init__(self, rows: sparsert.typing.ArrayLike, columns: sparsert.typing.ArrayLike, values: sparsert.typing.ArrayLike, shape: sparsert.typing.ShapeLike) -> None: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def nnz(self) -> int:
        """Entries stored, zeros among them."""

    @property
    def density(self) -> float:
        """Entries / (rows * columns); 0 for an empty matrix."""

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""

    @property
    def dtype(self) -> sparsert.typing.DType: ...

    @property
    def device(self) -> str: ...

    def to(self, device: str) -> Coo:
        """
        On `device`: shares what is there already. DeviceUnavailable with the reason.
        """

    def cpu(self) -> Coo:
        """`to("cpu")`."""

    def to_dense(self) -> Tensor:
        """A dense tensor of the same shape."""

    def validate(self) -> None:
        """
        Checks again what the constructor checks; ValueError that says what is wrong, and where.
        """

    @property
    def index_dtype(self) -> sparsert.typing.DType: ...

    def to_csr(self) -> Csr:
        """In compressed rows; stored zeros stay."""

    def to_coo(self) -> Coo:
        """This matrix."""

    def to_csc(self) -> Csc:
        """In compressed columns."""

    def to_bsr(self, block: tuple[int, int]) -> Bsr:
        """In the blocks (r, c) that hold an entry."""

    def to_bitmap(self) -> Bitmap:
        """One bit an element, and the values."""

    def to_nm(self, n: int, m: int) -> Nm:
        """At most n of each m columns of a row; ValueError where there are more."""

    @property
    def rows(self) -> Tensor:
        """(nnz), read-only."""

    @property
    def columns(self) -> Tensor:
        """(nnz), read-only."""

    @property
    def values(self) -> Tensor:
        """(nnz): the matrix's own memory."""

    def __repr__(self) -> str: ...

    def coalesce(self) -> Coo:
        """
        Sorted by row and column; duplicates summed left to right, in the order given.
        """

    def to_scipy(self) -> Any:
        """A copy as scipy.sparse.coo_array."""

    def __reduce__(self) -> tuple[Any, ...]: ...

def to_csr(x: sparsert.typing.Convertible, index_dtype: sparsert.typing.DTypeLike | None = None) -> Csr:
    """
    The non-zeros of a dense x (rows, columns): NaN is one, -0 is not. A sparse x is converted.

    Indices are int32 unless `index_dtype` says int64. ValueError for another rank or where they are too small.
    """

def to_coo(x: sparsert.typing.Convertible, index_dtype: sparsert.typing.DTypeLike | None = None) -> Coo:
    """
    The non-zeros of a dense x (rows, columns): NaN is one, -0 is not. A sparse x is converted.

    Indices are int32 unless `index_dtype` says int64. ValueError for another rank or where they are too small.
    """

def read_matrix_market(path: str | os.PathLike[str], dtype: sparsert.typing.DTypeLike | None = None) -> Coo:
    """
    A matrix of a Matrix Market file, in its order; float64 unless `dtype` says another float. FileError with the line.
    """

def write_matrix_market(path: str | os.PathLike[str], a: sparsert.typing.SparseLike) -> None:
    """
    Writes a `coordinate real general` file; every value is read back with its bits.
    """

def from_scipy(m: Any, device: str | None = None) -> Any:
    """
    A copy of a scipy.sparse matrix or array: Coo, Csc and Bsr for its COO, CSC and BSR, else Csr; unsorted indices are sorted, duplicates summed.

    TypeError for anything else, ValueError for a dtype that sparsert lacks.
    """

class Csc:
    """
    Compressed sparse columns: within a column the rows ascend, without duplicates.

    `col_offsets` (columns + 1), `rows` and `values` (nnz), copied and checked as for Csr.
    """

    def __init__(self, col_offsets: sparsert.typing.ArrayLike, rows: sparsert.typing.ArrayLike, values: sparsert.typing.ArrayLike, shape: sparsert.typing.ShapeLike) -> None: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def nnz(self) -> int:
        """Entries stored, zeros among them."""

    @property
    def density(self) -> float:
        """Entries / (rows * columns); 0 for an empty matrix."""

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""

    @property
    def dtype(self) -> sparsert.typing.DType: ...

    @property
    def device(self) -> str: ...

    def to(self, device: str) -> Csc:
        """
        On `device`: shares what is there already. DeviceUnavailable with the reason.
        """

    def cpu(self) -> Csc:
        """`to("cpu")`."""

    def to_dense(self) -> Tensor:
        """A dense tensor of the same shape."""

    def validate(self) -> None:
        """
        Checks again what the constructor checks; ValueError that says what is wrong, and where.
        """

    @property
    def index_dtype(self) -> sparsert.typing.DType: ...

    def to_csr(self) -> Csr:
        """In compressed rows; stored zeros stay."""

    def to_coo(self) -> Coo:
        """In coordinates, row by row."""

    def to_csc(self) -> Csc:
        """In compressed columns."""

    def to_bsr(self, block: tuple[int, int]) -> Bsr:
        """In the blocks (r, c) that hold an entry."""

    def to_bitmap(self) -> Bitmap:
        """One bit an element, and the values."""

    def to_nm(self, n: int, m: int) -> Nm:
        """At most n of each m columns of a row; ValueError where there are more."""

    @property
    def col_offsets(self) -> Tensor:
        """(columns + 1), read-only."""

    @property
    def rows(self) -> Tensor:
        """(nnz), read-only."""

    @property
    def values(self) -> Tensor:
        """(nnz): the matrix's own memory."""

    def __repr__(self) -> str: ...

    def to_scipy(self) -> Any:
        """A copy as scipy.sparse.csc_array."""

    def __reduce__(self) -> tuple[Any, ...]: ...

class Bsr:
    """
    Block compressed sparse rows: `values` (blocks, r, c), `columns` (blocks) of blocks, `row_offsets` one more
    than there are rows of blocks. A shape that blocks do not divide is padded inside the last ones; the padding
    is never read. `block` may be given to check it, or to shape flat values.
    """

    def __init__(self, row_offsets: sparsert.typing.ArrayLike, columns: sparsert.typing.ArrayLike, values: sparsert.typing.ArrayLike, shape: sparsert.typing.ShapeLike, block: tuple[int, int] | None = None) -> None: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def nnz(self) -> int:
        """Entries stored, zeros among them."""

    @property
    def density(self) -> float:
        """Entries / (rows * columns); 0 for an empty matrix."""

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""

    @property
    def dtype(self) -> sparsert.typing.DType: ...

    @property
    def device(self) -> str: ...

    def to(self, device: str) -> Bsr:
        """
        On `device`: shares what is there already. DeviceUnavailable with the reason.
        """

    def cpu(self) -> Bsr:
        """`to("cpu")`."""

    def to_dense(self) -> Tensor:
        """A dense tensor of the same shape."""

    def validate(self) -> None:
        """
        Checks again what the constructor checks; ValueError that says what is wrong, and where.
        """

    @property
    def index_dtype(self) -> sparsert.typing.DType: ...

    def to_csr(self) -> Csr:
        """In compressed rows; stored zeros stay."""

    def to_coo(self) -> Coo:
        """In coordinates, row by row."""

    def to_csc(self) -> Csc:
        """In compressed columns."""

    def to_bsr(self, block: tuple[int, int]) -> Bsr:
        """In the blocks (r, c) that hold an entry."""

    def to_bitmap(self) -> Bitmap:
        """One bit an element, and the values."""

    def to_nm(self, n: int, m: int) -> Nm:
        """At most n of each m columns of a row; ValueError where there are more."""

    @property
    def row_offsets(self) -> Tensor:
        """Read-only."""

    @property
    def columns(self) -> Tensor:
        """(blocks), of blocks, read-only."""

    @property
    def values(self) -> Tensor:
        """(blocks, r, c): the matrix's own memory."""

    @property
    def block(self) -> tuple[int, int]: ...

    @property
    def blocks(self) -> int:
        """Blocks stored."""

    def __repr__(self) -> str: ...

    def to_scipy(self) -> Any:
        """
        A copy as scipy.sparse.bsr_array; ValueError where blocks do not divide the shape.
        """

    def __reduce__(self) -> tuple[Any, ...]: ...

class Nm:
    """
    At most n entries in each m columns of a row, n <= m <= 32.

    `values` and `positions` (uint8) are (rows, groups * n): n slots for every m columns (the last may be fewer),
    filled from the left; positions are within the m, 255 for an empty slot. Copied and checked.
    """

    def __init__(self, values: sparsert.typing.ArrayLike, positions: sparsert.typing.ArrayLike, shape: sparsert.typing.ShapeLike, n: int, m: int) -> None: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def nnz(self) -> int:
        """Entries stored, zeros among them."""

    @property
    def density(self) -> float:
        """Entries / (rows * columns); 0 for an empty matrix."""

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""

    @property
    def dtype(self) -> sparsert.typing.DType: ...

    @property
    def device(self) -> str: ...

    def to(self, device: str) -> Nm:
        """
        On `device`: shares what is there already. DeviceUnavailable with the reason.
        """

    def cpu(self) -> Nm:
        """`to("cpu")`."""

    def to_dense(self) -> Tensor:
        """A dense tensor of the same shape."""

    def validate(self) -> None:
        """
        Checks again what the constructor checks; ValueError that says what is wrong, and where.
        """

    def to_csr(self) -> Csr:
        """In compressed rows; stored zeros stay."""

    def to_coo(self) -> Coo:
        """In coordinates, row by row."""

    def to_csc(self) -> Csc:
        """In compressed columns."""

    def to_bsr(self, block: tuple[int, int]) -> Bsr:
        """In the blocks (r, c) that hold an entry."""

    def to_bitmap(self) -> Bitmap:
        """One bit an element, and the values."""

    def to_nm(self, n: int, m: int) -> Nm:
        """At most n of each m columns of a row; ValueError where there are more."""

    @property
    def values(self) -> Tensor:
        """The matrix's own memory."""

    @property
    def positions(self) -> Tensor:
        """Read-only."""

    def to_sparse_tensor_cores(self) -> tuple[Tensor, Tensor]:
        """
        Of a 2:4 matrix: its values, two for every four columns, and the metadata (uint8) that sparse tensor cores take.
        """

    @property
    def n(self) -> int: ...

    @property
    def m(self) -> int: ...

    def __repr__(self) -> str: ...

    def __reduce__(self) -> tuple[Any, ...]: ...

class Bitmap:
    """
    One bit an element, and the values of those that are set, row by row.

    `bits` (uint8) is (rows, columns / 8 rounded up), lowest bit first: numpy.packbits(mask, axis=1,
    bitorder="little"). Copied and checked.
    """

    def __init__(self, bits: sparsert.typing.ArrayLike, values: sparsert.typing.ArrayLike, shape: sparsert.typing.ShapeLike, index_dtype: sparsert.typing.DTypeLike | None = None) -> None: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def nnz(self) -> int:
        """Entries stored, zeros among them."""

    @property
    def density(self) -> float:
        """Entries / (rows * columns); 0 for an empty matrix."""

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""

    @property
    def dtype(self) -> sparsert.typing.DType: ...

    @property
    def device(self) -> str: ...

    def to(self, device: str) -> Bitmap:
        """
        On `device`: shares what is there already. DeviceUnavailable with the reason.
        """

    def cpu(self) -> Bitmap:
        """`to("cpu")`."""

    def to_dense(self) -> Tensor:
        """A dense tensor of the same shape."""

    def validate(self) -> None:
        """
        Checks again what the constructor checks; ValueError that says what is wrong, and where.
        """

    @property
    def index_dtype(self) -> sparsert.typing.DType: ...

    def to_csr(self) -> Csr:
        """In compressed rows; stored zeros stay."""

    def to_coo(self) -> Coo:
        """In coordinates, row by row."""

    def to_csc(self) -> Csc:
        """In compressed columns."""

    def to_bsr(self, block: tuple[int, int]) -> Bsr:
        """In the blocks (r, c) that hold an entry."""

    def to_bitmap(self) -> Bitmap:
        """One bit an element, and the values."""

    def to_nm(self, n: int, m: int) -> Nm:
        """At most n of each m columns of a row; ValueError where there are more."""

    @property
    def bits(self) -> Tensor:
        """Read-only."""

    @property
    def row_offsets(self) -> Tensor:
        """(rows + 1): values before each row."""

    @property
    def values(self) -> Tensor:
        """(nnz): the matrix's own memory."""

    def __repr__(self) -> str: ...

    def __reduce__(self) -> tuple[Any, ...]: ...

def to_csc(x: sparsert.typing.Convertible, index_dtype: sparsert.typing.DTypeLike | None = None) -> Csc:
    """In compressed columns; arguments as for `to_csr`."""

def to_bsr(x: sparsert.typing.Convertible, block: tuple[int, int], index_dtype: sparsert.typing.DTypeLike | None = None) -> Bsr:
    """
    The blocks (r, c) that hold an entry; their other elements are stored zeros. Any shape: the last blocks are padded.
    """

def to_bitmap(x: sparsert.typing.Convertible, index_dtype: sparsert.typing.DTypeLike | None = None) -> Bitmap:
    """One bit an element, and the values of those that are set."""

def to_nm(x: sparsert.typing.Convertible, n: int, m: int) -> Nm:
    """
    At most n entries of each m columns of a row; ValueError that names the first m with more.
    """

def transpose(a: Any) -> Any:
    """
    The transposed matrix: Coo and Csc keep their format, all others give a Csr.
    """

def concatenate(matrices: Sequence[Csr], axis: int = 0) -> Csr:
    """One below the other (axis 0), or side by side (axis 1)."""

def prune_zeros(a: Csr) -> Csr:
    """Without the entries whose value is zero. NaN is none."""

class Plan:
    """
    A matrix packed once for its device, to be multiplied many times; tuned for products with `n` columns.

    Every operation that takes the matrix takes the plan.
    """

    def __init__(self, a: Csr, n: int = 256) -> None: ...

    @property
    def matrix(self) -> Csr:
        """The matrix that was packed, with values of its own."""

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def device(self) -> str: ...

    @property
    def nbytes(self) -> int:
        """Bytes of the packing, beside the matrix itself."""

    def update_values(self, values: sparsert.typing.ArrayLike) -> None:
        """
        New values for the same pattern: (nnz), of the matrix's dtype and device, in its order.
        """

    def __matmul__(self, arg: sparsert.typing.ArrayOperand, /) -> Tensor: ...

    def __repr__(self) -> str: ...

def spmm(a: sparsert.typing.MatrixLike, b: sparsert.typing.ArrayLike, bias: sparsert.typing.ArrayLike | None = None, relu: bool = False, alpha: float = 1.0, beta: float = 0.0, out: sparsert.typing.Output | None = None, order: sparsert.typing.Order = 'canonical') -> Tensor:
    """
    act(alpha * A * B + beta * C + bias): A sparse (m, k), B (k, n), bias (m), C and the result (m, n).

    All of A's floating dtype and on its device. `out` is C: read where beta is not 0, written, and returned; it
    must not overlap B. `order`: "canonical" gives the same bits everywhere, "fast" a stated bound. ValueError for
    operands that do not fit, NotImplementedError for a dtype that products lack.
    """

def linear(x: sparsert.typing.Convertible, w: sparsert.typing.WeightLike, bias: sparsert.typing.ArrayLike | None = None, relu: bool = False, out: sparsert.typing.Output | None = None, order: sparsert.typing.Order = 'canonical') -> Tensor:
    """
    act(x * W^T + bias), the deep-learning layer: x (batch, in), W (out, in) sparse or dense, bias (out).

    The result and `out` are (batch, out). Dtypes, devices, `order` and errors as for `spmm`.
    """

def matmul(x: sparsert.typing.Convertible, y: sparsert.typing.Convertible, out: sparsert.typing.Output | None = None, order: sparsert.typing.Order = 'canonical') -> Any:
    """
    x * y: (m, k) and (k, n), each dense or sparse. Two sparse ones give a Csr, all others a tensor.

    In canonical order the bits do not depend on which of them is sparse.
    """

def spmv(a: sparsert.typing.MatrixLike, v: sparsert.typing.ArrayLike) -> Tensor:
    """
    A * v: A sparse (m, k), v (k), the result (m), with the bits of spmm with one column.
    """

def sddmm(pattern: sparsert.typing.SparseLike, x: sparsert.typing.ArrayLike, y: sparsert.typing.ArrayLike) -> Tensor:
    """
    x * y^T on the pattern's entries: x (rows, k), y (columns, k), the result (nnz) in the pattern's order.

    The pattern's own values are not read; `pattern.with_values(result)` is the matrix.
    """

def spgemm(a: sparsert.typing.SparseLike, b: sparsert.typing.SparseLike, max_bytes: int | None = None) -> Csr:
    """
    A * B, both sparse, of one dtype and index type. Its pattern is of all products, also those that add up
    to zero. MemoryError before the result is allocated where it is larger than `max_bytes`.
    """

def spmm_transposed(a: sparsert.typing.SparseLike, b: sparsert.typing.ArrayLike) -> Tensor:
    """
    A^T * B without making A^T: A (k, m), B (k, n), the result (m, n), with the bits of spmm(transpose(a), b).
    """

def sparse_softmax(a: sparsert.typing.SparseLike) -> Csr:
    """
    Softmax over the entries of each row; what is not stored has no weight.
    """

def row_sums(a: sparsert.typing.SparseLike) -> Tensor:
    """The sum of each row's entries, left to right; integers wrap."""

def column_sums(a: sparsert.typing.SparseLike) -> Tensor:
    """The sum of each column's entries, downwards; integers wrap."""

def scale_rows(a: sparsert.typing.SparseLike, factors: sparsert.typing.ArrayLike) -> Csr:
    """Each entry times its row's factor, (rows)."""

def scale_columns(a: sparsert.typing.SparseLike, factors: sparsert.typing.ArrayLike) -> Csr:
    """Each entry times its column's factor, (columns)."""

def spmm_backward(grad: sparsert.typing.ArrayLike, a: sparsert.typing.SparseLike, b: sparsert.typing.ArrayLike) -> tuple[Tensor, Tensor]:
    """Gradients of C = A * B from that of C: of A's entries (nnz), and of B."""

def linear_backward(grad: sparsert.typing.ArrayLike, x: sparsert.typing.ArrayLike, w: sparsert.typing.Convertible) -> tuple[Tensor, Tensor, Tensor]:
    """
    Gradients of y = x * W^T + bias from that of y: of x, of W (its entries where it is sparse), of bias.
    """

def sddmm_backward(grad_values: sparsert.typing.ArrayLike, pattern: sparsert.typing.SparseLike, x: sparsert.typing.ArrayLike, y: sparsert.typing.ArrayLike) -> tuple[Tensor, Tensor]:
    """Gradients of sddmm from that of its result (nnz): of x and of y."""

def sparse_softmax_backward(grad: sparsert.typing.Convertible, out: sparsert.typing.SparseLike) -> Csr:
    """
    The gradient of sparse_softmax, whose result is `out`, from that of out: a matrix of its pattern, or its values.
    """

class Advice:
    """
    What a product costs in each format on this machine, and which to choose.
    """

    @property
    def choice(self) -> str:
        """"dense", "csr", "bsr", "bitmap" or "nm": the fastest."""

    @property
    def reasons(self) -> list[str]:
        """In words."""

    @property
    def cached(self) -> bool:
        """Taken from the file, not measured now."""

    @property
    def densify(self) -> bool:
        """
        A single product, nothing prepared: is it faster made dense first? `matmul` asks this.
        """

    @property
    def seconds(self) -> dict[str, float]:
        """Of each format measured: the least of several products."""

    @property
    def nbytes(self) -> dict[str, int]:
        """Of the matrix in each format, its plan included."""

    def __repr__(self) -> str: ...

def advise(a: sparsert.typing.Convertible, n: int = 64, measure_again: bool = False) -> Advice:
    """
    Multiplies `a` by a dense matrix with `n` columns in every format for about half a second, and says which
    is fastest and why. All give the same bits. Kept in `advice_file()` for this processor, shape and density.
    """

def advice_file() -> str:
    """
    Where advice is kept between runs; it may be deleted at any time. SPARSERT_CACHE_DIR moves it.
    """

def embedding_bag(table: sparsert.typing.ArrayLike, indices: sparsert.typing.ArrayLike, offsets: sparsert.typing.ArrayLike, mode: sparsert.typing.BagMode = 'sum', weights: sparsert.typing.ArrayLike | None = None) -> Tensor:
    """
    For each bag the sum, mean or largest ("sum", "mean", "max") of the table's rows that its indices name.

    `offsets` (bags) is where each bag begins among `indices` (n); the last ends at n. `weights` (n) multiply the
    rows of a sum. The result is (bags, dim); an empty bag gives 0. ValueError for an index outside the table.
    """

def embedding_bag_backward(grad: sparsert.typing.ArrayLike, table: sparsert.typing.ArrayLike, indices: sparsert.typing.ArrayLike, offsets: sparsert.typing.ArrayLike, mode: sparsert.typing.BagMode = 'sum', weights: sparsert.typing.ArrayLike | None = None) -> tuple[Tensor, Tensor]:
    """
    The table's gradient from that of the result: the rows that bags named (u), ascending, and their gradients (u, dim).
    """

def features_bag_of_words(texts: Sequence[str], vocabulary: Sequence[str] | None = None) -> tuple[Csr, list[str]]: ...

def features_hashing(texts: Sequence[str], size: int) -> Csr: ...

def features_from_triples(rows: sparsert.typing.ArrayLike, columns: sparsert.typing.ArrayLike, values: sparsert.typing.ArrayLike, shape: sparsert.typing.ShapeLike | None = None) -> Csr: ...

def prune_magnitude(x: sparsert.typing.ArrayLike, amount: float, group: str) -> Tensor: ...

def prune_random(arg0: sparsert.typing.ArrayLike, arg1: float, arg2: int, /) -> Tensor: ...

def prune_n_m(arg0: sparsert.typing.ArrayLike, arg1: int, arg2: int, arg3: int, /) -> Tensor: ...

def prune_block(arg0: sparsert.typing.ArrayLike, arg1: tuple[int, int], arg2: float, arg3: str, /) -> Tensor: ...

def prune_global_block(arg0: Sequence[tuple[str, sparsert.typing.ArrayLike]], arg1: tuple[int, int], arg2: float, arg3: str, /) -> list[tuple[str, Tensor]]: ...

def prune_block_norms(arg0: sparsert.typing.ArrayLike, arg1: tuple[int, int], arg2: str, /) -> Tensor: ...

def prune_structured(arg0: sparsert.typing.ArrayLike, arg1: float, arg2: int, arg3: str, arg4: int, /) -> Tensor: ...

def prune_kept_slices(arg0: sparsert.typing.ArrayLike, arg1: float, arg2: int, arg3: str, arg4: int, /) -> Tensor: ...

def prune_take(arg0: sparsert.typing.ArrayLike, arg1: sparsert.typing.ArrayLike, arg2: int, /) -> Tensor: ...

def prune_wanda(arg0: sparsert.typing.ArrayLike, arg1: sparsert.typing.ArrayLike, arg2: float, arg3: str, /) -> Tensor: ...

def prune_soft_threshold(arg0: sparsert.typing.ArrayLike, arg1: float, /) -> Tensor: ...

def prune_hard_threshold(arg0: sparsert.typing.ArrayLike, arg1: float, /) -> Tensor: ...

def prune_group_soft_threshold(arg0: sparsert.typing.ArrayLike, arg1: float, arg2: int, /) -> Tensor: ...

class InputNorms:
    """Norms of a layer's inputs over a calibration run, for `prune.wanda`."""

    def __init__(self) -> None: ...

    def add(self, batch: sparsert.typing.ArrayLike) -> None:
        """Adds a batch (n, in); all have one number of columns and one device."""

    def norms(self) -> Tensor:
        """
        sqrt of each column's sum of squares: (in), float64. ValueError before any batch.
        """

    @property
    def rows(self) -> int:
        """Rows added so far."""

def prune_global_magnitude(tensors: Sequence[tuple[str, sparsert.typing.ArrayLike]], amount: float) -> list[tuple[str, Tensor]]: ...

def count_nonzero(x: sparsert.typing.ArrayLike) -> int:
    """Elements that are not zero. NaN counts, -0 does not."""

def sparsity(x: Csr | sparsert.typing.ArrayLike) -> float:
    """
    Exact zeros / elements, of a tensor or of a whole sparse matrix; 0 for an empty one.
    """

def topk(x: sparsert.typing.ArrayLike, k: int) -> tuple[Tensor, Tensor]:
    """
    (values, indices) of the k largest by magnitude along the last dimension, descending.

    Ties to the lower index, NaN above Inf. Both (..., k); indices are int64. ValueError for k outside 0 to n.
    """

class Mask:
    """
    Which keys each query sees, for all heads alike or for each its own. Immutable.

    Masks are combined by `&`, `|` and `~`. A mask is kept as the expression it was made of; what is
    computed of it (blocks, density, what kernels read) is computed when first asked for, and kept.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(queries, keys)."""

    @property
    def heads(self) -> int:
        """1: shared by all heads."""

    @property
    def block_size(self) -> int:
        """16, 32, 64 or 128."""

    @property
    def nnz(self) -> int:
        """Pairs seen, summed over the heads it holds."""

    @property
    def density(self) -> float:
        """Pairs seen / (heads * queries * keys)."""

    @property
    def nbytes(self) -> int:
        """Bytes of the expression, and of what was computed of it so far."""

    def blocks(self) -> tuple[int, int, int]:
        """
        (full, partial, empty): blocks whose every pair is seen, some pairs, none.
        """

    def with_block_size(self, block_size: int) -> Mask:
        """
        The same mask in blocks of another size. The bits of attention do not depend on it.
        """

    def contains(self, query: int, key: int, head: int = 0) -> bool: ...

    def to_csr(self, dtype: sparsert.typing.DTypeLike = 'float32', head: int = 0) -> Csr:
        """One head's pairs, with values of 1."""

    def to_bsr(self, size: int = 64, dtype: sparsert.typing.DTypeLike = 'float32', head: int = 0) -> Bsr:
        """
        One head's pairs as blocks of `size` a side: 1 where a pair is seen, 0 where it is not.
        """

    def to_dense(self) -> Tensor:
        """
        bool: (queries, keys), or (heads, queries, keys) for a mask of several heads.
        """

    def to_svg(self, head: int = 0, cells: int = 128) -> str:
        """A drawing at most `cells` cells wide and high."""

    def to_text(self, head: int = 0, cells: int = 64, unicode: bool = True) -> str:
        """The drawing in characters."""

    def _repr_svg_(self) -> str: ...

    def save(self, path: str | os.PathLike) -> None:
        """Writes safetensors: the expression. FileError."""

    def __and__(self, arg: Mask, /) -> Mask: ...

    def __or__(self, arg: Mask, /) -> Mask: ...

    def __invert__(self) -> Mask: ...

    def __repr__(self) -> str: ...

def mask_full(n: tuple[int, int], offset: int, block_size: int) -> Mask: ...

def mask_causal(n: tuple[int, int], offset: int, block_size: int) -> Mask: ...

def mask_sliding_window(n: tuple[int, int], window: int, offset: int, block_size: int) -> Mask: ...

def mask_dilated(n: tuple[int, int], width: int, dilation: int, offset: int, block_size: int) -> Mask: ...

def mask_strided(n: tuple[int, int], stride: int, offset: int, block_size: int) -> Mask: ...

def mask_global_tokens(n: tuple[int, int], tokens: sparsert.typing.ArrayLike, offset: int, block_size: int) -> Mask: ...

def mask_prefix_lm(n: tuple[int, int], prefix: int, offset: int, block_size: int) -> Mask: ...

def mask_bigbird(n: tuple[int, int], window: int, global_: int, random: int, seed: int, offset: int, block_size: int) -> Mask: ...

def mask_longformer(n: tuple[int, int], window: int, tokens: sparsert.typing.ArrayLike, offset: int, block_size: int) -> Mask: ...

def mask_block(layout: sparsert.typing.ArrayLike, size: int, n: tuple[int, int] | None, block_size: int) -> Mask: ...

def mask_document(ids: sparsert.typing.ArrayLike, key_ids: sparsert.typing.ArrayLike | None, block_size: int) -> Mask: ...

def mask_from_dense(dense: sparsert.typing.ArrayLike, block_size: int) -> Mask: ...

def mask_from_csr(csr: Csr, block_size: int) -> Mask: ...

def mask_topk(scores: sparsert.typing.ArrayLike, k: int, block_size: int) -> Mask: ...

def mask_per_head(masks: Sequence[Mask]) -> Mask: ...

def mask_load(path: str | os.PathLike) -> Mask: ...

def attend(q: sparsert.typing.ArrayLike, k: sparsert.typing.ArrayLike, v: sparsert.typing.ArrayLike, mask: Mask | None, scale: float | None, bias: sparsert.typing.ArrayLike | None, out: sparsert.typing.Output | None, order: sparsert.typing.Order) -> tuple[Any, Tensor]: ...

def attend_backward(grad: sparsert.typing.ArrayLike, q: sparsert.typing.ArrayLike, k: sparsert.typing.ArrayLike, v: sparsert.typing.ArrayLike, mask: Mask | None, scale: float | None, bias: sparsert.typing.ArrayLike | None, order: sparsert.typing.Order) -> tuple[Tensor, Tensor, Tensor]: ...

def attention_weights(q: sparsert.typing.ArrayLike, k: sparsert.typing.ArrayLike, pattern: Csr, scale: float | None) -> Csr: ...

def schedule_one_shot(arg0: int, arg1: int, arg2: float, /) -> float: ...

def schedule_stepwise(arg0: int, arg1: Sequence[tuple[int, float]], /) -> float: ...

def schedule_linear(arg0: int, arg1: int, arg2: int, arg3: float, arg4: float, /) -> float: ...

def schedule_cubic(arg0: int, arg1: int, arg2: int, arg3: float, arg4: float, /) -> float: ...

def schedule_cosine(arg0: int, arg1: int, arg2: int, arg3: float, arg4: float, /) -> float: ...

def budget_uniform(arg0: Sequence[tuple[str, Sequence[int]]], arg1: float, arg2: Sequence[str], /) -> list[tuple[str, float]]: ...

def budget_erk(arg0: Sequence[tuple[str, Sequence[int]]], arg1: float, arg2: Sequence[str], /) -> list[tuple[str, float]]: ...

def budget_sensitivity(arg0: Sequence[tuple[str, Sequence[int], Sequence[tuple[float, float]]]], arg1: float, /) -> list[tuple[str, float]]: ...

class DynamicSparse:
    """
    Dynamic sparse training: a weight (Csr) with round(density * elements) entries, always.

    Each step drops the smallest entries and grows as many elsewhere, which start as stored zeros: where the
    gradient is largest (`rigl`), or at random (`set`). The pattern is the same for one seed on every device.
    """

    def __init__(self, w: sparsert.typing.ArrayLike, density: float, method: str = 'rigl', seed: int = 0, *, fraction: float = 0.3, pattern: str = 'magnitude', index_dtype: sparsert.typing.DTypeLike | None = None) -> None: ...

    @property
    def weight(self) -> Csr:
        """
        The matrix. A step makes a new one; setting takes one of the same shape and number of entries.
        """

    @weight.setter
    def weight(self, arg: Csr, /) -> None: ...

    @property
    def fraction(self) -> float:
        """Share of the entries that a step drops and grows."""

    @fraction.setter
    def fraction(self, arg: float, /) -> None: ...

    @property
    def steps(self) -> int:
        """
        Steps so far, the generator's counter: set it when a saved run goes on.
        """

    @steps.setter
    def steps(self, arg: int, /) -> None: ...

    @property
    def nbytes(self) -> int: ...

    def step(self, dense_grad: sparsert.typing.ArrayLike | None = None, state: Sequence[sparsert.typing.ArrayLike] = []) -> list[Tensor]:
        """
        One drop-and-grow. `state` are arrays of one value per entry, such as an optimizer's moments: returned
        moved with their entries, 0 for those that grew. `set` reads no gradient.
        """

class LowRank:
    """x as u @ v: u (m, rank) and v (rank, n)."""

    @property
    def u(self) -> Tensor: ...

    @property
    def v(self) -> Tensor: ...

    @property
    def singular_values(self) -> Tensor:
        """(rank), descending, float64."""

    @property
    def error(self) -> float:
        """|x - u @ v| / |x|, Frobenius, of the factors as they are stored."""

    @property
    def rank(self) -> int: ...

    @property
    def nbytes(self) -> int:
        """Bytes of both factors."""

    @property
    def break_even_rank(self) -> int:
        """
        The highest rank at which the factors take less memory and less work than x.
        """

    def __repr__(self) -> str: ...

class LowRankSparse:
    """x as u @ v + sparse."""

    @property
    def low_rank(self) -> LowRank: ...

    @property
    def sparse(self) -> Csr: ...

    @property
    def error(self) -> float:
        """|x - u @ v - sparse| / |x|."""

    @property
    def nbytes(self) -> int: ...

def lowrank(x: sparsert.typing.ArrayLike, rank: int | None = None, energy: float | None = None, *, method: str = 'full', seed: int = 0) -> LowRank:
    """
    The best approximation of a matrix by a rank, or by the smallest rank with a share of the sum of squared singular values.

    `method` is full (LAPACK's gesdd) or randomized (a sketch and two power iterations, for small ranks). Tensors on other
    devices are brought to the CPU, and the factors sent back. ValueError for NaN or Inf; NotImplementedError where no
    LAPACK is found (OpenBLAS, MKL, or the file that SPARSERT_LAPACK names).
    """

def lowrank_sparse(x: sparsert.typing.ArrayLike, amount: float, rank: int | None = None, energy: float | None = None, *, iterations: int = 1, method: str = 'full', seed: int = 0) -> LowRankSparse:
    """
    The same beside a sparse remainder, pruned to `amount` zeros by magnitude. More iterations fit each to what the other leaves.
    """

def lapack_library() -> str:
    """The LAPACK that is used; empty where none is found."""

class Packet:
    """What goes on the wire: the entries of each tensor that are sent."""

    def __init__(self, bytes: bytes) -> None:
        """
        From a peer's bytes. ValueError that says what is wrong with them, and where.
        """

    def to_bytes(self) -> bytes:
        """What is sent."""

    def __bytes__(self) -> bytes: ...

    @property
    def nbytes(self) -> int:
        """Bytes on the wire, header included."""

    @property
    def entries(self) -> int:
        """Entries sent."""

    @property
    def numel(self) -> int:
        """Elements of all tensors."""

    @property
    def density(self) -> float:
        """entries / numel."""

    @property
    def k(self) -> int:
        """Entries asked for."""

    @property
    def step(self) -> int: ...

    @property
    def wire(self) -> str:
        """Type of the values."""

    def decompress(self, device: str | None = None) -> dict[str, Tensor]:
        """Dense tensors by name: what was sent, zeros elsewhere."""

    def __reduce__(self) -> tuple[Any, ...]: ...

    def __repr__(self) -> str: ...

class Compressor:
    """Behind sparsert.gradient.TopK, Threshold and RandomK."""

    def __init__(self, ratio: float, k: int | None, selection: str, threshold: float, carry_steps: int, error_feedback: bool, momentum: float, scope: str, wire: str, warmup_steps: int, warmup_ratio: float, non_finite: str, seed: int) -> None: ...

    def compress(self, arg: Sequence[tuple[str, sparsert.typing.ArrayLike]], /) -> Packet: ...

    def restore(self, arg: Packet, /) -> None: ...

    def ratio_at(self, arg: int, /) -> float: ...

    @property
    def steps(self) -> int: ...

    @property
    def skipped(self) -> int: ...

    def state(self) -> tuple: ...

    def load_state(self, arg0: Sequence[tuple[str, sparsert.typing.ArrayLike]], arg1: Sequence[tuple[str, sparsert.typing.ArrayLike]], arg2: int, arg3: Sequence[tuple[str, float]], /) -> None: ...

class Group:
    """One rank's side of a group."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def poisoned(self) -> bool:
        """True after an error: every later collective is one too."""

    @property
    def traffic(self) -> dict[str, float]:
        """Bytes, messages, entries, density and seconds of the last collective."""

    def allreduce(self, packet: Packet) -> dict[str, Tensor]:
        """
        The sum of all ranks' packets, dense: entry by entry in ascending rank order, the same bits on every rank.

        CommError, with `rank` and `phase`, on all ranks where one died, stalled or disagreed.
        """

class LoopbackGroup:
    """All ranks of a group inside this process."""

    @property
    def size(self) -> int: ...

    def member(self, rank: int) -> Group:
        """One rank's side, for a thread of its own."""

    def allreduce(self, packets: Sequence[Packet]) -> dict[str, Tensor]:
        """
        One packet of each rank, in order; the sum that every rank has. Errors as of `Group`.
        """

def dist_loopback(arg0: int, arg1: float, arg2: int, arg3: str, /) -> LoopbackGroup: ...

def dist_mpi(arg0: float, arg1: int, arg2: str, /) -> Group: ...

def dist_sum(arg: Sequence[Packet], /) -> dict[str, Tensor]: ...

def relu_to_csr(x: sparsert.typing.ArrayLike, threshold: float = 0.0, index_dtype: sparsert.typing.DTypeLike | None = None) -> Csr:
    """
    ReLU of a matrix as a Csr, without a dense intermediate: what is above the threshold, and NaN.
    """

def relu_to_bitmap(x: sparsert.typing.ArrayLike, threshold: float = 0.0, index_dtype: sparsert.typing.DTypeLike | None = None) -> Bitmap:
    """The same as a Bitmap."""

def leaky_relu(x: sparsert.typing.ArrayLike, slope: float = 0.01) -> Tensor:
    """x above 0, else slope * x; NaN stays."""

def leaky_relu_backward(grad: sparsert.typing.ArrayLike, x: sparsert.typing.ArrayLike, slope: float = 0.01) -> Tensor:
    """grad where x is above 0, else slope * grad."""

def squared_relu(x: sparsert.typing.ArrayLike) -> Tensor:
    """max(x, 0) squared; NaN stays."""

def squared_relu_backward(grad: sparsert.typing.ArrayLike, x: sparsert.typing.ArrayLike) -> Tensor:
    """(x + x) * grad where x is above 0, else 0."""

def topk_activation(x: sparsert.typing.ArrayLike, k: int) -> Tensor:
    """
    The k largest magnitudes of each row (the last dimension), zeros elsewhere; ties to the lower index.
    """

class ActivationStatistics:
    """How sparse the activations of each layer are over a run."""

    def __init__(self) -> None: ...

    def add(self, layer: str, activations: sparsert.typing.ArrayLike) -> None:
        """Adds a batch (rows, features) of a layer."""

    def layers(self) -> dict[str, dict]:
        """
        By layer: rows, elements, zeros, features, dead (features that were zero in every row) and sparsity.
        """

class StateDict:
    """
    Names to tensors, in order, with a file's metadata: a read-only mapping.
    """

    def __init__(self, state: StateDict | Mapping[str, Any] | None = None, metadata: Mapping[str, str] | None = None) -> None: ...

    def __getitem__(self, name: str) -> Any:
        """
        A Tensor, or a Csr or Coo where the file holds it sparse. KeyError, with close names.
        """

    def __contains__(self, name: object) -> bool: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]: ...

    def keys(self) -> list[str]: ...

    def values(self) -> list[Any]: ...

    def items(self) -> list[tuple[str, Any]]: ...

    def get(self, name: str, default: Any = None) -> Any: ...

    def to(self, device: str) -> StateDict:
        """Every tensor on `device`. DeviceUnavailable with the reason."""

    @property
    def metadata(self) -> dict[str, str]:
        """A copy of the file's metadata."""

    @property
    def nbytes(self) -> int: ...

    def __repr__(self) -> str: ...

class TensorInfo:
    """What a file says of one tensor."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> str:
        """As the file spells it."""

    @property
    def loadable(self) -> bool:
        """False for a dtype that is listed, and refused by `load`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def offset(self) -> int:
        """Of the data, from the start of the file."""

    @property
    def nbytes(self) -> int:
        """In the file."""

    @property
    def layout(self) -> str:
        """'dense', 'coo' or 'csr'."""

    @property
    def file(self) -> str:
        """Beneath the model's folder, where the model has more than one."""

    @property
    def tied_to(self) -> str:
        """An earlier tensor that is the same memory, or ''."""

    @property
    def refusal(self) -> str:
        """Why it is not loaded, where its dtype is not the reason."""

    @property
    def axes(self) -> str:
        """
        Order of a weight's dimensions where the format says so: 'HWIO', 'IO', ...; else ''.
        """

    @property
    def quantization(self) -> tuple[list[float], list[int], int] | None:
        """(scales, zero points, axis) of quantized integers."""

    def __repr__(self) -> str: ...

class FileInfo:
    """What a file says of itself."""

    @property
    def path(self) -> pathlib.Path: ...

    @property
    def format(self) -> str: ...

    @property
    def tensors(self) -> list[TensorInfo]: ...

    @property
    def metadata(self) -> dict[str, str]: ...

    def __repr__(self) -> str: ...

def load(path: str | os.PathLike, device: str = 'cpu', include: Sequence[str] = [], exclude: Sequence[str] = [], rename: Mapping[str, str] = {}, select: str = '', dequantize: bool = False, layout: str = 'stored', strict: bool = False, max_bytes: int | None = None, mmap: bool = False) -> StateDict:
    """
    Reads a model file or folder; its content decides the format. Nothing in it is executed.

    `include`, `exclude`: globs (*, ?) of names. `rename`: new names by the file's. `select`: which model, where a
    folder holds several. `dequantize`: quantized integers as float32. `layout`: 'torch' brings weights whose axes
    the format states into PyTorch's order. `strict`: refuse what is not a tensor or a plain value. `max_bytes`: a
    limit on the tensors loaded, 16 GiB unless said. `mmap`: CPU tensors are read-only views of the mapped file
    where it has them as they are, without a copy; for files that nobody writes or cuts short meanwhile.
    FileError with format, offset and reason; ValueError for a glob that matches nothing.
    """

def save(path: str | os.PathLike[str], state: StateDict | Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """
    Writes a state, or a mapping of names to arrays, as safetensors: complete, or not at all. FileError.
    """

def inspect_file(path: str | os.PathLike) -> FileInfo:
    """
    Names, types, shapes and places only, without reading the tensors. FileError.
    """
