import json
from dataclasses import replace

import numpy as np
import pytest

from fuserec import registry
from fuserec.errors import OptionError
from fuserec.evaluation import evaluate, rank_and_measure
from fuserec.fusion.fuser import fuse
from fuserec.preparation.split import split_by_time, split_cold_items
from fuserec.recommenders.recommender import Recommender
from fuserec.report import Report
from tests.planted import checkerboard


def models(*names):
    return {name: registry.make("recommender", name) for name in names}


@pytest.fixture(scope="module")
def split():
    parts = split_by_time(checkerboard(n_users=60), test=0.2)
    return parts._replace(train=fuse(parts.train))


def test_measures_agree_with_a_loop_over_users(split):
    model = registry.make("recommender", "ItemNeighbors").fit(split.train)
    lists = rank_and_measure(model, split.test, 5)
    for place, user in enumerate(lists.users):
        relevant = set(split.test.seen[[user]].indices) - set(split.train.seen[[user]].indices)
        ranked = [item for item in lists.ranked[place].tolist() if item >= 0]
        hits = [item in relevant for item in ranked]
        assert lists.values["recall@5"][place] == pytest.approx(sum(hits) / len(relevant))
        ideal = sum(1 / np.log2(rank + 2) for rank in range(min(5, len(relevant))))
        gain = sum(hit / np.log2(rank + 2) for rank, hit in enumerate(hits))
        assert lists.values["ndcg@5"][place] == pytest.approx(gain / ideal)


def test_every_user_with_a_new_test_item_is_counted(split):
    report = evaluate(models("Popular"), split)
    seen = split.train.seen.toarray().astype(bool)
    expected = ((split.test.seen.toarray() > 0) & ~seen).any(axis=1).sum()
    assert report.estimates["Popular"]["ndcg@10"].n == expected


def test_validation_chooses_and_test_is_opened_only_after_that(split, monkeypatch):
    opened = []
    measure = rank_and_measure

    def spy(model, held_out, k, candidates=None):
        opened.append("test" if held_out is split.test else "validation")
        return measure(model, held_out, k, candidates)

    monkeypatch.setattr("fuserec.evaluation.rank_and_measure", spy)
    report = evaluate(models("Random", "ContentNeighbors", "Popular"), split)
    assert "validation" not in opened[opened.index("test") :]
    assert report.chosen == "ContentNeighbors"


def test_the_chosen_model_is_the_best_on_validation_not_on_test(split):
    report = evaluate(models("Random", "ItemNeighbors", "ContentNeighbors"), split)
    best = max(report.models, key=lambda model: model.validation)
    assert report.chosen == best.label


def test_cold_items_are_measured_apart():
    parts = split_cold_items(checkerboard(n_users=60), test=0.3)
    parts = parts._replace(train=fuse(parts.train))
    report = evaluate(models("Popular", "ContentNeighbors"), parts, k=3)
    cold = report.cold_estimates
    assert cold["ContentNeighbors"]["ndcg@3"].mean > cold["Popular"]["ndcg@3"].mean + 0.2


def test_intervals_cover_the_mean_and_differences_are_paired(split):
    report = evaluate(models("Random", "ContentNeighbors", "ItemNeighbors"), split)
    for found in report.estimates.values():
        estimate = found["ndcg@10"]
        assert estimate.low <= estimate.mean <= estimate.high
    same = report.difference("Random", "Random")
    assert same.mean == same.low == same.high == 0.0
    gained = report.difference("ContentNeighbors", "Random")
    assert gained.low > 0
    with pytest.raises(OptionError, match="no model 'Randon' in the report; did you mean 'Random'"):
        report.difference("Randon", "Random")


def test_bootstrap_is_as_wide_as_theory_says():
    from fuserec.intervals import resampled_means

    values = np.random.default_rng(0).normal(size=(400, 1))
    spread = resampled_means(values, seed=0).std()
    assert spread == pytest.approx(values.std() / np.sqrt(400), rel=0.1)


def test_json_is_complete_and_finite(split):
    report = evaluate(models("Popular", "EASE"), split)
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["selection"] == "validation" and told["chosen"] in ("Popular", "EASE")
    assert {"name", "n_users", "n_items", "n_interactions", "sha256"} <= told["dataset"].keys()
    for row in told["models"]:
        assert row["metrics"]["recall@10"].keys() == {"mean", "low", "high", "n"}
        assert row["fit_seconds"] >= 0 and row["rank_seconds"] > 0 and row["peak_mb"] > 10
    assert str(report).count("\n") >= 3


def test_the_memory_of_a_model_is_not_that_of_those_before_it(split, monkeypatch):
    class Large(Recommender):
        def learn(self, dataset):
            self.kept_ = np.ones(40_000_000)  # 320 MB

        def score(self, users):
            return np.tile(self.popularity_, (len(users), 1))

    report = evaluate({"large": Large(), "small": registry.make("recommender", "Popular")}, split)
    large, small = (model.peak_mb for model in report.models)
    assert large - small > 250


def test_two_runs_give_the_same_numbers(split):
    one, two = (evaluate(models("Random", "ContentWalk"), split).estimates for _ in range(2))
    assert one == two


def test_pool_is_over_all_users(split):
    report = evaluate(models("Popular", "Random"), split)
    pooled = Report.pool([report, report])
    assert pooled.models[0].seeds == 2
    assert pooled.estimates["Popular"]["ndcg@10"].n == 2 * report.estimates["Popular"]["ndcg@10"].n
    assert pooled.estimates["Popular"]["ndcg@10"].mean == pytest.approx(report.estimates["Popular"]["ndcg@10"].mean)


def test_a_catalog_smaller_than_k_still_counts(split):
    report = evaluate(models("Popular"), split, k=500)
    assert report.estimates["Popular"]["recall@500"].mean == 1.0


def test_a_score_that_is_not_a_number_is_an_error(split):
    class Broken(Recommender):
        def learn(self, dataset):
            pass

        def score(self, users):
            return np.full((len(users), self.catalog_.n_items), np.nan, dtype=np.float32)

    with pytest.raises(ValueError, match="Broken gave a score that is not a number"):
        evaluate(Broken(), split)


def test_too_few_users_to_choose_are_told():
    few = split_by_time(checkerboard(n_users=12), test=0.2)
    report = evaluate(models("Popular", "Random"), few)
    assert "too few users to choose between models (expected 30 or more)" in report.caption()
    n = report.models[0].n_validation
    assert 0 < n < 30 and f"best on validation ({n} users)" in report.caption()
    assert "too few users" not in Report.pool([report] * 30).caption()
    many = split_by_time(checkerboard(n_users=300), test=0.2)
    assert "too few users" not in evaluate(models("Popular"), many).caption()


def test_cold_is_not_told_for_a_handful_of_users(split):
    parts = split_cold_items(checkerboard(n_users=60), test=0.3)
    parts = parts._replace(train=fuse(parts.train))
    rows = parts.test.interactions
    few = replace(parts.test, interactions=rows.take(rows.users < np.unique(rows.users)[9]))
    report = evaluate(models("Popular", "ContentNeighbors"), parts._replace(test=few))
    cold = report.header().index("cold ndcg@10")
    assert {row[cold] for row in report.rows()} == {"-"} and "9 users went for an item new in test" in report.caption()
    assert "-" not in {row[cold] for row in evaluate(models("Popular"), parts).rows()}
