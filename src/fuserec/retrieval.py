"""Nearest neighbours and top-k, exact, block by block: never a dense (n_items, n_items) matrix."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

BLOCK_CELLS = 8_000_000  # cells of a score block: 32 MB of float32


def block_rows(n_columns: int) -> int:
    """How many rows a block of `n_columns` scores may have."""
    return max(1, BLOCK_CELLS // max(1, n_columns))


def top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Scores float32 (b, n) → columns int64 (b, min(k, n)) of the k largest, best first; ties break by column."""
    b, n = scores.shape
    k = min(k, n)
    if k == n:
        return np.argsort(-scores, axis=1, kind="stable")
    kth = np.partition(scores, n - k, axis=1)[:, n - k, None]  # (b, 1)
    chosen = scores >= kth
    crowded = np.flatnonzero(chosen.sum(axis=1) > k)  # rows with ties at the k-th place
    if len(crowded):
        tied = scores[crowded] == kth[crowded]
        free = k - (scores[crowded] > kth[crowded]).sum(axis=1, keepdims=True)
        chosen[crowded] &= ~tied | (np.cumsum(tied, axis=1) <= free)
    columns = np.nonzero(chosen)[1].reshape(
        b, k
    )  # by column within a row, so that a stable sort keeps that order in ties
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def neighbor_graph(
    vectors: NDArray[np.float32], k: int, present: NDArray[np.bool_] | None = None, *, least: float = 0.0
) -> csr_matrix:
    """Unit vectors float32 (n_items, dim) → CSR (n_items, n_items): each item's k nearest others and their cosine.

    Only cosines above `least` are kept; items that are not `present` have and are no neighbours.
    """
    n_items = len(vectors)
    rows = np.arange(n_items) if present is None else np.flatnonzero(present)
    known = vectors[rows]  # (m, dim)
    size = block_rows(len(rows))
    blocks = []
    for start in range(0, len(rows), size):
        cosine = known[start : start + size] @ known.T  # (b, m)
        here = np.arange(len(cosine))
        cosine[here, start + here] = -np.inf  # an item is not its own neighbour
        nearest = top_k(cosine, k)
        blocks.append(_sparse_rows(nearest, np.take_along_axis(cosine, nearest, axis=1), len(rows), least))
    small = vstack(blocks).tocoo() if blocks else csr_matrix((0, 0)).tocoo()
    return csr_matrix((small.data, (rows[small.row], rows[small.col])), shape=(n_items, n_items))


def sparse_top_k(matrix: csr_matrix, k: int) -> csr_matrix:
    """CSR (n, m) → the same with only the k largest entries of each row; ties break by column."""
    matrix = matrix.tocsr()
    matrix.sort_indices()
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    rank = np.arange(matrix.nnz) - matrix.indptr[row]
    kept = order[rank < k]
    return csr_matrix((matrix.data[kept], (row[kept], matrix.indices[kept])), shape=matrix.shape)


def _sparse_rows(columns: NDArray[np.int64], values: NDArray[np.float32], n_columns: int, least: float) -> csr_matrix:
    b, k = columns.shape
    good = values > least
    row = np.repeat(np.arange(b), k).reshape(b, k)
    return csr_matrix((values[good], (row[good], columns[good])), shape=(b, n_columns))
