"""Late fusion of score matrices, against slow loops written from the formulas."""

import math

import numpy as np
import pytest

from fuserec.errors import OptionError
from fuserec.fusion import late


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    made = [rng.integers(-3, 4, (5, 9)).astype(np.float32) for _ in range(3)]  # with ties
    for one in made:
        one[1, 4] = one[3, :2] = -np.inf
    made[2][4] = 7.0  # a row of equal scores
    return made


def test_reciprocal_rank_fusion_against_a_loop(scores):
    fused = late.reciprocal_rank(scores, constant=60)
    for row in range(5):
        for item in range(9):
            expected = 0.0
            for one in scores:
                if one[row, item] > -np.inf:
                    expected += 1.0 / (60 + sum(other >= one[row, item] for other in one[row]))
            assert fused[row, item] == pytest.approx(expected, rel=1e-5)


def test_reciprocal_rank_fusion_by_hand():
    fused = late.reciprocal_rank([np.array([[9, 5, 1]], np.float32), np.array([[1, 3, 2]], np.float32)])
    np.testing.assert_allclose(fused, [[1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 63 + 1 / 62]], rtol=1e-6)


def test_normalizations_against_a_loop(scores):
    for one in scores:
        low, deviation = late.min_max(one), late.z_score(one)
        for row in range(5):
            candidates = [float(value) for value in one[row] if value > -np.inf]
            least, width = min(candidates), max(candidates) - min(candidates)
            mean = sum(candidates) / len(candidates)
            spread = math.sqrt(sum((value - mean) ** 2 for value in candidates) / len(candidates))
            for item in range(9):
                known = one[row, item] > -np.inf and width > 0
                assert low[row, item] == pytest.approx((one[row, item] - least) / width if known else 0.0, abs=1e-6)
                expected = (one[row, item] - mean) / spread if known else 0.0
                assert deviation[row, item] == pytest.approx(expected, abs=1e-6)


def test_no_candidate_at_all_gives_zeros():
    nothing = np.full((2, 3), -np.inf, np.float32)
    for fused in (late.min_max(nothing), late.z_score(nothing), late.reciprocal_rank([nothing])):
        assert fused.dtype == np.float32 and not fused.any()


def test_sums_by_hand():
    one, two = np.array([[0.0, 0.5, 1.0]], np.float32), np.array([[0.0, 0.0, 0.25]], np.float32)
    assert late.comb_sum([one, two]).tolist() == [[0.0, 0.5, 1.25]]
    assert late.comb_mnz([one, two]).tolist() == [[0.0, 0.5, 2.5]]
    assert late.weighted_sum([one, two], [2.0, 4.0]).tolist() == [[0.0, 1.0, 3.0]]


@pytest.mark.parametrize("weights", [(1.0,), (1.0, -1.0), (0.0, 0.0), (1.0, float("nan"))])
def test_impossible_weights_are_told(weights):
    with pytest.raises(OptionError, match="expected 2 numbers of 0 or more, one a model, and one above 0"):
        late.check_weights(weights, 2)


def test_the_weighted_sum_in_few_passes_is_that_of_min_max():
    rng = np.random.default_rng(3)
    raw = [rng.standard_normal((5, 40)).astype(np.float32) for _ in range(3)]
    raw[1][2] = 7.0  # all equal
    seen = np.array([0, 0, 1, 3]), np.array([4, 39, 0, 7])
    seen = tuple(np.append(part, more) for part, more in zip(seen, (np.full(40, 4), np.arange(40)), strict=True))
    masked = [one.copy() for one in raw]
    for one in masked:
        one[seen] = -np.inf
    plain = [late.min_max(one) for one in masked]
    weights, cold_weights, cold = [1.0, 0.2, 0.0], [0.0, 1.0, 0.5], np.array([0, 11])
    expected = late.weighted_sum(plain, weights)
    found = late.weighted_min_max([one.copy() for one in raw], weights, seen)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    expected[:, cold] = late.weighted_sum([one[:, cold] for one in plain], cold_weights)
    found = late.weighted_min_max([one.copy() for one in raw], weights, seen, cold, cold_weights)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert (found[4] == 0).all() and found[0, 4] == 0
