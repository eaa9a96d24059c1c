"""A Gibbs sampler of two tables of vectors whose products are ratings, with features of both sides.

    r_ui = b_u + c_i + p_u · q_i + noise       (b_u, p_u) = m + sum over features of f_u B_f + N(0, L^-1)

and the same for items. Priors: m, L normal-Wishart (Salakhutdinov and Mnih 2008, eq. 14), B_f normal with L and a
precision of its own (Simm 2017, "Macau", eq. 4), noise of each user and item scaled (Lakshminarayanan 2011). Every step
draws from its exact conditional distribution, whole vectors at a time, so that chains mix well: a factorization
machine (Rendle 2012) with ids, features and who-rated-what is the same model, drawn number by number.
"""  # noqa: D205

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from scipy.sparse.linalg import svds

from fuserec.recommenders.recommender import Rows

Array = NDArray[np.float64]
FREEDOM = 4.0  # prior degrees of freedom of a user's noise: how slowly it leaves that of all
LARGE = 5_000  # rows or columns of a Gram matrix that is made whole
VAGUE = 1e-3  # shape and rate of the gamma priors of precisions


@dataclass(frozen=True, eq=False)
class Feature:
    """A matrix of features (n, w) by its singular value decomposition; directions of no length are left out.

    left: float64 (n, r), orthonormal columns; lengths: float64 (r,); right: float64 (r, w), so that left * lengths @
    right is the matrix
    """

    left: Array
    lengths: Array
    right: Array

    @classmethod
    def of(cls, matrix: Any, most: int) -> "Feature":
        """Features (n, w), an array or a CSR matrix → their `most` longest directions.

        By the eigenvectors of the smaller Gram matrix, some times faster than a decomposition of the whole; where that
        would be too large, the longest directions of a CSR matrix are found by Lanczos steps.
        """
        n, w = matrix.shape
        if issparse(matrix) and min(n, w) > LARGE and most < LARGE:
            left, lengths, right = svds(matrix.astype(np.float64), k=most, random_state=0)
            order = np.argsort(-lengths)
            return cls(left[:, order], lengths[order], right[order])
        values, vectors = np.linalg.eigh(_dense(matrix @ matrix.T if w > n else matrix.T @ matrix))
        kept = np.flatnonzero(values > 1e-10 * max(values.max(initial=0.0), 1e-300))[::-1][:most]
        lengths, vectors = np.sqrt(values[kept]), vectors[:, kept]
        if w > n:
            return cls(vectors, lengths, np.asarray(matrix.T @ vectors).T / lengths[:, None])
        return cls(np.asarray(matrix @ vectors) / lengths, lengths, vectors.T)


def _dense(matrix: Any) -> Array:
    return np.asarray(matrix.toarray() if issparse(matrix) else matrix, np.float64)


class Side:
    """The vectors of users or of items, (n, d), column 0 the bias, and what their prior is like."""

    def __init__(self, n: int, d: int, features: Sequence[Feature], rng: np.random.Generator) -> None:
        self.rng, self.features = rng, features
        self.vectors = np.concatenate([np.zeros((n, 1)), 0.1 * rng.standard_normal((n, d - 1))], axis=1)
        self.mean, self.precision = np.zeros(d), 4.0 * np.eye(d)
        self.scales = [1.0] * len(features)  # precision of a feature's weights, relative to that of vectors
        self.weights = [np.zeros((len(feature.lengths), d)) for feature in features]  # in the directions of a feature
        self.parts = [np.zeros((n, d)) for _ in features]  # what each feature adds to the mean

    def prior(self) -> Array:
        """The mean of each vector before its ratings are seen, (n, d)."""
        return np.asarray(self.mean + sum(self.parts, np.zeros_like(self.vectors)))

    def draw_prior(self) -> None:
        """Mean, precision, and weights of features, given the vectors."""
        n, d = self.vectors.shape
        left = self.vectors - sum(self.parts, np.zeros_like(self.vectors))
        center = left.mean(axis=0)
        spread = np.eye(d) + (left - center).T @ (left - center) + n / (n + 1) * np.outer(center, center)
        freedom = d + n
        for weights, scale in zip(self.weights, self.scales, strict=True):
            spread += scale * weights.T @ weights
            freedom += len(weights)
        self.precision = wishart(freedom, np.linalg.inv(spread), self.rng)
        root = np.linalg.cholesky(np.linalg.inv(self.precision))
        self.mean = n * center / (n + 1) + root @ self.rng.standard_normal(d) / np.sqrt(n + 1)
        for place, feature in enumerate(self.features):
            left = self.vectors - self.prior() + self.parts[place]
            seen = feature.lengths**2 + self.scales[place]  # (r,)
            noise = self.rng.standard_normal((len(seen), d)) @ root.T
            weights = (feature.lengths / seen)[:, None] * (feature.left.T @ left) + noise / np.sqrt(seen)[:, None]
            self.weights[place] = weights
            self.parts[place] = feature.left @ (feature.lengths[:, None] * weights)
            total = float(((weights @ self.precision) * weights).sum())
            self.scales[place] = self.rng.gamma(VAGUE + weights.size / 2) / (VAGUE + total / 2)

    def draw_vectors(self, ratings: csr_matrix, weights: Array, target: Array, others: Array) -> None:
        """The vectors, given those of the other side (m, d).

        ratings: CSR (n, m), whose data are replaced; weights, target: of each of its cells, the precision of the
        rating and what is left of it without the biases of the other side, float64 (nnz,)
        """
        n, d = self.vectors.shape
        design = np.concatenate([np.ones((len(others), 1)), others[:, 1:]], axis=1)  # a bias has the factor 1
        rows, columns = np.triu_indices(d)
        each = csr_matrix((weights, ratings.indices, ratings.indptr), ratings.shape)
        upper = each @ (design[:, rows] * design[:, columns])  # (n, d (d + 1) / 2): half of a symmetric matrix
        precision = np.empty((n, d, d))
        precision[:, rows, columns] = precision[:, columns, rows] = upper
        precision += self.precision
        each.data = weights * target
        pulled = each @ design + self.prior() @ self.precision  # (n, d)
        noise = np.linalg.cholesky(precision) @ self.rng.standard_normal((n, d, 1))
        self.vectors = np.linalg.solve(precision, pulled[:, :, None] + noise)[:, :, 0]


