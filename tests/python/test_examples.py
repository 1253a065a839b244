"""The programs of scripts/ that show the library at work: small runs, and one answer on every device."""

import pathlib
import subprocess
import sys

import pytest

import sparsert as sp

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
DEVICES = ",".join(d for d in sp.devices() if d not in ("simt", "reference"))


def run(name, *options):
    result = subprocess.run(
        [sys.executable, SCRIPTS / name, "--devices", DEVICES, *options], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith("one answer, bit for bit\n")
    return result.stdout


def test_deep_network():
    lines = run("deep_network.py", "--layers", "6", "--rows", "24").splitlines()
    assert len({line.split()[-1] for line in lines if "Gedges" in line and "scipy" not in line}) == 1


def test_recommender():
    assert "held-out error" in run("recommender.py", "--made-up", "--steps", "30")


def test_recommender_on_movielens():
    if not pathlib.Path("/usr/lib/R/site-library/dslabs/data/Rdata.rdb").is_file():
        pytest.skip("needs Debian's r-cran-dslabs")
    assert "100004 ratings" in run("recommender.py")
