"""Reports on ratings: validation chooses, test is opened once, intervals are over users; the benchmark keeps to it."""

import json

import numpy as np
import pytest
from tests.planted_ratings import planted_ratings

from fuserec import evaluation, registry
from fuserec.errors import DataError, OptionError
from fuserec.fusion.fuser import fuse
from fuserec.preparation.split import split_random
from fuserec.ratings import movielens
from fuserec.ratings.evaluation import evaluate_ratings
from fuserec.ratings.report import RatingReport


@pytest.fixture
def split(monkeypatch):
    monkeypatch.setattr(evaluation, "_opened", evaluation.Counter())
    parts = split_random(planted_ratings(), validation=0.15, test=0.2)
    return parts._replace(train=fuse(parts.train))


def models(*names):
    return {
        name: registry.make("rater", name, {"l2_tastes": 1.0} if name == "ContentRatings" else {}) for name in names
    }


def test_the_report_says_who_is_best_and_how_sure_that_is(split):
    report = evaluate_ratings(models("Biases", "ContentRatings"), split)
    assert report.chosen == "ContentRatings" and report.test_opened == 1
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["scale"] == {"low": 1.0, "high": 5.0, "step": 0.5, "clipped": True, "like_from": 3.5}
    rows = split.test.interactions
    for model, row in zip(report.models, told["models"], strict=True):
        found = row["metrics"]["rmse"]
        assert found["mean"] == pytest.approx(np.sqrt(np.mean((rows.ratings - model.predicted) ** 2)), rel=1e-5)
        assert found["low"] < found["mean"] < found["high"] and found["n"] == len(np.unique(rows.users))
        assert 0.5 < row["metrics"]["auc"]["low"] < row["metrics"]["auc"]["mean"] < row["metrics"]["auc"]["high"]
        assert sum(one["n"] for one in row["calibration"]) == len(rows)
    (compared,) = told["comparisons"]
    assert compared["other"] == "Biases" and compared["low"] > 0 and compared["p"] < 0.05
    few = np.bincount(split.train.interactions.items, minlength=40)[rows.items] < 10
    assert told["n_few"] == few.sum()
    assert "predictions clipped to 1 to 5" in str(report) and "● ContentRatings" in str(report)


def test_a_good_model_is_calibrated(split):
    report = evaluate_ratings(models("ContentRatings"), split)
    chance = report.models[0].chance
    liked = report.ratings >= report.like_from
    assert abs(chance.mean() - liked.mean()) < 0.05
    assert report.estimates["ContentRatings"]["log_loss"].mean < 0.5 < 0.69


def test_pooled_folds_keep_every_rating(split):
    report = evaluate_ratings(models("Biases"), split)
    both = RatingReport.pool([report, report])
    assert len(both.ratings) == 2 * len(report.ratings)
    assert both.estimates["Biases"]["rmse"].mean == pytest.approx(report.estimates["Biases"]["rmse"].mean)
    assert both.estimates["Biases"]["rmse"].n == report.estimates["Biases"]["rmse"].n


def test_what_cannot_be_measured_is_said(split):
    empty = split.validation.interactions.take(np.zeros(0, np.int64))
    with pytest.raises(DataError, match="validation is empty"):
        evaluate_ratings(
            models("Biases"), split._replace(validation=movielens.replace(split.validation, interactions=empty))
        )
    with pytest.raises(OptionError, match="no models"):
        evaluate_ratings({}, split)


@pytest.fixture
def films(tmp_path):
    """Files as GroupLens writes them: 40 users, 30 films, two folds."""
    data = planted_ratings(n_users=40, n_items=30, step=1.0)
    rows = data.interactions
    lines = [
        f"{user + 1}\t{item + 1}\t{int(rating)}\t{880_000_000 + place}"
        for place, (user, item, rating) in enumerate(zip(rows.users, rows.items, rows.ratings, strict=True))
    ]
    (tmp_path / "u.data").write_text("\n".join(lines) + "\n")
    genres = ["Action", "Drama", "Comedy"]
    (tmp_path / "u.genre").write_text("".join(f"{name}|{place}\n" for place, name in enumerate(genres)))
    flags = [[int(row % 3 == place) for place in range(3)] for row in range(30)]
    items = [f"{row + 1}|Film {row + 1} (1990)|01-Jan-1990||url|{'|'.join(map(str, flags[row]))}" for row in range(30)]
    (tmp_path / "u.item").write_text("\n".join(items) + "\n")
    (tmp_path / "u.user").write_text("".join(f"{user + 1}|{20 + user}|M|writer|00000\n" for user in range(40)))
    for fold, rest in (("u1", 0), ("u2", 1)):
        for end, kept in (("base", False), ("test", True)):
            some = [line for place, line in enumerate(lines) if (place % 5 == rest) == kept]
            (tmp_path / f"{fold}.{end}").write_text("\n".join(some) + "\n")
    return tmp_path


def test_the_benchmark_chooses_without_the_test_part(films, monkeypatch):
    monkeypatch.setattr(evaluation, "_opened", evaluation.Counter())
    few = {"dim": 2, "sweeps": 40, "burn": 10}
    chosen = {"Biases": ("Biases", {}), "BayesianFactors": ("BayesianFactors", few)}
    found = movielens.movielens_ratings(films, folds=("u1", "u2"), models=chosen)
    told = json.loads(json.dumps(found, allow_nan=False))
    assert set(told["folds"]) == set(told["chosen"]["folds"]) == {"u1", "u2"} and told["test_opened"] == 1
    for fold, numbers in told["folds"].items():
        by_validation = {row["label"]: row["folds"][fold]["validation"] for row in told["models"]}
        known = {label: value for label, value in by_validation.items() if value is not None}
        assert numbers["label"] == min(known, key=known.get)
        assert numbers["rmse_low"] < numbers["rmse"] < numbers["rmse_high"]
    mean = np.mean([one["rmse"] for one in told["folds"].values()])
    assert told["mean_rmse"] == pytest.approx(mean)
    header, rows = movielens.ratings_table(told)
    assert len(header) == len(rows[0]) and "u1, u2" in movielens.caption(told)[0]


def test_the_benchmark_says_what_is_missing(films):
    with pytest.raises(OptionError, match="no --recipe"):
        movielens.movielens_ratings(films, seeds=3)
    (films / "u1.test").unlink()
    with pytest.raises(DataError, match="no file .*u1.test"):
        movielens.movielens_ratings(films, folds=("u1",), models={"Biases": ("Biases", {})})
