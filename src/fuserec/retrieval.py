"""Nearest neighbours and top-k, block by block: never a dense (n_items, n_items) matrix.

Exact up to `MOST_EXACT` items; beyond, where all pairs would cost the square of the items, by faiss.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

BLOCK_CELLS = 1_000_000  # cells of a score block: 4 MB of float32, which caches hold
MOST_EXACT = 20_000  # items whose neighbours are looked for among all
ROWS_COPIED = 2_000  # vectors that are copied at a time, to be multiplied
ITEMS_A_CELL = 64  # on average
PROBES = 48  # cells looked into
LINKS = 16  # of a cell's center to others, in the graph by which it is found
ROUNDS = 4  # of k-means; more change little
ROWS_SORTED = 20_000  # of a sparse matrix, whose entries are sorted at a time


def block_rows(n_columns: int) -> int:
    """How many rows a block of `n_columns` scores may have."""
    return max(1, BLOCK_CELLS // max(1, n_columns))


def top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Scores float32 (b, n) → columns int64 (b, min(k, n)) of the k largest, best first; ties break by column."""
    b, n = scores.shape
    k = min(k, n)
    if k == n:
        return np.argsort(-scores, axis=1, kind="stable")
    groups = 2 * k + 24
    if n < 4 * groups:
        return _top_k_by_partition(scores, k)
    # The columns in groups: at least k scores reach the k-th largest of the groups' maxima, and few others do.
    largest = scores[:, : n // groups * groups].reshape(b, -1, groups).max(axis=1)
    near = scores >= np.partition(largest, groups - k, axis=1)[:, groups - k, None]
    count = np.count_nonzero(near, axis=1)
    tied = count > 2 * groups  # a row of few different scores
    near[tied] = False
    row, column = np.divmod(np.flatnonzero(near), n)  # by column in a row, so that a stable sort keeps that in ties
    count[tied] = 0
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    columns = np.zeros((b, max(k, count.max(initial=0))), np.int64)
    values = np.full(columns.shape, -np.inf, np.float32)
    columns[row, place], values[row, place] = column, scores[row, column]
    best = np.take_along_axis(columns, np.argsort(-values, axis=1, kind="stable")[:, :k], axis=1)
    if tied.any():
        best[tied] = _top_k_by_partition(scores[tied], k)
    return best


def neighbor_graph(
    vectors: NDArray[np.float32],
    k: int,
    present: NDArray[np.bool_] | None = None,
    *,
    least: float = 0.0,
    among: NDArray[np.bool_] | None = None,
) -> csr_matrix:
    """Unit vectors float32 (n_items, dim) → CSR (n_items, n_items): each item's k nearest others and their cosine.

    Only cosines above `least` are kept; items that are not `present` have and are no neighbours. among: bool
    (n_items,), the only items that may be neighbours; default: all. Of more than `MOST_EXACT` items, if all may be,
    some neighbours are missed, and others that are nearly as near stand in for them.
    """
    rows = np.arange(len(vectors)) if present is None else np.flatnonzero(present)
    if among is None and len(rows) > MOST_EXACT:
        return _nearby(vectors, rows, k, least)
    return _nearest(vectors, rows, rows if among is None else rows[among[rows]], k, least)


def symmetric_graph(vectors: NDArray[np.float32], k: int, present: NDArray[np.bool_]) -> csr_matrix:
    """As `neighbor_graph`, but with an edge where one of two items is among the k nearest of the other."""
    graph = neighbor_graph(vectors, k, present)
    return graph.maximum(graph.T).tocsr().astype(np.float32)


def grown_graph(graph: csr_matrix, vectors: NDArray[np.float32], k: int, present: NDArray[np.bool_]) -> csr_matrix:
    """The `symmetric_graph` of the first n items, and vectors of all n + m → the `symmetric_graph` of all.

    Only cosines of the m new items are made; of the others, the graph tells which can be among the nearest. Rows that
    no new item is near to are copied as they are.
    """
    n_items = len(vectors)
    known = np.flatnonzero(present)
    new = known[known >= graph.shape[0]]
    graph = enlarged(graph, (n_items, n_items))
    among_new = _nearest(vectors, known, new, k, 0.0)
    among_new.data[among_new.data <= np.repeat(_least(graph, k), np.diff(among_new.indptr))] = 0.0
    among_new.eliminate_zeros()
    candidates = among_new.maximum(_nearest(vectors, new, known, k, 0.0))
    candidates = candidates.maximum(candidates.T).tocsr()
    nearer = np.diff(candidates.indptr) > 0  # has new candidates: its k nearest may be others now
    rows = np.union1d(np.flatnonzero(nearer), graph[nearer].indices)  # those, and whoever may lose them
    here = csr_matrix((np.ones(len(rows), np.float32), (rows, np.arange(len(rows)))), (n_items, len(rows)))
    nearest = here @ sparse_top_k(graph[rows].maximum(candidates[rows]), k)
    edges = nearest.maximum(nearest.T).tocoo()
    edges.data[~(nearer[edges.row] | nearer[edges.col])] = 0.0  # these may be more than those of `rows`
    stay = (here @ graph[rows]).tocoo()
    stay.data[nearer[stay.row] | nearer[stay.col]] = 0.0
    changed = (edges.tocsr() + stay.tocsr())[rows]
    changed.eliminate_zeros()
    return with_rows(graph, rows, changed.astype(np.float32))


def enlarged(matrix: csr_matrix, shape: tuple[int, int]) -> csr_matrix:
    """CSR → CSR of a larger shape, the rows and columns added being empty."""
    indptr = np.pad(matrix.indptr, (0, shape[0] - matrix.shape[0]), mode="edge")
    return csr_matrix((matrix.data, matrix.indices, indptr), shape=shape)


def with_rows(matrix: csr_matrix, rows: NDArray[np.int64], others: csr_matrix) -> csr_matrix:
    """CSR (n, m), row numbers (b,) and CSR (b, m) → the matrix with these in place of those rows."""
    place = np.arange(matrix.shape[0])
    place[rows] = len(place) + np.arange(len(rows))
    return vstack([matrix, others], "csr")[place]


def _least(graph: csr_matrix, k: int) -> NDArray[np.float32]:
    """CSR (n, m) → what an entry has to exceed to be among the k largest of its row, or less, float32 (n,)."""
    count = np.diff(graph.indptr)
    least = np.zeros(len(count), np.float32)
    least[count > 0] = np.minimum.reduceat(graph.data, graph.indptr[:-1][count > 0]) if graph.nnz else 0.0
    least[count < k] = 0.0
    return least


def sparse_top_k(matrix: csr_matrix, k: int) -> csr_matrix:
    """CSR (n, m) → the same with only the k largest entries of each row, compared as float32; ties break by column."""
    matrix = matrix.tocsr()
    matrix.sort_indices()
    n = matrix.shape[0]
    if n > ROWS_SORTED:  # at once, all would take several times the memory of the matrix
        parts = [_sorted_top_k(matrix[start : start + ROWS_SORTED], k) for start in range(0, n, ROWS_SORTED)]
        return vstack(parts, "csr")
    return _sorted_top_k(matrix, k)


def _sorted_top_k(matrix: csr_matrix, k: int) -> csr_matrix:
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    # One integer a cell, the row above and the value below: sorted ten times as fast as by two keys.
    bits = matrix.data.astype(np.float32).view(np.int32)
    value = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # the bits of floats, as integers that have their order
    order = np.argsort((row << 32) - value, kind="stable")
    rank = np.arange(matrix.nnz) - matrix.indptr[row]
    kept = order[rank < k]
    return csr_matrix((matrix.data[kept], (row[kept], matrix.indices[kept])), shape=matrix.shape)


def _nearest(
    vectors: NDArray[np.float32], rows: NDArray[np.int64], among: NDArray[np.int64], k: int, least: float
) -> csr_matrix:
    """Unit vectors (n_items, dim) → CSR (n_items, n_items): the k nearest `among` others of each of `rows`."""
    n_items = len(vectors)
    candidates = vectors if len(among) == n_items else vectors[among]  # (m, dim)
    size = min(block_rows(len(among)), ROWS_COPIED)
    blocks = []
    for start in range(0, len(rows) if len(among) else 0, size):
        here = rows[start : start + size]
        cosine = vectors[here] @ candidates.T  # (b, m)
        cosine[here[:, None] == among] = -np.inf  # an item is not its own neighbour
        nearest = top_k(cosine, k)
        blocks.append(_sparse_rows(nearest, np.take_along_axis(cosine, nearest, axis=1), len(among), least))
    small = vstack(blocks).tocoo() if blocks else csr_matrix((0, 0)).tocoo()
    return csr_matrix((small.data, (rows[small.row], among[small.col])), shape=(n_items, n_items), dtype=np.float32)


def _sparse_rows(columns: NDArray[np.int64], values: NDArray[np.float32], n_columns: int, least: float) -> csr_matrix:
    b, k = columns.shape
    good = values > least
    row = np.repeat(np.arange(b), k).reshape(b, k)
    return csr_matrix((values[good], (row[good], columns[good])), shape=(b, n_columns))


def _top_k_by_partition(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    b, n = scores.shape
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


def _nearby(vectors: NDArray[np.float32], rows: NDArray[np.int64], k: int, least: float) -> csr_matrix:
    """As `_nearest` among the same rows, approximately: each looks into the `PROBES` nearest cells of `ITEMS_A_CELL`.

    That is an inverted file (Jégou, Douze and Schmid 2011, section IV) of faiss. A cell has as many items however many
    there are, and its center is found by a graph (Malkov and Yashunin 2018), so that the time is n log n.
    """
    import faiss
    from faiss.contrib.ivf_tools import add_preassigned
    from threadpoolctl import threadpool_limits

    points, n = np.ascontiguousarray(vectors[rows]), len(rows)
    dim, n_cells = points.shape[1], max(1, n // ITEMS_A_CELL)
    centers, trained = (faiss.IndexHNSWFlat(dim, LINKS, faiss.METRIC_INNER_PRODUCT) for _ in range(2))
    index: Any = faiss.IndexIVFFlat(centers, dim, n_cells, faiss.METRIC_INNER_PRODUCT)
    index.quantizer_trains_alone, index.clustering_index = 2, trained  # k-means by that index, then `centers` are added
    index.cp.niter, index.cp.min_points_per_centroid = ROUNDS, 1
    with threadpool_limits(1, "openmp"):  # threads that link a graph together may do so in any order
        index.train(points[np.random.default_rng(0).permutation(n)[: n_cells * ITEMS_A_CELL // 2]])
    cell = centers.search(points, 1)[1][:, 0]
    add_preassigned(index, points, cell)
    index.nprobe = centers.hnsw.efSearch = min(PROBES, n_cells)
    order = np.argsort(cell, kind="stable")  # items that look into the same cells one after the other: from the cache
    cosine, near = index.search(points[order], min(k + 1, n))  # (n, k + 1), best first, -1 where a cell has no more
    own = near == order[:, None]
    cosine[own | (near < 0)] = -np.inf
    cosine[~own.any(axis=1), -1] = -np.inf  # an item that did not find itself has one neighbor too many
    good = cosine > least
    edges = (np.repeat(rows[order], good.sum(axis=1)), rows[near[good]])
    return csr_matrix((cosine[good], edges), shape=(len(vectors),) * 2)
