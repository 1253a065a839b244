"""scripts/sweep_training.py in small: every kind of row, the frontier by its rule, a page that needs nothing else."""

import json
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import sparsert as sp

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "tools")]

import sweep_training as script  # noqa: E402
from sweep_support import Page  # noqa: E402


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    options = ["--amounts", "0.9", "--methods", "global,sensitivity,random", "--l1", "4", "--epochs", "1", "--rounds", "1"]
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "sweep_training.py", *options, "--html", folder / "page.html", "--json", folder / "r.json"],
        check=True, capture_output=True, timeout=300,
    )
    return json.loads((folder / "r.json").read_text()), (folder / "page.html").read_text()


def test_rows(result):
    rows = result[0]["rows"]
    assert [(row["method"], row["schedule"]) for row in rows] == [
        ("dense", "dense"),
        *((method, schedule) for method in ("global", "sensitivity") for schedule in ("none", "one-shot", "gradual")),
        ("random", "none"), ("random", "one-shot"), ("penalty 4", "L1"), ("global beside penalty 4", "gradual"),
    ]
    total = 64 * 1024 + 1024 * 1024 + 1024 * 10
    for row in rows[1:9]:
        assert row["zeros"] == pytest.approx(0.9, abs=2 / total)
    assert rows[10]["zeros"] == pytest.approx(rows[9]["zeros"], abs=2 / total)
    for row in rows[1:]:
        stored = round((1 - row["zeros"]) * total)
        assert row["bytes"] == 8 * stored + 4 * (1025 + 1025 + 11) + 4 * (1024 + 1024 + 10)
    unpruned = {name: curve[0][1] for name, curve in result[0]["sensitivity"].items()}
    assert set(unpruned) == {"fc1", "fc2", "fc3"} and len(set(unpruned.values())) == 1


def test_page(result):
    report, text = result
    page = Page(text)
    assert page.faults == []
    for row in report["rows"]:
        assert f"{row['bytes']:,}" in page.text
    assert f"knee: {report['knee']}" in page.text


def test_frontier_and_knee_by_hand():
    def row(accuracy, nbytes, latency):
        return {"accuracy": accuracy, "accuracy_low": accuracy - 0.02, "bytes": nbytes, "latency_ms": latency}

    rows = [row(0.98, 100, 10.0), row(0.97, 50, 5.0), row(0.97, 60, 4.0), row(0.96, 50, 5.0), row(0.90, 10, 1.0)]
    assert script.mark_frontier(rows) is rows[1]
    assert [r["frontier"] for r in rows] == [True, True, True, False, True]
    assert script.mark_frontier([row(0.98, 100, 10.0)])["frontier"]


def test_gradients_are_central_differences(random):
    weights = [random.standard_normal(shape) for shape in ((6, 5), (7, 6), (3, 7))]
    weights = [np.where(random.random(w.shape) < 0.5, w, 0.0) for w in weights]
    x, labels = random.standard_normal((4, 5)), np.array([0, 2, 1, 2])
    network = script.Network([sp.to_csr(w) for w in weights], [random.standard_normal(n) for n in (6, 7, 3)])

    def loss():
        return script.cross_entropy(network.forward(x)[-1].numpy(), labels)[0]

    outputs = network.forward(x)
    grad = sp.tensor(script.cross_entropy(outputs[-1].numpy().copy(), labels)[1].astype(np.float64))
    of_weight = sp.linear_backward(grad, outputs[2], network.weights[2])[1]
    values = network.weights[2].values.numpy().copy()
    for i in range(len(values)):
        losses = []
        for move in (1e-6, -1e-6):
            moved = values.copy()
            moved[i] += move
            network.weights[2] = network.weights[2].with_values(moved)
            losses.append(loss())
        assert math.isclose(script.entries(of_weight)[i], (losses[0] - losses[1]) / 2e-6, rel_tol=1e-3, abs_tol=1e-5)
