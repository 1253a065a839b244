"""Tensors: made from what Python has, seen by NumPy without a copy, moved, reshaped, cast, shown."""

import array
import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from conftest import DTYPES, same_bits, values_of

import sparsert as sp

# ---- making tensors


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (5, 7), (2, 3, 4)])
def test_arrays_are_copied(dtype, shape, device, random):
    source = values_of(dtype, shape, random)
    x = sp.tensor(source, device=device)
    assert x.shape == shape and x.device == device and x.dtype == np.dtype(dtype) and x.ndim == len(shape)
    assert x.numel() == source.size and x.nbytes == source.nbytes
    kept = source.copy()
    source[...] = 1
    same_bits(x.cpu().numpy(), kept)


def test_python_numbers_and_lists():
    assert sp.tensor(1.5).dtype == np.float32 and sp.tensor(1.5).shape == ()
    assert sp.tensor(3).dtype == np.int64
    assert sp.tensor(True).dtype == np.bool_
    assert sp.tensor([]).dtype == np.float32 and sp.tensor([]).shape == (0,)
    assert sp.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert sp.tensor([[1, 2.5]]).dtype == np.float32
    assert sp.tensor((1, 2), dtype="float64").dtype == np.float64
    assert sp.tensor([np.float64(1)]).dtype == np.float64  # what has a dtype keeps it
    assert sp.tensor([np.ones(2), np.ones(2)]).dtype == np.float64
    assert sp.tensor(np.float64(1)).dtype == np.float64
    assert sp.tensor([sp.tensor([1.0]), sp.tensor([2.0])]).shape == (2, 1)


def test_buffers_without_numpy():
    same_bits(sp.tensor(array.array("d", [1, 2])).numpy(), np.array([1.0, 2.0]))
    same_bits(sp.tensor(memoryview(array.array("i", [1, 2]))).numpy(), np.array([1, 2], np.int32))


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), "f4", ">f4"])
def test_ways_to_name_a_dtype(dtype):
    assert sp.tensor([1], dtype=dtype).dtype == np.float32
    assert sp.tensor(np.array([1.5]), dtype).numpy().dtype == np.float32


def test_a_dtype_converts_by_the_contract():
    x = [np.nan, 1e30, -1e30, 2.9, -2.9]
    same_bits(sp.tensor(x, dtype="int32").numpy(), np.array([0, 2**31 - 1, -(2**31), 2, -2], np.int32))
    same_bits(sp.tensor(np.array([0.0, -0.0, np.nan, 3.0]), dtype=bool).numpy(), np.array([False, False, True, True]))


@pytest.mark.parametrize("foreign", ["int8", "int16", "uint16", "uint32"])
def test_narrow_integers_are_widened_when_a_dtype_is_named(foreign):
    source = np.array([0, 1, np.iinfo(foreign).max], foreign)
    same_bits(sp.tensor(source, dtype="float64").numpy(), source.astype(np.float64))
    with pytest.raises(ValueError, match=f"tensor: array is {foreign}, expected bool, uint8"):
        sp.tensor(source)


def odd_layouts():
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    unaligned = np.frombuffer(b"x" + base.tobytes(), np.uint8)[1:].view(np.float32).reshape(4, 6)
    record = np.zeros(4, dtype=[("a", "u1"), ("b", "<f4")])
    record["b"] = 1, 2, 3, 4
    return {
        "columns": base[:, ::2],
        "negative": base[::-1, ::-1],
        "transposed": base.T,
        "broadcast": np.broadcast_to(base[0], (3, 6)),
        "fortran": np.asfortranarray(base),
        "unaligned": unaligned,
        "field": record["b"],
        "big-endian": base.astype(">f4"),
        "big-endian integers": base.astype(">i8"),
        "read-only": np.frombuffer(base.tobytes(), np.float32),
    }


@pytest.mark.parametrize("name", odd_layouts())
def test_odd_layouts_are_copied(name):
    source = odd_layouts()[name]
    expected = source.astype(source.dtype.newbyteorder("="))
    same_bits(sp.tensor(source).numpy(), expected)
    assert sp.tensor(source).numpy().flags.writeable
    same_bits(sp.relu(source).numpy(), np.maximum(expected, 0))


