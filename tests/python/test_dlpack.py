"""DLPack: memory shared both ways, each capsule consumed once, each deleter run exactly once.

The producers and consumers here are made with ctypes from the protocol's structures, so that every step is in sight.
"""

import ctypes
import gc
import threading

import numpy as np
import pytest
from conftest import DTYPES, run_python, same_bits, values_of

import sparsert as sp

CODES = {
    "bool": (6, 8),
    "uint8": (1, 8),
    "int32": (0, 32),
    "int64": (0, 64),
    "float16": (2, 16),
    "bfloat16": (4, 16),
    "float32": (2, 32),
    "float64": (2, 64),
}


class DlTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Legacy(ctypes.Structure):
    name, used = b"dltensor", b"used_dltensor"
    _fields_ = [("tensor", DlTensor), ("context", ctypes.c_void_p), ("deleter", DELETER)]


class Versioned(ctypes.Structure):
    name, used = b"dltensor_versioned", b"used_dltensor_versioned"
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", DELETER),
        ("flags", ctypes.c_uint64),
        ("tensor", DlTensor),
    ]


api = ctypes.pythonapi
api.PyCapsule_New.restype, api.PyCapsule_New.argtypes = (
    ctypes.py_object,
    [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
)
api.PyCapsule_IsValid.argtypes = [ctypes.py_object, ctypes.c_char_p]
api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
api.PyCapsule_GetPointer.restype, api.PyCapsule_GetPointer.argtypes = (
    ctypes.c_void_p,
    [ctypes.py_object, ctypes.c_char_p],
)
api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]


class Producer:
    """Offers an array's memory, and counts how often it is given back."""

    def __init__(
        self,
        array,
        layout=Versioned,
        flags=0,
        major=1,
        device=(1, 0),
        dtype=None,
        strides="array",
        offset=0,
        address=None,
        shape=None,
        lanes=1,
    ):
        self.array, self.layout, self.device, self.deleted, self.asked = array, layout, device, 0, []
        shape = array.shape if shape is None else shape
        self.shape = (ctypes.c_int64 * len(shape))(*shape)
        if strides == "array":
            strides = [s // array.itemsize for s in array.strides]
        self.strides = None if strides is None else (ctypes.c_int64 * len(strides))(*strides)
        self.managed = layout()
        if layout is Versioned:
            self.managed.major, self.managed.minor, self.managed.flags = major, 0, flags
        self.deleter = DELETER(self.delete)  # kept: ctypes' function must outlive the structure
        self.managed.deleter = self.deleter
        code, bits = dtype or CODES[array.dtype.name]
        self.managed.tensor = DlTensor(
            array.ctypes.data if address is None else address,
            *device,
            len(shape),
            code,
            bits,
            lanes,
            self.shape,
            self.strides,
            offset,
        )
        self.capsule = api.PyCapsule_New(ctypes.addressof(self.managed), layout.name, None)

    def delete(self, address):
        assert address == ctypes.addressof(self.managed)
        self.deleted += 1

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **arguments):
        self.asked.append(arguments)
        return self.capsule


class OldProducer(Producer):
    """A producer from before DLPack 1.0, which knows no max_version."""

    def __dlpack__(self, stream=None):
        self.asked.append({"stream": stream})
        return self.capsule


# ---- import


@pytest.mark.parametrize("layout", [Legacy, Versioned])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)])
def test_import_shares_and_gives_back_once(layout, dtype, shape, random):
    array = values_of(dtype, shape, random)
    producer = Producer(array, layout)
    x = sp.from_dlpack(producer)
    same_bits(x.numpy(), array)
    assert x.device == "cpu" and not x.read_only
    if array.size:
        assert x.data_ptr() == array.ctypes.data
    assert api.PyCapsule_GetName(producer.capsule) == layout.used
    assert producer.asked == [{"max_version": (1, 0)}] and producer.deleted == 0
    y = x.reshape(-1) if array.size else x.clone()
    view = x.numpy()
    del x
    gc.collect()
    assert producer.deleted == 0
    del y, view
    gc.collect()
    assert producer.deleted == 1


def test_a_capsule_is_taken_once():
    producer = Producer(np.ones(3))
    x = sp.from_dlpack(producer)
    for _ in range(2):
        with pytest.raises(ValueError, match="from_dlpack: x gave something other than an unused DLPack capsule"):
            sp.from_dlpack(producer)
    del x
    assert producer.deleted == 1
    capsule = Producer(np.ones(3)).capsule
    assert sp.from_dlpack(Producer(np.ones(3)).capsule).shape == (3,)
    assert api.PyCapsule_GetName(capsule) == b"dltensor_versioned"


def test_producers_from_before_versions():
    producer = OldProducer(np.ones(3), Legacy)
    assert sp.from_dlpack(producer).shape == (3,)
    assert producer.asked == [{"stream": None}] and producer.deleted == 1


