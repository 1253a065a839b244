"""Masks as an algebra, and attention over what they let through.

In the formulas i is a query, j a key, p = i + offset the position of the query among the keys. `n` is the number of
queries and keys, or (queries, keys). Masks are combined by `&`, `|` and `~`; a query that sees no key gives 0.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Union

from . import _sparsert
from ._sparsert import Csr, Mask, Tensor
from .typing import ArrayLike, Order, Output

__all__ = [
    "Mask",
    "attend",
    "attend_backward",
    "bigbird",
    "block",
    "causal",
    "dilated",
    "document",
    "from_csr",
    "from_dense",
    "full",
    "global_tokens",
    "load",
    "longformer",
    "per_head",
    "prefix_lm",
    "sliding_window",
    "strided",
    "topk",
    "weights",
]

Lengths = Union[int, tuple[int, int]]


def _pair(n: Lengths) -> tuple[int, int]:
    return (n, n) if isinstance(n, int) else (n[0], n[1])


def full(n: Lengths, *, offset: int = 0, block_size: int = 64) -> Mask:
    """Every key."""
    return _sparsert.mask_full(_pair(n), offset, block_size)


def causal(n: Lengths, *, offset: int = 0, block_size: int = 64) -> Mask:
    """j <= p. With `offset` cached keys before the first query, the mask of decoding."""
    return _sparsert.mask_causal(_pair(n), offset, block_size)


def sliding_window(n: Lengths, window: int, *, offset: int = 0, block_size: int = 64) -> Mask:
    """|p - j| < window."""
    return _sparsert.mask_sliding_window(_pair(n), window, offset, block_size)


def dilated(n: Lengths, width: int, dilation: int, *, offset: int = 0, block_size: int = 64) -> Mask:
    """p and `width` keys on each side of it, `dilation` apart."""
    return _sparsert.mask_dilated(_pair(n), width, dilation, offset, block_size)


def strided(n: Lengths, stride: int, *, offset: int = 0, block_size: int = 64) -> Mask:
    """j <= p and (p - j) % stride == 0: the strided half of the Sparse Transformer."""
    return _sparsert.mask_strided(_pair(n), stride, offset, block_size)


def global_tokens(n: Lengths, tokens: ArrayLike, *, offset: int = 0, block_size: int = 64) -> Mask:
    """The tokens named see every key, and every query sees them."""
    return _sparsert.mask_global_tokens(_pair(n), tokens, offset, block_size)


def prefix_lm(n: Lengths, prefix: int, *, offset: int = 0, block_size: int = 64) -> Mask:
    """j < prefix or j <= p."""
    return _sparsert.mask_prefix_lm(_pair(n), prefix, offset, block_size)


def bigbird(
    n: Lengths,
    window: int,
    global_: int,
    random: int,
    seed: int = 0,
    *,
    offset: int = 0,
    block_size: int = 64,
) -> Mask:
    """sliding_window(window), the first `global_` tokens as global ones, and `random` keys more; counts in tokens.

    Each group of 64 queries draws its random keys together: whole aligned groups of 64, and the beginning of one more.
    """
    return _sparsert.mask_bigbird(_pair(n), window, global_, random, seed, offset, block_size)


def longformer(n: Lengths, window: int, tokens: ArrayLike, *, offset: int = 0, block_size: int = 64) -> Mask:
    """sliding_window(window) | global_tokens(tokens)."""
    return _sparsert.mask_longformer(_pair(n), window, tokens, offset, block_size)


def block(layout: ArrayLike, size: int, n: Lengths | None = None, *, block_size: int = 64) -> Mask:
    """Blocks of size x size pairs where `layout`, (rows, columns) or (heads, rows, columns), is not zero.

    `n` may cut the last row and column of blocks short.
    """
    return _sparsert.mask_block(layout, size, None if n is None else _pair(n), block_size)


def document(ids: ArrayLike, key_ids: ArrayLike | None = None, *, block_size: int = 64) -> Mask:
    """The pairs whose ids are equal: packed sequences. A token with a negative id is padding."""
    return _sparsert.mask_document(ids, key_ids, block_size)


def from_dense(dense: ArrayLike, *, block_size: int = 64) -> Mask:
    """The pairs that are not zero, (queries, keys) or (heads, queries, keys). NaN is not zero."""
    return _sparsert.mask_from_dense(dense, block_size)


def from_csr(csr: Csr, *, block_size: int = 64) -> Mask:
    """The entries stored, zeros among them."""
    return _sparsert.mask_from_csr(csr, block_size)


def topk(scores: ArrayLike, k: int, *, block_size: int = 64) -> Mask:
    """The k largest scores of each query, (queries, keys) or (heads, queries, keys).

    Ties to the lower key, NaN above Inf.
    """
    return _sparsert.mask_topk(scores, k, block_size)


def per_head(masks: Sequence[Mask]) -> Mask:
    """One mask for each head."""
    return _sparsert.mask_per_head(list(masks))


def load(path: str | os.PathLike[str]) -> Mask:
    """Reads what `Mask.save` wrote. FileError for anything else."""
    return _sparsert.mask_load(path)


def attend(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    mask: Mask | None = None,
    scale: float | None = None,
    *,
    bias: ArrayLike | None = None,
    out: Output | None = None,
    log_sum_exp: bool = False,
    order: Order = "canonical",
) -> Any:
    """softmax(scale * q k^T + bias, over the keys that the mask lets each query see) * v.

    q (batch, heads, queries, depth), k (batch, key heads, keys, depth), v (batch, key heads, keys, value depth); heads
    is a multiple of the key heads, which as many heads in a row share. The result is (batch, heads, queries, value
    depth). `scale` is 1 / sqrt(depth) unless given; `bias` is (queries, keys), with heads or 1 and batch or 1 before
    them. What no query sees is not looked at: NaN there is none here. With `log_sum_exp` the result is a pair, with
    the log-sum-exp of the scores, (batch, heads, queries), -Inf for a query that sees nothing. ValueError for operands
    that do not fit.
    """
    result, sums = _sparsert.attend(q, k, v, mask, scale, bias, out, order)
    return (result, sums) if log_sum_exp else result


def attend_backward(
    grad: ArrayLike,
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    mask: Mask | None = None,
    scale: float | None = None,
    *,
    bias: ArrayLike | None = None,
    order: Order = "canonical",
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v for the gradient of `attend`'s result. Nothing of the forward pass is needed."""
    return _sparsert.attend_backward(grad, q, k, v, mask, scale, bias, order)


def weights(q: ArrayLike, k: ArrayLike, pattern: Csr, scale: float | None = None) -> Csr:
    """The weights of one head on a pattern's entries: `sddmm`, times the scale, and `sparse_softmax` by row.

    q (queries, depth), k (keys, depth), pattern (queries, keys), such as `mask.to_csr()`; its values are not read.
    `sp.spmm(weights, v)` is then the result: that of `attend` within the bound, not in its bits.
    """
    return _sparsert.attention_weights(q, k, pattern, scale)
