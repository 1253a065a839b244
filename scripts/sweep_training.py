#!/usr/bin/env python3
# scripts/sweep_training.py — are more zeros better, if the network learns on? methods, amounts and schedules on the digits.
"""Prunes the shipped digits network in many ways, lets it learn on with what is left, and says which networks are worth it.

    none        pruned, not trained again
    one-shot    pruned at once, then trained
    gradual     the amount rises by a cubic schedule over the first half of the same number of training steps
    L1          trained with a proximal step (soft threshold) and pruned by nothing else

A pruned weight is CSR throughout: `sp.linear` runs it, `sp.linear_backward` gives the gradients of its entries, and
no dense weight or gradient is made. Held-out images are looked at once a network is done; the sensitivity scan, which
shares an amount out over the layers, reads training images.

    pip install numpy
    PYTHONPATH=build/dev/python python scripts/sweep_training.py --html training.html --json training.json
"""

import argparse
import html
import json
import math
import pathlib
import time

import numpy as np

import sparsert as sp
from digits_training import Adam, cross_entropy

BATCH, RATE, NOISE, TIMED = 64, 5e-4, 0.1, 256
DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
NAMES = ("fc1", "fc2", "fc3")
SCAN = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)
Z_95 = 1.959963984540054


class Parameter(Adam):
    """Values that Adam changes in place; `keep` drops those whose weights were pruned."""

    def __init__(self, values):
        self.values = np.array(values)
        super().__init__(self.values)

    def learn(self, grad, rate):
        self.values -= self.change(grad, rate)

    def keep(self, kept):
        self.values, self.mean, self.square = self.values[kept], self.mean[kept], self.square[kept]


class Network:
    """Weights (out, in), dense or Csr, and biases. ReLU follows every layer but the last."""

    def __init__(self, weights, biases):
        self.weights, self.biases = list(weights), [np.array(b) for b in biases]

    def forward(self, x, weights=None):
        """The input of every layer, and the logits last."""
        outputs = [sp.tensor(x)]
        for i, (weight, bias) in enumerate(zip(weights or self.weights, self.biases)):
            outputs.append(sp.linear(outputs[-1], weight, bias=bias, relu=i + 1 < len(self.weights)))
        return outputs

    def dense(self):
        return [w.to_dense() if isinstance(w, sp.Csr) else w for w in self.weights]

    def zeros(self):
        return 1 - sum(sp.count_nonzero(w) for w in self.dense()) / sum(math.prod(w.shape) for w in self.weights)

    def nbytes(self):
        return sum(w.nbytes for w in self.weights) + sum(b.nbytes for b in self.biases)


