#!/usr/bin/env python3
# scripts/cmake/ptxas_log.py — in front of nvcc: what ptxas says of each kernel goes to OBJECT.ptxas, the rest to the
# terminal. The first line of the file is the processor time that the translation unit took.
import re
import resource
import subprocess
import sys

command = sys.argv[1:]
output = command[command.index("-o") + 1]
result = subprocess.run([*command, "-Xptxas=-v"], stderr=subprocess.PIPE, text=True, errors="replace")
info, rest = [], []
for line in result.stderr.splitlines():
    # "ptxas info" lines, and the indented line of a function's properties that follows one.
    (info if line.startswith("ptxas info") or re.match(r"\s+\d+ bytes stack frame", line) else rest).append(line)
print("\n".join(rest), end="\n" if rest else "", file=sys.stderr)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
if result.returncode == 0:
    with open(output + ".ptxas", "w", encoding="utf-8") as file:
        file.write(f"seconds {used.ru_utime + used.ru_stime:.1f}\n" + "\n".join(info) + "\n")
sys.exit(result.returncode)
