#!/usr/bin/env python3
# tests/install/install_test.py — the library as its users get it: installed and found by CMake or pkg-config, or as a
# subproject; each by a program that is built and run.
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = SOURCE / "examples" / "prune_and_multiply"


def run(command, **options):
    """The output of a command that has to succeed."""
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            **options)
    if result.returncode != 0:
        sys.exit(f"failed ({result.returncode}): {' '.join(map(str, command))}\n{result.stdout}")
    return result.stdout


def check(condition, what):
    if not condition:
        sys.exit(f"failed: {what}")


def check_program(program):
    output = run([program])
    check("sparse equal to dense: yes" in output and "90.0 % zeros" in output, output)


def check_prefix(prefix, build):
    """Nothing installed knows the tree it was built in, or names what is internal."""
    found = sorted(prefix.rglob("*"))
    names = {path.name for path in found}
    check({"sparsert.hpp", "version.hpp", "sparsertConfig.cmake", "sparsertConfigVersion.cmake", "sparsert.pc",
           "sparsert-info"} <= names, f"only {sorted(names)} are installed")
    for path in found:
        if path.suffix not in (".cmake", ".pc", ".hpp"):
            continue
        text = path.read_text(encoding="utf-8")
        for word in (str(build), str(SOURCE), "sparsert_device", "sparsert_kernels", "sparsert_build", "SPARSERT_WITH"):
            check(word not in text, f"{path} contains {word}")
        check(not re.search(r"#include *[<\"](cuda|hwy|tbb|oneapi|nlohmann)", text), f"{path} includes a dependency")


def check_tools(prefix):
    version = run([prefix / "bin" / "sparsert-info", "--version"]).strip()
    check(re.fullmatch(r"\d+\.\d+\.\d+", version), version)


def check_headers(prefix, compiler, work):
    """Each public header can be the first one included."""
    for header in sorted((prefix / "include" / "sparsert").glob("*.hpp")):
        source = work / "header.cpp"
        source.write_text(f"#include <sparsert/{header.name}>\n")
        run([compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{prefix / 'include'}", source])


def check_find_package(arguments, prefix, work):
    run([arguments.cmake, "-S", EXAMPLE, "-B", work / "found", "-G", arguments.generator,
         f"-DCMAKE_CXX_COMPILER={arguments.compiler}", f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release"])
    run([arguments.cmake, "--build", work / "found"])
    check_program(work / "found" / "prune_and_multiply")
    result = subprocess.run([arguments.cmake, "-S", EXAMPLE, "-B", work / "not_found", f"-DCMAKE_PREFIX_PATH={work}"],
                            capture_output=True, text=True)
    check(result.returncode != 0, "the example found a library that is not installed")


def check_pkg_config(arguments, prefix, work):
    if shutil.which("pkg-config") is None:
        sys.exit("failed: pkg-config is not installed")
    folder = next(prefix.rglob("sparsert.pc")).parent
    environment = {**os.environ, "PKG_CONFIG_PATH": str(folder)}
    flags = run(["pkg-config", "--cflags", "--libs", "sparsert"], env=environment).split()
    program = work / "with_pkg_config"
    run([arguments.compiler, EXAMPLE / "main.cpp", "-o", program, *flags, f"-Wl,-rpath,{folder.parent}"])
    check_program(program)


def check_subproject(arguments, work):
    """As a static library, with the settings of the build under test, so that a compiler cache serves both."""
    run([arguments.cmake, "-S", SOURCE / "tests" / "install" / "subproject", "-B", work / "inside",
         "-G", arguments.generator, f"-DSPARSERT_SOURCE={SOURCE}", f"-DCMAKE_CXX_COMPILER={arguments.compiler}",
         *arguments.setting])
    run([arguments.cmake, "--build", work / "inside", "--target", "prune_and_multiply", "--parallel", str(os.cpu_count())])
    check_program(work / "inside" / "prune_and_multiply")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["installed", "subproject"])
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--cmake", required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--generator", required=True)
    parser.add_argument("--setting", action="append", default=[], help="-DNAME=VALUE for the subproject")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        if arguments.what == "subproject":
            check_subproject(arguments, work)
            return
        run([arguments.cmake, "--install", arguments.build, "--prefix", work / "first"])
        prefix = work / "prefix"
        (work / "first").rename(prefix)  # an installed tree can be moved
        check_prefix(prefix, arguments.build)
        check_tools(prefix)
        check_headers(prefix, arguments.compiler, work)
        check_find_package(arguments, prefix, work)
        check_pkg_config(arguments, prefix, work)


if __name__ == "__main__":
    main()
