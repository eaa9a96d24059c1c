"""Comparisons: paired, corrected for how many there are, and honest about what could not have been seen."""

import json

import numpy as np
import pytest
from scipy import stats

from fuserec import evaluation, registry
from fuserec.evaluation import evaluate, fit_and_validate, rank_and_measure
from fuserec.fusion.fuser import fuse
from fuserec.intervals import Difference, differences, holm
from fuserec.preparation.split import split_by_time
from tests.planted import checkerboard


def models(*names):
    return {name: registry.make("recommender", name) for name in names}


@pytest.fixture
def split():
    parts = split_by_time(checkerboard(n_users=60), test=0.2)
    return parts._replace(train=fuse(parts.train))


def test_holm_agrees_with_the_example_of_the_textbook():
    """Holm 1979: p .01, .04, .03, .005 → .03, .06, .06, .02."""
    found = holm([Difference(0.0, 0.0, 0.0, 9, p, 0.0) for p in (0.01, 0.04, 0.03, 0.005)])
    assert [one.p for one in found] == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_p_agrees_with_the_t_test_and_a_tie_is_no_difference():
    rng = np.random.default_rng(0)
    gained = [rng.normal(shift, 1.0, 400) for shift in (0.0, 0.1, 0.12, 0.3)]
    found = differences([*gained, np.zeros(400)], seed=0)
    for one, values in zip(found, gained, strict=False):
        assert one.p == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue, abs=0.02)
        assert one.mean == pytest.approx(values.mean()) and one.low < one.mean < one.high
    assert found[-1].p == 1.0 and found[-1].mean == found[-1].smallest == 0.0


def test_the_smallest_difference_is_seen_in_four_of_five_experiments():
    rng = np.random.default_rng(1)
    values = rng.normal(0.0, 1.0, 100)
    values = (values - values.mean()) / values.std(ddof=1)
    smallest = differences([values], seed=0)[0].smallest
    assert smallest == pytest.approx(2.8 / np.sqrt(100))
    seen = [differences([rng.normal(smallest, 1.0, 100)], seed=0)[0].sure for _ in range(100)]
    assert 0.7 < np.mean(seen) < 0.9


def test_the_chosen_model_is_compared_with_every_other(split):
    report = evaluate(models("Random", "Popular", "ContentNeighbors"), split)
    found = report.compare()
    assert list(found) == ["Random", "Popular"] and found["Random"].sure and found["Random"].verdict == "better"
    gained = report.models[2].values["ndcg@10"] - report.models[0].values["ndcg@10"]
    assert found["Random"].mean == pytest.approx(gained.mean())
    worse = report.compare("Random")["ContentNeighbors"]
    assert worse.mean == pytest.approx(-gained.mean()) and worse.verdict == "worse"
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))["comparisons"]
    assert told[0].keys() == {"label", "other", "metric", "mean", "low", "high", "n", "p", "smallest"}
    header, rows = report.comparison()
    assert [row[0] for row in rows] == ["Random", "Popular"] and len(header) == len(rows[0])


def test_values_are_averaged_per_user_over_seeds(split):
    report = evaluate(models("Random", "Popular"), split, seeds=3)
    values = [
        rank_and_measure(registry.make("recommender", "Random", {"seed": s}).fit(split.train), split.test, 10).values
        for s in range(3)
    ]
    random, popular = report.models
    np.testing.assert_allclose(random.values["ndcg@10"], np.mean([one["ndcg@10"] for one in values], axis=0))
    assert random.seeds == 3 and popular.seeds == 1  # what has no seed gives the same every time


def test_a_run_says_how_often_test_was_opened(split, monkeypatch):
    monkeypatch.setattr(evaluation, "_opened", evaluation.Counter())
    first, second = (evaluate(models("Popular"), split) for _ in range(2))
    assert first.to_dict()["test_opened"] == 1 and "Test was opened once, after that." in first.caption()
    assert second.test_opened == 2 and "do not trust what was chosen after looking at it" in second.caption()
    again = split_by_time(checkerboard(n_users=60), test=0.2)  # the same part, made again
    assert evaluate(models("Popular"), again).test_opened == 3
    fit_and_validate(models("Popular")["Popular"], split.train, split.validation)
    assert sum(evaluation._opened.values()) == 3
