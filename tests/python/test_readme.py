"""The README's Python blocks run as they are printed, each in a fresh interpreter and an empty folder."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    return BLOCK.findall(README.read_text())


def test_there_are_blocks_and_they_are_found():
    assert blocks()
    assert BLOCK.findall("text\n```python\na = 1\n\nb = 2\n```\n```cpp\nint c;\n```\n") == ["a = 1\n\nb = 2\n"]


@pytest.mark.parametrize("number", range(len(blocks())))
def test_block_runs(number, tmp_path):
    path = os.pathsep.join(sys.path[1:])
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocks()[number]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert result.returncode == 0, result.stderr