def test_read_only_memory_stays_read_only():
    producer = Producer(np.ones(3), flags=1)
    x = sp.from_dlpack(producer)
    assert x.read_only and not x.numpy().flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        sp.relu_(x)


def test_strides_and_offsets():
    base = np.arange(12.0).reshape(3, 4)
    same_bits(sp.from_dlpack(Producer(base, strides=None)).numpy(), base)
    same_bits(sp.from_dlpack(Producer(base, offset=32, shape=(2, 4), strides=(4, 1))).numpy(), base[1:])
    same_bits(sp.from_dlpack(Producer(base[:1], strides=(99, 1))).numpy(), base[:1])  # a size of 1 has no stride
    for view in [base[:, ::2], base.T, base[::-1], np.broadcast_to(base[0], (2, 4))]:
        producer = Producer(view)
        with pytest.raises(ValueError, match="from_dlpack: x of shape .* is strided or not aligned"):
            sp.from_dlpack(producer)
        assert producer.deleted == 0 and api.PyCapsule_IsValid(producer.capsule, b"dltensor_versioned")
        for copy in [sp.tensor(producer), sp.relu(producer)]:  # these may copy
            same_bits(copy.numpy(), np.ascontiguousarray(view))
        assert api.PyCapsule_IsValid(producer.capsule, b"dltensor_versioned")
    unaligned = Producer(base, offset=4, shape=(2, 2), strides=None)
    with pytest.raises(ValueError, match="not aligned"):
        sp.from_dlpack(unaligned)
    assert sp.tensor(unaligned).shape == (2, 2)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(dtype=(0, 16)), "DLPack type code 0 of 16 bits and 1 lane"),
        (dict(dtype=(5, 64)), "type code 5"),
        (dict(lanes=4), "4 lane"),
        (dict(device=(8, 0)), "DLPack device type 8, expected a CPU or a CUDA device"),
        (dict(major=2), "DLPack version 2, expected 1"),
        (dict(shape=(-1,), strides=None), "shape: got .* no negative"),
        (dict(shape=(2**40, 2**40), strides=None), "overflows"),
        (dict(address=0), "null pointer"),
    ],
)
def test_what_cannot_be_taken_is_left_to_its_owner(arguments, message):
    producer = Producer(np.ones(3), **arguments)
    with pytest.raises(ValueError, match=message):
        sp.from_dlpack(producer)
    taken = api.PyCapsule_GetName(producer.capsule) == b"used_dltensor_versioned"
    assert producer.deleted == (1 if taken else 0)


def test_errors_of_the_producer_pass_through():
    class Broken(Producer):
        def __dlpack__(self, **arguments):
            raise BufferError("not now")

    with pytest.raises(BufferError, match="not now"):
        sp.from_dlpack(Broken(np.ones(3)))

    class Odd(Producer):
        def __dlpack__(self, **arguments):
            return 7

    with pytest.raises(ValueError, match="unused DLPack capsule"):
        sp.from_dlpack(Odd(np.ones(3)))
    for bad in [1, None, "x", [1.0]]:
        with pytest.raises(TypeError if bad is None else (TypeError, ValueError), match="from_dlpack"):
            sp.from_dlpack(bad)


def test_an_exception_between_asking_and_taking():
    """Memory is given back once, also where the tensor is dropped while an error is on its way."""
    producer = Producer(np.ones(3, np.float32))
    with pytest.raises(ValueError):
        sp.relu_backward(sp.from_dlpack(producer), np.ones(4, np.float32))
    gc.collect()
    assert producer.deleted == 1


def test_the_last_owner_may_be_another_thread():
    producer = Producer(np.ones(3))
    held = [sp.from_dlpack(producer)]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert producer.deleted == 1


# ---- export


class Consumer:
    """Reads a capsule of ours as any library would."""

    def __init__(self, capsule):
        self.layout = Versioned if api.PyCapsule_IsValid(capsule, b"dltensor_versioned") else Legacy
        self.capsule = capsule
        self.address = api.PyCapsule_GetPointer(capsule, self.layout.name)
        self.managed = self.layout.from_address(self.address)

    def take(self):
        assert api.PyCapsule_SetName(self.capsule, self.layout.used) == 0

    def give_back(self):
        self.managed.deleter(self.address)