def train(network, images, labels, epochs, *, amounts=None, l1=0.0, seed=1):
    """Trains on. `amounts(step, steps)` gives pruned dense weights where it is time to prune, else None."""
    rng = np.random.default_rng(seed)
    values = [Parameter(w.values.numpy() if isinstance(w, sp.Csr) else w.numpy()) for w in network.weights]
    biases = [Parameter(b) for b in network.biases]
    steps, step = epochs * (len(labels) // BATCH), 0
    for _ in range(epochs):
        order = rng.permutation(len(labels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            pruned = amounts(network, step, steps) if amounts else None
            if pruned:
                for i, weight in enumerate(pruned):
                    kept = weight.numpy() != 0
                    if isinstance(network.weights[i], sp.Csr):
                        places = network.weights[i].to_coo()
                        kept = kept[places.rows.numpy(), places.columns.numpy()]
                    values[i].keep(kept)
                    network.weights[i] = sp.to_csr(weight)
            batch = order[start : start + BATCH]
            noisy = images[batch] + NOISE * rng.standard_normal((BATCH, images.shape[1]), np.float32)
            rate = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
            outputs = network.forward(noisy)
            grad = sp.tensor(cross_entropy(outputs[-1].numpy(), labels[batch])[1])
            for i in reversed(range(len(network.weights))):
                of_input, of_weight, of_bias = sp.linear_backward(grad, outputs[i], network.weights[i])
                if i > 0:
                    grad = sp.relu_backward(of_input, outputs[i])
                values[i].learn(entries(of_weight), rate)
                biases[i].learn(of_bias.numpy(), rate)
                if l1:
                    values[i].values = sp.prune.soft_threshold(values[i].values, rate * l1).numpy().copy()
                is_sparse = isinstance(network.weights[i], sp.Csr)
                network.weights[i] = (
                    network.weights[i].with_values(values[i].values) if is_sparse else sp.tensor(values[i].values)
                )
                network.biases[i] = biases[i].values
            step += 1
    return network


def entries(gradient):
    return (gradient.values if isinstance(gradient, sp.Csr) else gradient).numpy()


def pruner(method, norms, scan):
    """(dense weights, amount) -> pruned dense weights."""

    def prune(weights, amount):
        shapes = {name: tuple(w.shape) for name, w in zip(NAMES, weights)}
        if method == "global":
            return list(sp.prune.global_magnitude(dict(zip(NAMES, weights)), amount).values())
        if method == "wanda":
            return [sp.prune.wanda(w, n, amount) for w, n in zip(weights, norms)]
        if method == "random":
            return [sp.prune.random(w, amount, seed=i) for i, w in enumerate(weights)]
        budgets = {"erk": lambda: sp.prune.schedule.erk(shapes, amount),
                   "sensitivity": lambda: sp.prune.schedule.sensitivity(shapes, scan, amount)}
        shared = budgets[method]() if method in budgets else dict.fromkeys(NAMES, amount)
        return [sp.prune.magnitude(w, min(max(shared[name], 0.0), 1.0)) for name, w in zip(NAMES, weights)]

    return prune


def gradual(prune, amount):
    """Cubic over the first half of the steps, in ten jumps. Random pruning cannot be gradual here: it draws anew."""

    def at(network, step, steps):
        jump = max(1, steps // 20)
        if step > steps // 2 or step % jump:
            return None
        end = max(1, steps // 2 // jump * jump)
        return prune(network.dense(), sp.prune.schedule.cubic(step, 0, end, 0.3 * amount, amount))

    return at


def sensitivity_scan(network, images, labels):
    """The loss on training images with one layer pruned, all else untouched."""
    scan = {}
    for i, name in enumerate(NAMES):
        curve = []
        for amount in SCAN:
            weights = network.dense()
            weights[i] = sp.prune.magnitude(weights[i], amount)
            curve.append((amount, cross_entropy(network.forward(images, weights)[-1].numpy(), labels)[0]))
        scan[name] = curve
    return scan


def wilson(right, count):
    share = right / count
    center, half = share + Z_95**2 / (2 * count), Z_95 * math.sqrt(share * (1 - share) / count + Z_95**2 / (4 * count**2))
    return (center - half) / (1 + Z_95**2 / count), (center + half) / (1 + Z_95**2 / count)


def describe(method, schedule, network, images, labels):
    outputs = network.forward(images)
    right = int((outputs[-1].numpy().argmax(axis=1) == labels).sum())
    statistics = sp.ActivationStatistics()
    for name, output in zip(NAMES, outputs[1:-1]):
        statistics.add(name, output)
    layers = statistics.layers()
    low, high = wilson(right, len(labels))
    return {
        "method": method, "schedule": schedule, "zeros": network.zeros(), "accuracy": right / len(labels),
        "accuracy_low": low, "accuracy_high": high, "bytes": network.nbytes(),
        "activation_zeros": [layers[name]["zeros"] / layers[name]["elements"] for name in NAMES[:-1]],
        "dead_neurons": [layers[name]["dead"] for name in NAMES[:-1]],
    }


def time_all(networks, images, rounds):
    """Least of `rounds` runs of each, all in turn; weights are packed beforehand."""
    x = sp.tensor(images[:TIMED])
    packed = [[sp.Plan(w, n=TIMED) if isinstance(w, sp.Csr) else w for w in n.weights] for n in networks]
    best = [math.inf] * len(networks)
    for _ in range(rounds):
        for i, (network, weights) in enumerate(zip(networks, packed)):
            begin = time.perf_counter()
            network.forward(x, weights)
            best[i] = min(best[i], 1e3 * (time.perf_counter() - begin))
    return best


def mark_frontier(rows):
    """Marks rows that no other beats in accuracy, bytes and latency at once. Gives the knee, or None.

    The knee is the row of the frontier with the fewest bytes that is not below the dense network's interval.
    """
    def beats(a, b):
        no_worse = a["accuracy"] >= b["accuracy"] and a["bytes"] <= b["bytes"] and a["latency_ms"] <= b["latency_ms"]
        return no_worse and (a["accuracy"], a["bytes"], a["latency_ms"]) != (b["accuracy"], b["bytes"], b["latency_ms"])

    for row in rows:
        row["frontier"] = not any(beats(other, row) for other in rows)
    good = [row for row in rows if row["frontier"] and row["accuracy"] >= rows[0]["accuracy_low"]]
    return min(good, key=lambda row: row["bytes"], default=None)


def title_of(row):
    return f"{row['method']}, {row['schedule']}, {100 * row['zeros']:.1f} %"


COLORS = {"none": "#b2500a", "one-shot": "#1f5fd0", "gradual": "#1b6e48", "L1": "#8a3a94", "dense": "#5a6373"}
STYLE = """:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #8884;white-space:nowrap}
.scroll{overflow-x:auto}svg{width:100%;height:auto}svg text{font-size:13px;fill:currentColor}.knee{font-weight:700;background:#1f5fd022}"""


def drawing(rows, knee):
    """Accuracy over bytes, the latter by their logarithm."""
    x_of = [math.log10(row["bytes"]) for row in rows]
    left, span = min(x_of), max(max(x_of) - min(x_of), 1e-9)
    bottom = 100 * min(row["accuracy"] for row in rows)
    height = max(100 - bottom, 1e-9)
    parts = ['<svg viewBox="0 0 720 380" role="img" aria-label="Accuracy over bytes"><line x1="50" y1="340" x2="700" y2="340" stroke="currentColor"/>']
    points = [
        (50 + 640 * (x - left) / span, 340 - 310 * (100 * row["accuracy"] - bottom) / height, row)
        for x, row in zip(x_of, rows)
    ]
    for x, y, row in points:
        ring = ' stroke="currentColor" stroke-width="2"' if row["frontier"] else ""
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{7 if row is knee else 5}" fill="{COLORS[row["schedule"]]}"{ring}><title>{html.escape(title_of(row))}: {100 * row["accuracy"]:.1f} %</title></circle>')
        if row is knee:
            parts.append(f'<text x="{x:.1f}" y="{y - 12:.1f}" text-anchor="middle">knee: {html.escape(title_of(row))}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<text x="44" y="{344 - 310 * share:.1f}" text-anchor="end">{bottom + share * height:.0f}</text>')
        parts.append(f'<text x="{50 + 640 * share:.1f}" y="360" text-anchor="middle">{10 ** (left + share * span) / 1e6:.2f} MB</text>')
    return "".join(parts) + "</svg>"


def table(heads, lines, marked=None):
    out = ['<div class="scroll"><table><thead><tr>', *(f"<th>{html.escape(h)}</th>" for h in heads), "</tr></thead><tbody>"]
    for i, line in enumerate(lines):
        out += [f'<tr{" class=knee" if i == marked else ""}>', *(f"<td>{html.escape(cell)}</td>" for cell in line), "</tr>"]
    return "".join(out) + "</tbody></table></div>"


HEADS = ("method", "schedule", "zeros", "accuracy", "95 % interval", "bytes", "latency", "activation zeros", "dead", "frontier")


def cells(row):
    return (
        row["method"], row["schedule"], f"{100 * row['zeros']:.1f} %", f"{100 * row['accuracy']:.1f} %",
        f"{100 * row['accuracy_low']:.1f} to {100 * row['accuracy_high']:.1f}", f"{row['bytes']:,}",
        f"{row['latency_ms']:.2f} ms", " + ".join(f"{100 * z:.0f} %" for z in row["activation_zeros"]),
        " + ".join(map(str, row["dead_neurons"])), "yes" if row["frontier"] else "",
    )


def page(report):
    """One file that needs nothing beside itself."""
    rows = report["rows"]
    knee = next((i for i, row in enumerate(rows) if title_of(row) == report["knee"]), None)
    colors = " ".join(f'<span style="color:{color}">&#9679;</span> {name}' for name, color in COLORS.items())
    scan = [(name, *(f"{loss:.3f}" for _, loss in curve)) for name, curve in report["sensitivity"].items()]
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Zeros and training</title>'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head><body><h1>Are more zeros better, if the network learns on?</h1>'
        f"<p>Knee: <strong>{html.escape(str(report['knee']))}</strong></p><p>{colors}; a ring marks the frontier of accuracy, bytes and latency</p>"
        f"{drawing(rows, rows[knee] if knee is not None else None)}<h2>The figures</h2>{table(HEADS, [cells(row) for row in rows], knee)}"
        f"<h2>Sensitivity</h2><p>Loss on training images with one layer pruned, by share of zeros.</p>"
        f"{table(('layer', *(f'{100 * a:g} %' for a in SCAN)), scan)}</body></html>\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--amounts", default="0.9,0.95,0.98", help="shares of zeros, separated by commas")
    parser.add_argument("--methods", default="magnitude,global,wanda,erk,sensitivity,random")
    parser.add_argument("--l1", default="1,2,4", help="penalties of the proximal step")
    parser.add_argument("--epochs", type=int, default=4, help="of training after pruning")
    parser.add_argument("--rounds", type=int, default=15, help="of timing")
    parser.add_argument("--html", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()

    started = time.time()
    data, model = sp.load(str(DATA / "digits.safetensors")), sp.load(str(DATA / "digits_mlp.safetensors"))
    held_out = data["split"].numpy() == 1
    images, labels = data["images"].numpy(), data["labels"].numpy()
    learned, seen, shown, true = images[~held_out], labels[~held_out], images[held_out], labels[held_out]

    def fresh():
        return Network([model[f"{n}.weight"] for n in NAMES], [model[f"{n}.bias"].numpy() for n in NAMES])

    dense = fresh()
    norms = []
    for x in dense.forward(learned)[:-1]:
        norm = sp.prune.InputNorms()
        norm.add(x)
        norms.append(norm.norms())
    scan = sensitivity_scan(dense, learned, seen)
    networks, rows = [dense], [describe("dense", "dense", dense, shown, true)]

    def done(method, schedule, network):
        networks.append(network)
        rows.append(describe(method, schedule, network, shown, true))

    for method in arguments.methods.split(","):
        prune = pruner(method, norms, scan)
        for amount in map(float, arguments.amounts.split(",")):
            for schedule in ("none", "one-shot", "gradual"):
                if method == "random" and schedule == "gradual":
                    continue
                network = fresh()
                if schedule != "gradual":
                    network.weights = [sp.to_csr(w) for w in prune(network.dense(), amount)]
                if schedule != "none":
                    changes = gradual(prune, amount) if schedule == "gradual" else None
                    train(network, learned, seen, arguments.epochs, amounts=changes)
                done(method, schedule, network)
    for penalty in filter(None, arguments.l1.split(",")):
        network = train(fresh(), learned, seen, arguments.epochs, l1=float(penalty))
        network.weights = [sp.to_csr(w) for w in network.weights]
        done(f"penalty {penalty}", "L1", network)
        beside = train(fresh(), learned, seen, arguments.epochs, amounts=gradual(pruner("global", norms, scan), network.zeros()))
        done(f"global beside penalty {penalty}", "gradual", beside)

    for row, latency in zip(rows, time_all(networks, shown, arguments.rounds)):
        row["latency_ms"] = latency
    knee = mark_frontier(rows)
    report = {"rows": rows, "knee": title_of(knee) if knee else None, "sensitivity": scan, "epochs": arguments.epochs,
              "seconds": round(time.time() - started, 1)}
    print("| " + " | ".join(HEADS) + " |\n|" + "---|" * len(HEADS))
    for row in rows:
        print("| " + " | ".join(cells(row)) + " |")
    print(f"knee: {report['knee']}; {report['seconds']} s")
    for name, curve in scan.items():
        print(f"loss with {name} pruned: " + ", ".join(f"{100 * a:g} %: {loss:.3f}" for a, loss in curve))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    if arguments.html:
        arguments.html.write_text(page(report))


if __name__ == "__main__":
    main()
