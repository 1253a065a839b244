#!/usr/bin/env python3
"""bench/table.py — the tables of docs/performance.md from a result of `sparsert bench --json`, as Markdown."""
import json
import sys

GOALS = {"relu": "ReLU", "prune": "exact-amount pruning", "topk": "exact top-k", "spmm": "SpMM with a plan",
         "overhead": "one call"}


def time_text(seconds):
    for unit, scale in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.3g} s"


def goal_row(case, goal):
    """A goal beside what was measured; a speed-up over a peer is told as one."""
    peers = {c["name"]: c["version"] for c in case["contenders"] if c["role"] == "peer"}
    measured, wanted = goal["measured"], goal["at_most"]
    if goal["against"] == "1 s":
        numbers = f"≤ {time_text(wanted)} | {time_text(measured)}"
    elif goal["against"] in peers:
        numbers = f"≥ {1 / wanted:.2f}× as fast | {1 / measured:.2f}×"
    else:
        numbers = f"≤ {wanted:.2f}× the time | {measured:.2f}×"
    against = "" if goal["against"] == "1 s" else f"{goal['against']} {peers.get(goal['against'], '')}".strip()
    return f"| {GOALS.get(case['op'], case['op'])}, {case['name']} | {numbers} | {against} | {'met' if goal['met'] else '**missed**'} |"


def case_row(case):
    peer = "" if case["best_peer"] is None else f"{case['ratio']:.2f}× | {case['best_peer']} {case['best_peer_version']}"
    return (f"| {case['op']} {case['name']} | {time_text(case['min_s'])} | {100 * case['share_of_limit']:.0f} % of {case['limit_by']} | "
            f"{peer or ' | '} |")


def main(path):
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    for run in report["runs"]:
        print(f"Threads: {run['threads']}\n\n| case | goal | measured | against | |\n|---|---|---|---|---|")
        for case in run["cases"]:
            for goal in case["goals"]:
                print(goal_row(case, goal))
        print("\n| case | time | share of the limit | against the best peer | |\n|---|---|---|---|---|")
        for case in run["cases"]:
            print(case_row(case))


if __name__ == "__main__":
    main(sys.argv[1])
