"""Cells: the vectors of many items in groups around centers, so that the largest products are sought in a few groups.

An inverted file (Jégou, Douze and Schmid 2011, section IV) of vectors in 8 bits a number, by faiss. It says which items
may be the best; their scores are products of the vectors themselves.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fuserec.data.embeddings import unit
from fuserec.retrieval import PER_CELL, top_k

Cells: TypeAlias = Mapping[str, NDArray[Any]]
Vectors: TypeAlias = NDArray[np.float32]  # (n, d)
NO_CELLS: Cells = {}
LEAST_ITEMS = 100_000  # with fewer, to look at all takes less than 10 ms
PROBED = 16  # one in so many cells is looked into
BLOCK = 50_000  # vectors that are looked at together
ROUNDS = 10  # of k-means; more change little


def cells_of(vectors: Vectors) -> Cells:
    """Vectors float32 (n, d) → cells of those that point the same way; empty where there are not many.

    centers: float32 (n_cells, d), unit length; longest: float32 (n_cells,), of the vectors in a cell
    rows: int32 (n,), cell after cell, rising in each; starts: int64 (n_cells + 1,), where each cell begins in them
    """
    n, dim = vectors.shape
    if n <= LEAST_ITEMS:
        return NO_CELLS
    import faiss

    n_cells = int(3 * n**0.5)
    means = faiss.Kmeans(dim, n_cells, niter=ROUNDS, spherical=True, seed=0)
    means.train(unit(vectors[np.random.default_rng(0).permutation(n)[: PER_CELL * n_cells]]))
    cell = np.concatenate([means.index.search(vectors[s : s + BLOCK], 1)[1][:, 0] for s in range(0, n, BLOCK)])
    longest = np.zeros(n_cells, np.float32)
    np.maximum.at(longest, cell, np.linalg.norm(vectors, axis=1))
    return {
        "centers": np.asarray(means.centroids),
        "longest": longest,
        "rows": np.argsort(cell, kind="stable").astype(np.int32),
        "starts": np.searchsorted(np.sort(cell), np.arange(n_cells + 1)),
    }


def index_of(cells: Cells, vectors: Vectors) -> Any:
    """Cells and the vectors (n, d) that they were made of → an index of faiss; a second for a million of them."""
    import faiss

    centers, rows, starts = cells["centers"], cells["rows"].astype(np.int64), cells["starts"].tolist()
    dim = centers.shape[1]
    nearest = faiss.IndexFlatIP(dim)
    nearest.add(centers * cells["longest"][:, None])  # cells with the largest product that there may be in them
    kind = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexIVFScalarQuantizer(nearest, dim, len(centers), kind, faiss.METRIC_INNER_PRODUCT, False)
    index.train_encoder(len(rows), faiss.swig_ptr(vectors), None)
    lists: Any = index.invlists
    index.is_trained, index.nprobe = True, max(1, len(centers) // PROBED)
    for cell, (start, end) in enumerate(zip(starts, starts[1:], strict=False)):
        if end > start:
            codes = index.sq.compute_codes(vectors[rows[start:end]])
            lists.add_entries(cell, end - start, faiss.swig_ptr(rows[start:end]), faiss.swig_ptr(codes))
    index.ntotal = len(rows)
    return index


def largest(index: Any, k: int, vectors: Vectors, asked: NDArray[np.float32]) -> NDArray[np.int64]:
    """An index, vectors with those added since, and one (d,) → rising rows of (nearly) the k largest products.

    All that were added since the index was made are among them.
    """
    found = index.search(asked[None], k)[1][0]
    return np.concatenate([np.sort(found[found >= 0]), np.arange(index.ntotal, len(vectors))])


def alike(cells: Cells, n_items: int, asked: NDArray[np.float32]) -> NDArray[np.int64]:
    """Cells, how many items there are now, a vector (d,) → rows of the items in cells of nearly its direction.

    All that were added since the cells were made are among them.
    """
    starts = cells["starts"]
    near = top_k((cells["centers"] @ asked)[None], max(1, len(cells["centers"]) // (4 * PROBED)))[0]
    inside = [cells["rows"][starts[cell] : starts[cell + 1]] for cell in near]
    return np.concatenate([*inside, np.arange(len(cells["rows"]), n_items)])
