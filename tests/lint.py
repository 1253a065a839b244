#!/usr/bin/env python3
# tests/lint.py — the rules that no compiler checks: who includes what, what a kernel may call, how files look.
#
# usage: lint.py SOURCE_DIR. Prints each breach as file:line: rule, and exits 1 if there is any.
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
CODE = {".hpp", ".cpp", ".cu", ".cuh"}
MAX_LINES = 600
MAX_MACROS = 3

DEVICE_HEADERS = r"sparsert/(buffer|device|dtype|error|interrupt|order|stream)\.hpp"
PUBLIC_HEADERS = r"sparsert/\w+\.hpp"
CUDA_HEADERS = r"(cuda|cuda_\w+|cublas\w*|cusparse\w*|driver_types|nccl)(\.h|\.hpp)$|thrust/|cub/"

# The arrows of the layers: what each folder may include of this project.
MAY_INCLUDE = [
    ("device/include/", [DEVICE_HEADERS]),
    ("device/", [DEVICE_HEADERS, r"device/.*"]),
    ("kernels/", [DEVICE_HEADERS, r"device/.*", r"kernels/.*"]),
    ("runtime/include/", [PUBLIC_HEADERS]),
    ("runtime/", [PUBLIC_HEADERS, r"runtime/.*", r"kernels/(kernels|dispatch|views|contract/\w+)\.hpp"]),
    ("tools/", [PUBLIC_HEADERS, r"tools/.*", r"bench/\w+\.hpp"]),
    ("python/", [PUBLIC_HEADERS, r"\w+\.hpp"]),
    ("bench/", [PUBLIC_HEADERS, r"bench/.*", r"bench_commit\.hpp"]),
    ("examples/", [PUBLIC_HEADERS]),
    ("tests/simt/", [PUBLIC_HEADERS, r"tests/.*", r"device/.*", r"kernels/cuda/.*"]),
    ("tests/kernels/", [PUBLIC_HEADERS, r"tests/.*", r"kernels/(cpu/)?\w+\.hpp"]),
    ("tests/tools/", [PUBLIC_HEADERS, r"tests/.*", r"tools/.*"]),
    # Tests see the public surface; besides, what forces an instruction set, splits a loop, counts launches or traces.
    ("tests/", [PUBLIC_HEADERS, r"tests/.*", r"bench/\w+\.hpp", r"device/(cpu|parallel|trace|simt/simt)\.hpp"]),
]
# The only places that see CUDA's headers.
MAY_SEE_CUDA = ("device/cuda.cpp", "device/nvcc.cuh", "device/thrust.cuh", "device/simt/", "device/intrinsics.cuh",
                "kernels/cuda/", "tests/simt/", "tests/fake_cudart/")

# (rule, pattern, places it holds in, places it does not)
BANNED = [
    ("kernels are launched by launch()", r"<<<", ("kernels/",), ()),
    ("shared memory comes from shared() or dynamic_shared()", r"\b__shared__\b", ("kernels/", "tests/"), ()),
    ("no printf in a kernel", r"\bprintf\b", ("kernels/",), ()),
    ("fmaxf and fminf lose NaN", r"\b(fmaxf?|fminf?|std::fmax|std::fmin)\b", ("kernels/",), ()),
    ("use fused_multiply_add of kernels/cpu/simd.hpp", r"\bhn::(Mul(Add|Sub)|NegMul(Add|Sub))\b", ("kernels/",),
     ("kernels/cpu/simd.hpp",)),
    ("Highway's narrowing to 16-bit floats truncates on some targets", r"\bhn::DemoteTo\([^)]*(float16|bfloat16|f16|bf16|half\b)",
     ("kernels/",), ("kernels/cpu/half.hpp",)),
    ("architectures differ only in device/intrinsics.cuh", r"\b__CUDA_ARCH__\b|\basm\b", ("kernels/",), ()),
    ("no fast math", r"-ffast-math|-Ofast|use_fast_math|-ftz=true", ("",), ()),
    ("no globs in CMake: list the files", r"file\s*\(\s*GLOB", ("",), ()),
    ("no unfinished work", r"\b(TODO|FIXME|XXX|HACK)\b", ("",), ()),
    ("no path of one machine", r"(?<![\w.])/(home|Users|work|root)/\w|/tmp/\w+/(bin|lib)", ("",), ()),
    ("the library never prints", r"\bstd::(cout|cerr|clog)\b|\b(printf|puts|fputs)\s*\(|\bfprintf\b",
     ("device/", "kernels/", "runtime/"), ("device/simt/",)),
    ("the library never ends the process", r"\b(std::)?(exit|abort|terminate|quick_exit)\s*\(",
     ("device/", "kernels/", "runtime/"), ("device/simt/engine.cpp",)),  # a fiber has nowhere to return to
    ("public headers include <...> or \"sparsert/...\" only", r'#include "(?!sparsert/)',
     ("device/include/", "runtime/include/"), ()),
]

