"""Reach: the few items that can be among the best for one user, found without a score for every item."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Reached = tuple[NDArray[np.int64], NDArray[np.float32]]  # item rows (m,), rising, and their scores (m,)
NOTHING = np.zeros(0, np.int64)


def summed(weights: csr_matrix, history: NDArray[np.int64], popularity: NDArray[np.float32]) -> Reached:
    """Weights CSR (n_items, n_items) and item rows of a history (h,) → the items whose sum of weights is above 0.

    For an empty history: all items, and how popular each is, float32 (n_items,). The sums are those of
    `history @ weights` to the last bit; what SciPy takes longest for, to look whether matrices fit together, is left
    out.
    """
    if not len(history):
        return np.arange(len(popularity)), popularity
    rows = np.unique(history)
    spans = list(zip(weights.indptr[rows].tolist(), weights.indptr[rows + 1].tolist(), strict=True))
    columns = np.concatenate([weights.indices[start:end] for start, end in spans])
    values = np.concatenate([weights.data[start:end] for start, end in spans])
    total = np.zeros(weights.shape[1], np.float32)
    np.add.at(total, columns, values)
    above = np.flatnonzero(total > 0.0)
    return above, total[above]


def best_reached(
    found: Reached, k: int, candidates: NDArray[np.bool_], left_out: NDArray[np.int64] = NOTHING
) -> Reached | None:
    """What was reached, and bool (n_items,), which items are allowed → the k best, best first; None where fewer are.

    left_out: rows (m,) of items that are not allowed either, -1 where there is none. Ties break by row.
    """
    rows, scores = found
    allowed = candidates[rows] & (scores > -np.inf)  # nor a score that is not a number
    start, end = np.searchsorted(rows, left_out), np.searchsorted(rows, left_out, side="right")
    allowed[start[start < end]] = False  # a mask of a million items would take longer to copy
    rows, scores = rows[allowed], scores[allowed]
    if len(rows) < k:
        return None
    if len(rows) > 2 * k:  # a stable sort of a few takes less time than one of all
        near = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
        rows, scores = rows[near], scores[near]
    order = np.argsort(-scores, kind="stable")[:k]
    return rows[order], scores[order]
