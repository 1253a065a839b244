# tests/tools/sweep_test.py — `sparsert sweep` as a user calls it: the shipped network, own networks, the page, bad input.
"""Needs the path of the command in SPARSERT. Checked against NumPy where it is installed."""

import functools
import json
import math
import os
import pathlib
import random
import re
import subprocess
import tempfile
import unittest

from sweep_support import Page, read_safetensors, schema_faults, write_safetensors

try:
    import numpy as np
except ImportError:
    np = None

SPARSERT = os.environ["SPARSERT"]
SOURCE = pathlib.Path(__file__).resolve().parents[2]
AMOUNTS = [0, 0.5, 0.9, 0.99]


def run(*arguments, environment=None):
    return subprocess.run([SPARSERT, "sweep", *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, **(environment or {})})


@functools.lru_cache
def shipped():
    """One sweep of the shipped network, with its page."""
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder, "page.html")
        result = run("--json", "--amounts", ",".join(map(str, AMOUNTS)), "--html", page, "--device", "cpu")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout), page.read_text(), result.stderr


def wilson(share, n, z=1.959963984540054):
    center, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (center - half) / (1 + z * z / n), (center + half) / (1 + z * z / n)


def numpy_forward(layers, images, amount):
    """(logits, dead neurons of each hidden layer) in float64, pruned by magnitude; ties go from the highest index."""
    x, dead = images.astype(np.float64), []
    for i, (weight, bias) in enumerate(layers):
        flat = weight.astype(np.float64).ravel()
        order = np.lexsort((-np.arange(flat.size), np.abs(flat)))
        flat[order[: int(np.rint(amount * flat.size))]] = 0
        pruned = flat.reshape(weight.shape)
        x = x @ pruned.T + bias
        if i + 1 < len(layers):
            x = np.maximum(x, 0)
            dead.append(int((~(x > 0).any(axis=0) | (pruned == 0).all(axis=1)).sum()))
    return x, dead


def arrays(path):
    kinds = {"F32": "<f4", "F16": "<f2", "I64": "<i8", "U8": "u1"}
    return {name: np.frombuffer(data, kinds[dtype]).reshape(shape)
            for name, (dtype, shape, data) in read_safetensors(path).items()}


