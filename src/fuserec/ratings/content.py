"""Ratings of an item by what it is: for items that few or none have rated."""

from dataclasses import dataclass

import numpy as np

from fuserec.data.dataset import Dataset
from fuserec.errors import OptionError
from fuserec.ratings.gibbs import Feature
from fuserec.ratings.predictor import RatingPredictor, Values, padded
from fuserec.recommenders.content import vectors_named
from fuserec.recommenders.recommender import Rows

ROUNDS = 8


@dataclass(kw_only=True, eq=False)
class ContentRatings(RatingPredictor):
    """Biases, of which those of items are expected from their content, and a taste in content of every user.

        r_ui = mean + b_u + c_i + w · z_i + t_u · z_i

    b, c, w and the tastes t are ridge regressions on what the others leave, in turn (block coordinate descent). z are
    the centered unit vectors named `by` along their longest directions; an item without a vector has zeros.

    basis_: float32 (r, dim), the directions; content_: float32 (n_items, r), z
    content_bias_, tastes_: float32 (r,) and (n_users, r): w and t
    """

    by: str = "fused"  # which vectors
    dim: int = 64  # how many directions
    l2_items: float = 4.0
    l2_users: float = 8.0
    l2_content: float = 10.0  # of w
    l2_tastes: float = 25.0  # of t

    def learn(self, dataset: Dataset) -> None:
        """Fit each part on what the others leave, `ROUNDS` times."""
        if min(self.l2_content, self.l2_tastes) <= 0.0 or min(self.l2_items, self.l2_users) < 0.0 or self.dim < 1:
            raise OptionError("ContentRatings: expected l2_content and l2_tastes above 0, other l2 from 0, dim from 1")
        vectors = vectors_named(dataset, self.by, "ContentRatings").centered_unit(dataset.warm)
        self.basis_ = Feature.of(vectors, self.dim).right.astype(np.float32)
        self.content_ = (vectors @ self.basis_.T).astype(np.float32)
        rows, n_items, n_users = dataset.interactions, dataset.n_items, dataset.n_users
        assert rows.ratings is not None
        z = self.content_[rows.items].astype(np.float64)  # (n, r)
        left = rows.ratings - np.float64(self.mean_)
        n_of_item, n_of_user = np.bincount(rows.items, minlength=n_items), np.bincount(rows.users, minlength=n_users)
        of_user, of_item = self.user_bias_.astype(np.float64), np.zeros(n_items)
        tastes, weights = np.zeros((n_users, z.shape[1])), np.zeros(z.shape[1])
        eye = np.eye(z.shape[1])
        gram = np.linalg.inv(z.T @ z + self.l2_content * eye)
        order = np.argsort(rows.users, kind="stable")
        groups = np.split(order, np.cumsum(n_of_user)[:-1])
        solve = [
            np.linalg.solve(z[of].T @ z[of] + self.l2_tastes * eye, z[of].T) if len(of) else eye[:, :0] for of in groups
        ]
        liked = np.zeros(len(left))  # t_u · z_i
        for _ in range(ROUNDS):
            weights = gram @ (z.T @ (left - of_user[rows.users] - of_item[rows.items] - liked))
            left_of_item = left - of_user[rows.users] - z @ weights - liked
            of_item = np.bincount(rows.items, left_of_item, n_items) / np.maximum(n_of_item + self.l2_items, 1e-9)
            left_of_user = left - of_item[rows.items] - z @ weights - liked
            of_user = np.bincount(rows.users, left_of_user, n_users) / np.maximum(n_of_user + self.l2_users, 1e-9)
            rest = left - of_user[rows.users] - of_item[rows.items] - z @ weights
            for user, (of, solved) in enumerate(zip(groups, solve, strict=True)):
                tastes[user] = solved @ rest[of]
            liked = np.einsum("ij,ij->i", z, tastes[rows.users])
        self.user_bias_, self.tastes_ = of_user.astype(np.float32), tastes.astype(np.float32)
        self.own_bias_, self.content_bias_ = of_item.astype(np.float32), weights.astype(np.float32)
        self._sum_biases()

    def extend(self) -> None:
        """What the content of new items says of them."""
        vectors = self.embeddings_[self.by].centered_unit(self.popularity_ > 0)
        self.content_ = (vectors @ self.basis_.T).astype(np.float32)
        self.own_bias_ = padded(self.own_bias_, self.catalog_.n_items)
        self._sum_biases()

    def estimate(self, users: Rows, items: Rows) -> Values:
        """User and item rows (n,) → mean + biases + the user's taste in what the item is, float32 (n,)."""
        liked = np.einsum("ij,ij->i", self.tastes_[users], self.content_[items])
        return np.asarray(self.mean_ + self.user_bias_[users] + self.item_bias_[items] + liked, np.float32)

    def reasons(self, user: int, item: int) -> dict[str, float]:
        """The same; what content says of the item is told apart from what its own ratings say."""
        told = super().reasons(user, item)
        if item >= 0:
            told["item"] = float(self.own_bias_[item])
            told["content"] = float(self.content_[item] @ self.content_bias_)
        if user >= 0 and item >= 0:
            told["taste in content"] = float(self.tastes_[user] @ self.content_[item])
        return told

    def beyond(self, user: int, item: int) -> dict[str, float]:
        """Nothing that `reasons` does not tell."""
        return {}

    def _sum_biases(self) -> None:
        self.item_bias_ = (self.own_bias_ + self.content_ @ self.content_bias_).astype(np.float32)
