"""Arithmetic, comparison and ReLU, against NumPy."""

import numpy as np
import pytest
from conftest import FLOATS, same_bits, values_of

import sparsert as sp

SHAPES = [(), (0,), (1, 1), (5,), (31, 33), (2, 3, 4)]
NUMBERS = ["uint8", "int32", "int64", *FLOATS]


def relu_of(x):
    return (
        np.where(np.isnan(x), x, np.where(x > 0, x, np.zeros((), x.dtype))) if x.dtype.kind == "f" else np.maximum(x, 0)
    )


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arithmetic(dtype, shape, device, random):
    x, y = values_of(dtype, shape, random), values_of(dtype, shape, random)
    a, b = sp.tensor(x, device=device), sp.tensor(y, device=device)
    same_bits((a + b).cpu().numpy(), x + y)
    same_bits((a - b).cpu().numpy(), x - y)
    same_bits((a * b).cpu().numpy(), x * y)
    same_bits((a**2).cpu().numpy(), x * x)
    same_bits(sp.power(a, 0).cpu().numpy(), np.ones_like(x))
    for function, expected in [(sp.add, x + y), (sp.subtract, x - y), (sp.multiply, x * y)]:
        same_bits(function(a, b).cpu().numpy(), expected)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numbers_take_the_tensors_dtype_and_shape(dtype, shape, device, random):
    x = values_of(dtype, shape, random)
    a = sp.tensor(x, device=device)
    three = np.array(3, dtype)
    for number in [3, np.float32(3) if dtype in FLOATS else np.int16(3)]:
        for result, expected in [
            (a + number, x + three),
            (number + a, x + three),
            (a - number, x - three),
            (number - a, three - x),
            (a * number, x * three),
            (number * a, x * three),
            (sp.add(number, a), x + three),
            (sp.subtract(a, number), x - three),
        ]:
            assert result.device == device
            same_bits(result.cpu().numpy(), np.asarray(expected))


def test_float_numbers():
    x = np.array([1.0, -2.0], np.float32)
    same_bits((sp.tensor(x) * 0.1).numpy(), x * np.float32(0.1))
    same_bits((0.1 - sp.tensor(x)).numpy(), np.float32(0.1) - x)
    same_bits((sp.tensor(x) + np.float64(0.1)).numpy(), x + np.float32(0.1))
    assert (sp.tensor(x) + True).tolist() == [2.0, -1.0]


@pytest.mark.parametrize(
    "dtype, number",
    [
        ("int32", 0.5),
        ("int32", 2**31),
        ("int64", 2**63),
        ("uint8", -1),
        ("uint8", 256),
        ("bool", 1),
        ("float32", 10**400),
        ("float32", np.complex64(1)),
    ],
)
def test_numbers_that_the_dtype_cannot_hold(dtype, number):
    with pytest.raises(ValueError, match=f"add: y is .*, expected .* for a tensor of {dtype}"):
        sp.tensor([1], dtype=dtype) + number


def test_arrays_beside_tensors(device):
    x = np.array([[1.0, -2.0]], np.float32)
    a = sp.tensor(x)
    for result in [a + x, x + a, x - a, a * x, np.float32(2) * a]:
        assert isinstance(result, sp.Tensor)
    same_bits((x - a * 2).numpy(), x - x * 2)
    if device != "cpu":
        with pytest.raises(ValueError, match=f"add: y is on cpu, expected {device}"):
            sp.tensor(x, device=device) + x


def test_in_place_operators_rebind():
    x = sp.tensor([1.0])
    before = x
    x += 1
    assert x.tolist() == [2.0] and before.tolist() == [1.0]


@pytest.mark.parametrize("other", ["1", None, [1.0], {}])
def test_operators_refuse_other_objects(other):
    with pytest.raises(TypeError):
        sp.tensor([1.0]) + other
    with pytest.raises(TypeError):
        other * sp.tensor([1.0])