class Shipped(unittest.TestCase):
    def test_keeps_its_schema(self):
        schema = json.loads((SOURCE / "docs/schemas/sweep.schema.json").read_text())
        self.assertEqual(schema_faults(shipped()[0], schema), [])
        self.assertNotEqual(schema_faults({"rows": [{}], "knee": "x"}, schema), [])

    def test_rows_are_the_amounts_asked_for(self):
        self.assertEqual([row["amount"] for row in shipped()[0]["rows"]], AMOUNTS)
        self.assertEqual({row["device"] for row in shipped()[0]["rows"]}, {"cpu"})

    def test_bytes_are_those_of_csr(self):
        layers = [(1024, 64), (1024, 1024), (10, 1024)]
        for row in shipped()[0]["rows"]:
            expected = sum((m + 1) * 4 + 8 * (m * k - round(row["amount"] * m * k)) + 4 * m for m, k in layers)
            self.assertEqual(row["bytes"], expected)

    def test_intervals_are_wilsons(self):
        for row in shipped()[0]["rows"]:
            low, high = wilson(row["accuracy"], 599)
            self.assertAlmostEqual(row["accuracy_low"], low, places=12)
            self.assertAlmostEqual(row["accuracy_high"], high, places=12)

    def test_times_are_positive_and_the_yardsticks_are_shared(self):
        rows = shipped()[0]["rows"]
        for row in rows:
            self.assertGreater(row["latency_ms"], 0)
            self.assertEqual((row["dense_ms"], row["blas_ms"]), (rows[0]["dense_ms"], rows[0]["blas_ms"]))

    def test_knee_follows_its_rule(self):
        document = shipped()[0]
        expected, lowest = None, math.inf
        for row in document["rows"]:  # amount 0 comes first: its interval is the dense network's
            if row["accuracy"] < document["rows"][0]["accuracy_low"]:
                break
            if expected is None or row["latency_ms"] <= lowest * 0.98:
                expected = row["amount"]
            lowest = min(lowest, row["latency_ms"])
        self.assertEqual(document["knee"], expected)

    @unittest.skipIf(np is None, "NumPy is not installed")
    def test_accuracy_and_dead_neurons_are_numpys(self):
        network, data = arrays(SOURCE / "data/digits_mlp.safetensors"), arrays(SOURCE / "data/digits.safetensors")
        layers = [(network[f"fc{i}.weight"], network[f"fc{i}.bias"]) for i in (1, 2, 3)]
        held_out = data["split"] == 1
        for row in shipped()[0]["rows"]:
            logits, dead = numpy_forward(layers, data["images"][held_out], row["amount"])
            self.assertEqual(row["accuracy"], (logits.argmax(axis=1) == data["labels"][held_out]).mean())
            self.assertEqual(row["dead_neurons"], dead)

    def test_split_is_stratified(self):
        data = read_safetensors(SOURCE / "data/digits.safetensors")
        labels = [int.from_bytes(data["labels"][2][i : i + 8], "little") for i in range(0, 8 * 1797, 8)]
        held_out = [label for label, out in zip(labels, data["split"][2]) if out]
        self.assertEqual(len(held_out), 599)
        for digit in range(10):
            self.assertAlmostEqual(held_out.count(digit) / 599, labels.count(digit) / 1797, delta=0.001)

    def test_no_progress_and_no_colors_in_a_pipe(self):
        self.assertEqual(shipped()[2], "")
        text = run("--amounts", "0.9").stdout
        self.assertNotIn("\033", text)
        for word in ("90 %", "held-out", "Knee", "Verified", "reference"):
            self.assertIn(word, text)


class ThePage(unittest.TestCase):
    def test_is_well_formed_and_needs_nothing_beside_itself(self):
        page = Page(shipped()[1])
        self.assertEqual(page.faults, [])
        self.assertGreaterEqual(page.tags.count("svg"), 4)

    def test_shows_every_figure(self):
        page = Page(shipped()[1])
        words = page.text.replace("\u00a0", " ")
        for row in shipped()[0]["rows"]:
            self.assertIn(f"{100 * row['accuracy']:.1f} %", words)
            self.assertIn(f"{row['bytes']:,}", words)
            self.assertIn(f"{row['latency_ms']:.3f} ms", words)
            self.assertIn(" + ".join(map(str, row["dead_neurons"])), words)
        self.assertIn(f"knee {100 * shipped()[0]['knee']:g} %", words)

    def test_draws_inside_its_frames(self):
        for box, body in re.findall(r'<svg viewBox="0 0 480 300"(.*?)>(.*?)</svg>', shipped()[1]):
            for cx, cy in re.findall(r'cx="([\d.-]+)" cy="([\d.-]+)"', body):
                self.assertTrue(52 <= float(cx) <= 464 and 30 <= float(cy) <= 254, (cx, cy))

    def test_checker_sees_faults(self):
        for text in ("<p><b></p>", "<p>", '<img src="a.png">', '<a href="https://a">a</a>', "<script></script>"):
            self.assertNotEqual(Page(text).faults, [], text)


