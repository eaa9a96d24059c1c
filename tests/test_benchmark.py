"""Benchmarks follow the protocol: given split, test opened once by the one and never by the other."""

import numpy as np
import pytest

from fuserec import benchmark, evaluation, registry
from fuserec.recipe import Recipe
from fuserec.report import Report


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    pairs = [(user, int(item)) for user in range(40) for item in rng.choice(30, 8, replace=False)]
    labels = [1 if place % 8 == 6 else 2 if place % 8 == 7 else 0 for place in range(len(pairs))]
    rows = [f"{user}\t{item}\t{label}" for (user, item), label in zip(pairs, labels, strict=True)]
    (tmp_path / "tiny.inter").write_text("userID\titemID\tx_label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    np.save(tmp_path / "image_feat.npy", rng.standard_normal((30, 4)).astype(np.float16))
    return tmp_path


RECIPE = Recipe.parse({"align": "none", "models": ["Random", "Popular", {"name": "ContentWalk", "hops": 2}]})


def test_tiktok_chooses_on_validation_and_opens_test_once(files, monkeypatch):
    monkeypatch.setattr(evaluation, "_opened", evaluation.Counter())
    report = registry.load("benchmark", "tiktok")(files, RECIPE, seeds=2)
    told = report.to_dict()
    assert isinstance(report, Report) and told["split"] == "given" and told["test_opened"] == 1
    assert told["chosen"] == max(told["models"], key=lambda row: row["validation"])["label"]
    assert told["models"][0]["seeds"] == 2 and told["models"][0]["metrics"]["recall@20"]["n"] == 40


def test_speed_never_measures_on_test(files, monkeypatch):
    monkeypatch.setattr(evaluation, "_opened", evaluation.Counter())
    rows = registry.load("benchmark", "speed")(files, RECIPE)
    assert [row["label"] for row in rows] == ["Random", "Popular", "ContentWalk(hops=2)"]
    assert not evaluation._opened and len(benchmark.speed_table(rows)[1]) == 3


def test_the_recipe_of_tiktok_can_be_made():
    for part in benchmark.TIKTOK.models:
        part.make("recommender")