breaches = []


def report(path, line, rule):
    breaches.append(f"{path}:{line}: {rule}")


def files():
    """What git tracks or would track; without git, what lies in the source folders."""
    try:
        listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
                                capture_output=True, text=True, check=True).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        folders = ("device", "kernels", "runtime", "tools", "python", "bench", "examples", "tests", "scripts")
        listed = [str(p.relative_to(ROOT)) for f in folders for p in (ROOT / f).rglob("*")]
    return sorted(f for f in listed if f and (ROOT / f).is_file())


def is_under(path, places):
    return any(path.startswith(place) for place in places)


def quotes_breaches(path):
    """This script and its test hold what they forbid, as strings."""
    return path.startswith("tests/lint")


def without_comments(text):
    """The code alone, with its lines where they were."""
    keep = lambda match: match[0] if match[0][0] in "\"'R" else re.sub(r"[^\n]", " ", match[0])
    return re.sub(r'R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', keep, text, flags=re.DOTALL)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def check_includes(path, text):
    allowed = next((patterns for folder, patterns in MAY_INCLUDE if path.startswith(folder)), None)
    if allowed is None:
        return
    for match in re.finditer(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', text, re.MULTILINE):
        bracket, name = match[1], match[2]
        line = line_of(text, match.start())
        ours = bracket == '"' or name.startswith("sparsert/")
        if ours and not any(re.fullmatch(pattern, name) for pattern in allowed):
            report(path, line, f"this layer may not include {name}")
        if re.match(CUDA_HEADERS, name) and not is_under(path, MAY_SEE_CUDA):
            report(path, line, f"{name} is for {', '.join(MAY_SEE_CUDA)} alone")


def check_form(path, text):
    lines = text.split("\n")
    banner = "/".join(path.split("/include/")[-1:]) if "/include/" in path else path
    first = lines[0].removeprefix("// ").removesuffix(".in")
    if not re.match(re.escape(banner.removesuffix(".in")) + r" — \S", first):
        report(path, 1, f"the file starts with `// {banner} — what it is`")
    if len(lines) - 1 > MAX_LINES:
        report(path, len(lines) - 1, f"longer than {MAX_LINES} lines")
    if path.endswith((".hpp", ".cuh")) and "#pragma once" not in text and "HWY_TARGET_TOGGLE" not in text:
        report(path, 1, "no #pragma once")
    for number, line in enumerate(lines, 1):
        if line.endswith((" ", "\t")) or "\t" in line:
            report(path, number, "tabs or trailing blanks")
    if text and not text.endswith("\n"):
        report(path, len(lines), "no newline at the end")


def check_banned(path, text):
    for rule, pattern, places, exceptions in BANNED:
        if quotes_breaches(path) or not is_under(path, places) or (exceptions and is_under(path, exceptions)):
            continue
        for match in re.finditer(pattern, text):
            report(path, line_of(text, match.start()), rule)


def check_launch_comments(path, text):
    """Each kernel stands under four lines: grid, block, shared, requires."""
    for match in re.finditer(r"^(template <[^\n]*>\n)?__global__", text, re.MULTILINE):
        above = text[: match.start()].rstrip("\n").split("\n")
        comment = []
        while above and above[-1].startswith("//"):
            comment.insert(0, above.pop())
        for word in ("grid:", "block:", "shared:", "requires:"):
            if not any(line.startswith(f"// {word}") for line in comment):
                report(path, line_of(text, match.start()), f"the kernel has no comment line `// {word}`")


def check_operations():
    """Every operation of the backend contract is in the table that sparsert-info prints."""
    contract = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "kernels/contract").glob("*.hpp")))
    table = (ROOT / "runtime/operations.cpp").read_text(encoding="utf-8")
    for name in re.findall(r"^SPARSERT_OP\((\w+),", contract, re.MULTILINE):
        if f"backend::{name})" not in table:
            report("runtime/operations.cpp", 1, f"operation {name} is not in the table")