class OwnNetworks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.model, self.data = self.folder / "model.safetensors", self.folder / "data.safetensors"

    def write_model(self, layers, dtype="F32", bias=True, seed=3):
        """`layers`: (name, out, in). Values are small multiples of 1/8, so that every sum is exact."""
        values = random.Random(seed)
        tensors = {}
        for name, m, k in layers:
            tensors[f"{name}.weight"] = (dtype, [m, k], [values.randint(-8, 8) / 8 for _ in range(m * k)])
            if bias:
                tensors[f"{name}.bias"] = (dtype, [m], [values.randint(-8, 8) / 8 for _ in range(m)])
        write_safetensors(self.model, dict(sorted(tensors.items())))

    def write_data(self, count, shape, classes, split=None, label_type="I64", seed=4):
        values = random.Random(seed)
        tensors = {
            "images": ("F32", [count, *shape], [values.randint(0, 8) / 8 for _ in range(count * math.prod(shape))]),
            "labels": (label_type, [count], [values.randrange(classes) for _ in range(count)]),
        }
        if split is not None:
            tensors["split"] = ("U8", [count], split)
        write_safetensors(self.data, tensors)

    def sweep(self, *arguments):
        return run(self.model, "--data", self.data, *arguments)

    @unittest.skipIf(np is None, "NumPy is not installed")
    def test_numbered_layers_run_in_the_order_of_their_numbers(self):
        # By name, net.10 stands before net.2, and all hidden layers are square: only the numbers tell.
        self.write_model([("net.0", 12, 9), ("net.2", 12, 12), ("net.10", 12, 12), ("net.12", 4, 12)], "F16")
        self.write_data(40, [3, 3], 4, [0, 1] * 20)
        result = self.sweep("--json", "--amounts", "0,0.4,1")
        self.assertEqual(result.returncode, 0, result.stderr)
        network, data = arrays(self.model), arrays(self.data)
        layers = [(network[f"net.{i}.weight"], network[f"net.{i}.bias"]) for i in (0, 2, 10, 12)]
        held_out = data["split"] == 1
        for row in [row for row in json.loads(result.stdout)["rows"] if row["device"] == "cpu"]:
            logits, dead = numpy_forward(layers, data["images"].reshape(40, 9)[held_out], row["amount"])
            self.assertEqual(row["accuracy"], (logits.argmax(axis=1) == data["labels"][held_out]).mean())
            self.assertEqual(row["dead_neurons"], dead)

    def test_one_layer_without_bias_and_without_split(self):
        self.write_model([("only", 3, 5)], bias=False)
        self.write_data(7, [5], 3, label_type="U8")
        result = self.sweep("--json", "--amounts", "0.2", "--html", self.folder / "page.html")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(result.stdout)["rows"][0]["dead_neurons"], [])
        self.assertEqual(Page((self.folder / "page.html").read_text()).faults, [])

    def test_everything_pruned_still_makes_a_page(self):
        self.write_model([("a", 6, 4), ("b", 3, 6)])
        self.write_data(8, [4], 3)
        result = self.sweep("--json", "--amounts", "1", "--html", self.folder / "page.html")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(result.stdout)["rows"][0]["dead_neurons"], [6])
        self.assertEqual(Page((self.folder / "page.html").read_text()).faults, [])

    def expect_failure(self, code, words, *arguments):
        result = self.sweep(*arguments)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "")
        for word in words:
            self.assertIn(word, result.stderr)

    def test_refuses_what_is_no_mlp(self):
        self.write_data(8, [4], 3)
        self.write_model([("a", 6, 4), ("b", 3, 5)])
        self.expect_failure(1, ["b.weight", "(3, 5)", "(out, 6)"])
        write_safetensors(self.model, {"conv.weight": ("F32", [1, 1, 2, 2], [0] * 4)})
        self.expect_failure(1, ["conv.weight", "(1, 1, 2, 2)", "MLP"])
        write_safetensors(self.model, {"scale": ("F32", [1], [0])})
        self.expect_failure(1, ["scale", "*.weight"])
        write_safetensors(self.model, {"a.weight": ("I32", [3, 4], [0] * 12)})
        self.expect_failure(1, ["a.weight", "int32", "floating"])
        write_safetensors(self.model, {"a.weight": ("F32", [3, 4], [0] * 12), "a.bias": ("F32", [4], [0] * 4)})
        self.expect_failure(1, ["a.bias", "(4,)", "(3,)"])
        write_safetensors(self.model, {"a.weight": ("F32", [0, 4], [])})
        self.expect_failure(1, ["a.weight", "empty"])

    def test_refuses_data_that_do_not_fit(self):
        self.write_model([("a", 6, 4), ("b", 3, 6)])
        self.write_data(8, [5], 3)
        self.expect_failure(1, ["images", "(8, 5)", "4 values"])
        self.write_data(8, [4], 9)
        self.expect_failure(1, ["labels[", "0 to 2"])
        self.write_data(8, [4], 3, [0] * 8)
        self.expect_failure(1, ["split"])
        write_safetensors(self.data, {"images": ("F32", [1, 4], [0] * 4)})
        self.expect_failure(1, ["labels"])
        write_safetensors(self.data, {"images": ("U8", [1, 4], [0] * 4), "labels": ("I64", [1], [0])})
        self.expect_failure(1, ["images", "uint8", "floating"])
        write_safetensors(self.data, {"images": ("F32", [1, 4], [0] * 4), "labels": ("I64", [2], [0, 0])})
        self.expect_failure(1, ["labels", "(2,)", "(1,)"])
        write_safetensors(self.data, {"images": ("F32", [1, 4], [0] * 4), "labels": ("F32", [1], [0])})
        self.expect_failure(1, ["labels", "float32", "integer"])

    def test_refuses_bad_options(self):
        self.write_model([("a", 3, 4)])
        self.write_data(8, [4], 3)
        for amounts in ("1.5", "-0.1", "nan", "x"):
            self.expect_failure(2, ["amounts"], "--amounts", amounts)
        self.expect_failure(1, ["simt", "cpu or cuda"], "--device", "simt")
        self.expect_failure(1, ["tpu"], "--device", "tpu")
        self.assertEqual(run(self.model).returncode, 2)
        self.expect_failure(1, ["page.html"], "--html", self.folder / "missing" / "page.html")
        self.assertIn("none.safetensors", run("none.safetensors", "--data", self.data).stderr)


