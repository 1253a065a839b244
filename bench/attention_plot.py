#!/usr/bin/env python3
# bench/attention_plot.py — a drawing of what attention behind a fixed window costs by length, from a result of the bench.
#
# usage: attention_plot.py RESULT.json >cost.svg
# Both axes are logarithmic; the line is what the shortest length costs, times the length: on it cost is linear.
import json
import math
import sys

WIDTH, HEIGHT, LEFT, BOTTOM, MARGIN = 640, 360, 70, 50, 20


def points(result):
    """(tokens, milliseconds) of the forward pass of one head behind a window, one thread."""
    for case in result["runs"][0]["cases"]:
        parameters = case["parameters"]
        if case["op"] == "attend" and parameters["heads"] == 1 and "window" in parameters["mask"]:
            yield parameters["n"], 1e3 * case["min_s"]


def draw(measured):
    measured = sorted(point for point in measured if point[0] >= 1024)
    (first, first_ms), (last, _) = measured[0], measured[-1]
    low, high = first_ms / 1.5, max(first_ms * last / first, max(ms for _, ms in measured)) * 1.5

    def x(tokens):
        return LEFT + (WIDTH - LEFT - MARGIN) * math.log(tokens / first) / math.log(last / first)

    def y(ms):
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - MARGIN) * math.log(ms / low) / math.log(high / low)

    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
             'font-size="13"><title>Time of attention behind a window of 256 by the number of tokens</title>',
             '<rect width="100%" height="100%" fill="#fff"/>']
    ms = 10 ** math.ceil(math.log10(low))
    while ms <= high:
        lines.append(f'<path d="M{LEFT} {y(ms):.1f}H{WIDTH - MARGIN}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 8}" y="{y(ms) + 4:.1f}" text-anchor="end">{ms:g} ms</text>')
        ms *= 10
    lines.append(f'<path d="M{x(first):.1f} {y(first_ms):.1f}L{x(last):.1f} {y(first_ms * last / first):.1f}" '
                 'stroke="#888" stroke-dasharray="4 4"/>')
    for tokens, ms in measured:
        lines.append(f'<circle cx="{x(tokens):.1f}" cy="{y(ms):.1f}" r="4" fill="#0b62a4"><title>{tokens} tokens: '
                     f'{ms:.3g} ms</title></circle>'
                     f'<text x="{x(tokens):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{tokens // 1024}k</text>')
    lines.append(f'<text x="{(LEFT + WIDTH) // 2}" y="{HEIGHT - 8}" text-anchor="middle">tokens</text></svg>')
    return "\n".join(lines)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(draw(points(json.load(file))))