def check_macros(texts):
    """Few macros, all prefixed. Not counted: those that end where they are used, and guards of repeated inclusion."""
    found = {}
    for path, text in texts.items():
        if pathlib.Path(path).suffix not in CODE or is_under(path, ("tests/",)):
            continue
        for match in re.finditer(r"^\s*#\s*define\s+(\w+)(.*)$", text, re.MULTILINE):
            name, value = match[1], match[2].strip()
            if name == "HWY_TARGET_INCLUDE" or not value or re.search(rf"^#undef {name}$", text, re.MULTILINE):
                continue
            if is_under(path, ("device/simt/", "device/intrinsics.cuh")) and not name.startswith("SPARSERT"):
                continue  # CUDA's own spellings for the host compiler
            found.setdefault(name, (path, line_of(text, match.start())))
            if not name.startswith("SPARSERT_"):
                report(path, line_of(text, match.start()), f"macro {name} has no SPARSERT_ in front")
    if len(found) > MAX_MACROS:
        for name, (path, line) in found.items():
            report(path, line, f"one of {len(found)} macros, {MAX_MACROS} are allowed: {name}")


def check_families():
    families = re.search(r"set\(SPARSERT_FAMILIES ([^)]*)\)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))[1]
    for family in families.split():
        for place in ("kernels/contract/{}.hpp", "kernels/reference/{}.cpp", "kernels/cpu/{}.cpp", "kernels/cuda/{}.cu", "runtime/ops/{}.cpp",
                      "tests/ops/{}_test.cpp"):
            if not (ROOT / place.format(family)).is_file():
                report("CMakeLists.txt", 1, f"family {family} has no {place.format(family)}")


def check_format(paths):
    tool = shutil.which("clang-format")
    if tool is None:
        print("lint: clang-format is not installed, so formatting was not checked")
        return
    # Newer versions differ in small things; the tree is formatted by this one.
    version = re.search(r"version (\d+)", subprocess.run([tool, "--version"], capture_output=True, text=True).stdout)
    if version is None or version[1] != "14":
        print("lint: clang-format is not version 14, so formatting was not checked")
        return
    result = subprocess.run([tool, "--dry-run", *paths], cwd=ROOT, capture_output=True, text=True)
    for path, line in sorted(set(re.findall(r"^(\S+?):(\d+):\d+: warning", result.stderr, re.MULTILINE))):
        report(path, line, "not as clang-format would write it")


def main():
    texts = {}
    for path in files():
        if path == "LICENSE" or pathlib.Path(path).suffix in (".safetensors", ".bin", ".png", ".json", ".gz"):
            continue
        try:
            texts[path] = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    for path, text in texts.items():
        if pathlib.Path(path).suffix in CODE:
            code = without_comments(text)
            check_includes(path, text)
            check_form(path, text)
            check_banned(path, code)
            if path.startswith("kernels/cuda/"):
                check_launch_comments(path, text)
            if re.search(r"\b(TODO|FIXME)\b", text):
                report(path, 1, "no unfinished work")
        elif not path.endswith(".md"):
            check_banned(path, text)
    check_macros(texts)
    check_operations()
    check_families()
    check_format([path for path in texts if pathlib.Path(path).suffix in CODE])
    print("\n".join(sorted(set(breaches))) if breaches else f"lint: {len(texts)} files keep the rules")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
