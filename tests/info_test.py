#!/usr/bin/env python3
# tests/info_test.py — sparsert-info as a program, and what the library needs to load: run with its path and the library's.
import json
import os
import re
import subprocess
import sys
import tempfile
import time

PROGRAM, LIBRARY, LIMIT = sys.argv[1], sys.argv[2], float(sys.argv[3])
FORBIDDEN = ("libcuda", "libcudart", "libcusparse", "libcublas", "libnccl", "libnvrtc")
KEYS = {
    "": {"version", "commit", "cuda", "cpu", "devices", "default_device", "reason"},
    "cuda": {"built", "runtime_version", "driver_version", "available", "reason", "detail", "device_count",
             "current_device", "devices", "libraries"},
    "cpu": {"name", "threads", "simd", "blas"},
}
REASONS = {"none", "not_built", "no_driver", "driver_too_old", "no_device", "error"}


def run(*arguments, **environment):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **environment})


def check(condition, *what):
    if not condition:
        sys.exit("failed: " + " ".join(str(w) for w in what))


def check_json():
    result = run("--json")
    check(result.returncode == 0 and result.stderr == "", result)
    report = json.loads(result.stdout)
    cuda = report["cuda"]
    for place, keys in KEYS.items():
        check(set(report[place] if place else report) == keys, place, "has", report)
    check(cuda["available"] == (cuda["reason"] == "none") == (cuda["device_count"] > 0), cuda)
    check(cuda["reason"] in REASONS, cuda)
    check(cuda["built"] == (cuda["runtime_version"] is not None), cuda)
    check(set(cuda["libraries"]) == {"cusparse", "cublas"}, cuda)
    check(len(cuda["devices"]) == cuda["device_count"], cuda)
    for device in cuda["devices"]:
        check(set(device) == {"id", "name", "compute_capability", "memory_total", "memory_free", "multiprocessors"}, device)
    check(report["default_device"] in report["devices"] and report["devices"][0] == "cpu", report)
    check(report["default_device"] != "simt" and report["reason"], report)
    check(report["cpu"]["threads"] >= 1, report)
    return report


def check_text(report):
    result = run()
    check(result.returncode == 0 and report["version"] in result.stdout and report["cpu"]["name"] in result.stdout, result)
    check("\033" not in result.stdout, "colors in a pipe")
    if not report["cuda"]["available"]:
        check(report["cuda"]["detail"] in result.stdout, "no reason in", result.stdout)


def check_ops():
    ops = json.loads(run("--json", "--ops").stdout)["ops"]
    names = [op["name"] for op in ops]
    check(len(names) == len(set(names)) and {"relu", "spmm", "topk"} <= set(names), names)
    for op in ops:
        check({"reference", "cpu"} <= set(op["backends"]), op)
    text = run("--ops").stdout
    check(all(name in text for name in names), text)


def check_selftest():
    """Every operation of every family, on every device, in seconds. tests/tools/test_verify.py makes it fail."""
    start = time.perf_counter()
    result = run("--selftest", "--json")
    seconds = time.perf_counter() - start
    report = json.loads(result.stdout)
    check(result.returncode == 0 and report["passed"] and result.stderr == "", result)
    names = {"relu", "cast", "to_csr", "coo.to_csr", "prune.magnitude", "topk", "spmm", "linear", "matmul"}
    for device in report["devices"]:
        check(names <= set(device["operations"]) and device["cases"] >= len(device["operations"]), device)
        check(device["differences"] == [], device)
    check({device["name"] for device in report["devices"]} >= {"cpu"}, report)
    print(f"selftest: {seconds:.1f} s, " + ", ".join(f"{d['name']} {d['cases']} cases" for d in report["devices"]))
    if LIMIT < 1:  # no sanitizer
        check(seconds < 5, f"the selftest took {seconds:.1f} s")
    text = run("--selftest")
    check(text.returncode == 0 and "passed in" in text.stdout, text)
    check_selftest_leaves_nothing_out(report)


def check_selftest_leaves_nothing_out(report):
    """The timeline of a selftest names every operation of every family, on every device that it reports."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "timeline.json")
        check(run("--selftest", SPARSERT_TRACE=path).returncode == 0, "a traced selftest")
        with open(path, encoding="utf-8") as file:
            ran = {(event["args"]["device"], event["name"]) for event in json.load(file)}
    ops = json.loads(run("--json", "--ops").stdout)["ops"]
    for device in report["devices"]:
        missing = [op["name"] for op in ops if (device["name"], op["name"]) not in ran]
        check(missing == [], "the selftest on", device["name"], "leaves out", missing)


def check_arguments(report):
    check(run("--version").stdout.strip() == report["version"])
    check(run("--help").returncode == 0)
    wrong = run("--jason")
    check(wrong.returncode == 2 and "--jason" in wrong.stderr and wrong.stdout == "", wrong)
    bad_target = run("--json", SPARSERT_CPU_TARGET="MMX")
    check(bad_target.returncode == 1 and "MMX" in bad_target.stderr and bad_target.stdout == "", bad_target)
    scalar = json.loads(run("--json", SPARSERT_CPU_TARGET="scalar").stdout)
    check(scalar["cpu"]["simd"] == "scalar", scalar)


def check_speed(report):
    """The best of many: the machine may be busy with something else."""
    if report["cuda"]["available"]:
        return
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        run("--json")
        best = min(best, time.perf_counter() - start)
    print(f"without a driver: {best * 1000:.0f} ms")
    check(best < LIMIT, f"took {best:.3f} s")


def check_dependencies():
    """A build with CUDA loads on a machine that has none of CUDA's libraries."""
    for binary in (PROGRAM, LIBRARY):
        output = subprocess.run(["readelf", "--dynamic", binary], capture_output=True, text=True, check=True).stdout
        needed = re.findall(r"NEEDED.*\[(.*?)\]", output)
        check(needed, "readelf found no dependency of", binary)
        for name in needed:
            check(not name.startswith(FORBIDDEN), binary, "needs", name)
    undefined = subprocess.run(["readelf", "--wide", "--dyn-syms", LIBRARY], capture_output=True, text=True, check=True)
    for symbol in re.findall(r"UND (cu[A-Z]\w+|cuda[A-Z]\w+|cusparse\w+|cublas\w+)", undefined.stdout):
        check(False, LIBRARY, "leaves", symbol, "undefined")


def check_hidden_devices(report):
    """CUDA_VISIBLE_DEVICES="" leaves no device, with or without a driver."""
    hidden = json.loads(run("--json", CUDA_VISIBLE_DEVICES="").stdout)
    check(not hidden["cuda"]["available"] and hidden["default_device"] == "cpu", hidden)
    if report["cuda"]["available"]:
        check(hidden["cuda"]["reason"] == "no_device", hidden)


if __name__ == "__main__":
    the_report = check_json()
    check_text(the_report)
    check_ops()
    check_selftest()
    check_arguments(the_report)
    check_dependencies()
    check_hidden_devices(the_report)
    check_speed(the_report)
