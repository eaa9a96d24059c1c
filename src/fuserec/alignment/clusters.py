"""Clusters: groups of items alike in one column or in the shared space, with names made of their typical words."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fuserec.alignment.aligner import Vectors
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import check_vectors
from fuserec.errors import DataError, OptionError

METHODS = ("kmeans", "hdbscan")
CANDIDATES = (2, 3, 4, 6, 8, 12, 16, 24, 32)  # numbers of clusters that are tried where none is given
SAMPLE = 2_000  # items by which the number of clusters is chosen
STARTS = 4  # of k-means, from which the best is kept
PRINCIPAL = 16  # components in which HDBSCAN measures density; in many more, nothing is dense
WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups of items.

    labels: int64 (n_items,), the number of an item's cluster; -1: no vector, or (HDBSCAN) in no dense region
    names: of each cluster, its most typical words
    typical: of each cluster, the rows of the items nearest to its center, the nearest first
    """

    labels: NDArray[np.int64]
    names: tuple[str, ...]
    typical: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.names)


def cluster(
    dataset: Dataset,
    name: str,
    *,
    method: str = "kmeans",
    n_clusters: int | None = None,
    seed: int = 0,
    n_typical: int = 5,
    words: Callable[[str], Sequence[str]] | None = None,
) -> Clusters:
    """Dataset and the name of its vectors (`photo`, `shared-photo`, ...) → its items in groups of similar vectors.

    method: `kmeans` (Lloyd 1982) on centered unit vectors; `hdbscan` (Campello et al. 2013), where items in no dense
    region have no cluster, on their first 16 principal components.
    n_clusters: of `kmeans`; default: the number with the best mean silhouette (Rousseeuw 1987) of a few that are tried.
    words: text → its words, for the names; default: runs of letters. For Chinese give `fuserec.encoders.text.words`.
    Raises `OptionError` for an unknown name or method, `DataError` where there are fewer vectors than clusters.
    """
    check_vectors([name], dataset.embeddings)
    if method not in METHODS or (method == "hdbscan" and n_clusters is not None):
        raise OptionError(
            f"cluster: method = {method!r}, n_clusters = {n_clusters}; expected 'kmeans', or 'hdbscan' without a number"
        )
    embeddings = dataset.embeddings[name]
    rows = np.flatnonzero(embeddings.present)
    least = 4 if n_clusters is None else n_clusters
    if len(rows) < least or least < 2:
        raise DataError(
            f"cluster: {len(rows)} items have vectors named {name!r} and n_clusters is {n_clusters}; "
            "expected 2 clusters or more, and an item for each"
        )
    vectors = embeddings.centered_unit()[rows]
    found = _kmeans(vectors, n_clusters, seed) if method == "kmeans" else _hdbscan(vectors)
    typical = tuple(
        tuple(int(rows[row]) for row in _nearest_to_center(vectors, found == label, n_typical))
        for label in range(found.max() + 1)
    )
    labels = np.full(dataset.n_items, -1, dtype=np.int64)
    labels[rows] = found
    return Clusters(labels, name_items(dataset.catalog, labels, words), typical)


def name_items(
    catalog: Catalog, labels: NDArray[np.int64], words: Callable[[str], Sequence[str]] | None = None
) -> tuple[str, ...]:
    """Catalog and labels int64 (n_items,) of its items → names of the groups, by all text columns; see `cluster`."""
    return name_clusters(_texts(catalog), labels, words or WORD.findall)


def name_clusters(
    texts: Sequence[str], labels: NDArray[np.int64], words: Callable[[str], Sequence[str]], n_words: int = 3
) -> tuple[str, ...]:
    """Texts (n_items), labels int64 (n_items,), text → words → for each cluster its most typical words.

    Class-based TF-IDF (Grootendorst 2022, eq. 2): tf(t, c) log(1 + A / f(t)), where tf is how many items of the cluster
    have the word, f how many have it in all, and A the mean of the sum of tf over the clusters. A word that more
    than half of all items have names nothing.
    """
    counts = [Counter[str]() for _ in range(int(labels.max(initial=-1)) + 1)]
    for text, label in zip(texts, labels, strict=True):
        if label >= 0:
            counts[label].update(set(words(text.casefold())))
    total = sum(counts, Counter[str]())
    mean = total.total() / max(len(counts), 1)
    usual = (labels >= 0).sum() / 2
    weight = {word: float(np.log1p(mean / n)) for word, n in total.items() if n <= usual}
    best = [
        sorted((word for word in count if word in weight), key=lambda word: (-count[word] * weight[word], word))
        for count in counts
    ]
    return tuple(", ".join(ranked[:n_words]) or f"cluster {label}" for label, ranked in enumerate(best))


def agreement_between(clusters: Mapping[str, Clusters]) -> dict[tuple[str, str], float]:
    """Name → clusters of the same items → two names → adjusted mutual information (Vinh et al. 2010).

    1: the same groups; 0: no more in common than by chance. Over items that are in a cluster of both; 0 where none is.
    """
    from sklearn.metrics import adjusted_mutual_info_score

    found = {}
    for a, b in combinations(clusters, 2):
        both = (clusters[a].labels >= 0) & (clusters[b].labels >= 0)
        labels = (clusters[name].labels[both] for name in (a, b))
        found[a, b] = float(adjusted_mutual_info_score(*labels)) if both.any() else 0.0
    return found


def _kmeans(vectors: Vectors, n_clusters: int | None, seed: int) -> NDArray[np.int64]:
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    def grouped(items: Vectors, n: int) -> NDArray[np.int64]:
        labels: NDArray[np.int64] = KMeans(n, n_init=STARTS, random_state=seed).fit_predict(items).astype(np.int64)
        return labels

    if n_clusters is None:
        sample = vectors[np.random.default_rng(seed).permutation(len(vectors))[:SAMPLE]]
        tried = {n: grouped(sample, n) for n in CANDIDATES if n < len(sample)}
        quality = {n: silhouette_score(sample, labels) for n, labels in tried.items() if labels.any()}
        n_clusters = max(quality, key=quality.__getitem__)
    return grouped(vectors, n_clusters)


def _hdbscan(vectors: Vectors) -> NDArray[np.int64]:
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA

    n_components = min(PRINCIPAL, *vectors.shape)
    principal = PCA(n_components, svd_solver="full").fit_transform(vectors)
    smallest = max(5, len(vectors) // 100)
    labels: NDArray[np.int64] = HDBSCAN(smallest, copy=True).fit_predict(principal).astype(np.int64)
    return labels


def _nearest_to_center(vectors: Vectors, members: NDArray[np.bool_], n: int) -> NDArray[np.int64]:
    """Vectors (n_vectors, dim), bool (n_vectors,) → positions of the n members nearest to their mean."""
    rows = np.flatnonzero(members)
    distance = np.linalg.norm(vectors[rows] - vectors[rows].mean(axis=0), axis=1)
    return rows[np.argsort(distance, kind="stable")[:n]]


def _texts(catalog: Catalog) -> list[str]:
    columns = [column.values for column in catalog.columns.values() if column.modality == "text"]
    return [" ".join(values[row] or "" for values in columns) for row in range(catalog.n_items)]