def test_operands_must_agree():
    x = sp.tensor([1.0, 2.0])
    with pytest.raises(ValueError, match=r"add: y is int32, expected float32"):
        x + sp.tensor([1, 2], dtype="int32")
    with pytest.raises(ValueError, match=r"multiply: y has shape \(3,\), expected \(2,\)"):
        x * sp.tensor([1.0, 2.0, 3.0])
    for exponent in [-1, 1025]:
        with pytest.raises(ValueError, match="power: exponent"):
            x**exponent
    for exponent in [0.5, x, "2"]:
        with pytest.raises(TypeError):
            x**exponent


def test_equal(device):
    x = sp.tensor([[1.0, 2.0]], device=device)
    assert sp.equal(x, sp.tensor([[1.0, 2.0]], device=device)) is True
    assert not sp.equal(x, sp.tensor([[1.0, 3.0]], device=device))
    assert not sp.equal(x, sp.tensor([1.0, 2.0], device=device))
    assert not sp.equal(x, sp.tensor([[1, 2]], device=device))
    nan = sp.tensor([np.nan], device=device)
    assert not sp.equal(nan, nan)
    assert sp.equal(sp.tensor([0.0], device=device), sp.tensor([-0.0], device=device))
    if device != "cpu":
        with pytest.raises(ValueError, match="equal: y is on cpu"):
            sp.equal(x, [[1.0, 2.0]])


def test_comparison_operators_are_not_guessed():
    x = sp.tensor([1.0])
    for compare in [
        lambda: x == sp.tensor([1.0]),
        lambda: x != np.ones(1, np.float32),
        lambda: np.ones(1, np.float32) == x,
    ]:
        with pytest.raises(TypeError, match="equal"):
            compare()
    assert (x == None) is False and (x != None) is True and x in [x]  # noqa: E711
    assert {x: 1}[x] == 1


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_relu(dtype, shape, device, random):
    x = values_of(dtype, shape, random)
    expected = relu_of(x)
    same_bits(sp.relu(sp.tensor(x, device=device)).cpu().numpy(), expected)
    a = sp.tensor(x, device=device)
    assert sp.relu_(a) is a
    same_bits(a.cpu().numpy(), expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_relu_backward(dtype, device, random):
    x, grad = values_of(dtype, (31, 33), random), values_of(dtype, (31, 33), random)
    expected = np.where(np.isnan(x), x, np.where(x > 0, grad, np.zeros((), dtype)))
    same_bits(sp.relu_backward(sp.tensor(grad, device=device), sp.tensor(x, device=device)).cpu().numpy(), expected)
    with pytest.raises(ValueError, match=r"relu_backward: x has shape \(2,\), expected \(3,\)"):
        sp.relu_backward(np.ones(3, dtype), np.ones(2, dtype))
    with pytest.raises(ValueError, match=r"relu_backward: x is int64"):
        sp.relu_backward(np.ones(3, dtype), np.ones(3, np.int64))


def test_relu_in_place_on_arrays():
    x = np.array([[-1.0, 2.0]], np.float32)
    assert sp.relu_(x) is x
    same_bits(x, np.array([[0.0, 2.0]], np.float32))
    frozen = np.array([-1.0])
    frozen.flags.writeable = False
    for bad in [frozen, np.ones((4, 4), np.float32)[:, ::2], np.ones(3, ">f4"), np.ones(3, np.int16)]:
        with pytest.raises(ValueError, match="relu_: x"):
            sp.relu_(bad)
    with pytest.raises(TypeError, match="relu_: x is of type list"):
        sp.relu_([-1.0])


def test_integers_1_to_99_squared(device):
    """The example of the guide: 1 to 99, repeated in a 100 x 100 tensor, squared on the CPU and on the device."""
    x = (np.arange(10_000, dtype=np.int64) % 99 + 1).reshape(100, 100)
    for dtype in ["int32", "int64", "float32", "float64"]:
        on_cpu = sp.tensor(x, dtype=dtype) ** 2
        on_device = sp.tensor(x, dtype=dtype, device=device) ** 2
        assert on_device.device == device
        assert sp.equal(on_cpu, on_device.cpu())
        same_bits(on_device.cpu().numpy(), (x * x).astype(dtype))
