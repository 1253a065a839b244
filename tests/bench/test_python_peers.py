"""The comparison from Python: it checks, it times, and a call on 1 x 1 operands stays under its goal."""
import json
import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "bench/python_peers.py"


def test_a_quick_run():
    result = subprocess.run([sys.executable, SCRIPT, "--quick", "--json"], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert {"sparsert", "numpy"} <= report["versions"].keys()
    assert {case["op"] for case in report["cases"]} == {"overhead", "relu", "topk", "prune", "spmm"}
    for case in report["cases"]:
        assert case["seconds"]["sparsert"] > 0
