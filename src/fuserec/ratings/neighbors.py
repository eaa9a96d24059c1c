"""Ratings of the same user for similar items."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, vstack

from fuserec.data.dataset import Dataset
from fuserec.errors import OptionError
from fuserec.ratings.predictor import RatingPredictor, Values, rating_matrix
from fuserec.recommenders.recommender import Rows
from fuserec.retrieval import block_rows, enlarged, top_k

TOLD = 3  # ratings that are told one by one


@dataclass(kw_only=True, eq=False)
class NeighborRatings(RatingPredictor):
    """Biases, and how far the user's ratings of similar items are from theirs (Koren 2010, eq. 3; weights: eq. 2).

    left_: float32 CSR (n_users, n_items), training ratings minus mean and biases
    weights_: float32 CSR (n_items, n_items): the shrunk correlations of each item with those most similar to it
    """

    neighbors: int = 200  # of an item; those count that the user has rated
    shrink_similarity: float = 50.0  # as if two items had so many more ratings by the same users, unrelated ones
    shrink: float = 1.0  # as if the user had rated one more item of this similarity in all, as expected

    def learn(self, dataset: Dataset) -> None:
        """Correlate every two items over the users who rated both; block by block, the nearest are kept."""
        if self.neighbors < 1 or min(self.shrink, self.shrink_similarity) < 0.0:
            raise OptionError("NeighborRatings: expected neighbors of 1 or more, shrink and shrink_similarity from 0")
        rows = dataset.interactions
        assert rows.ratings is not None
        expected = self.mean_ + self.user_bias_[rows.users] + self.item_bias_[rows.items]
        self.left_ = rating_matrix(dataset, rows.ratings - expected.astype(np.float32))
        known, squares = self.left_.copy(), self.left_.copy()
        known.data = np.ones_like(known.data)
        squares.data = squares.data**2
        size = block_rows(dataset.n_items) // 4 + 1
        kept = []
        for start in range(0, dataset.n_items, size):
            block = slice(start, start + size)
            product = (self.left_[:, block].T @ self.left_).toarray()  # (b, n_items)
            mine = (squares[:, block].T @ known).toarray()
            theirs = (known[:, block].T @ squares).toarray()
            both = (known[:, block].T @ known).toarray()
            length = np.sqrt(mine * theirs)
            similar = np.divide(product, length, out=np.zeros_like(product), where=length > 0)
            similar *= both / np.maximum(both + self.shrink_similarity, 1e-9)
            similar[np.arange(len(similar)), start + np.arange(len(similar))] = 0.0
            kept.append(_largest(similar, self.neighbors))
        self.weights_ = vstack(kept).tocsr().astype(np.float32)

    def beyond(self, user: int, item: int) -> dict[str, float]:
        """The ratings of similar items that move the prediction most, and all others together."""
        rated, known = self.left_[[user]], self.left_[[user]].copy()
        known.data = np.ones_like(known.data)
        weights = self.weights_[[item]]
        whole = float((known @ weights.T).toarray()[0, 0]) + self.shrink
        points = (rated.multiply(weights) / max(whole, 1e-9)).tocoo()
        order = np.argsort(-np.abs(points.data), kind="stable")
        told = {f"rated {self.catalog_.title(int(points.col[at]))}": float(points.data[at]) for at in order[:TOLD]}
        rest = float(points.data[order[TOLD:]].sum())
        return told | ({"other ratings": rest} if len(order) > TOLD else {})

    def extend(self) -> None:
        """A new item has no neighbours, so it gets the biases."""
        super().extend()
        n_items = self.catalog_.n_items
        self.weights_ = enlarged(self.weights_, (n_items, n_items))
        self.left_ = enlarged(self.left_, (len(self.users_), n_items))

    def estimate(self, users: Rows, items: Rows) -> Values:
        """User and item rows (n,) → biases + weighted mean of what is left of the user's ratings, float32 (n,)."""
        some, which = np.unique(users, return_inverse=True)
        ratings = (self.mean_ + self.user_bias_[users] + self.item_bias_[items]).astype(np.float32)
        size = block_rows(self.catalog_.n_items)
        for start in range(0, len(some), size):
            left = self.left_[some[start : start + size]]
            known = left.copy()
            known.data = np.ones_like(known.data)
            total = (left @ self.weights_.T).toarray()  # (b, n_items)
            weight = (known @ self.weights_.T).toarray() + self.shrink
            rows = np.flatnonzero((which >= start) & (which < start + size))
            place = which[rows] - start, items[rows]
            ratings[rows] += total[place] / np.maximum(weight[place], 1e-9)
        return ratings


def _largest(similar: Values, k: int) -> csr_matrix:
    """Similarities (b, n) → CSR of the k largest of each row that are above 0."""
    best = top_k(similar, k)
    kept = np.zeros_like(similar)
    np.put_along_axis(kept, best, np.maximum(np.take_along_axis(similar, best, axis=1), 0.0), axis=1)
    return csr_matrix(kept)
