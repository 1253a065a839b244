"""How much to prune: the amount at a step, and a schedule that knows where it has come to.

    amount = sp.prune.schedule.cubic(step, begin=0, end=1000, initial=0.0, final=0.9)

    schedule = sp.prune.schedule.Schedule(sp.prune.schedule.cubic, begin=0, end=1000, initial=0.0, final=0.9)
    schedule.advance()                      # the amount now; then one step on
    schedule.load_state_dict(saved)         # of `schedule.state_dict()`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import _sparsert

__all__ = ["Schedule", "cosine", "cubic", "erk", "linear", "one_shot", "sensitivity", "stepwise", "uniform"]


def one_shot(step: int, begin: int, amount: float) -> float:
    """0 before `begin`, then `amount`."""
    return _sparsert.schedule_one_shot(step, begin, amount)


def stepwise(step: int, points: Sequence[tuple[int, float]]) -> float:
    """From each step of `points` (ascending) on, its amount: [(0, 0.3), (100, 0.5)]. 0 before the first."""
    return _sparsert.schedule_stepwise(step, list(points))


def linear(step: int, begin: int, end: int, initial: float, final: float) -> float:
    """initial + (final - initial) * t, with t = (step - begin) / (end - begin) kept within 0 and 1."""
    return _sparsert.schedule_linear(step, begin, end, initial, final)


def cubic(step: int, begin: int, end: int, initial: float, final: float) -> float:
    """final + (initial - final) * (1 - t) ** 3: fast at first, while there is much to remove."""
    return _sparsert.schedule_cubic(step, begin, end, initial, final)


def cosine(step: int, begin: int, end: int, initial: float, final: float) -> float:
    """final + (initial - final) * (1 + cos(pi * t)) / 2."""
    return _sparsert.schedule_cosine(step, begin, end, initial, final)


class Schedule:
    """A function of the step, its parameters, and where it has come to.

    `function` is one of this module's or any callable that takes the step first; its amounts are 0 to 1.
    """

    def __init__(self, function: Callable[..., float], **parameters: Any) -> None:
        self._function = function
        self._parameters = parameters
        self.step = 0

    @property
    def amount(self) -> float:
        """The amount at the current step. ValueError for one outside 0 to 1."""
        amount = float(self._function(self.step, **self._parameters))
        if not 0 <= amount <= 1:
            raise ValueError(f"schedule: amount is {amount} at step {self.step}, expected 0 to 1")
        return amount

    def advance(self) -> float:
        """The amount at the current step; then one step on."""
        amount = self.amount
        self.step += 1
        return amount

    def state_dict(self) -> dict[str, Any]:
        name = getattr(self._function, "__qualname__", type(self._function).__qualname__)
        return {"function": name, "parameters": dict(self._parameters), "step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """ValueError for the state of another schedule."""
        mine = self.state_dict()
        for key in ("function", "parameters"):
            if state.get(key) != mine[key]:
                raise ValueError(f"schedule: {key} is {state.get(key)}, expected {mine[key]}")
        step = state.get("step")
        if not isinstance(step, int) or step < 0:
            raise ValueError(f"schedule: step is {step}, expected an integer of at least 0")
        self.step = step


Shapes = Mapping[str, Sequence[int]]


def uniform(shapes: Shapes, amount: float, keep_dense: Sequence[str] = ()) -> dict[str, float]:
    """An amount over all layers shared out evenly: by name. Layers that a glob of `keep_dense` matches lose nothing."""
    return dict(_sparsert.budget_uniform([(n, list(s)) for n, s in shapes.items()], amount, list(keep_dense)))


def erk(shapes: Shapes, amount: float, keep_dense: Sequence[str] = ()) -> dict[str, float]:
    """The same by the Erdos-Renyi kernel: density in proportion to (sum of sizes) / (product), no more than 1."""
    return dict(_sparsert.budget_erk([(n, list(s)) for n, s in shapes.items()], amount, list(keep_dense)))


def sensitivity(
    shapes: Shapes, losses: Mapping[str, Sequence[tuple[float, float]]], amount: float
) -> dict[str, float]:
    """The same by what each layer's loss is at some amounts (ascending, from 0): one common rise of the loss for all."""
    scan = [(name, list(shape), list(losses[name])) for name, shape in shapes.items()]
    return dict(_sparsert.budget_sensitivity(scan, amount))
