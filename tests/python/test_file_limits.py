"""What reading models costs: memory beside the tensors, the time to list a model, the speed of safetensors."""

import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

import sparsert as sp

COUNT = 4
ELEMENTS = 10 << 20  # of each tensor: 40 MiB
SPARE = 64 << 20


def tensors():
    ramp = np.arange(ELEMENTS, dtype="f4")
    return {f"w{i}": ramp + i for i in range(COUNT)}


# ---- Files by the format's own library where it is small, else by hand.


def safetensors(path):
    sp.save(path, {n: sp.tensor(a) for n, a in tensors().items()})


def npz(path):
    np.savez(path, **tensors())


def npz_deflated(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in tensors().items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)


def npy(path):
    np.save(path, np.concatenate(list(tensors().values())))


def torch_pickle(legacy):
    """The pickle of a state dict, without torch."""

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def number(value):
        return b"J" + struct.pack("<i", value)

    out = b"\x80\x02}("
    for i in range(COUNT):
        view = b"N" if legacy else b""
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(i)) + text("cpu") + number(ELEMENTS) + view
        out += text(f"w{i}") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQK\x00" + number(ELEMENTS)
        out += b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
    return out + b"u."


def torch_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", torch_pickle(False))
        for i, array in enumerate(tensors().values()):
            archive.writestr(f"m/data/{i}", array.tobytes())


