"""RatingPredictor: the contract of models that predict ratings. A new one writes `learn` and `estimate`."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import ndtr

from fuserec.data.dataset import Dataset
from fuserec.data.interactions import Interactions
from fuserec.errors import DataError
from fuserec.recommenders.recommender import OnProgress, Recommender, Rows, Scores
from fuserec.retrieval import block_rows

Values = NDArray[np.float32]
L2_ITEMS, L2_USERS, ROUNDS = 4.0, 8.0, 10  # of the biases that everything falls back to


@dataclass(kw_only=True, eq=False)
class RatingPredictor(Recommender):
    """Predicts ratings on the scale of the training data; ranks items by them.

    like_from: a rating from which a user likes an item; default: the lowest rating not below the mean

    scale_: float32 (3,): the lowest and the highest training rating, and the smallest step between two
    mean_, user_bias_, item_bias_: the mean, and float32 (n_users,) and (n_items,): see `biases`
    like_from_, spread_: what counts as liked, and how far predictions are off (root mean square), to say how likely
    """

    like_from: float | None = None

    def fit(
        self, dataset: Dataset, validation: Dataset | None = None, *, on_progress: OnProgress | None = None
    ) -> Self:
        """Training dataset with ratings → this model, fitted; validation: as for every `Recommender`.

        Raises `DataError` where there are no ratings, or all are the same.
        """
        name, ratings = type(self).__name__, dataset.interactions.ratings
        if ratings is None:
            raise DataError(f"{name} predicts ratings, and {dataset.name} has none; use a recommender, such as EASE")
        known = np.unique(ratings)
        if len(known) < 2:
            told = f"every rating of {dataset.name} is {known[0]:g}" if len(known) else f"{dataset.name} is empty"
            raise DataError(f"{name}: {told}; expected two different ratings or more")
        self.scale_ = np.array([known[0], known[-1], np.diff(known).min()], np.float32)
        self.mean_ = float(ratings.mean(dtype=np.float64))
        self.like_from_ = float(known[known >= self.mean_][0]) if self.like_from is None else self.like_from
        self.user_bias_, self.item_bias_ = biases(dataset, L2_ITEMS, L2_USERS)
        fitted = super().fit(dataset, validation, on_progress=on_progress)
        held = validation if validation is not None and len(validation.interactions) else dataset
        rows = held.interactions
        assert rows.ratings is not None
        self.spread_ = float(np.sqrt(np.mean((self.predict(rows.users, rows.items) - rows.ratings) ** 2))) or 1e-3
        return fitted

    @abstractmethod
    def estimate(self, users: Rows, items: Rows) -> Values:
        """User and item rows int64 (n,), all known → ratings float32 (n,), not yet clipped to the scale."""

    def predict(self, users: Rows, items: Rows) -> Values:
        """User and item rows int64 (n,), -1 where unknown → ratings float32 (n,), clipped to the scale of training.

        Where the user or the item is unknown: the mean and the bias of the other one.
        """
        self._check_fitted()
        users, items = np.asarray(users, np.int64), np.asarray(items, np.int64)
        known = (users >= 0) & (items >= 0)
        ratings = np.full(len(users), self.mean_, np.float32)
        ratings[~known] += np.where(users >= 0, self.user_bias_[users], 0.0)[~known]
        ratings[~known] += np.where(items >= 0, self.item_bias_[items], 0.0)[~known]
        if known.any():
            ratings[known] = self.estimate(users[known], items[known])
        if np.isnan(ratings).any():
            raise DataError(f"{type(self).__name__} predicted what is not a number; its data or options are unusable")
        return np.clip(ratings, self.scale_[0], self.scale_[1])

    def predict_ids(self, users: Sequence[str], items: Sequence[str]) -> Values:
        """User and item ids, one of each a rating, known or not → ratings float32 (n,)."""
        self._check_fitted()
        return self.predict(self.users_.rows(users), self.catalog_.ids.rows(items))

    def like(self, users: Rows, items: Rows) -> Values:
        """User and item rows (n,), -1 where unknown → how likely a rating from `like_from_` on is, float32 (n,).

        The prediction, with normal errors of `spread_`, rounded to the nearest step of the scale.
        """
        limit = self.like_from_ - self.scale_[2] / 2
        return np.asarray(ndtr((self.predict(users, items) - limit) / self.spread_), np.float32)

    def reasons(self, user: int, item: int) -> dict[str, float]:
        """A user's and an item's row, -1 where unknown → what a rating is made of, in points: they add up to it.

        The mean, what the user and the item add to it, and what the model knows beyond that; before clipping.
        """
        self._check_fitted()
        told = {"mean": self.mean_}
        if user >= 0:
            told["user"] = float(self.user_bias_[user])
        if item >= 0:
            told["item"] = float(self.item_bias_[item])
        return told | (self.beyond(user, item) if user >= 0 and item >= 0 else {})

    def beyond(self, user: int, item: int) -> dict[str, float]:
        """Rows of a known user and item → what is added to the mean and the biases, in points; a model may say more."""
        pair = np.array([user]), np.array([item])
        rest = float(self.estimate(*pair)[0]) - self.mean_ - float(self.user_bias_[user] + self.item_bias_[item])
        return {"beyond": rest} if abs(rest) > 1e-6 else {}

    def score(self, users: Rows) -> Scores:
        """User rows (b,) → the rating of every item, float32 (b, n_items), not clipped: ties would hide an order."""
        n_items = self.catalog_.n_items
        size = block_rows(n_items)
        scores = np.empty((len(users), n_items), np.float32)
        for start in range(0, len(users), size):
            block = users[start : start + size]
            pairs = np.repeat(block, n_items), np.tile(np.arange(n_items), len(block))
            scores[start : start + size] = self.estimate(*pairs).reshape(len(block), n_items)
        return scores

    def extend(self) -> None:
        """New items have no ratings, so no bias; what a model knows of their content is its own matter."""
        self.item_bias_ = padded(self.item_bias_, self.catalog_.n_items)


def padded(values: Values, n: int) -> Values:
    """Values float32 (m, ...) → the same with zeros below, float32 (n, ...)."""
    return np.pad(values, [(0, n - len(values)), *[(0, 0)] * (values.ndim - 1)])


def biases(dataset: Dataset, l2_items: float, l2_users: float) -> tuple[Values, Values]:
    """Dataset with ratings → what to add to the mean for each user (n_users,) and each item (n_items,), float32.

    b_i = sum(r - mean - b_u) / (l2 + n) and the same for users, in turn (Koren 2009, "Collaborative filtering with
    temporal dynamics", as ridge regression).
    """
    rows = dataset.interactions
    assert rows.ratings is not None
    left = rows.ratings.astype(np.float64) - rows.ratings.mean(dtype=np.float64)
    of_user, of_item = np.zeros(dataset.n_users), np.zeros(dataset.n_items)
    n_user, n_item = np.bincount(rows.users, minlength=len(of_user)), np.bincount(rows.items, minlength=len(of_item))
    for _ in range(ROUNDS):
        of_item = np.bincount(rows.items, left - of_user[rows.users], len(of_item)) / np.maximum(
            n_item + l2_items, 1e-9
        )
        of_user = np.bincount(rows.users, left - of_item[rows.items], len(of_user)) / np.maximum(
            n_user + l2_users, 1e-9
        )
    return of_user.astype(np.float32), of_item.astype(np.float32)


def rating_matrix(dataset: Dataset, values: Values) -> csr_matrix:
    """Dataset and a value for each of its interactions → float32 CSR (n_users, n_items), means of what is repeated."""
    rows = dataset.interactions
    shape = (dataset.n_users, dataset.n_items)
    matrix, times = (csr_matrix((v, (rows.users, rows.items)), shape) for v in (values, np.ones_like(values)))
    matrix.data /= times.data  # csr_matrix sums what is repeated, in the same order in both
    return matrix.astype(np.float32)


def hold_out_ratings(dataset: Dataset, seed: int, *, users: float = 0.5, share: float = 0.5) -> tuple[Dataset, Dataset]:
    """Dataset → all but a share of the ratings of a share of the users, and those held out, drawn by the seed.

    Half of the ratings of some users are harder to predict than a few of everybody: as in folds u1 to u5 of MovieLens,
    whose users have lost many ratings or none. A user keeps at least one.
    """
    rows = dataset.interactions
    rng = np.random.default_rng(seed)
    some = rng.random(dataset.n_users) < users
    held = some[rows.users] & (rng.random(len(rows)) < share)
    _, keep = np.unique(rows.users, return_index=True)
    held[keep] = False
    parts: list[Interactions] = [rows.take(~held), rows.take(held)]
    left, out = (replace(dataset, interactions=part) for part in parts)
    return left, out
