"""Values too long for a network: cut into windows of almost the same length, whose vectors are averaged."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def cut(values: ArrayLike, longest: int) -> list[NDArray[Any]]:
    """A sequence of n values → parts of almost the same length, none above `longest`; one empty part where n = 0."""
    values = np.asarray(values)
    return np.array_split(values, max(1, -(-len(values) // longest)))


def cut_tokens(tokens: Sequence[int], longest: int, first: Sequence[int], last: Sequence[int]) -> list[list[int]]:
    """Token ids → windows of at most `longest`, with `first` before and `last` after each."""
    parts = cut(np.asarray(tokens, dtype=np.int64), longest - len(first) - len(last))
    return [[*first, *part.tolist(), *last] for part in parts]


def mean_of_windows(
    windows: Sequence[Sequence[Any]], encode: Callable[[list[Any]], NDArray[np.float32]], rows: int
) -> NDArray[np.float32]:
    """Windows of each of b values → the mean of each value's window vectors, float32 (b, dim).

    encode: at most `rows` windows → their vectors; it is given windows of like length, which need little padding.
    """
    flat = [window for own in windows for window in own]
    by_length = sorted(range(len(flat)), key=lambda index: len(flat[index]))
    chunks = [by_length[start : start + rows] for start in range(0, len(flat), rows)]
    made = np.concatenate([encode([flat[index] for index in chunk]) for chunk in chunks])
    return mean_of_rows(made[np.argsort(by_length)], [len(own) for own in windows])


def mean_of_rows(vectors: NDArray[np.float32], counts: Sequence[int]) -> NDArray[np.float32]:
    """Vectors (n, dim) and how many of them, one after another, belong to each of b values → their means (b, dim)."""
    starts = np.cumsum([0, *counts])[:-1]
    return np.asarray(np.add.reduceat(vectors, starts) / np.reshape(counts, (-1, 1)), dtype=np.float32)


def pad(
    windows: Sequence[Sequence[int]], padding: int, longest: int | None = None, side: str = "right"
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Windows of token ids (n of them) → ids int64 (n, longest), filled with `padding`, and a mask: 1 for tokens."""
    longest = longest or max(map(len, windows))
    ids = np.full((len(windows), longest), padding, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, window in enumerate(windows):
        where = slice(0, len(window)) if side == "right" else slice(longest - len(window), longest)
        ids[row, where], mask[row, where] = window, 1
    return ids, mask


def masked_mean(states: Any, mask: Any) -> Any:
    """Torch tensors: states (n, length, dim), mask (n, length) → the mean over the places where it is 1: (n, dim)."""
    return (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (n, dim) → the same at unit length; a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)
