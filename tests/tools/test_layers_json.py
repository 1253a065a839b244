"""`sparsert layers --json` against its schema, on a model of two matrices."""

import json
import os
import pathlib
import struct
import subprocess

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs/schemas/layers.schema.json").read_text())
COMMAND = os.environ["SPARSERT_COMMAND"]


def write_model(path, shapes):
    header, offset = {}, 0
    for name, (rows, columns) in shapes.items():
        size = 4 * rows * columns
        header[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    values = struct.pack(f"<{offset // 4}f", *((i % 13) - 6.5 for i in range(offset // 4)))
    path.write_bytes(struct.pack("<Q", len(text)) + text + values)


def test_json_is_what_the_schema_says(tmp_path):
    path = tmp_path / "model.safetensors"
    write_model(path, {"first": (48, 32), "second": (16, 48)})
    command = [COMMAND, "layers", "--json", "--batch", "8", "--amounts", "0.5,0.9", str(path)]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)
    jsonschema.validate(report, SCHEMA)
    assert report["batch"] == 8 and report["amounts"] == [0.5, 0.9]
    assert [(layer["name"], layer["shape"]) for layer in report["layers"]] == [("first", [48, 32]), ("second", [16, 48])]
    assert all(len(layer["sparse_ms"]) == 2 for layer in report["layers"])
