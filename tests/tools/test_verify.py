# tests/tools/test_verify.py — `sparsert verify`: its certificate, and that it notices a wrong bit and a crash.
import json
import os
import pathlib
import subprocess

import pytest

jsonschema = pytest.importorskip("jsonschema")

COMMAND = os.environ["SPARSERT_COMMAND"]
INFO = os.environ["SPARSERT_INFO"]
FAULT = os.environ["SPARSERT_VERIFY_FAULT"]
SCHEMA = pathlib.Path(__file__).parents[2] / "docs" / "schemas" / "certificate.schema.json"


def verify(*arguments, fault=None):
    environment = dict(os.environ)
    if fault:
        environment.update(LD_PRELOAD=FAULT, SPARSERT_TEST_FAULT=fault)
    return subprocess.run([COMMAND, "verify", *arguments], capture_output=True, text=True, env=environment, timeout=300)


def certificate(result):
    report = json.loads(result.stdout)
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    return report


def test_the_cpu_gives_the_reference_bits(tmp_path):
    result = verify("--devices", "cpu", "--quick", "--json", "-o", str(tmp_path / "certificate.json"))
    assert result.returncode == 0, result.stdout + result.stderr
    report = certificate(result)
    assert report["passed"] is True
    assert report["devices"][0]["name"] == "cpu"
    assert report["devices"][0]["cases"] > 1000
    assert json.loads((tmp_path / "certificate.json").read_text()) == report


def test_one_wrong_bit_is_found():
    result = verify("--devices", "cpu", "--quick", "--json", fault="bit")
    assert result.returncode == 1
    differences = certificate(result)["devices"][0]["differences"]
    assert differences and all(difference["case"].startswith("relu ") for difference in differences)
    assert all(difference["got"] != difference["expected"] for difference in differences)


def test_a_crash_is_a_finding_and_the_other_shards_go_on():
    result = verify("--devices", "cpu", "--quick", "--json", fault="crash")
    assert result.returncode == 1
    report = certificate(result)
    assert any("signal 6" in difference["got"] for difference in report["devices"][0]["differences"])


def test_an_unusable_device_is_an_error():
    result = verify("--devices", "cuda:77")
    assert result.returncode == 1
    assert "cuda:77" in result.stderr and result.stdout == ""


def test_the_selftest_finds_one_wrong_bit():
    environment = dict(os.environ, LD_PRELOAD=FAULT, SPARSERT_TEST_FAULT="bit")
    result = subprocess.run([INFO, "--selftest", "--json"], capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 1
    report = json.loads(result.stdout)
    assert report["passed"] is False
    for device in report["devices"]:
        assert device["differences"] and all(d["case"].startswith("relu ") for d in device["differences"])
    text = subprocess.run([INFO, "--selftest"], capture_output=True, text=True, env=environment, timeout=300)
    assert text.returncode == 1 and "FAILED" in text.stdout