@pytest.mark.parametrize(
    "bad", [None, {}, {1, 2}, "1", b"12", bytearray(2), object(), ["a"], np.array(["a"]), [object()], int]
)
def test_what_is_no_array_is_a_type_error(bad):
    with pytest.raises(TypeError, match="tensor"):
        sp.tensor(bad)


@pytest.mark.parametrize(
    "bad", [[[1], [2, 3]], np.zeros(2, complex), np.zeros(2, np.longdouble), np.zeros(2, "M8[s]"), [2**63]]
)
def test_what_has_no_dtype_of_ours_is_a_value_error(bad):
    with pytest.raises(ValueError, match="tensor: array"):
        sp.tensor(bad)
    with pytest.raises(ValueError, match="tensor: array"):
        sp.tensor(bad, dtype="float32")


@pytest.mark.parametrize("dtype", ["int8", "complex64", "no such type", np.int16])
def test_unknown_dtype(dtype):
    with pytest.raises(ValueError, match="tensor: dtype is .*, expected bool, uint8"):
        sp.tensor([1], dtype=dtype)


def test_dtype_of_the_wrong_kind():
    with pytest.raises(TypeError, match="tensor: dtype is of type object"):
        sp.tensor([1], dtype=object())


def test_devices():
    with pytest.raises(ValueError, match='device: got "gpu", expected cpu, cuda'):
        sp.tensor([1], device="gpu")
    with pytest.raises(TypeError):
        sp.tensor([1], device=0)
    if not sp.cuda.is_available():
        with pytest.raises(sp.DeviceUnavailable) as caught:
            sp.tensor([1], device="cuda")
        assert sp.cuda.unavailable_reason() in str(caught.value)
        with pytest.raises(sp.DeviceUnavailable):
            sp.tensor([1]).to("cuda:3")


def test_zeros(device):
    x = sp.zeros((2, 3), "int32", device=device)
    same_bits(x.cpu().numpy(), np.zeros((2, 3), np.int32))
    assert x.device == device
    assert sp.zeros(4).shape == (4,) and sp.zeros(4).dtype == np.float32
    for bad in [(-1,), (2**40, 2**40)]:
        with pytest.raises(ValueError, match="shape"):
            sp.zeros(bad)
    with pytest.raises(TypeError, match="zeros: shape holds a float"):
        sp.zeros((2.0,))
    with pytest.raises(MemoryError, match="allocate: "):
        sp.zeros((2**30, 2**30))


# ---- NumPy


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_shares_the_memory(dtype, random):
    x = sp.tensor(values_of(dtype, (3, 4), random))
    view = x.numpy()
    assert view.ctypes.data == x.data_ptr() and view.flags.writeable and view.dtype == np.dtype(dtype)
    view[0, 0] = 1
    assert x.numpy()[0, 0] == 1
    assert np.asarray(x).ctypes.data == x.data_ptr()
    assert memoryview(x).nbytes == x.nbytes


def test_numpy_keeps_the_tensor_alive():
    view = sp.tensor(np.arange(1000.0)).numpy()
    gc.collect()
    others = [sp.tensor(np.zeros(1000)) for _ in range(20)]  # would reuse the block
    same_bits(view, np.arange(1000.0))
    assert len(others) == 20


def test_numpy_of_every_host_device_is_shared(device):
    x = sp.tensor([1.0, 2.0], device=device)
    if device.startswith("cuda"):
        with pytest.raises(ValueError, match=r"numpy: the tensor is on cuda:\d+, expected host memory; use cpu\(\)"):
            x.numpy()
        with pytest.raises(BufferError):
            memoryview(x)
    else:
        assert x.numpy().ctypes.data == x.data_ptr()


def test_array_protocol():
    x = sp.tensor([1.0, 2.0])
    assert np.array(x).ctypes.data != x.data_ptr()
    same_bits(np.asarray(x, dtype=np.float64), np.array([1.0, 2.0]))
    same_bits(x.__array__("float64"), np.array([1.0, 2.0]))
    assert x.__array__(copy=True).ctypes.data != x.data_ptr()
    assert x.__array__(copy=False).ctypes.data == x.data_ptr()
    with pytest.raises(ValueError, match="copy"):
        x.__array__("float64", copy=False)
    same_bits(np.exp(x), np.exp(np.array([1.0, 2.0], np.float32)))


