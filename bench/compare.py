#!/usr/bin/env python3
"""bench/compare.py — what changed between a kept result of `sparsert bench --json` and a new one.

Times of two runs are never compared by themselves: machines differ, and so do their moments. Compared is each case's
time in units of what was measured beside it in the same run: the yardstick or peer of its goals, else the fastest
yardstick, else the machine's limit.
"""
import argparse
import json
import sys


def unit_of(case):
    """The name and seconds of what a case is measured in."""
    contenders = {c["name"]: c["min_s"] for c in case["contenders"]}
    for goal in case["goals"]:
        if goal["against"] in contenders:
            return goal["against"], contenders[goal["against"]]
    yardsticks = [(c["min_s"], c["name"]) for c in case["contenders"] if c["role"] == "yardstick"]
    if yardsticks:
        seconds, name = min(yardsticks)
        return name, seconds
    return "limit", case["limit_s"]


def cases_of(report):
    """Every case by (threads, op, name)."""
    return {(run["threads"], case["op"], case["name"]): case for run in report["runs"] for case in run["cases"]}


def relative_time(case, unit):
    """The case's time in the unit named, or None where this report has no such unit."""
    if unit == "limit":
        return case["min_s"] / case["limit_s"] if case["limit_s"] > 0 else None
    found = [c["min_s"] for c in case["contenders"] if c["name"] == unit]
    return case["min_s"] / found[0] if found else None


def compare(old, new, tolerance):
    """Rows (verdict, key, unit, before, after), worst first: slower, missing, faster, new, same."""
    before, after = cases_of(old), cases_of(new)
    rows = []
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            rows.append(("missing", key, "", None, None))
            continue
        if key not in before:
            rows.append(("new", key, "", None, None))
            continue
        unit, _ = unit_of(after[key])
        a, b = relative_time(before[key], unit), relative_time(after[key], unit)
        if a is None or b is None:
            unit, a, b = "limit", relative_time(before[key], "limit"), relative_time(after[key], "limit")
        if a is None or b is None:
            rows.append(("new", key, "", None, None))
            continue
        verdict = "slower" if b > a * (1 + tolerance) else "faster" if a > b * (1 + tolerance) else "same"
        rows.append((verdict, key, unit, a, b))
    order = ["slower", "missing", "faster", "new", "same"]
    return sorted(rows, key=lambda row: (order.index(row[0]), row[1]))


def goals_lost(old, new):
    """Keys and texts of goals that were met before and are not now."""
    met = {(key, goal["text"]) for key, case in cases_of(old).items() for goal in case["goals"] if goal["met"]}
    return [(key, goal["text"]) for key, case in cases_of(new).items() for goal in case["goals"]
            if not goal["met"] and (key, goal["text"]) in met]


def describe(report):
    busy = f", load {report['machine']['load_average']:.1f}" if report["machine"]["load_average"] > 0.5 else ""
    return f"{report['commit']} on {report['machine']['cpu']} ({report['machine']['simd']}, {report['device']}{busy})"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", help="a kept result, e.g. bench/results/...json")
    parser.add_argument("new")
    parser.add_argument("--tolerance", type=float, default=0.1, help="relative change that counts (default 0.1)")
    parser.add_argument("--all", action="store_true", help="also the cases that stayed the same")
    parser.add_argument("--fail", action="store_true", help="exit 1 when a case got slower, is missing, or lost its goal")
    options = parser.parse_args(arguments)
    with open(options.old, encoding="utf-8") as file:
        old = json.load(file)
    with open(options.new, encoding="utf-8") as file:
        new = json.load(file)
    print(f"before  {describe(old)}\nafter   {describe(new)}")
    rows = compare(old, new, options.tolerance)
    for verdict, (threads, op, name), unit, a, b in rows:
        if verdict == "same" and not options.all:
            continue
        change = "" if a is None else f"{a:9.3f} -> {b:9.3f} x {unit}  ({100 * (b / a - 1):+.0f} %)"
        print(f"{verdict:8}{op} {name}, {threads} thread(s)  {change}")
    lost = goals_lost(old, new)
    for (threads, op, name), text in lost:
        print(f"goal lost: {op} {name}, {threads} thread(s): {text}")
    counts = {verdict: sum(row[0] == verdict for row in rows) for verdict in ("slower", "faster", "same", "new", "missing")}
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 1 if options.fail and (lost or counts["slower"] or counts["missing"]) else 0


if __name__ == "__main__":
    sys.exit(main())
