#!/usr/bin/env python3
# tests/ptxas_test.py — registers, shared memory and spills of every kernel, against the tables in tests/ptxas/.
#
# usage: ptxas_test.py BUILD_DIR NVCC_VERSION [--write]
# The build keeps what ptxas said beside each object (scripts/cmake/ptxas_log.py). A table belongs to one architecture
# and one version of nvcc; another version is only held to what every version must reach: no spills but in kernels that the
# table shows to spill. --write makes the tables of the build's architectures anew.
import pathlib
import re
import subprocess
import sys

TABLES = pathlib.Path(__file__).parent / "ptxas"
MOST_SECONDS = 60  # of processor time for a translation unit and one architecture


def demangled(names):
    """Readable names without what changes from build to build: the hash that stands for an anonymous namespace."""
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    short = []
    for name in text.splitlines():
        name = re.sub(r"\(anonymous namespace\)::|_GLOBAL__N__\w+::|sparsert::backend::(cuda|nvcc_)::", "", name)
        name = re.sub(r"^void ", "", name)
        name = re.sub(r"\((?!.*>\().*\)$", "", name.replace("sparsert::", ""))  # the parameters repeat the arguments
        short.append(re.sub(r"\s+", " ", name))
    return short


def read_log(path):
    """Seconds, and (architecture, mangled name, registers, shared bytes, spilled bytes) of each kernel."""
    lines = path.read_text(encoding="utf-8").splitlines()
    seconds, kernels, spills, entry = float(lines[0].split()[1]), [], 0, None
    for line in lines[1:]:
        if match := re.search(r"Compiling entry function '(\w+)' for '(sm_\w+)'", line):
            entry, spills = match.groups(), 0
        elif match := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spills += int(match[1]) + int(match[2])
        elif (match := re.search(r"Used (\d+) registers", line)) and entry:
            shared = re.search(r"(\d+) bytes smem", line)
            kernels.append((entry[1], entry[0], int(match[1]), int(shared[1]) if shared else 0, spills))
            entry = None
    return seconds, kernels


def table_of(kernels):
    lines = [f"{registers:4d} {shared:6d} {spills:4d}  {name}" for name, registers, shared, spills in sorted(set(kernels))]
    return "\n".join(lines)


def spilling(path):
    """Names of the kernels that a table shows to spill."""
    rows = [line.split(None, 3) for line in path.read_text(encoding="utf-8").splitlines()[2:]] if path.exists() else []
    return {name for _, _, spills, name in rows if spills != "0"}


def main():
    build, version, write = pathlib.Path(sys.argv[1]), sys.argv[2], "--write" in sys.argv
    logs = sorted((build / "kernels").rglob("*.ptxas"))
    if not logs:
        sys.exit(f"failed: no .ptxas file under {build}/kernels: is the CUDA backend built?")
    kernels, failures = {}, []
    for log in logs:
        seconds, found = read_log(log)
        ours = [kernel for kernel in found if "8sparsert" in kernel[1] and not kernel[1].startswith(("_ZN3cub", "_ZN6thrust"))]
        for (sm, _, *figures), name in zip(ours, demangled([kernel[1] for kernel in ours])):
            kernels.setdefault(sm, []).append((name, *figures))
        architectures = max(1, len({kernel[0] for kernel in found}))
        if seconds > MOST_SECONDS * architectures:
            failures.append(f"{log.stem} took {seconds:.0f} s for {architectures} architecture(s), expected {MOST_SECONDS} for each")
    for sm, rows in sorted(kernels.items()):
        path = TABLES / f"{sm}.txt"
        known = spilling(path)
        failures += [f"{sm}: {name} spills {spills} bytes" for name, _, _, spills in rows if spills > 0 and name not in known]
        text = f"nvcc {version}\nregs shared spills kernel\n" + table_of(rows) + "\n"
        if write:
            TABLES.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists():
            print(f"{sm}: no table, so only spills are checked")
        elif not path.read_text(encoding="utf-8").startswith(f"nvcc {version}\n"):
            print(f"{sm}: the table is another nvcc's, so only spills are checked")
        elif path.read_text(encoding="utf-8") != text:
            was, now = set(path.read_text(encoding="utf-8").splitlines()), set(text.splitlines())
            failures += [f"{sm}: - {line}" for line in sorted(was - now)] + [f"{sm}: + {line}" for line in sorted(now - was)]
        print(f"{sm}: {len(set(rows))} kernels, at most {max(row[1] for row in rows)} registers")
    if failures:
        sys.exit("failed (a change that is meant: run again with --write, and commit the tables):\n" + "\n".join(failures))


if __name__ == "__main__":
    main()
