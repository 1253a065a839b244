#!/usr/bin/env python3
# scripts/mutate.py — do the tests notice a wrong kernel? Seeds faults in the kernels, and counts which are caught.
#
# All faults are compiled into one build, each behind a question to the environment (SPARSERT_MUTANT=k), so that there
# is one build and many short runs. Ten are the contract's seeded faults, written by hand below; the others are made by
# rules: a comparison that is off by one, a condition turned round, a step of one left out, an assignment or a barrier
# that does not happen. A mutant is killed where the selftest or, failing that, the family's own tests exit with an
# error, crash or hang.
#
# usage: mutate.py [--count N] [--work DIR] [--jobs J] [--output docs/mutation.md]
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Sources whose name is not their family's: which family's tests look at them.
FAMILY_OF = {
    "blas": "matmul", "panels": "matmul", "select": "sparsify", "two_of_four": "prune", "prune_magnitude": "sparsify",
    "spmm_panel": "spmm", "spmm_plan": "spmm", "products": "spmm", "primitives": "topk", "attention_backward": "attention",
    "attention_tile": "attention", "bias": "spmm", "each": "formats", "simd": "elementwise",
}
FAMILIES = ("elementwise", "sparsify", "prune", "activation", "formats", "topk", "gradient", "spmm", "matmul", "spmv",
            "spmm_transposed", "sddmm", "softmax", "spgemm", "reduce", "bsr", "embedding", "attention")


def kernel_files():
    """Path -> family of every source that computes something."""
    files = {}
    for path in sorted((ROOT / "kernels").rglob("*")):
        family = FAMILY_OF.get(path.stem, path.stem)
        if path.suffix in (".cpp", ".hpp", ".cu", ".cuh") and path.parent.name != "contract" and family in FAMILIES:
            files[str(path.relative_to(ROOT))] = family
    return files


FILES = kernel_files()
# name, file, the right text, the wrong one. {m} asks whether the fault is on.
SEEDED = [
    ("a term is dropped", "kernels/reference/spmm.cpp", "e < offsets[i + 1]; ++e", "e < offsets[i + 1] - ({m} ? 1 : 0); ++e"),
    ("a term is counted twice", "kernels/cuda/spmm.cu", "piece[v] = fma(value, widen(x[v]), piece[v]);",
     "for (int twice = 0; twice < ({m} && e == first && s == 0 ? 2 : 1); ++twice) piece[v] = fma(value, widen(x[v]), piece[v]);"),
    ("the tail is skipped", "kernels/cuda/matmul.cu", "if (row >= p.m || column >= p.n) continue;",
     "if (row >= p.m || column >= p.n - ({m} ? 1 : 0)) continue;"),
    ("< for <= at the end of a piece", "kernels/products.hpp", "if (k >= piece_end_) {", "if ({m} ? k > piece_end_ : k >= piece_end_) {"),
    ("beta has the wrong sign", "kernels/products.hpp", "std::fma(epilogue.beta, old, result)",
     "std::fma({m} ? -epilogue.beta : epilogue.beta, old, result)"),
    ("inputs in TF32", "kernels/cuda/matmul.cu", "piece[i][j] = fma(a[i], b[j], piece[i][j]);",
     "piece[i][j] = fma({m} && sizeof(A) == 4 ? static_cast<A>(std::bit_cast<float>(std::bit_cast<unsigned>(static_cast<float>(a[i])) & 0xffffe000u)) : a[i], b[j], piece[i][j]);"),
    ("a barrier is missing", "kernels/cuda/matmul.cu", "      __syncthreads();\n      for (int depth", "      if (!{m}) __syncthreads();\n      for (int depth"),
    ("ReLU loses NaN", "kernels/elementwise.hpp", "relu_of(T x) {\n  return widen(x) <= 0 ? T{} : x;",
     "relu_of(T x) {\n  return ({m} ? !(widen(x) > 0) : widen(x) <= 0) ? T{} : x;"),
    ("bias is left out", "kernels/products.hpp", "if (has_bias) result = result + bias;", "if (has_bias && !{m}) result = result + bias;"),
    ("a conversion truncates", "kernels/elementwise.hpp", "if constexpr (std::is_same_v<T, float16>) return to_float16(x);",
     "if constexpr (std::is_same_v<T, float16>) return {m} ? to_float16(std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0xffffe000u)) : to_float16(x);"),
]
MOST_SECONDS = 600  # of a program of tests
HEADER = """#pragma once
#include <bit>
#include <cstdlib>
inline const int sparsert_chosen_mutant = std::getenv("SPARSERT_MUTANT") ? std::atoi(std::getenv("SPARSERT_MUTANT")) : -1;
constexpr bool sparsert_mutant(int k) { return __builtin_is_constant_evaluated() ? false : k == sparsert_chosen_mutant; }
"""
# Places whose every value gives the same bits: how much is launched, which of two paths is the faster one, where the
# whole vectors end and the rest begins.
HEURISTIC = (r"blocks_for|per_block - 1|past_cache|kLongRow|is_frequent|return run_spmm<|trace::|by_library|cublas_|cusparse_|"
             r"is_aligned|take_largest|\+ (lanes|kLanes|N) <= |{{|prefetch")
