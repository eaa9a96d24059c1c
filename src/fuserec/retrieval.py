"""Nearest neighbours and top-k, exact, block by block: never a dense (n_items, n_items) matrix."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from fuserec.data.embeddings import Embeddings, unit
from fuserec.errors import DataError, OptionError

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


class Found(NamedTuple):
    """What `nearest` finds, best first.

    rows: int64 (n,); scores: float32 (n,), cosines
    by: column → float32 (n,), the cosine of the query and the item's vector in this column; NaN where it has none
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    by: dict[str, NDArray[np.float32]]


def nearest(
    query: NDArray[np.float32], embeddings: Mapping[str, Embeddings], k: int, *, combine: str = "best"
) -> Found:
    """A query float32 (dim,), column → embeddings of one space → the k items nearest to it; fewer where fewer have any.

    An item's score is the `best` or the `mean` of its columns' cosines with the query; ties break by row.
    Raises `OptionError` for another way to combine, `DataError` where widths differ or the query is zero.
    """
    if combine not in ("best", "mean"):
        raise OptionError(f"nearest: combine = {combine!r}; expected 'best' or 'mean'")
    dims = {name: e.dim for name, e in embeddings.items()}
    if not dims or query.shape != (next(iter(dims.values())),) or len(set(dims.values())) > 1:
        raise DataError(
            f"nearest: a query of shape {query.shape} for vectors of widths {dims}; expected the same width for all"
        )
    direction = unit(query[None].astype(np.float32))[0]
    if not direction.any():
        raise DataError("nearest: the query is a vector of zeros, so nothing is near it; nothing known was found in it")
    cosines = np.stack([unit(e.vectors) @ direction for e in embeddings.values()])  # (n_columns, n_items)
    present = np.stack([e.present for e in embeddings.values()])
    if combine == "best":
        scores = np.where(present, cosines, -np.inf).max(axis=0)
    else:
        scores = np.where(present, cosines, 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    rows = np.flatnonzero(present.any(axis=0))
    chosen = rows[top_k(scores[None, rows], k)[0]]
    shown = np.where(present, cosines, np.nan)[:, chosen].astype(np.float32)
    return Found(chosen, scores[chosen].astype(np.float32), dict(zip(embeddings, shown, strict=True)))


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
