# tests/files/system_test.py — what the command does to the machine when models are hostile: system calls and memory.
#
# usage: pytest; SPARSERT_COMMAND names the command, SPARSERT_MALFORMED the test programs of malformed files, with colons
# between them. What strace shows is compared with a run on a harmless model.
import json
import os
import pathlib
import re
import resource
import shutil
import struct
import subprocess
import zipfile
import zlib

import pytest

COMMAND = os.environ["SPARSERT_COMMAND"]


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def tensor():
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x02tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"


def torch_file(path, call):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02}(" + text("w") + tensor() + text("x") + call + b"u.")
        archive.writestr("m/data/0", bytes(8))


def safetensors(path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))


def hostile(folder):
    """Models that name commands, and files outside their folder."""
    secret = folder / "secret"
    secret.mkdir()
    safetensors(secret / "secret.safetensors")
    models = folder / "models"
    models.mkdir()
    witness = folder / "witness"
    for i, call in enumerate((f"cposix\nsystem\n({{}}tR", f"cos\nexecvp\n({{}}tR", "csubprocess\nPopen\n({}t\x81",
                              "csocket\ncreate_connection\n({}tR", "cbuiltins\neval\n({}tR")):
        before, after = call.split("{}")
        torch_file(models / f"call{i}.pt", before.encode("latin1") + text(f"touch {witness}") + after.encode("latin1"))
    for i, name in enumerate(("../../secret/secret.safetensors", str(secret / "secret.safetensors"), "link.safetensors")):
        index = models / f"index{i}"
        index.mkdir()
        (index / "link.safetensors").symlink_to(secret / "secret.safetensors")
        (index / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": name}}))
    cache = models / "models--a--b"
    (cache / "snapshots/c").mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text("../../../secret")
    (cache / "snapshots/c/model.safetensors").symlink_to("../../../../secret/secret.safetensors")
    return secret, models, witness


def traced(path, log):
    subprocess.run(["strace", "-f", "-o", log, "-e", "trace=execve,execveat,connect,socket,open,openat,openat2,creat,unlink,rename",
                    COMMAND, "inspect", path], capture_output=True, timeout=60)
    return log.read_text().splitlines()


def test_no_command_no_connection_no_file_outside(tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("strace may not trace here: " + probe.stderr.decode().strip())
    secret, models, witness = hostile(tmp_path)
    good = tmp_path / "good.safetensors"
    safetensors(good)
    opened = re.compile(r'open(?:at2?)?\((?:AT_FDCWD, )?"([^"]*)"')
    harmless = {match[1] for line in traced(good, tmp_path / "log") if (match := opened.search(line))}
    for model in sorted(models.iterdir()):
        lines = traced(model, tmp_path / "log")
        assert sum("execve" in line for line in lines) == 1, model
        assert not any(call in line for line in lines for call in ("connect(", "socket(", "unlink(", "rename(")), model
        for line in lines:
            match = opened.search(line)
            if match is None or match[1] in harmless:
                continue
            # Beneath the model's folder names are relative to an open folder: part by part, never up.
            assert match[1].startswith(str(models)) or (not match[1].startswith("/") and ".." not in match[1]), line
            assert "O_CREAT" not in line and "O_WRONLY" not in line, line
        assert not any("secret.safetensors" in line and "= -1" not in line for line in lines), model
        assert not witness.exists()


def bombs(folder):
    """Files of a few bytes or kilobytes that ask for much."""
    def write(name, data):
        (folder / name).write_bytes(data)

    write("list.msgpack", b"\xdd\xff\xff\xff\xff")
    write("map.msgpack", b"\x81\xa1w\xdf\xff\xff\xff\xff")
    write("nested.msgpack", b"\xdd\x00\x00\x10\x00" * 10_000)
    write("counts.gguf", b"GGUF" + struct.pack("<IQQ", 3, 1_000_000, 100_000))
    write("array.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 4, 1 << 60))
    shape = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846975,), }\n"
    write("shape.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(shape)) + shape)
    # 10 MiB of zeros in 10 KB, a hundred times.
    with zipfile.ZipFile(folder / "zeros.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (10485760,), }\n"
        for i in range(100):
            archive.writestr(f"{i}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(10 << 20))
    # A member that is said to be larger than it inflates to.
    body = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = body.compress(bytes(1 << 20)) + body.flush()
    name = b"a.npy"
    fields = struct.pack("<HHHIIII", 0, 8, 0, 0, 0, len(data), 0xFFFFFFF0)
    local = b"PK\3\4" + struct.pack("<H", 20) + fields[:4] + struct.pack("<I", 0) + struct.pack("<III", 0, len(data), 0xFFFFFFF0) + struct.pack("<HH", len(name), 0) + name + data
    central = b"PK\1\2" + struct.pack("<HH", 20, 20) + fields[:4] + struct.pack("<I", 0) + struct.pack("<III", 0, len(data), 0xFFFFFFF0) + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
    write("large.npz", local + central + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0))
    # A list that is put into itself again and again, and one that holds the one before twice.
    torch_file(folder / "itself.pt", b"]q\x01(" + b"h\x01" * 100_000 + b"e")
    doubled = b")q\x010" + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) + b"0" for i in range(1, 200))
    torch_file(folder / "doubled.pt", doubled + b"h\xc8")
    torch_file(folder / "items.pt", b"](" + b"]" * 1 + b"e" + b"q\x01" + b"0ccollections\nOrderedDict\nq\x020" + b"]q\x03(" + b"NN\x86" * 50_000 + b"e0" + b"(" + b"h\x02h\x03\x85R" * 50_000 + b"t")
    torch_file(folder / "memo.pt", b"Nr\xff\xff\xff\xff0N")
    torch_file(folder / "deep.pt", b"(" * 1_000_001 + b"t")
    torch_file(folder / "empty.pt", b"(" + b"}" * 5_000_000 + b"t")


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))


@pytest.mark.parametrize("program", [p for p in os.environ.get("SPARSERT_MALFORMED", "").split(":") if p])
def test_malformed_files_stay_in_bounds(program):
    """All files of one program in one child: stricter than a child for each."""
    done = subprocess.run([program, "--gtest_filter=Malformed*.Each*GivesItsError"], capture_output=True, text=True,
                          preexec_fn=limits, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert "[  PASSED  ]" in done.stdout and "PASSED  ] 0 tests" not in done.stdout, done.stdout


def test_bombs_stay_in_bounds(tmp_path):
    bombs(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        done = subprocess.run([COMMAND, "inspect", "--no-density", path], capture_output=True, text=True, preexec_fn=limits, timeout=300)
        assert done.returncode in (0, 1), f"{path.name}: {done.returncode} {done.stderr}"
        assert "out of memory" not in done.stderr, f"{path.name}: {done.stderr}"
        if done.returncode == 1:
            assert re.search(r"(gguf|npy|zip|torch|msgpack), offset \d+: ", done.stderr), f"{path.name}: {done.stderr}"


if __name__ == "__main__":
    raise SystemExit(pytest.main([pathlib.Path(__file__)]))
