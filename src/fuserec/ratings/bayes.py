"""Bayesian factorization with everything in it: ids, content, and who rated what."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from fuserec.data.dataset import Dataset
from fuserec.errors import OptionError
from fuserec.ratings.gibbs import Feature, sample
from fuserec.ratings.predictor import RatingPredictor, Values, rating_matrix
from fuserec.recommenders.content import vectors_named
from fuserec.recommenders.recommender import OnProgress, Rows, Scores


@dataclass(kw_only=True, eq=False)
class BayesianFactors(RatingPredictor):
    """The mean of many factorizations drawn by Gibbs sampling, with features of users and items (see `gibbs.py`).

    An item's vector is expected from each of its columns, with a precision of its own that the data choose, and from
    who rated it; a user's from what he rated (both as in SVD++, Koren 2008). So an item with few ratings, and a new
    one, is predicted from its content, and a column that tells nothing is ignored.

    user_samples_, item_samples_: float32 (n_users, s * dim) and (n_items, s * dim): the factors of s kept samples
    side by side, over sqrt(s): one product is the mean of the products
    user_offset_, item_offset_: float32 (n_users,) and (n_items,): the mean of the biases over the samples
    bases_, weights_: column → float32 (r, dim), and float32 (r, 1 + s * dim), what it says of offset and factors
    expected_: float32 (1 + s * dim,), the same of an item without any content
    """

    dim: int = 20
    sweeps: int = 300
    burn: int = 50  # sweeps before the first that is kept
    keep: int = 125  # samples kept, evenly
    columns: tuple[str, ...] | None = None  # whose vectors are used; default: every column
    directions: int = 50  # of a column
    implicit: int = 200  # directions of who rated what; 0: not used
    noise: bool = True  # users and items have noise of their own
    seed: int = 0

    def learn(self, dataset: Dataset) -> None:
        """Run the chain."""
        self.learn_by(dataset, None, lambda told, done, total: None)

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """Run the chain; it has nothing to choose by a validation part."""
        if not (
            self.dim >= 1
            and 0 <= self.burn < self.sweeps
            and self.keep >= 1
            and min(self.directions, self.implicit) >= 0
        ):
            raise OptionError("BayesianFactors: expected dim and keep from 1, and burn below sweeps")
        rows = dataset.interactions
        assert rows.ratings is not None
        names = sorted(dataset.column_vectors) if self.columns is None else self.columns
        columns = [vectors_named(dataset, name, "BayesianFactors").centered_unit(dataset.warm) for name in names]
        features = {name: Feature.of(vectors, self.directions) for name, vectors in zip(names, columns, strict=True)}
        seen = rating_matrix(dataset, np.ones_like(rows.ratings))
        histories = [Feature.of(_length_one(one), self.implicit) for one in (seen, seen.T.tocsr()) if self.implicit]
        kept = np.unique(np.linspace(self.burn, self.sweeps - 1, min(self.keep, self.sweeps - self.burn)).astype(int))
        store = _Samples(
            self.dim, len(kept), [dataset.n_users, dataset.n_items, 1, *map(_directions, features.values())]
        )
        chain = sample(
            rows.users,
            rows.items,
            rows.ratings - np.float64(self.mean_),
            (histories[:1], [*features.values(), *histories[1:]]),
            (dataset.n_users, dataset.n_items),
            dim=self.dim,
            sweeps=self.sweeps,
            seed=self.seed,
            noise=self.noise,
            on_sweep=lambda done: tell(f"BayesianFactors: sweep {done}", done, self.sweeps),
        )
        for sweep, (user, item) in enumerate(chain):
            if sweep in kept:
                store.add([user.vectors, item.vectors, item.mean[None], *item.weights[: len(features)]])
        users, items, expected, *weights = store.tables
        self.user_offset_, self.user_samples_ = users[:, 0], np.ascontiguousarray(users[:, 1:])
        self.item_offset_, self.item_samples_ = items[:, 0], np.ascontiguousarray(items[:, 1:])
        self.expected_ = expected[0]
        self.weights_ = dict(zip(names, weights, strict=True))
        self.bases_ = {name: feature.right.astype(np.float32) for name, feature in features.items()}

    def extend(self) -> None:
        """New items are what is expected of their content, in every sample."""
        super().extend()
        n_known = len(self.item_offset_)
        made = np.tile(self.expected_, (self.catalog_.n_items - n_known, 1))
        for name, basis in self.bases_.items():
            vectors = self.embeddings_[name].centered_unit(self.popularity_ > 0)[n_known:]
            made += vectors @ basis.T @ self.weights_[name]
        self.item_offset_ = np.append(self.item_offset_, made[:, 0])
        self.item_samples_ = np.concatenate([self.item_samples_, made[:, 1:]])

    def reasons(self, user: int, item: int) -> dict[str, float]:
        """The same; of the item and the taste, what each column says is told by its name."""
        if min(user, item) < 0:
            return super().reasons(user, item)
        taste = self.user_samples_[user]  # (s * dim,)
        told = {"mean": self.mean_, "user": float(self.user_offset_[user]), "item": float(self.item_offset_[item])}
        told["taste"] = float(taste @ self.item_samples_[item])
        warm = self.popularity_ > 0
        for name, basis in self.bases_.items():
            said = self.embeddings_[name].centered_unit(warm)[item] @ basis.T @ self.weights_[name]  # (1 + s * dim,)
            bias, liked = float(said[0]), float(taste @ said[1:])
            told["item"], told["taste"] = told["item"] - bias, told["taste"] - liked
            told[f"{name} as rated by all"], told[f"taste in {name}"] = bias, liked
        return told

    def estimate(self, users: Rows, items: Rows) -> Values:
        """User and item rows (n,) → mean + offsets + mean product over the samples, float32 (n,)."""
        ratings = (self.mean_ + self.user_offset_[users] + self.item_offset_[items]).astype(np.float32)
        size = 4_000_000 // self.user_samples_.shape[1] + 1
        for start in range(0, len(users), size):
            block = slice(start, start + size)
            of_user, of_item = self.user_samples_[users[block]], self.item_samples_[items[block]]
            ratings[block] += np.einsum("ij,ij->i", of_user, of_item)
        return ratings

    def score(self, users: Rows) -> Scores:
        """User rows (b,) → the rating of every item, float32 (b, n_items), not clipped."""
        product = self.user_samples_[users] @ self.item_samples_.T
        scores: Scores = product + (self.mean_ + self.user_offset_[users])[:, None] + self.item_offset_
        return scores.astype(np.float32)


class _Samples:
    """Tables of vectors, one of each a sample, as the model keeps them: mean of column 0, the rest side by side."""

    def __init__(self, dim: int, n: int, lengths: Sequence[int]) -> None:
        self.dim, self.n, self.done = dim, n, 0
        self.tables = [np.zeros((length, 1 + n * dim), np.float32) for length in lengths]

    def add(self, vectors: Sequence[NDArray[np.float64]]) -> None:
        """The vectors (length, 1 + dim) of one sample."""
        start = 1 + self.done * self.dim
        for table, some in zip(self.tables, vectors, strict=True):
            table[:, 0] += some[:, 0] / self.n
            table[:, start : start + self.dim] = some[:, 1:] / self.n**0.5
        self.done += 1


def _directions(feature: Feature) -> int:
    return len(feature.lengths)


def _length_one(seen: csr_matrix) -> csr_matrix:
    """CSR of ones → the same with rows of length 1: 1 / sqrt of how many."""
    return (diags(1.0 / np.sqrt(np.maximum(np.diff(seen.indptr), 1.0))) @ seen).tocsr()
