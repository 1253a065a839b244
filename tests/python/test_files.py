"""Model files and the states they hold."""

import json
import os
import struct

import numpy as np
import pytest
from conftest import DTYPES, same_bits, values_of

import sparsert as sp


@pytest.fixture
def state(random):
    return {f"layer.{dtype}": values_of(dtype, (3, 5), random) for dtype in DTYPES} | {
        "empty": np.zeros((0, 2), np.float32)
    }


def test_round_trip(state, tmp_path, device):
    path = tmp_path / "model.safetensors"
    sp.save(path, state, metadata={"made": "by a test"})
    loaded = sp.load(str(path), device=device)
    assert loaded.keys() == list(state) and loaded.metadata == {"made": "by a test"}
    for name, x in state.items():
        assert loaded[name].device == device
        same_bits(loaded[name].cpu().numpy(), x)
    sp.save(os.fspath(tmp_path / "again.safetensors"), loaded)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_the_reference_library_agrees(state, tmp_path):
    reference = pytest.importorskip("safetensors.numpy")
    sp.save(tmp_path / "ours.safetensors", state)
    theirs = reference.load_file(tmp_path / "ours.safetensors")
    assert set(theirs) == set(state)
    for name, x in theirs.items():
        same_bits(x, state[name])
    reference.save_file(state, tmp_path / "theirs.safetensors")
    for name, x in sp.load(tmp_path / "theirs.safetensors").items():
        same_bits(x.numpy(), state[name])


def test_a_state_is_a_mapping(state, device):
    s = sp.StateDict(state, metadata={"a": "b"})
    assert (
        len(s) == len(state) and list(s) == s.keys() == list(state) and "empty" in s and "none" not in s and 1 not in s
    )
    assert [name for name, _ in s.items()] == list(state) and len(s.values()) == len(state)
    assert dict(s).keys() == state.keys() and s.get("none") is None and s.get("none", 3) == 3
    same_bits(s.get("layer.int32").numpy(), state["layer.int32"])
    assert s.nbytes == sum(x.nbytes for x in state.values())
    assert repr(s) == f"StateDict({len(state)} tensors, {s.nbytes} bytes)"
    moved = s.to(device)
    assert moved.metadata == {"a": "b"} and all(x.device == device for x in moved.values())
    with pytest.raises(KeyError, match="layer.int3.*layer.int32"):
        s["layer.int3"]
    with pytest.raises(TypeError):
        s[0]
    assert len(sp.StateDict()) == 0 and sp.StateDict(s).keys() == s.keys()
    with pytest.raises(TypeError, match="StateDict: a name is of type int"):
        sp.StateDict({1: np.ones(1)})
    with pytest.raises(TypeError, match="StateDict: state is of type list"):
        sp.StateDict([1])
    with pytest.raises(TypeError, match="StateDict: w is of type str"):
        sp.StateDict({"w": "x"})


def test_include(state, tmp_path):
    sp.save(tmp_path / "m.safetensors", state)
    assert sp.load(tmp_path / "m.safetensors", include=["*.int*"]).keys() == ["layer.int32", "layer.int64"]
    with pytest.raises(ValueError, match="nothing"):
        sp.load(tmp_path / "m.safetensors", include=["nothing*"])


def test_inspect(state, tmp_path):
    path = tmp_path / "m.safetensors"
    sp.save(path, state, metadata={"k": "v"})
    info = sp.inspect_file(path)
    assert info.format == "safetensors" and info.path == path and info.metadata == {"k": "v"}
    assert {t.name: (t.shape, t.nbytes) for t in info.tensors} == {n: (x.shape, x.nbytes) for n, x in state.items()}
    assert all(t.loadable for t in info.tensors) and "F32" in repr(info.tensors)
    assert repr(info).endswith(f"safetensors, {len(state)} tensors)")


def bad_files():
    def file(header, data=b""):
        text = json.dumps(header).encode() if not isinstance(header, bytes) else header
        return struct.pack("<Q", len(text)) + text + data

    one = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    return {
        "empty": b"",
        "short": b"\1\2",
        "huge header": struct.pack("<Q", 2**63),
        "truncated header": struct.pack("<Q", 50) + b"{",
        "no JSON": file(b"not json"),
        "truncated data": file(one, b"1234"),
        "trailing data": file(one, b"123456789"),
        "bad dtype": file({"w": {"dtype": "Q9", "shape": [2], "data_offsets": [0, 8]}}, b"12345678"),
        "negative": file({"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"12345678"),
        "overflow": file({"w": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}}, b"12345678"),
        "offsets": file({"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, b"12345678"),
    }


@pytest.mark.parametrize("name", bad_files())
def test_bad_files(name, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(bad_files()[name])
    with pytest.raises(sp.FileError, match="bad.safetensors") as caught:
        sp.load(path)
    assert isinstance(caught.value, OSError)


def test_missing_and_unwritable(tmp_path):
    with pytest.raises(sp.FileError, match="none.safetensors"):
        sp.load(tmp_path / "none.safetensors")
    with pytest.raises(sp.FileError, match="none.safetensors"):
        sp.inspect_file(tmp_path / "none.safetensors")
    with pytest.raises(sp.FileError):
        sp.save(tmp_path / "no folder" / "m.safetensors", {"w": np.ones(1)})
    with pytest.raises(TypeError, match="save: state is of type ndarray|save: state is of type numpy.ndarray"):
        sp.save(tmp_path / "m.safetensors", np.ones(3))
    with pytest.raises(TypeError):
        sp.load(3)
    with pytest.raises(ValueError, match="device: got"):
        sp.load(tmp_path, device="gpu")
    assert not list(tmp_path.iterdir())


def test_a_limit_on_bytes(tmp_path):
    sp.save(tmp_path / "m.safetensors", {"w": np.ones(1000)})
    with pytest.raises(sp.FileError):
        sp.load(tmp_path / "m.safetensors", max_bytes=100)
