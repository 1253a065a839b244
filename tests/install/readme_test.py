# tests/install/readme_test.py — compiles and runs every C++ block of the README against a build, and its Python blocks.
#
# usage: readme_test.py README BUILD_DIR COMPILER INCLUDE_DIR...
import os
import pathlib
import re
import subprocess
import sys
import tempfile


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def main() -> int:
    readme, build, compiler, *includes = sys.argv[1:]
    text = pathlib.Path(readme).read_text(encoding="utf-8")
    library = pathlib.Path(build) / "runtime"
    programs = blocks(text, "cpp")
    assert programs, "the README has no C++ block"
    for number, source in enumerate(programs):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "readme.cpp"
            path.write_text(source, encoding="utf-8")
            program = pathlib.Path(folder) / "readme"
            subprocess.run(
                [compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", *(f"-I{i}" for i in includes), str(path),
                 f"-L{library}", "-lsparsert", f"-Wl,-rpath,{library}", "-o", str(program)],
                check=True)
            result = subprocess.run([str(program)], check=True, capture_output=True, text=True)
            print(f"C++ block {number}: {result.stdout.strip()}")
            assert "equal to dense: yes" in result.stdout, result.stdout
    python = blocks(text, "python")
    assert python, "the README has no Python block"
    package = pathlib.Path(build) / "python"
    if not (package / "sparsert").is_dir():
        print("Python blocks: the module is not built here")
        return 0
    for number, source in enumerate(python):
        environment = {**os.environ, "PYTHONPATH": str(package)}
        result = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True,
                                env=environment)
        print(f"Python block {number}: {result.stdout.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