def test_bfloat16_goes_by_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    source = np.array([[1.5, -2.0, 0.1]], ml_dtypes.bfloat16)
    x = sp.tensor(source)
    assert x.dtype == ml_dtypes.bfloat16 and x.numpy().ctypes.data == x.data_ptr() and x.numpy().shape == (1, 3)
    assert (x.numpy() == source).all()
    assert (np.asarray(x) == source).all()
    assert (sp.relu(source).numpy() == np.maximum(source, ml_dtypes.bfloat16(0))).all()
    assert (sp.tensor(source[:, ::-2]).numpy() == source[:, ::-2]).all()
    assert sp.tensor([1.0], dtype=ml_dtypes.bfloat16).astype("float32").item() == 1.0
    assert "bfloat16" in repr(x)
    with pytest.raises(BufferError):
        memoryview(x)


# ---- moves, shapes, casts


def test_to(device):
    x = sp.tensor([[1.0, -2.0]])
    there = x.to(device)
    assert there.device == device and there.cpu().device == "cpu"
    same_bits(there.cpu().numpy(), x.numpy())
    assert x.to("cpu").data_ptr() == x.data_ptr()
    assert there.to(device).data_ptr() == there.data_ptr()
    assert there.clone().data_ptr() != there.data_ptr()
    assert sp.tensor(there).device == device  # a tensor's copy stays where the tensor is


def test_reshape():
    x = sp.tensor(np.arange(6.0))
    for shape in [(2, 3), (-1, 2), (6, 1), (1, -1, 3)]:
        same_bits(x.reshape(shape).numpy(), np.arange(6.0).reshape(shape))
        same_bits(x.reshape(*shape).numpy(), np.arange(6.0).reshape(shape))
        assert x.reshape(shape).data_ptr() == x.data_ptr()
    assert sp.tensor([1.0]).reshape(()).shape == ()
    for bad in [(4,), (-1, 4), (-1, -1), (-2, 3), (-1, 0)]:
        with pytest.raises(ValueError, match="shape"):
            x.reshape(bad)


def test_astype(device):
    x = sp.tensor([1.9, -1.9, np.nan, np.inf], device=device)
    same_bits(x.astype("int32").cpu().numpy(), np.array([1, -1, 0, 2**31 - 1], np.int32))
    same_bits(x.astype("float64").cpu().numpy(), x.cpu().numpy().astype(np.float64))
    assert x.astype("float32").data_ptr() != x.data_ptr()


def test_length_truth_item():
    assert len(sp.tensor([[1, 2], [3, 4], [5, 6]])) == 3
    with pytest.raises(TypeError, match="len"):
        len(sp.tensor(1))
    assert sp.tensor([2.5]).item() == 2.5 and sp.tensor(True).item() is True
    assert bool(sp.tensor([[1.0]])) is True and bool(sp.tensor(0)) is False
    for x in [sp.tensor([1, 2]), sp.tensor([])]:
        with pytest.raises(ValueError, match="item: shape is .*, expected one element"):
            bool(x)


def test_repr(device):
    assert repr(sp.tensor([[1.0, 2.5]], device=device)) == f"tensor([[1. , 2.5]], dtype=float32, device='{device}')"
    assert len(repr(sp.tensor(np.zeros(10**6)))) < 200


def test_pickle_and_copy(device):
    x = sp.tensor([[1.0, np.nan]], device=device)
    for y in [pickle.loads(pickle.dumps(x)), copy.copy(x), copy.deepcopy(x)]:
        assert y.device == device
        same_bits(y.cpu().numpy(), x.cpu().numpy())


def test_arrays_given_to_operations_are_released():
    source = np.ones(1000, np.float32)
    gone = weakref.ref(source)
    y = sp.relu(source)
    x = sp.from_dlpack(source)
    del source
    assert gone() is not None
    del x
    gc.collect()
    assert gone() is None and y.numel() == 1000
