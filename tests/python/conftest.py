"""What the Python tests share: the devices to run on, a fresh interpreter, comparison of bits."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import sparsert as sp

DTYPES = ["bool", "uint8", "int32", "int64", "float16", "float32", "float64"]
FLOATS = ["float16", "float32", "float64"]


def pytest_report_header(config):
    return f"sparsert {sp.__version__} on {', '.join(sp.devices())}; default {sp.default_device()}"


def pytest_generate_tests(metafunc):
    """A test with an argument `device` runs on every device there is; SPARSERT_REQUIRE=cuda makes a GPU obligatory."""
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", sp.devices())


def pytest_sessionstart(session):
    if os.environ.get("SPARSERT_REQUIRE") == "cuda" and not sp.cuda.is_available():
        pytest.exit(f"SPARSERT_REQUIRE=cuda, but {sp.cuda.unavailable_reason()}", returncode=1)


@pytest.fixture(autouse=True)
def keep_threads():
    before = sp.get_num_threads()
    yield
    sp.set_num_threads(before)


@pytest.fixture
def random():
    return np.random.default_rng(7)


def run_python(code, timeout=60, check=True, environment=None):
    """Runs code in a fresh interpreter, so that what happens at its exit is seen too."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(environment or {})},
    )
    if check:
        assert result.returncode == 0, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result


def values_of(dtype, shape, random):
    """Values that exercise a dtype: both signs, zeros, and for floats what is not a number."""
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if dtype == "uint8":
        return random.integers(0, 256, shape).astype(np.uint8)
    if dtype in ("int32", "int64"):
        return random.integers(-1000, 1000, shape).astype(dtype)
    array = random.standard_normal(shape).astype(dtype)
    flat = array.reshape(-1)
    flat[::7] = 0
    flat[3::11] = np.nan
    flat[5::13] = np.inf
    flat[6::17] = -0.0
    return array


def same_bits(got, expected):
    """Equal in dtype, shape and every bit, any NaN being equal to any NaN."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    if got.dtype.kind == "f":
        nan = np.isnan(expected)
        np.testing.assert_array_equal(np.isnan(got), nan)
        got, expected = np.where(nan, 0, got), np.where(nan, 0, expected)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))
    np.testing.assert_array_equal(got, expected)
