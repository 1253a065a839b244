"""`sparsert inspect --json` against its schema."""

import json
import os
import pathlib
import struct
import subprocess

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs/schemas/inspect.schema.json").read_text())
COMMAND = os.environ["SPARSERT_COMMAND"]


def inspect(path, *options):
    result = subprocess.run([COMMAND, "inspect", "--json", *options, path], capture_output=True, text=True, timeout=60,
                            check=True)
    return json.loads(result.stdout)


def test_json_is_what_the_schema_says(tmp_path):
    header = json.dumps({"__metadata__": {"k": "é"}, "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                         "q": {"dtype": "F8_E4M3", "shape": [0, 3], "data_offsets": [8, 8]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    for options in [], ["--no-density"]:
        report = inspect(path, *options)
        jsonschema.validate(report, SCHEMA)
        assert [tensor["name"] for tensor in report["tensors"]] == ["w", "q"] and report["refused"][0]["name"] == "q"
    path.write_bytes(struct.pack("<Q", 2) + b"{}")
    jsonschema.validate(inspect(path), SCHEMA)


def test_committed_models_are_what_the_schema_says():
    for path in sorted((ROOT / "data").rglob("*.safetensors")):
        jsonschema.validate(inspect(path), SCHEMA)
