"""SPARSERT_TRACE and NVTX as a user meets them: by the environment of a program that knows nothing of either."""
import json
import os
import subprocess

BENCH = os.environ["SPARSERT_BENCH"]


def run(**environment):
    command = [BENCH, "--quick", "--op", "relu"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **environment})


def test_the_timeline_is_complete_at_exit(tmp_path):
    path = tmp_path / "trace.json"
    assert run(SPARSERT_TRACE=str(path)).returncode == 0
    events = json.loads(path.read_text())
    relus = [event for event in events if event["name"] == "relu"]
    assert len(relus) > 100
    assert {event["args"]["n"] for event in relus} >= {1024, 16384}
    for event in relus:
        assert event["ph"] == "X" and event["ts"] >= 0 and event["dur"] >= 0 and event["args"]["kernel"]


def test_a_timeline_that_cannot_be_written_is_an_error():
    result = run(SPARSERT_TRACE="/no/such/folder/trace.json")
    assert result.returncode == 1 and "/no/such/folder/trace.json" in result.stderr


def test_nvtx_gets_the_ranges(tmp_path):
    log = tmp_path / "ranges"
    result = run(SPARSERT_NVTX="1", FAKE_NVTX_LOG=str(log), LD_LIBRARY_PATH=os.environ["FAKE_NVTX"])
    assert result.returncode == 0, result.stderr
    lines = log.read_text().splitlines()
    assert sum(line.startswith("push relu {") for line in lines) > 10
    assert sum(line.startswith("push") for line in lines) == sum(line.startswith("pop") for line in lines)


def test_nvtx_absent_is_no_error():
    assert run(SPARSERT_NVTX="1").returncode == 0
