"""Compressed gradients: the largest entries are sent, the rest is remembered.

For each entry, bit for bit: acc = gradient + residual (or velocity + residual, with momentum), rounded once; acc is
exactly what is sent plus the new residual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Optional

from . import _sparsert
from ._sparsert import Packet
from .typing import ArrayLike

__all__ = ["Packet", "RandomK", "Threshold", "TopK"]

Scope = Literal["tensor", "global"]
Wire = Literal["float32", "float16", "bfloat16"]
NonFinite = Literal["error", "skip"]


class _Base:
    """What the compressors share. State is by tensor name, so that gradients may come in other buckets."""

    def __init__(self, **options: Any) -> None:
        defaults = dict(
            ratio=0.01,
            k=None,
            selection="topk",
            threshold=0.0,
            carry_steps=1,
            error_feedback=True,
            momentum=0.0,
            scope="tensor",
            wire="float32",
            warmup_steps=0,
            warmup_ratio=0.25,
            non_finite="error",
            seed=0,
        )
        self._compressor = _sparsert.Compressor(**{**defaults, **options})

    def compress(self, gradients: Mapping[str, ArrayLike]) -> Packet:
        """One step: accumulates, selects, and takes out what is sent.

        ValueError for a shape, dtype or device other than before, a name that a loaded state lacks, or a NaN or
        infinity under non_finite="error" (then nothing is sent, and the finite entries are in the residual).
        """
        return self._compressor.compress(list(gradients.items()))

    def restore(self, packet: Packet) -> None:
        """Puts the packet of the last step back, where it could not be delivered: nothing is lost."""
        self._compressor.restore(packet)

    def ratio_at(self, step: int) -> float:
        """The share of entries at a step, with the warm-up."""
        return self._compressor.ratio_at(step)

    @property
    def steps(self) -> int:
        return self._compressor.steps

    @property
    def skipped(self) -> int:
        """Entries left out so far because they were not finite."""
        return self._compressor.skipped

    def state_dict(self) -> dict[str, Any]:
        """Residuals and velocities by tensor name, the step, and limits where they are carried."""
        residuals, velocities, step, limits = self._compressor.state()
        return {"residuals": residuals, "velocities": velocities, "step": step, "limits": limits}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """ValueError for names, shapes or dtypes other than those seen; another ratio is fine."""
        residuals = list(dict(state["residuals"]).items())
        limits = list(dict(state.get("limits", {})).items())
        self._compressor.load_state(residuals, list(dict(state["velocities"]).items()), int(state["step"]), limits)


class TopK(_Base):
    """Sends the k largest magnitudes, exactly; ties go to the lower index.

    `ratio` or `k` count for each tensor, or over all tensors of a call with scope="global". `momentum` accumulates a
    velocity instead of the gradient, and clears it where an entry is sent. `wire` is the type of the values sent.
    For `warmup_steps` the ratio falls from `warmup_ratio` by the same factor each step.

    `carry_steps` above 1 is an approximation: the k-th magnitude is found every so many steps alone, and in between all
    that reach it are sent, more or fewer than k.
    """

    def __init__(
        self,
        ratio: float = 0.01,
        error_feedback: bool = True,
        momentum: float = 0.0,
        scope: Scope = "tensor",
        *,
        k: Optional[int] = None,
        carry_steps: int = 1,
        wire: Wire = "float32",
        warmup_steps: int = 0,
        warmup_ratio: float = 0.25,
        non_finite: NonFinite = "error",
    ) -> None:
        super().__init__(
            ratio=ratio,
            k=k,
            carry_steps=carry_steps,
            error_feedback=error_feedback,
            momentum=momentum,
            scope=scope,
            wire=wire,
            warmup_steps=warmup_steps,
            warmup_ratio=warmup_ratio,
            non_finite=non_finite,
        )


class Threshold(_Base):
    """Sends every magnitude above a threshold."""

    def __init__(
        self,
        threshold: float,
        error_feedback: bool = True,
        momentum: float = 0.0,
        *,
        wire: Wire = "float32",
        non_finite: NonFinite = "error",
    ) -> None:
        super().__init__(
            selection="threshold",
            threshold=threshold,
            error_feedback=error_feedback,
            momentum=momentum,
            wire=wire,
            non_finite=non_finite,
        )


class RandomK(_Base):
    """Sends k entries drawn by (seed, step): the same ones on every rank."""

    def __init__(
        self,
        ratio: float = 0.01,
        error_feedback: bool = True,
        momentum: float = 0.0,
        *,
        k: Optional[int] = None,
        seed: int = 0,
        wire: Wire = "float32",
        non_finite: NonFinite = "error",
    ) -> None:
        super().__init__(
            selection="random",
            ratio=ratio,
            k=k,
            seed=seed,
            error_feedback=error_feedback,
            momentum=momentum,
            wire=wire,
            non_finite=non_finite,
        )
