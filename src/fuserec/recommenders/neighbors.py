"""Models that weigh pairs of items: the score of an item is the sum of its weights from the items of the history."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import spotrf, spotri
from scipy.sparse import csr_matrix, diags, vstack

from fuserec.data.dataset import Dataset
from fuserec.errors import TooLargeError
from fuserec.recommenders.reach import Reached, summed
from fuserec.recommenders.recommender import HistoryRecommender, Rows, Scores
from fuserec.retrieval import sparse_top_k

Weights: TypeAlias = "csr_matrix | NDArray[np.float32]"  # (n_items, n_items)


@dataclass(kw_only=True, eq=False)
class ItemWeights(HistoryRecommender):
    """A model that is one matrix; a subclass writes `weigh`."""

    @abstractmethod
    def weigh(self, dataset: Dataset) -> Weights:
        """Training dataset → weights (n_items, n_items): row = item of the history, column = item scored."""

    def learn(self, dataset: Dataset) -> None:
        """Keep the weights."""
        self.weights_ = self.weigh(dataset)

    def score_history(self, history: csr_matrix) -> Scores:
        """Histories (b, n_items) times the weights → scores float32 (b, n_items)."""
        product = history @ self.weights_
        scores: Scores = product if isinstance(product, np.ndarray) else product.toarray()
        return scores

    def reach(self, user: int, history: Rows, k: int) -> Reached | None:
        """The items with a weight from one of the history; None where every item has."""
        return None if isinstance(self.weights_, np.ndarray) else summed(self.weights_, history, self.popularity_)


@dataclass(kw_only=True, eq=False)
class ItemNeighbors(ItemWeights):
    """The items nearest by cosine of who chose them (Deshpande and Karypis 2004), shrunk where few users did."""

    neighbors: int = 100
    shrink: float = 10.0  # added to the length product, so that a cosine from few users counts less

    def weigh(self, dataset: Dataset) -> Weights:
        """Item-item cosines of the columns of `seen`, the largest `neighbors` of each item, made block by block."""
        chosen_by = dataset.seen.T.tocsr()  # (n_items, n_users)
        length = np.sqrt(self.popularity_)
        blocks = []
        for start in range(0, dataset.n_items, 1_000):
            block = (chosen_by[start : start + 1_000] @ dataset.seen).tocoo()  # how many users chose both
            item = block.row + start
            cosine = block.data / (length[item] * length[block.col] + self.shrink)
            other = item != block.col
            kept = csr_matrix((cosine[other], (block.row[other], block.col[other])), shape=block.shape)
            blocks.append(sparse_top_k(kept, self.neighbors))
        return vstack(blocks, format="csr").T.tocsr().astype(np.float32)  # each item hears its own neighbours


@dataclass(kw_only=True, eq=False)
class EASE(ItemWeights):
    """Item-item weights in closed form (Steck 2019, eq. 8).

    Raises `TooLargeError` above `max_items`: the inverse is a dense (n_items, n_items) matrix.
    """

    l2: float = 100.0  # added to the Gram diagonal
    max_items: int = 20_000  # 20,000 items take 1.6 GB and some minutes

    def weigh(self, dataset: Dataset) -> Weights:
        """B = I - P / diag(P), with P the inverse of X'X + l2 I."""
        n_items = dataset.n_items
        if n_items > self.max_items:
            raise TooLargeError(
                f"EASE inverts a dense matrix of {n_items:,} x {n_items:,} items ({n_items**2 * 4 / 1e9:.1f} GB), more "
                f"than max_items={self.max_items:,} allows; use ItemNeighbors or RandomWalk, which stay sparse, "
                "or raise max_items"
            )
        gram = np.asfortranarray(
            (dataset.seen.T @ dataset.seen + self.l2 * diags(np.ones(n_items))).toarray(), np.float32
        )
        factor, failed = spotrf(gram, lower=False, overwrite_a=True)
        inverse, failed_too = spotri(factor, lower=False, overwrite_c=True)
        if failed or failed_too:
            raise TooLargeError(f"EASE: the Gram matrix is not positive definite with l2={self.l2}; use a larger l2")
        inverse = np.triu(inverse) + np.triu(inverse, 1).T  # LAPACK fills one triangle
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        return np.ascontiguousarray(weights, dtype=np.float32)