OFF_BY_ONE = {" < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > ", " == ": " != ", " != ": " == "}


def closing(text, start):
    """The place of the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i
    return -1


def off_by_one(condition):
    """The condition with its one comparison shifted; None where there is not exactly one."""
    found = [op for op in OFF_BY_ONE if op in condition for _ in range(condition.count(op))]
    if len(found) != 1 or "&&" in condition or "||" in condition or "<" in condition.replace(found[0], ""):
        return None
    return condition.replace(found[0], OFF_BY_ONE[found[0]])


def mutants_of(line):
    """(rule, new line with {m} in it) for each way in which a rule applies."""
    code = line.split("//")[0].rstrip()
    if not code.strip() or re.search(HEURISTIC, code) or re.search(r"constexpr|static_assert|template|^\s*#|^\s*using|^\s*case |requires|\bauto\b.*\[", code):
        return
    if match := re.search(r"\bfor \(([^;]*);([^;]*);", code):
        changed = off_by_one(match[2])
        if changed:
            yield "loop bound", code.replace(match[2], f" {{m}} ? {changed.strip()} : {match[2].strip()}", 1)
    if match := re.search(r"\bif (\()", code):
        end = closing(code, match.start(1))
        condition = code[match.end(1):end] if end > 0 else ""
        if condition and "=" not in re.sub(r"[<>=!]=", "", condition) and ";" not in condition:
            yield "condition turned round", f"{code[:match.end(1)]}static_cast<bool>({condition}) != {{m}}{code[end:]}"
            changed = off_by_one(condition)
            if changed:
                yield "off by one", f"{code[:match.end(1)]}{{m}} ? {changed} : {condition}{code[end:]}"
    if match := re.search(r"(?<=[\w\])]) ([+-]) 1\b(?![.\w])", code):
        yield "step of one", f"{code[:match.start()]} {match[1]} ({{m}} ? 0 : 1){code[match.end():]}"
    if re.fullmatch(r"\s+__sync(threads|warp)\([^;]*\);", code):
        yield "barrier left out", re.sub(r"(\s+)(__sync.*)", r"\1if (!{m}) \2", code)
    if match := re.fullmatch(r"(\s+)([\w.>-]+(\[[^\]]*\])*) ([+|&^]?=) ([^;{}]*);", code):
        yield "assignment left out", f"{match[1]}if (!{{m}}) {{{{ {match[2]} {match[4]} {match[5]}; }}}}"


def instrument(tree, count):
    """Writes every chosen mutant into the tree. [(id, kind, file, line, text)]"""
    chosen, candidates = [], []
    for name, path, right, wrong in SEEDED:
        file = tree / path
        text = file.read_text(encoding="utf-8")
        if text.count(right) != 1:
            sys.exit(f"seeded fault \"{name}\": {path} has its place {text.count(right)} times, expected once")
        number = len(chosen)
        line = text[: text.index(right)].count("\n") + 1
        file.write_text(text.replace(right, wrong.replace("{m}", f"sparsert_mutant({number})")), encoding="utf-8")
        chosen.append((number, "seeded", path, line, name))
    for path in FILES:
        for at, line in enumerate((tree / path).read_text(encoding="utf-8").split("\n")):
            if "sparsert_mutant" in line:
                continue
            for rule, changed in mutants_of(line):
                candidates.append((path, at, rule, changed, line))
    # One mutant a line, spread over files and rules, and the same every time.
    candidates.sort(key=lambda c: hashlib.sha256(f"{c[0]}:{c[4]}:{c[2]}".encode()).hexdigest())
    taken, lines_of = set(), {}
    for path, at, rule, changed, line in candidates:
        if len(chosen) >= count + len(SEEDED):
            break
        if (path, at) in taken:
            continue
        taken.add((path, at))
        number = len(chosen)
        lines = lines_of.setdefault(path, (tree / path).read_text(encoding="utf-8").split("\n"))
        lines[at] = changed.replace("{m}", f"sparsert_mutant({number})").replace("{{", "{").replace("}}", "}")
        chosen.append((number, rule, path, at + 1, line.strip()))
    for path, lines in lines_of.items():
        (tree / path).write_text("\n".join(lines), encoding="utf-8")
    return chosen


# One vector target beside no other: what a mutant is in is what runs, and a kernel is compiled once.
ONE_TARGET = """
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(sparsert_kernels PRIVATE -mavx2 -mfma -mf16c -mbmi -mbmi2 -maes -mpclmul)
  target_compile_definitions(sparsert_kernels PRIVATE HWY_COMPILE_ONLY_STATIC)
