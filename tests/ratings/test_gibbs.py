"""The sampler draws from the conditional distributions that it names, and finds what was planted."""

import numpy as np
import pytest
from scipy import sparse

from fuserec.ratings.gibbs import Feature, Side, sample, wishart


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_features_are_the_singular_value_decomposition(shape, kind):
    matrix = np.random.default_rng(0).standard_normal(shape)
    feature = Feature.of(kind(matrix), 99)
    np.testing.assert_allclose(feature.left * feature.lengths @ feature.right, matrix, atol=1e-9)
    np.testing.assert_allclose(feature.lengths, np.linalg.svd(matrix)[1], atol=1e-9)
    np.testing.assert_allclose(Feature.of(kind(matrix), 3).lengths, feature.lengths[:3])
    assert len(Feature.of(kind(np.zeros(shape)), 3).lengths) == 0


def test_large_sparse_features_are_found_in_steps(monkeypatch):
    monkeypatch.setattr("fuserec.ratings.gibbs.LARGE", 10)
    matrix = sparse.random(60, 40, 0.2, random_state=0, format="csr")
    np.testing.assert_allclose(Feature.of(matrix, 5).lengths, np.linalg.svd(matrix.toarray())[1][:5], rtol=1e-6)


def test_wishart_has_its_mean():
    rng = np.random.default_rng(0)
    scale = np.array([[2.0, 0.5], [0.5, 1.0]])
    mean = np.mean([wishart(7.0, scale, rng) for _ in range(4_000)], axis=0)
    np.testing.assert_allclose(mean, 7.0 * scale, rtol=0.05)


def test_vectors_are_drawn_around_the_weighted_ridge_solution():
    """Mean and covariance of many draws against (sum w x x' + L)^-1, written as a loop from the formula."""
    rng = np.random.default_rng(1)
    others, ratings = rng.standard_normal((12, 3)), rng.standard_normal(20)
    cells = sparse.csr_matrix((np.ones(20), np.tile(np.arange(10), 2), [0, 10, 20]), (2, 12))
    weights = rng.uniform(0.5, 2.0, 20)
    side = Side(2, 3, [], rng)
    side.mean, side.precision = np.array([0.3, -0.2, 0.1]), np.diag([2.0, 3.0, 4.0])
    draws = []
    for _ in range(6_000):
        side.draw_vectors(cells, weights, ratings, others)
        draws.append(side.vectors)
    for user in range(2):
        precision, pulled = side.precision.copy(), side.precision @ side.mean
        for cell in range(10 * user, 10 * user + 10):
            x = np.array([1.0, *others[cells.indices[cell], 1:]])
            precision += weights[cell] * np.outer(x, x)
            pulled += weights[cell] * ratings[cell] * x
        of_user = np.array(draws)[:, user]
        np.testing.assert_allclose(of_user.mean(axis=0), np.linalg.solve(precision, pulled), atol=0.02)
        np.testing.assert_allclose(np.cov(of_user.T), np.linalg.inv(precision), atol=0.01)


def test_planted_factors_are_found_down_to_the_noise():
    rng = np.random.default_rng(0)
    p, q = rng.standard_normal((80, 2)), rng.standard_normal((60, 2))
    users, items = np.divmod(rng.permutation(80 * 60)[:2_400], 60)
    exact = np.einsum("ij,ij->i", p[users], q[items])
    ratings = exact + 0.3 * rng.standard_normal(len(exact))
    chain = sample(users, items, ratings, ([], []), (80, 60), dim=4, sweeps=80, seed=0)
    kept = [
        user.vectors[:, 1:] @ item.vectors[:, 1:].T + user.vectors[:, :1] + item.vectors[:, 0] for user, item in chain
    ]
    unseen = np.ones((80, 60), bool)
    unseen[users, items] = False
    error = (np.mean(kept[30:], axis=0) - p @ q.T)[unseen]
    assert np.sqrt(np.mean(error**2)) < 0.25 < 0.2 * np.std(p @ q.T)
