"""Ratings on the command line: evaluate, train, predict, list."""

import json

import pytest
from tests.planted_ratings import planted_ratings
from typer.testing import CliRunner

from fuserec.cli import entry  # noqa: F401  (registers the commands)
from fuserec.cli.options import app
from fuserec.errors import ArtifactError, OptionError
from fuserec.recipe import Recipe
from fuserec.sources.write import write


def run(*arguments):
    done = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ratings") / "films"
    write(planted_ratings(), folder)
    return folder


def test_evaluate_prints_one_object(source):
    code, out, _ = run(
        "evaluate", source, "--ratings", "--models", "Biases,ContentRatings", "--split", "random", "--json"
    )
    told = json.loads(out)
    assert code == 0 and [row["label"] for row in told["models"]] == ["Biases", "ContentRatings"]
    assert told["models"][0]["metrics"]["rmse"]["low"] > 0


def test_evaluate_prints_a_table(source):
    code, out, _ = run("evaluate", source, "--ratings", "--models", "Biases,ContentRatings", "--split", "random")
    assert code == 0 and "RMSE" in out and "Calibration" in out and "clipped to 1 to 5" in out


def test_evaluate_writes_a_page_and_replaces_no_file_of_the_users(source):
    arguments = ("evaluate", source, "--ratings", "--models", "Biases,ContentRatings", "--split", "random", "--report")
    report = source.parent / "ratings.html"
    code, _, err = run(*arguments, report)
    assert code == 0 and f"report: {report}" in err
    page = report.read_text(encoding="utf-8")
    assert "which model predicts ratings best" in page and "fuserec evaluate" not in page.split("How this was made")[0]
    mine = source.parent / "mine.html"
    mine.write_text("mine")
    with pytest.raises(ArtifactError, match="is not a report of fuserec"):
        run(*arguments, mine)
    assert mine.read_text() == "mine"


def test_train_then_predict(source):
    model = source.parent / "model"
    code, out, _ = run("train", source, "--model", "Biases", "--out", model)
    assert code == 0 and f"Try: fuserec predict {model} u0 i0" in out
    code, out, err = run("predict", model, "u1", "i2", "nothing", "--json")
    told = json.loads(out)
    assert code == 0 and [item["known"] for item in told["items"]] == [True, False]
    assert all(1.0 <= item["rating"] <= 5.0 and 0.0 <= item["like"] <= 1.0 for item in told["items"])
    _, out, err = run("predict", model, "u1", "i2", "nothing")
    assert "chance of 3.5 or more" in out and "nothing" in err


def test_a_ranking_model_predicts_no_ratings(source):
    model = source.parent / "ranker"
    run("train", source, "--model", "Popular", "--out", model)
    with pytest.raises(OptionError, match="which ranks and predicts no ratings; train a rating model"):
        run("predict", model, "u1", "i2")


def test_raters_are_listed():
    code, out, _ = run("list", "raters")
    assert code == 0 and "BayesianFactors" in out and "TextLSTM" in out


def test_predictions_say_what_they_are_made_of(source):
    model = source.parent / "neighbors"
    run("train", source, "--model", "NeighborRatings", "--out", model)
    _, out, _ = run("predict", model, "u1", "i2", "--explain", "--json")
    (item,) = json.loads(out)["items"]
    assert {"mean", "user", "item"} < set(item["why"]) and any(name.startswith("rated ") for name in item["why"])
    assert sum(item["why"].values()) == pytest.approx(item["rating"], abs=1e-3) or item["rating"] in (1.0, 5.0)
    _, out, _ = run("predict", model, "u1", "i2", "--explain")
    assert "i2: mean +" in out and ", in all " in out


def test_raters_of_a_recipe_are_evaluated_trained_and_tuned(source):
    pytest.importorskip("optuna", reason='needs the extra [tune]: pip install -e ".[tune]" (make test does)')
    recipe, tuned, model = (source.parent / name for name in ("raters.toml", "tuned.toml", "raters-model"))
    recipe.write_text('raters = [{ name = "Biases", l2_items = 900.0 }]\n[split]\nby = "random"\n')
    _, out, _ = run("evaluate", source, "--ratings", "--recipe", recipe, "--json")
    (row,) = json.loads(out)["models"]
    assert row["label"] == "Biases(l2_items=900.0)" and row["options"]["l2_items"] == 900.0
    _, out, _ = run(
        "tune", source, "--ratings", "--models", "Biases", "--split", "random", "--trials", 4, "--out", tuned, "--json"
    )
    told = json.loads(out)
    (found,) = told["models"]
    assert (
        told["metric"] == "RMSE" and found["validation"] <= found["validation_of_defaults"] and found["n_trials"] == 4
    )
    assert Recipe.read(tuned).raters[0].options == found["options"] and not Recipe.read(tuned).models
    code, out, _ = run("train", source, "--recipe", tuned, "--model", "Biases", "--out", model)
    assert code == 0 and all(f"{key}={value}" in out for key, value in found["options"].items())