endif()
"""


def configure(tree):
    (tree / "mutant.hpp").write_text(HEADER, encoding="utf-8")
    with (tree / "kernels" / "CMakeLists.txt").open("a", encoding="utf-8") as file:
        file.write(ONE_TARGET)
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    run_or_exit(["cmake", "-S", str(tree), "-B", str(tree / "build"), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=None",
                 "-DBUILD_SHARED_LIBS=ON", "-DSPARSERT_CUDA=OFF",
                 f"-DCMAKE_CXX_FLAGS=-O1 -w -include {tree / 'mutant.hpp'}", *launcher])


def build(tree, jobs, targets):
    run_or_exit(["cmake", "--build", str(tree / "build"), "--parallel", str(jobs), "--target", *targets])


def run_or_exit(command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        sys.exit(result.stdout[-6000:])


def fails(command, mutant, seconds, device=None):
    environment = dict(os.environ, SPARSERT_MUTANT=str(mutant), SPARSERT_BLAS="none", GTEST_FAIL_FAST="1")
    if device:
        environment["SPARSERT_TEST_DEVICE"] = device
    try:
        result = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=seconds)
    except subprocess.TimeoutExpired:
        return True
    return result.returncode != 0


def selftest(tree, mutant):
    return "selftest" if fails([tree / "build" / "tools" / "sparsert-info", "--selftest"], mutant, 300) else ""


def tests_of(path):
    """The programs whose tests look at a file: some families' sources have tests in another one too."""
    family = FILES[path]
    return [family, *{"sparsify": ["prune"], "elementwise": ["cast"]}.get(family, [])]


def devices_of(path):
    """Where a file runs: one backend's, or, of a rule that all of them share, the quickest two."""
    return {"reference": ["reference"], "cpu": ["cpu"], "cuda": ["simt"]}.get(pathlib.PurePath(path).parent.name, ["cpu", "simt"])


def own_tests(tree, mutant, path):
    """The program among the family's own tests that kills a mutant, or nothing."""
    for test in tests_of(path):
        for device in devices_of(path):
            if fails([tree / "build" / "tests" / f"{test}_test"], mutant, MOST_SECONDS, device):
                return f"{test}_test"
    return ""


def seen_before(state, mutants):
    """What an earlier run over the same sources killed: number -> by what."""
    known = json.loads(state.read_text(encoding="utf-8")) if state.exists() else {}
    return {mutant[0]: known[key_of(mutant)] for mutant in mutants if key_of(mutant) in known}


def key_of(mutant):
    source = (ROOT / mutant[2]).read_bytes()
    return hashlib.sha256(repr(mutant[1:]).encode() + source).hexdigest()