@pytest.mark.parametrize("version", [None, (0, 8), (1, 0), (1, 3), (2, 0)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_export(version, dtype, device, random):
    x = sp.tensor(values_of(dtype, (2, 3), random), device=device)
    consumer = Consumer(x.__dlpack__(max_version=version))
    assert consumer.layout is (Versioned if version and version >= (1, 0) else Legacy)
    tensor = consumer.managed.tensor
    assert tensor.data + tensor.byte_offset == x.data_ptr()
    assert (tensor.device_type, tensor.device_id) == x.__dlpack_device__()
    assert (tensor.code, tensor.bits, tensor.lanes) == (*CODES[dtype], 1)
    assert (tensor.rank, tensor.shape[0], tensor.shape[1]) == (2, 2, 3)
    assert (tensor.strides[0], tensor.strides[1]) == (3, 1)
    if consumer.layout is Versioned:
        assert (consumer.managed.major, consumer.managed.flags) == (1, 0)


def count_alive(function):
    """How many tensors' worth of memory `function` leaves behind, seen by the caching pool: a block that is still held
    is not given out again."""
    first = sp.zeros(12345)
    address = first.data_ptr()
    del first
    function()
    return sp.zeros(12345).data_ptr() != address


def test_consumed_and_unconsumed_capsules_free_the_memory():
    def unconsumed():
        sp.zeros(12345).__dlpack__()

    def consumed():
        consumer = Consumer(sp.zeros(12345).__dlpack__(max_version=(1, 0)))
        consumer.take()
        del consumer.capsule  # the capsule goes first, its content later
        gc.collect()
        consumer.give_back()

    def by_numpy():
        np.from_dlpack(sp.zeros(12345))

    kept = []
    assert count_alive(lambda: kept.append(Consumer(sp.zeros(12345).__dlpack__())))  # the check can fail
    kept.clear()
    for function in [unconsumed, consumed, by_numpy]:
        assert not count_alive(function)


def test_read_only_export():
    indices = sp.Csr([0, 1], [0], [1.0], (1, 1)).columns
    consumer = Consumer(indices.__dlpack__(max_version=(1, 0)))
    assert consumer.managed.flags == 1
    with pytest.raises(BufferError, match="read-only"):
        indices.__dlpack__()


def test_copies_and_devices(device):
    x = sp.tensor([1.0, 2.0], device=device)
    consumer = Consumer(x.__dlpack__(max_version=(1, 0), copy=True))
    assert consumer.managed.tensor.data != x.data_ptr() and consumer.managed.flags == 2
    here = x.__dlpack_device__()
    assert Consumer(x.__dlpack__(dl_device=here, copy=False)).managed.tensor.data == x.data_ptr()
    with pytest.raises(BufferError, match="dl_device"):
        x.__dlpack__(dl_device=(8, 0))
    if device.startswith("cuda"):
        assert Consumer(x.__dlpack__(dl_device=(1, 0))).managed.tensor.device_type == 1
    else:
        assert here == (1, 0)
        with pytest.raises(ValueError, match="__dlpack__: got a stream"):
            x.__dlpack__(stream=1)


def test_numpy_and_back(random):
    for dtype in DTYPES:
        x = sp.tensor(values_of(dtype, (3, 4), random))
        there = np.from_dlpack(x)
        assert there.ctypes.data == x.data_ptr() and there.dtype == np.dtype(dtype)
        back = sp.from_dlpack(there)
        assert back.data_ptr() == x.data_ptr()


def test_between_tensors(device):
    x = sp.tensor([1.0, 2.0], device=device)
    y = sp.from_dlpack(x)
    assert y.data_ptr() == x.data_ptr()
    assert y.device == (device if device.startswith("cuda") else "cpu")


def test_bfloat16():
    x = sp.tensor([1.5, -2.0], "bfloat16")
    y = sp.from_dlpack(x)
    assert y.data_ptr() == x.data_ptr() and y.astype("float32").tolist() == [1.5, -2.0]


# ---- counts


def test_reference_counts_over_many_rounds():
    """10^5 rounds of everything that hands out or takes in memory leave every count where it was."""
    run_python(
        """
        import gc, sys
        import numpy as np
        import sparsert as sp

        array, x = np.ones(64, np.float32), sp.tensor(np.ones(64, np.float32))
        old = sp.Csr([0, 1], [0], [1.0], (1, 1))

        def resident():
            with open("/proc/self/statm") as f:
                return int(f.read().split()[1]) * 4096

        def work(rounds):
            for _ in range(rounds):
                sp.from_dlpack(array), sp.from_dlpack(x), np.from_dlpack(x), x.__dlpack__(), x.numpy()
                sp.relu(array), memoryview(x), np.asarray(x), x.dtype, x.shape, x.device, old.columns.numpy()
                try:
                    sp.relu_backward(array, array[:3])
                except ValueError:
                    pass

        work(2000)
        gc.collect()
        counts, memory = (sys.getrefcount(array), sys.getrefcount(x), sys.getrefcount(x.dtype)), resident()
        work(100_000)
        gc.collect()
        assert (sys.getrefcount(array), sys.getrefcount(x), sys.getrefcount(x.dtype)) == counts
        assert resident() - memory < 4 << 20, resident() - memory
        """,
        timeout=300,
    )
