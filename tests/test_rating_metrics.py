"""Rating metrics agree with scikit-learn, with and without weights, on half stars and on other scales."""

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from fuserec import metrics


@pytest.fixture(
    params=[(1.0, 5.0, 0.5), (-30.0, 50.0, 20.0), (0.0, 1.0, 1.0)], ids=["half stars", "odd scale", "binary"]
)
def drawn(request):
    low, high, step = request.param
    rng = np.random.default_rng(0)
    n_steps = round((high - low) / step) + 1
    ratings = low + step * rng.integers(0, n_steps, 500)
    predicted = np.clip(ratings + 0.3 * (high - low) * rng.standard_normal(500), low, high)
    chance = np.round((predicted - low) / (high - low), 2)  # rounded: with ties
    return ratings, predicted, ratings >= np.median(np.unique(ratings)), chance, rng.integers(0, 4, 500).astype(float)


def test_errors(drawn):
    ratings, predicted, _, _, weights = drawn
    assert metrics.rmse(ratings, predicted) == pytest.approx(sk.root_mean_squared_error(ratings, predicted))
    assert metrics.mae(ratings, predicted) == pytest.approx(sk.mean_absolute_error(ratings, predicted))
    weighted = sk.root_mean_squared_error(ratings, predicted, sample_weight=weights)
    assert metrics.rmse(ratings, predicted, weights) == pytest.approx(weighted)


def test_likes(drawn):
    _, _, liked, chance, weights = drawn
    assert metrics.right(liked, chance).mean() == pytest.approx(sk.accuracy_score(liked, chance >= 0.5))
    assert metrics.auc(liked, chance) == pytest.approx(sk.roc_auc_score(liked, chance))
    assert metrics.auc(liked, chance, weights) == pytest.approx(sk.roc_auc_score(liked, chance, sample_weight=weights))
    kept = np.clip(chance, metrics.EDGE, 1 - metrics.EDGE)
    assert metrics.surprise(liked, chance).mean() == pytest.approx(sk.log_loss(liked, kept))
    assert np.isnan(metrics.auc(np.ones(3, bool), np.arange(3.0)))


def test_calibration(drawn):
    _, _, liked, chance, _ = drawn
    inner = (chance + 1e-6) * 0.999  # scikit-learn puts an edge in the lower bin, we in the upper one
    found = metrics.calibration(liked, inner)
    share, told = calibration_curve(liked, inner, n_bins=10)
    np.testing.assert_allclose([one[0] for one in found], told)
    np.testing.assert_allclose([one[1] for one in found], share)
    assert sum(one[2] for one in found) == 500
