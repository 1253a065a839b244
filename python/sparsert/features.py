"""From text or triples straight to a sparse matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from . import _sparsert
from ._sparsert import Csr
from .typing import ArrayLike, ShapeLike

__all__ = ["BagOfWords", "bag_of_words", "from_triples", "hashing"]


class BagOfWords(NamedTuple):
    """Words counted per text: `counts` (texts, words), float32, and the word of each column."""

    counts: Csr
    vocabulary: list[str]


def bag_of_words(texts: Iterable[str], vocabulary: Sequence[str] | None = None) -> BagOfWords:
    """Counts the words of each text, one column a word: those given, in their order, or all, in order of their bytes.

    A word is a run of at least two letters, digits or underscores, ASCII ones in lower case; every other character
    outside ASCII counts as a letter. Words that `vocabulary` lacks are left out.
    """
    words = None if vocabulary is None else list(vocabulary)
    return BagOfWords(*_sparsert.features_bag_of_words(list(texts), words))


def hashing(texts: Iterable[str], size: int) -> Csr:
    """Counts the words of each text in `size` columns: a word's is its 64-bit FNV-1a hash modulo `size`."""
    return _sparsert.features_hashing(list(texts), size)


def from_triples(rows: ArrayLike, cols: ArrayLike, values: ArrayLike, shape: ShapeLike | None = None) -> Csr:
    """A matrix of (row, column, value) triples in any order, such as users, items and ratings.

    Duplicates are summed in the order given. Without a shape it is as large as the indices need.
    """
    return _sparsert.features_from_triples(rows, cols, values, shape)
