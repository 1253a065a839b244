"""The wheel: built from the source tree, installed into an environment of its own, imported and used there.

Not collected with the other Python tests (its name is not test_*.py): ctest runs it under the label `install`.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 15_000_000  # bytes of a build for the CPU, unpacked

USE = """
import pathlib
import numpy as np
import sparsert as sp

assert "simt" not in sp.devices() and sp.devices()[0] == "cpu"
x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
a = sp.to_csr(sp.prune.magnitude(x, 0.9))
assert sp.equal(sp.Plan(a) @ x, sp.matmul(a.to_dense(), x))
sp.save("model.safetensors", {"w": a.to_dense()})
assert sp.equal(sp.load("model.safetensors")["w"], a.to_dense())
print(pathlib.Path(sp.__file__).parent)
"""


def run(*command, **arguments):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, **arguments)
    assert result.returncode == 0, f"{command}\n{result.stdout[-6000:]}\n{result.stderr[-6000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # Offline where the build's own requirements are installed here already.
    ready = all(
        subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True).returncode == 0
        for name in ("scikit_build_core", "nanobind")
    )
    environment = {**os.environ, "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1)}
    if shutil.which("ccache"):
        environment["CMAKE_CXX_COMPILER_LAUNCHER"] = "ccache"
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        *(["--no-build-isolation"] if ready else []),
        "-w",
        folder,
        ROOT,
        "-C",
        f"build-dir={ROOT}/build/wheel",
        "-C",
        "cmake.define.SPARSERT_CUDA=OFF",
        "-C",
        "cmake.define.CMAKE_CXX_FLAGS=-Werror",
        env=environment,
    )
    (made,) = folder.glob("sparsert-*.whl")
    return made


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        size = sum(info.file_size for info in archive.infolist())
    assert {name.split("/")[0] for name in names} == {"sparsert", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    files = {name for name in names if name.startswith("sparsert/")}
    module = f"sparsert/_sparsert{sysconfig.get_config_var('EXT_SUFFIX')}"
    sources = {f"sparsert/{path.name}" for path in (ROOT / "python" / "sparsert").iterdir() if path.is_file()}
    assert files == {module, *sources} and {"sparsert/py.typed", "sparsert/_sparsert.pyi"} <= files
    assert size < LIMIT, size


def test_the_wheel_is_used(wheel, tmp_path):
    venv.create(tmp_path / "environment", with_pip=False)
    python = tmp_path / "environment" / "bin" / "python"
    site = pathlib.Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", site, wheel)
    # Of the packages it needs, those of this environment, so that nothing is downloaded.
    (site / "numpy_of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    assert run(python, "-c", USE, cwd=tmp_path, env=environment).strip() == str(site / "sparsert")
    (module,) = (site / "sparsert").glob("_sparsert*.so")
    needed = run("ldd", module)
    assert "libsparsert" not in needed and "libcuda" not in needed, needed
