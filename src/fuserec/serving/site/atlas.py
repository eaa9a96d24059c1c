"""Atlas: a trained model's items in two dimensions and in clusters; made once, new items are put beside their like."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserec.alignment.clusters import cluster
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.interest import telling
from fuserec.recommenders.recommender import Recommender
from fuserec.serving.kept import Arrays, Packed

MOST_TSNE = 2_000  # items; with more, t-SNE takes minutes on one core, and principal components have to do
PRINCIPAL = 50  # components that t-SNE looks at (van der Maaten and Hinton 2008, section 4.2)
MOST_CLUSTERS, ITEMS_A_CLUSTER = 12, 20  # so many colors can be told apart
COMMUNITY = "community"  # the name of vectors made of who chose what
NEAREST = 3  # items between which a new one is put


@dataclass(frozen=True, eq=False)
class Atlas:
    """Where items lie, and in which cluster.

    by: the name of the vectors that say so; method: `t-SNE` or `PCA`
    positions: float32 (n_items, 2), within -1 and 1; NaN for an item without a vector
    labels: int64 (n_items,), the item's cluster, -1 for none; names: of each cluster, its most typical words
    typical: of each cluster, rows of the items nearest to its center
    """

    by: str
    method: str
    positions: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    typical: tuple[tuple[int, ...], ...]

    def followed_by_items_of(self, model: Recommender) -> "Atlas":
        """The same with the items that a model has below: each among the three it is nearest to."""
        known = len(self.labels)
        n_new = model.catalog_.n_items - known
        positions = np.full((n_new, 2), np.nan, np.float32)
        labels = np.full(n_new, -1, np.int64)
        vectors = model.embeddings_.get(self.by)
        if n_new and vectors is not None:
            unit = vectors.centered_unit(model.popularity_ > 0)
            cosine = np.where(self.labels >= 0, unit[known:] @ unit[:known].T, -np.inf)  # (n_new, known)
            near = np.argsort(-cosine, axis=1)[:, :NEAREST]
            here = vectors.present[known:]
            positions[here] = self.positions[near[here]].mean(axis=1)
            labels[here] = self.labels[near[here, 0]]
        return replace(
            self,
            positions=np.concatenate([self.positions, positions]),
            labels=np.concatenate([self.labels, labels]),
        )


def atlas_of(model: Recommender, seed: int = 0) -> Atlas:
    """A fitted model → where its items lie: by the fused vectors, else by the column that most items have.

    Of a model without vectors, by who chose what. t-SNE for up to 2,000 items, else principal components.
    """
    by, vectors = _chosen({name: e for name, e in model.embeddings_.items() if e.present.sum() > 3})
    if vectors is None:
        by, vectors = COMMUNITY, _of_community(model, seed)
    here = np.flatnonzero(vectors.present)
    positions = np.full((model.catalog_.n_items, 2), np.nan, np.float32)
    method, positions[here] = _flattened(vectors.centered_unit()[here], seed)
    n_clusters = min(MOST_CLUSTERS, len(here) // ITEMS_A_CLUSTER)
    if n_clusters < 2:
        labels = np.where(vectors.present, 0, -1).astype(np.int64)
        return Atlas(by, method, positions, labels, ("",), (tuple(here[:5].tolist()),))
    nobody = np.zeros(0, np.int64)
    dataset = Dataset("items", model.catalog_, Ids([], "user"), Interactions(nobody, nobody), {by: vectors})
    found = cluster(dataset, by, n_clusters=n_clusters, seed=seed, words=telling)
    return Atlas(by, method, positions, found.labels, found.names, found.typical)


def pack(atlas: Atlas) -> Packed:
    """An atlas → arrays and JSON, to be kept."""
    told = {"by": atlas.by, "method": atlas.method, "names": atlas.names, "typical": atlas.typical}
    return {"positions": atlas.positions, "labels": atlas.labels}, told


def unpack(arrays: Arrays, told: Any) -> Atlas:
    """The same the other way."""
    names, typical = tuple(told["names"]), tuple(map(tuple, told["typical"]))
    return Atlas(told["by"], told["method"], arrays["positions"], arrays["labels"], names, typical)


def _chosen(known: Mapping[str, Embeddings]) -> tuple[str, Embeddings | None]:
    """Fused vectors, else those that most items have; the first of the catalog where that is a tie."""
    fused = [name for name, e in known.items() if e.parts]
    best = (fused or sorted(known, key=lambda name: -int(known[name].present.sum())) or [""])[0]
    return best, known.get(best)


def _of_community(model: Recommender, seed: int) -> Embeddings:
    """Items that the same users chose, near to each other: the left singular vectors of who chose what."""
    from sklearn.decomposition import TruncatedSVD

    chosen = model.seen_.T.tocsr()  # (n_items, n_users)
    present = chosen.getnnz(axis=1) > 0
    dim = max(1, min(32, chosen.shape[1] - 1))
    vectors = TruncatedSVD(dim, random_state=seed).fit_transform(chosen).astype(np.float32)
    return Embeddings(vectors, present, COMMUNITY)


def _flattened(vectors: NDArray[np.float32], seed: int) -> tuple[str, NDArray[np.float32]]:
    """Vectors (n, dim) → the method, and positions (n, 2) whose largest coordinate is 1."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n, dim = vectors.shape
    method, flat = "PCA", np.zeros((n, 2), np.float32)
    if min(n, dim) >= 2:
        kept = PCA(min(PRINCIPAL, n, dim), random_state=seed).fit_transform(vectors)
        flat = kept[:, :2].astype(np.float32)
        if 10 <= n <= MOST_TSNE:
            method = "t-SNE"
            flat = TSNE(perplexity=min(30.0, (n - 1) / 3), init="pca", random_state=seed).fit_transform(kept)
    low, high = flat.min(axis=0), flat.max(axis=0)
    middle, reach = (low + high) / 2, float((high - low).max()) / 2 or 1.0
    return method, ((flat - middle) / reach).astype(np.float32)