def judge(kill, mutants, jobs, killers, state):
    """Asks `kill(mutant)` for every mutant that lives, some at once, and keeps what was found."""
    living = [mutant for mutant in mutants if not killers.get(mutant[0])]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for done, (mutant, by) in enumerate(zip(living, pool.map(kill, living)), 1):
            killers[mutant[0]] = by
            print(f"{done}/{len(living)} {by or 'lives'}: {mutant[1]} {mutant[2]}:{mutant[3]} {mutant[4]}", flush=True)
            found = {key_of(m): killers[m[0]] for m in mutants if killers.get(m[0])}
            state.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return [mutant for mutant in mutants if not killers.get(mutant[0])]


def report(results, seconds):
    generated = [r for r in results if r[1] != "seeded"]
    seeded = [r for r in results if r[1] == "seeded"]
    share = 100 * sum(bool(r[5]) for r in generated) / max(1, len(generated))
    lines = ["# Mutation of the kernels", "",
             "Do the tests notice a wrong kernel? `scripts/mutate.py` compiles faults into the kernels and counts which are",
             "caught; this page is what its last run wrote.", "",
             f"**{sum(bool(r[5]) for r in seeded)} of {len(seeded)} seeded faults of the contract caught; "
             f"{sum(bool(r[5]) for r in generated)} of {len(generated)} generated mutants killed ({share:.0f} %)**, "
             f"in {seconds / 60:.0f} minutes.", "", "| seeded fault | place | caught by |", "|---|---|---|"]
    lines += [f"| {text} | `{path}` | {by or '**not caught**'} |" for _, _, path, _, text, by in seeded]
    lines += ["", "| place | mutants | killed |", "|---|---|---|"]
    for folder in ("kernels/reference", "kernels/cpu", "kernels/cuda", "kernels"):
        inside = [r for r in generated if str(pathlib.PurePath(r[2]).parent) == folder]
        if inside:
            lines.append(f"| `{folder}` | {len(inside)} | {sum(bool(r[5]) for r in inside)} |")
    lines += ["", "| rule | mutants | killed |", "|---|---|---|"]
    for rule in sorted({r[1] for r in generated}):
        inside = [r for r in generated if r[1] == rule]
        lines.append(f"| {rule} | {len(inside)} | {sum(bool(r[5]) for r in inside)} |")
    survivors = [r for r in generated if not r[5]]
    if survivors:
        lines += ["", "Survivors:", ""]
        lines += [f"- {rule}, `{path}:{line}`: `{text}`" for _, rule, path, line, text, _ in survivors]
    return "\n".join(lines) + "\n", share


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build" / "mutants")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--list", action="store_true", help="write the instrumented tree, print the mutants, and stop")
    arguments = parser.parse_args()
    tree = arguments.work.resolve()
    for name in subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout.split("\n"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            if name in FILES or not (tree / name).exists() or (tree / name).read_bytes() != (ROOT / name).read_bytes():
                shutil.copyfile(ROOT / name, tree / name)
    start = time.monotonic()
    mutants = instrument(tree, arguments.count)
    if arguments.list:
        print("\n".join(f"{number} {rule} {path}:{line} {text}" for number, rule, path, line, text in mutants))
        return
    configure(tree)
    build(tree, arguments.jobs, ["sparsert_info"])
    if selftest(tree, -1):
        sys.exit("without a fault the selftest fails")
    state = tree / "killed.json"
    killers = seen_before(state, mutants)
    living = judge(lambda mutant: selftest(tree, mutant[0]), mutants, arguments.jobs, killers, state)
    if living:
        build(tree, arguments.jobs, sorted({f"{test}_test" for mutant in living for test in tests_of(mutant[2])}))
    # One file of each family and kind of backend stands for the others, whose programs and devices are the same.
    for path in {(FILES[m[2]], *devices_of(m[2])): m[2] for m in living}.values():
        if own_tests(tree, -1, path):
            sys.exit(f"without a fault the tests of {path} fail, or take more than {MOST_SECONDS} s")
    judge(lambda mutant: own_tests(tree, mutant[0], mutant[2]), mutants, arguments.jobs, killers, state)
    results = [(*mutant, killers.get(mutant[0], '')) for mutant in mutants]
    text, share = report(results, time.monotonic() - start)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    print(text)
    sys.exit(0 if share >= 85 and all(r[5] for r in results if r[1] == "seeded") else 1)


if __name__ == "__main__":
    main()
