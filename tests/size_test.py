#!/usr/bin/env python3
# tests/size_test.py — the library is no larger than it may be: run with its path and the limit in MB.
#
# A build for tests holds the simt device too, so the release library is smaller than what is measured here; symbols
# that a release strips do not count.
import pathlib
import shutil
import subprocess
import sys
import tempfile

library, limit = pathlib.Path(sys.argv[1]), float(sys.argv[2])
with tempfile.TemporaryDirectory() as folder:
    copy = pathlib.Path(folder) / "library.so"
    shutil.copyfile(library, copy)
    if shutil.which("strip"):
        subprocess.run(["strip", "--strip-unneeded", copy], check=True)
    size = copy.stat().st_size / 1e6
print(f"{library.name}: {library.stat().st_size / 1e6:.1f} MB, {size:.1f} MB stripped")
if size > limit:
    sys.exit(f"failed: expected at most {limit:.0f} MB")