def sample(
    users: Rows,
    items: Rows,
    ratings: Array,
    sides: tuple[Sequence[Feature], Sequence[Feature]],
    shape: tuple[int, int],
    *,
    dim: int,
    sweeps: int,
    seed: int,
    noise: bool = True,
    on_sweep: Callable[[int], None] = lambda done: None,
) -> Iterator[tuple[Side, Side]]:
    """User rows, item rows and ratings without their mean (n,), features of users and of items → states of the chain.

    shape: (n_users, n_items). noise: users and items have noise of their own. The two sides are changed in place.
    """
    rng = np.random.default_rng(seed)
    user, item = (Side(n, dim + 1, some, rng) for n, some in zip(shape, sides, strict=True))
    by_user, by_item = (np.lexsort((other, own)) for own, other in ((users, items), (items, users)))
    cells = [
        csr_matrix((np.ones(len(order)), other[order], np.searchsorted(own[order], np.arange(n + 1))), (n, m))
        for order, own, other, n, m in (
            (by_user, users, items, shape[0], shape[1]),
            (by_item, items, users, shape[1], shape[0]),
        )
    ]
    alpha, of_user, of_item = 1.0 / max(float(ratings.var()), 1e-6), np.ones(shape[0]), np.ones(shape[1])
    for sweep in range(sweeps):
        weights = alpha * of_user[users] * of_item[items]
        user.draw_prior()
        target = ratings - item.vectors[items, 0]
        user.draw_vectors(cells[0], weights[by_user], target[by_user], item.vectors)
        item.draw_prior()
        target = ratings - user.vectors[users, 0]
        item.draw_vectors(cells[1], weights[by_item], target[by_item], user.vectors)
        product = np.einsum("ij,ij->i", user.vectors[users, 1:], item.vectors[items, 1:])
        error = (target - item.vectors[items, 0] - product) ** 2
        alpha = rng.gamma(VAGUE + len(error) / 2) / (VAGUE + float((error * of_user[users] * of_item[items]).sum()) / 2)
        if noise:
            of_user = _noise(users, alpha * of_item[items] * error, shape[0], rng)
            of_item = _noise(items, alpha * of_user[users] * error, shape[1], rng)
        on_sweep(sweep + 1)
        yield user, item


def wishart(freedom: float, scale: Array, rng: np.random.Generator) -> Array:
    """Degrees of freedom and scale (d, d) → a draw (d, d) from the Wishart distribution (Bartlett 1933)."""
    d = len(scale)
    lower = np.tril(rng.standard_normal((d, d)), -1) + np.diag(np.sqrt(rng.chisquare(freedom - np.arange(d))))
    root = np.linalg.cholesky(scale) @ lower
    return np.asarray(root @ root.T)


def _noise(rows: Rows, error: Array, n: int, rng: np.random.Generator) -> Array:
    shape = (FREEDOM + np.bincount(rows, minlength=n)) / 2
    return rng.gamma(shape) / ((FREEDOM + np.bincount(rows, error, n)) / 2)