def torch_legacy(path):
    with open(path, "wb") as out:
        out.write(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e")
        out.write(pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + torch_pickle(True))
        out.write(pickle.dumps([str(i) for i in range(COUNT)], 2))
        for array in tensors().values():
            out.write(struct.pack("<q", ELEMENTS) + array.tobytes())


def msgpack(path):
    def text(value):
        return bytes([0xA0 | len(value)]) + value.encode()

    def bytes32(kind, value):
        return bytes([kind]) + struct.pack(">I", len(value)) + value

    with open(path, "wb") as out:
        out.write(bytes([0x80 | COUNT]))
        for name, array in tensors().items():
            payload = b"\x93\x91\xce" + struct.pack(">I", ELEMENTS) + text("float32") + bytes32(0xC6, array.tobytes())
            out.write(text(name) + b"\xc9" + struct.pack(">I", len(payload)) + b"\x01" + payload)


def gguf(path):
    with open(path, "wb") as out:
        out.write(b"GGUF" + struct.pack("<IQQ", 3, COUNT, 0))
        for i in range(COUNT):
            out.write(struct.pack("<Q", 2) + b"w%d" % i + struct.pack("<IQIQ", 1, ELEMENTS, 0, i * ELEMENTS * 4))
        out.write(bytes(-out.tell() % 32))
        for array in tensors().values():
            out.write(array.tobytes())


def varint(n):
    out = b""
    while n >= 128:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    """A field of a protobuf message: bytes, or a number."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx(path):
    graph = b"".join(field(5, field(1, ELEMENTS) + field(2, 1) + field(8, name.encode()) + field(9, array.tobytes()))
                     for name, array in tensors().items())
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 17)))


def graph(path):
    def node(name, array):
        tensor = field(1, 1) + field(2, field(2, field(1, ELEMENTS))) + field(4, array.tobytes())
        value = field(5, field(1, b"value") + field(2, field(8, tensor)))
        return field(1, field(1, name.encode()) + field(2, b"Const") + value)

    path.write_bytes(b"".join(node(n, a) for n, a in tensors().items()))


def crc_register(state, data):
    """The register of CRC-32C behind the bytes."""
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state


def crc_register_of_zeros(state, count):
    """The same behind `count` zero bytes, by squaring the linear map that one of them is."""

    def through(columns, value):
        out = 0
        for i, column in enumerate(columns):
            out ^= column if value >> i & 1 else 0
        return out

    step = [crc_register(1 << i, b"\0") for i in range(32)]
    while count:
        state = through(step, state) if count & 1 else state
        step, count = [through(step, column) for column in step], count >> 1
    return state


def checkpoint(path):
    """Tensors of zeros, whose CRC needs no pass over them."""

    def masked(register):
        crc = register ^ 0xFFFFFFFF
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    def block(entries):
        data = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
        data += struct.pack("<II", 0, 1) + b"\0"  # one restart; not compressed
        return data + masked(crc_register(0xFFFFFFFF, data))

    size = 4 * ELEMENTS
    crc = masked(crc_register_of_zeros(0xFFFFFFFF, size))
    shape = field(2, field(2, field(1, ELEMENTS)))
    entries = [(b"", field(1, 1))]
    for i in range(COUNT):
        entries.append((b"w%d" % i, field(1, 1) + shape + field(4, i * size) + field(5, size) + b"\x35" + crc))
    data = block(entries)
    index = block([(b"x", varint(0) + varint(len(data) - 5))])
    handles = varint(0) + varint(0) + varint(len(data)) + varint(len(index) - 5)
    path.write_bytes(data + index + handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57))
    with open(path.with_suffix(".data-00000-of-00001"), "wb") as out:
        out.truncate(COUNT * size)


def tflite(path):
    out = bytearray(b"\0\0\0\0TFL3")

    def point(place):
        """Makes the offset at `place` one to what comes next."""
        struct.pack_into("<I", out, place, len(out) - place)

    def table(place, fields):
        """A table of 32-bit fields, to which the offset at `place` leads; where they are."""
        slots = {n: 4 + 4 * i for i, n in enumerate(fields)}
        count = max(fields, default=-1) + 1
        out.extend(struct.pack("<HH", 4 + 2 * count, 4 + 4 * len(fields)))
        out.extend(struct.pack(f"<{count}H", *(slots.get(n, 0) for n in range(count))))
        begin = len(out)
        point(place)
        out.extend(struct.pack(f"<i{len(fields)}I", 4 + 2 * count, *fields.values()))
        return {n: begin + slot for n, slot in slots.items()}

    def vector(place, size, data):
        point(place)
        out.extend(struct.pack("<I", size))
        begin = len(out)
        out.extend(data)
        return begin

    model = table(0, {0: 3, 2: 0, 4: 0})  # version, subgraphs, buffers
    graphs = vector(model[2], 1, bytes(4))
    places = vector(table(graphs, {0: 0})[0], COUNT, bytes(4 * COUNT))
    for i, name in enumerate(tensors()):
        tensor = table(places + 4 * i, {0: 0, 2: i + 1, 3: 0})  # shape, buffer, name; the type is float32 where none is said
        vector(tensor[0], 1, struct.pack("<i", ELEMENTS))
        vector(tensor[3], len(name), name.encode() + b"\0")
    places = vector(model[4], COUNT + 1, bytes(4 * (COUNT + 1)))
    table(places, {})
    for i, array in enumerate(tensors().values(), 1):
        vector(table(places + 4 * i, {0: 0})[0], array.nbytes, array.tobytes())
    path.write_bytes(out)


def hdf5(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as out:
        for name, array in tensors().items():
            out[name] = array


def hdf5_chunks(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", libver="latest") as out:
        for name, array in tensors().items():
            out.create_dataset(name, data=array, chunks=(1 << 20,), compression="gzip", compression_opts=1)


def keras(path):
    inner = path.with_suffix(".inner")
    hdf5(inner)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{}")
        archive.write(inner, "model.weights.h5")
    inner.unlink()


MEASURED = """
import re, sys
import sparsert as sp

def status(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10

with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
state = sp.load(sys.argv[1], mmap=len(sys.argv) > 2)
assert len(state.keys()) in (1, %d)
tensors = [t for t in (state[n] for n in state.keys())]
print(status("VmHWM") - before - sum(t.nbytes for t in tensors), max(t.nbytes for t in tensors))
""" % COUNT


def extra_memory(path, *options):
    done = subprocess.run([sys.executable, "-c", MEASURED, path, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    extra, largest = map(int, done.stdout.split())
    return extra, largest


FORMATS = [safetensors, npz, npz_deflated, npy, torch_zip, torch_legacy, msgpack, gguf, onnx, graph, checkpoint, tflite,
           hdf5, hdf5_chunks, keras]
SUFFIXES = {npz: ".npz", npy: ".npy", checkpoint: ".index"}


@pytest.mark.parametrize("write", FORMATS, ids=lambda f: f.__name__)
def test_extra_memory_is_one_tensor_and_little_more(tmp_path, write):
    path = tmp_path / ("model" + SUFFIXES.get(write, ""))
    write(path)
    extra, largest = extra_memory(path)
    print(f"{write.__name__}: {extra / 2**20:.1f} MiB beside the tensors, the largest has {largest / 2**20:.0f} MiB")
    assert extra <= largest + SPARE


def test_a_mapped_file_takes_no_memory_at_all(tmp_path):
    safetensors(tmp_path / "model")
    extra, largest = extra_memory(tmp_path / "model", "mmap")
    # Beside the tensors, which are not in memory: less than nothing.
    assert extra < -(COUNT - 1) * largest


def large_model(path):
    layers = {f"layer{i}.weight": np.full((900, 256), i, "f4") for i in range(100)}
    sp.save(path, {n: sp.tensor(a) for n, a in layers.items()})
    assert path.stat().st_size > 90_000_000


def least(action, repetitions=9):
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def test_listing_a_large_model_takes_milliseconds(tmp_path):
    large_model(tmp_path / "model.safetensors")
    took = least(lambda: sp.inspect_file(tmp_path / "model.safetensors"))
    print(f"inspect_file: {1000 * took:.2f} ms")
    assert took < 0.050
    command = os.environ.get("SPARSERT_COMMAND")
    if command:
        took = least(lambda: subprocess.run([command, "inspect", "--no-density", tmp_path / "model.safetensors"],
                                            check=True, capture_output=True))
        print(f"sparsert inspect: {1000 * took:.2f} ms")
        assert took < 0.050


def test_safetensors_is_as_fast_as_reading(tmp_path):
    path = tmp_path / "model.safetensors"
    large_model(path)
    size = path.stat().st_size

    # Into memory that is there already, as the library's pool has it after the first load.
    buffer = memoryview(np.zeros(size, "u1"))

    def raw():
        with open(path, "rb", buffering=0) as file:
            file.readinto(buffer)

    reads, loads = [], []
    for _ in range(15):
        reads.append(least(raw, 1))
        loads.append(least(lambda: sp.load(path), 1))
    print(f"load at {min(reads) / min(loads):.2f} of the speed of read, {size / min(loads) / 1e9:.2f} GB/s")
    assert min(reads) / min(loads) >= 0.8
    mapped = least(lambda: sp.load(path, mmap=True))
    print(f"mapped in {1000 * mapped:.2f} ms")
    assert mapped < min(loads)
