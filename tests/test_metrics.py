"""Metrics against ir-measures and against slow loops."""

import math

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, Success, nDCG

from fuserec import metrics

K, N_USERS, N_ITEMS = 10, 60, 40


@pytest.fixture(scope="module")
def lists():
    rng = np.random.default_rng(3)
    ranked = np.stack([rng.permutation(N_ITEMS)[:K] for _ in range(N_USERS)])
    relevant = [set(rng.permutation(N_ITEMS)[: rng.integers(1, 16)].tolist()) for _ in range(N_USERS)]
    hits = np.array([[item in wanted for item in row] for row, wanted in zip(ranked.tolist(), relevant, strict=True)])
    return ranked, relevant, hits, np.array([len(wanted) for wanted in relevant])


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("recall", R @ K),
        ("precision", P @ K),
        ("ndcg", nDCG @ K),
        ("map", AP @ K),
        ("mrr", RR @ K),
        ("hit_rate", Success @ K),
    ],
)
def test_equal_to_ir_measures(lists, name, theirs):
    ranked, relevant, hits, n_relevant = lists
    judged = {str(user): {str(item): 1 for item in wanted} for user, wanted in enumerate(relevant)}
    run = {str(user): {str(item): float(K - rank) for rank, item in enumerate(row)} for user, row in enumerate(ranked)}
    expected = {int(found.query_id): found.value for found in ir_measures.iter_calc([theirs], judged, run)}
    ours = metrics.ACCURACY[name](hits, n_relevant)
    np.testing.assert_allclose(ours, [expected[user] for user in range(N_USERS)], atol=1e-9)


def test_novelty_is_the_mean_self_information():
    ranked = np.array([[0, 1], [2, -1], [-1, -1]])
    popularity = np.array([8, 2, 0], dtype=np.float32)
    expected = [(-math.log2(8 / 16) - math.log2(2 / 16)) / 2, -math.log2(1 / 16), 0.0]
    np.testing.assert_allclose(metrics.novelty(ranked, popularity, 16), expected)


def test_coverage_and_gini():
    same = np.array([[0], [0], [0], [0]])
    apart = np.array([[0], [1], [2], [3]])
    assert metrics.coverage(same, 4) == 0.25 and metrics.coverage(apart, 4) == 1.0
    assert metrics.gini(apart, 4) == pytest.approx(0.0) and metrics.gini(same, 4) == pytest.approx(0.75)
    assert metrics.gini(np.full((2, 2), -1), 4) == 0.0
    counts = np.array([5, 1, 0, 2])
    ranked = np.repeat(np.arange(4), counts)[:, None]
    pairs = np.abs(counts[:, None] - counts[None, :]).sum() / (2 * 4 * counts.sum())  # the textbook double sum
    assert metrics.gini(ranked, 4) == pytest.approx(pairs)


def test_diversity_and_popularity_agree_with_loops():
    rng = np.random.default_rng(5)
    unit = rng.standard_normal((N_ITEMS, 3)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    unit[::4] = 0.0  # items without a vector
    ranked = np.stack([rng.permutation(N_ITEMS)[:K] for _ in range(N_USERS)])
    ranked[0, 1:] = -1
    ranked[1, 7:] = -1
    popularity = rng.integers(0, 6, N_ITEMS).astype(np.float32)
    diversity = metrics.diversity(ranked, unit)
    percentile = metrics.popularity_percentile(ranked, popularity)
    for place, row in enumerate(ranked.tolist()):
        items = [item for item in row if item >= 0]
        known = [item for item in items if unit[item].any()]
        pairs = [1.0 - float(unit[a] @ unit[b]) for at, a in enumerate(known) for b in known[:at]]
        assert diversity[place] == pytest.approx(np.mean(pairs) if pairs else 0.0, abs=1e-5)
        shares = [np.mean((popularity < popularity[i]) + 0.5 * (popularity == popularity[i])) for i in items]
        assert percentile[place] == pytest.approx(np.mean(shares))