class Layers(unittest.TestCase):
    def layers(self, *arguments):
        return subprocess.run([SPARSERT, "layers", SOURCE / "data/digits_mlp.safetensors", *arguments], capture_output=True, text=True)

    def test_times_the_matrices_named(self):
        result = self.layers("--include", "fc[12]*", "--include", "fc3.*", "--amounts", "0.5,0.9", "--batch", "16", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        document = json.loads(result.stdout)
        self.assertEqual((document["batch"], document["amounts"]), (16, [0.5, 0.9]))
        (layer,) = document["layers"]  # brackets are no wildcard; a bias is no matrix
        self.assertEqual((layer["name"], layer["shape"]), ("fc3.weight", [10, 1024]))
        self.assertTrue(all(ms > 0 for ms in [layer["dense_ms"], *layer["sparse_ms"]]))

    def test_refuses_what_is_not_there(self):
        result = self.layers("--include", "none*")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("no matrix", result.stderr)
        self.assertEqual(self.layers("--batch", "0").returncode, 2)


class PruneTimes(unittest.TestCase):
    def test_each_matrix_is_timed_dense_and_sparse(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder, "out.safetensors")
            result = subprocess.run(
                [SPARSERT, "prune", SOURCE / "data/digits_mlp.safetensors", "-o", out, "--amount", "0.9", "--time", "16"],
                capture_output=True, text=True, env={**os.environ, "SPARSERT_CACHE_DIR": folder})
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            lines = result.stdout[result.stdout.index("dense ms"):].splitlines()
            for line, name in zip(lines[1:4], ("fc1.weight", "fc2.weight", "fc3.weight")):
                words = line.split()
                self.assertEqual(words[0], name)
                self.assertTrue(float(words[1]) > 0 and float(words[2]) > 0, line)
                self.assertIn(words[3].rstrip(","), ("csr", "bsr", "bitmap", "nm"))
            self.assertIn("16 columns", lines[4])
            self.assertTrue(out.is_file())


class Data(unittest.TestCase):
    def test_the_environment_names_the_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            result = run(environment={"SPARSERT_DATA": folder})
            self.assertEqual(result.returncode, 1)
            self.assertIn(folder, result.stderr)
        result = run("--json", "--amounts", "0.99", environment={"SPARSERT_DATA": str(SOURCE / "data")})
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
