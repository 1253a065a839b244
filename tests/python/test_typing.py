"""The stub is what the module says, and user code checks against it under mypy --strict."""

import difflib
import pathlib
import subprocess
import sys

import pytest

import sparsert as sp

ROOT = pathlib.Path(__file__).resolve().parents[2]
STUB = ROOT / "python" / "sparsert" / "_sparsert.pyi"

SAMPLE = """
from typing import Any

import numpy as np
import numpy.typing as npt

import sparsert as sp

x: sp.Tensor = sp.tensor(np.ones((3, 4), np.float32), device="cpu")
shape: tuple[int, ...] = x.shape
array: npt.NDArray[Any] = x.numpy()
y: sp.Tensor = 2 * x + x**2 - array
same: bool = sp.equal(sp.relu(x), sp.relu_(x.clone()))
a: sp.Csr = sp.to_csr(x)
plan = sp.Plan(a, n=16)
c: sp.Tensor = sp.spmm(plan, sp.zeros((4, 2)), bias=sp.zeros(3), relu=True, alpha=2, order="fast")
d: sp.Tensor = a @ np.ones((4, 1), np.float32) + np.float32(1)
z: sp.Tensor = sp.linear(x, a, out=sp.zeros((3, 3)))
values, indices = sp.topk(x, 2)
pruned: dict[str, sp.Tensor] = sp.prune.global_magnitude({"w": x}, 0.5)
one: sp.Tensor = sp.prune.magnitude(x, 0.5)
density: float = a.density + sp.sparsity(a) + sp.sparsity(values)
sp.save("model.safetensors", {"w": x})
state: sp.StateDict = sp.load("model.safetensors", device="cpu", include=["w"])
names: list[str] = state.keys()
for name, tensor in state.items():
    print(name.upper(), tensor.shape, tensor.dtype, len(tensor), tensor.device.upper())
count: int = a.nnz + sp.cuda.device_count() + sp.get_num_threads() + sp.count_nonzero(indices)
reason: str | None = sp.cuda.unavailable_reason()
version: str = sp.__version__
try:
    x.to("cuda")
except (sp.DeviceUnavailable, sp.DeviceLost, sp.FileError, sp.CommError) as error:
    print(str(error))
coo: sp.Coo = a.to_coo()
from_numpy = np.asarray(x) + np.from_dlpack(x)
"""

WRONG = [
    "sp.tensor([1.0]).shapes",
    "sp.spmm(1, [[1.0]])",
    "sp.spmm(sp.to_csr([[1.0]]), [[1.0]], order='quick')",
    "sp.Plan([[1.0]])",
    "sp.Csr([0], [0], [0])",
    "sp.topk([1.0], 'x')",
    "sp.tensor([1.0], device=0)",
    "sp.no_such_name",
    "sp.load('x').no_such_method()",
    "sp.cuda.set_device('0')",
    "sp.tensor([1.0]) + 'x'",
    "sp.tensor([1.0]) @ [1.0]",
    "sp.tensor([1.0]) ** 0.5",
]


def test_the_committed_stub_is_what_the_module_says(tmp_path):
    pytest.importorskip("nanobind")
    made = tmp_path / "_sparsert.pyi"
    subprocess.run(
        [sys.executable, "-m", "nanobind.stubgen", "-q", "-P", "-m", "sparsert._sparsert", "-o", str(made)], check=True
    )
    difference = "".join(
        difflib.unified_diff(STUB.read_text().splitlines(True), made.read_text().splitlines(True), "committed", "made")
    )
    assert difference == "", (
        f"python/sparsert/_sparsert.pyi is out of date (the target python_stub makes it):\n{difference}"
    )


def test_everything_public_is_documented_and_exported():
    for name in sp.__all__:
        thing = getattr(sp, name)
        assert isinstance(thing, str) or thing.__doc__, name
    for module in [sp.cuda, sp.prune]:
        for name in module.__all__:
            assert getattr(module, name).__doc__, name


@pytest.fixture(scope="module")
def run_mypy(tmp_path_factory):
    mypy = pytest.importorskip("mypy.api")
    folder = tmp_path_factory.mktemp("typing")  # one cache: NumPy's stubs are read once

    def run(code):
        (folder / "sample.py").write_text(code)
        out, error, status = mypy.run(["--strict", "--cache-dir", str(folder / "cache"), str(folder / "sample.py")])
        return status, out + error

    return run


def test_user_code_is_strictly_typed(run_mypy):
    status, out = run_mypy(SAMPLE)
    assert status == 0, out


def test_wrong_user_code_is_found(run_mypy):
    status, out = run_mypy("import sparsert as sp\n" + "\n".join(WRONG) + "\n")
    lines = {int(line.split(":")[1]) for line in out.splitlines() if ": error:" in line}
    assert status == 1 and lines == set(range(2, 2 + len(WRONG))), out
