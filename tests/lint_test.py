#!/usr/bin/env python3
# tests/lint_test.py — each rule of lint.py on a piece of code that breaks it, and on one that does not.
import sys

import lint

GOOD_KERNEL = """// kernels/cuda/a.cu — a kernel
// grid: 1
// block: 32
// shared: none
// requires: nothing
__global__ void kernel() {}
"""

# (path, text, what lint has to say; empty: nothing)
CASES = [
    ("kernels/a.cpp", '#include "runtime/x.hpp"', "may not include runtime/x.hpp"),
    ("kernels/a.cpp", '#include "sparsert/tensor.hpp"', "may not include sparsert/tensor.hpp"),
    ("kernels/a.cpp", '#include "sparsert/stream.hpp"', ""),
    ("device/a.cpp", '#include "kernels/kernels.hpp"', "may not include kernels/kernels.hpp"),
    ("device/a.cpp", "#include <cuda_runtime.h>", "cuda_runtime.h is for"),
    ("runtime/a.cpp", '#include "kernels/cpu/simd.hpp"', "may not include kernels/cpu/simd.hpp"),
    ("runtime/a.cpp", "#include <thrust/sort.h>", "thrust/sort.h is for"),
    ("tools/a.cpp", '#include "device/cpu.hpp"', "may not include device/cpu.hpp"),
    ("examples/a/main.cpp", "#include <sparsert/sparsert.hpp>", ""),
    ("device/include/sparsert/a.hpp", '#include "device/cuda.hpp"', "public headers include"),
    ("kernels/a.cu", "k<<<1, 2>>>();", "kernels are launched by launch()"),
    ("kernels/a.cu", "// k<<<1, 2>>>();", ""),
    ("kernels/a.cu", "__shared__ float x[3];", "shared memory comes from"),
    ("kernels/a.cu", 'printf("x");', "no printf in a kernel"),
    ("kernels/a.cu", "y = fmaxf(x, 0.0f);", "lose NaN"),
    ("kernels/cpu/a.cpp", "v = hn::MulAdd(a, b, c);", "use fused_multiply_add"),
    ("kernels/cpu/simd.hpp", "v = hn::MulAdd(a, b, c);", ""),
    ("kernels/cpu/a.cpp", "v = hn::DemoteTo(df16, x); hn::DemoteTo(hn::Rebind<hwy::bfloat16_t, D>(), x)", "truncates"),
    ("kernels/a.cu", "#if __CUDA_ARCH__ > 800", "architectures differ only"),
    ("runtime/a.cpp", "std::cout << x;", "never prints"),
    ("runtime/a.cpp", "std::snprintf(text, 3, format);", ""),
    ("device/a.cpp", "std::abort();", "never ends the process"),
    ("CMakeLists.txt", "file(GLOB sources *.cpp)", "no globs"),
    ("CMakeLists.txt", "add_compile_options(-ffast-math)", "no fast math"),
    ("scripts/a.sh", "cd /home/somebody/sparsert", "no path of one machine"),
    ("tools/a.cpp", "// " + "TO" + "DO: later", ""),  # comments are read by another rule, below
]


def messages(path, text):
    lint.breaches.clear()
    code = lint.without_comments(text)
    lint.check_includes(path, text)
    lint.check_banned(path, code)
    return " ".join(lint.breaches)


def form(path, text):
    lint.breaches.clear()
    lint.check_form(path, text)
    return " ".join(lint.breaches)


def kernel_comments(text):
    lint.breaches.clear()
    lint.check_launch_comments("kernels/cuda/a.cu", text)
    return " ".join(lint.breaches)


def main():
    failures = []
    for path, text, expected in CASES:
        got = messages(path, text + "\n")
        if (expected not in got) if expected else got:
            failures.append(f"{path}: {text!r}: got {got!r}, expected {expected!r}")
    banner = "// tools/a.cpp — a tool\n"
    forms = [
        ("tools/a.cpp", banner, ""),
        ("tools/a.cpp", "int x;\n", "the file starts with"),
        ("tools/a.hpp", banner.replace("cpp", "hpp"), "no #pragma once"),
        ("tools/a.cpp", banner + "int x; \n", "trailing blanks"),
        ("tools/a.cpp", banner + "int x;", "no newline"),
        ("tools/a.cpp", banner + "int x;\n" * lint.MAX_LINES, "longer than"),
        ("device/include/sparsert/a.hpp", "// sparsert/a.hpp — a header\n#pragma once\n", ""),
    ]
    failures += [f"{p}: got {form(p, t)!r}, expected {e!r}" for p, t, e in forms if (e not in form(p, t)) or (not e and form(p, t))]
    if kernel_comments(GOOD_KERNEL):
        failures.append(kernel_comments(GOOD_KERNEL))
    for word in ("grid", "block", "shared", "requires"):
        if f"`// {word}:`" not in kernel_comments(GOOD_KERNEL.replace(f"// {word}:", f"// no {word}:")):
            failures.append(f"a kernel without {word} passed")
    macros = {f"kernels/{i}.hpp": f"#define SPARSERT_M{i} 1\n" for i in range(lint.MAX_MACROS + 1)}
    lint.breaches.clear()
    lint.check_macros(macros)
    if not any("macros" in breach for breach in lint.breaches):
        failures.append("too many macros passed")
    print("\n".join(failures) if failures else f"{len(CASES) + len(forms)} cases")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
