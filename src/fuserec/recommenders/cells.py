"""Cells: the vectors of many items in groups around centers, so that the largest products are sought in a few groups.

An inverted file (Jégou, Douze and Schmid 2011, section IV) by faiss. Of each number of a vector, or each two, it holds
which of 16 is the nearest (product quantization, section II); a processor adds up products of those from a table in its
registers (André, Kermarrec and Le Scouarnec 2015). They say which items may be the best; scores are products of the
vectors themselves.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fuserec.data.embeddings import unit
from fuserec.retrieval import top_k

Cells: TypeAlias = Mapping[str, NDArray[Any]]
Vectors: TypeAlias = NDArray[np.float32]  # (n, d)
NO_CELLS: Cells = {}
LEAST_ITEMS = 100_000  # with fewer, to look at all takes less than 10 ms
PROBED, PROBED_ALIKE = 12, 64  # one in so many cells is looked into, for the largest products and for those alike
BLOCK = 50_000  # vectors that are looked at together
PER_CELL = 40  # by which its center is found; with fewer faiss warns
LONG = 96  # with more numbers, two are told by one word: half as much to add up, and still near enough
LEARNED_BY = 16_000  # vectors that words are learned by
ROUNDS = 10  # of k-means; more change little


def cells_of(vectors: Vectors) -> Cells:
    """Vectors float32 (n, d) → cells of those that point the same way; empty where there are not many.

    centers: float32 (n_cells, d), unit length; longest: float32 (n_cells,), of the vectors in a cell
    rows: int32 (n,), cell after cell, rising in each; starts: int64 (n_cells + 1,), where each cell begins in them
    and `codes_of` them
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
    rows = np.argsort(cell, kind="stable").astype(np.int32)
    return {
        "centers": np.asarray(means.centroids),
        "longest": longest,
        "rows": rows,
        "starts": np.searchsorted(np.sort(cell), np.arange(n_cells + 1)),
        **codes_of(vectors, rows),
    }


def codes_of(vectors: Vectors, rows: NDArray[np.int32]) -> Cells:
    """Vectors (n, d), rows (n,) → for each number, of long vectors for each two, which of 16 is the nearest.

    words: float32 (m, 16, 1 or 2), what is chosen of, learned from the vectors; after an odd number, a zero follows
    codes: uint8 (n, ceil(m / 2)), of the vectors in the order of rows
    """
    import faiss

    n, dim = vectors.shape
    each = 2 if dim > LONG else 1
    n_words = -(-dim // each)
    coder = faiss.ProductQuantizer(each * n_words, n_words, 4)
    with _one_thread():  # for very little each time
        coder.train(_filled(vectors[np.random.default_rng(0).permutation(n)[:LEARNED_BY]], each))
    codes = [coder.compute_codes(_filled(vectors[rows[s : s + BLOCK]], each)) for s in range(0, n, BLOCK)]
    return {
        "words": faiss.vector_to_array(coder.centroids).reshape(n_words, 16, each),
        "codes": np.concatenate(codes),
    }


def index_of(cells: Cells, vectors: Vectors) -> Any:
    """Cells and the vectors (n, d) that they were made of → an index of faiss; a second for a million of them."""
    import faiss

    if "codes" not in cells:  # of a model that was saved before there were codes
        cells = {**cells, **codes_of(vectors, cells["rows"])}
    centers, rows, starts = cells["centers"], cells["rows"].astype(np.int64), cells["starts"].tolist()
    n_words, _, each = cells["words"].shape
    nearest = faiss.IndexFlatIP(n_words * each)
    nearest.add(_filled(centers * cells["longest"][:, None], each))  # with the largest product that may be in a cell
    plain = faiss.IndexIVFPQ(nearest, n_words * each, len(centers), n_words, 4, faiss.METRIC_INNER_PRODUCT)
    plain.by_residual, plain.is_trained, plain.ntotal = False, True, len(rows)
    faiss.copy_array_to_vector(cells["words"].ravel(), plain.pq.centroids)
    lists: Any = plain.invlists
    for cell, (start, end) in enumerate(zip(starts, starts[1:], strict=False)):
        if end > start:
            here = faiss.swig_ptr(rows[start:end]), faiss.swig_ptr(cells["codes"][start:end])
            lists.add_entries(cell, end - start, *here)
    index = faiss.IndexIVFPQFastScan(plain)
    index.nprobe = max(1, len(centers) // PROBED)
    plain.reset()  # the index holds it, but has codes of its own
    return index


def largest(index: Any, k: int, vectors: Vectors, asked: NDArray[np.float32]) -> NDArray[np.int64]:
    """An index, vectors with those added since, and one (d,) → rising rows of (nearly) the k largest products.

    All that were added since the index was made are among them.
    """
    with _one_thread():
        found = index.search(np.pad(asked, (0, index.d - len(asked)))[None], k)[1][0]
    return np.concatenate([np.sort(found[found >= 0]), np.arange(index.ntotal, len(vectors))])


def alike(cells: Cells, n_items: int, asked: NDArray[np.float32]) -> NDArray[np.int64]:
    """Cells, how many items there are now, a vector (d,) → rows of the items in cells of nearly its direction.

    All that were added since the cells were made are among them.
    """
    starts = cells["starts"]
    near = top_k((cells["centers"] @ asked)[None], max(1, len(cells["centers"]) // PROBED_ALIKE))[0]
    inside = [cells["rows"][starts[cell] : starts[cell + 1]] for cell in near]
    return np.concatenate([*inside, np.arange(len(cells["rows"]), n_items)])


def _filled(vectors: Vectors, each: int) -> Vectors:
    """Vectors (n, d) → with zeros behind, so that `each` divides their length."""
    return np.pad(vectors, ((0, 0), (0, -vectors.shape[1] % each)))


@contextmanager
def _one_thread() -> Iterator[None]:
    """As a context: faiss computes in this thread alone; others would spin on cores that have other work to do."""
    import faiss

    threads = faiss.omp_get_max_threads()  # of this thread
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
