"""Commands that compare models, as a user meets them: the JSON contract, exit status, errors; one seed, one result."""

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import fields

import numpy as np
import pytest
import tomli_w

from fuserec import registry
from fuserec.recommenders.training import TrainedRecommender
from tests.planted import checkerboard

TIMES = ("fit_seconds", "rank_seconds", "peak_mb")


def run(*arguments, cwd=None, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "fuserec", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "200", "PYTHONIOENCODING": "utf-8", **environment},
        cwd=cwd,
        timeout=200,
    )
    return done.returncode, done.stdout, done.stderr


def ran(*arguments, **environment):
    """The JSON of a command that has to work."""
    code, out, err = run(*arguments, "--json", **environment)
    assert code == 0, err
    return json.loads(out)


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in TIMES}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def mmrec(tmp_path_factory):
    """A folder of MMRec: users of two tastes, a part each for validation and test, an item that is new in test."""
    folder = tmp_path_factory.mktemp("mmrec")
    rng = np.random.default_rng(0)
    lines = ["userID\titemID\tx_label"]
    for user in range(30):
        chosen = rng.choice(np.arange(user % 2, 24, 2), 7, replace=False)
        last = 24 if user < 6 else chosen[6]
        lines += [f"{user}\t{item}\t{label}" for item, label in zip([*chosen[:6], last], [0] * 5 + [1, 2], strict=True)]
    (folder / "tiny.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    side = np.where(np.arange(25)[:, None] % 2 == 0, [[1.0, 0.0, 0.3]], [[0.0, 1.0, 0.3]])
    for name in ("image", "audio"):
        np.save(folder / f"{name}_feat.npy", (side + 0.1 * rng.standard_normal(side.shape)).astype(np.float16))
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A dataset folder: titles, the vectors of photos, times."""
    folder = tmp_path_factory.mktemp("source")
    data = checkerboard(n_users=40)
    rows = zip(data.interactions.users, data.interactions.items, data.interactions.times, strict=True)
    table = [f"{data.users[user]},{data.catalog.ids[item]},{at}" for user, item, at in rows]
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(table) + "\n", encoding="utf-8")
    titles = [f"{item},{['even tea', 'odd cup'][row % 2]} {row}" for row, item in enumerate(data.catalog.ids)]
    (folder / "items.csv").write_text("item_id,title\n" + "\n".join(titles) + "\n", encoding="utf-8")
    (folder / "vectors").mkdir()
    np.save(folder / "vectors" / "photo.npy", data.embeddings["photo"].vectors)
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Every model that is learned by gradient, in seconds, and several seeds of one."""
    models = []
    for name in registry.components("recommender"):
        component = registry.load("recommender", name)
        if issubclass(component, TrainedRecommender):
            quick = {"epochs": 2, "dim": 8, "negatives": 16}
            models.append(
                {"name": name} | {one.name: quick[one.name] for one in fields(component) if one.name in quick}
            )
    models.append({"name": "Seeds", "model": next(one for one in models if one["name"] == "LightGCN"), "seeds": 2})
    file = tmp_path_factory.mktemp("recipe") / "learned.toml"
    file.write_text(tomli_w.dumps({"align": "none", "models": models}), encoding="utf-8")
    return file


def test_two_processes_with_one_seed_print_the_same_numbers(source, recipe):
    # Sets and dictionaries of strings are ordered by the hash seed, where somebody relies on their order.
    first, again = (ran("evaluate", source, "--recipe", recipe, "-k", 5, PYTHONHASHSEED=seed) for seed in "12")
    assert without_times(first) == without_times(again)
    told = {row["label"]: row for row in first["models"]}
    assert len(told) >= 4
    assert all(row["metrics"]["ndcg@5"]["mean"] > 0 for row in told.values())


def test_evaluate_says_what_columns_are_worth(source):
    told = ran("evaluate", source, "--models", "Popular,ContentWalk", "-k", 5, "--modalities", "--seeds", 2)
    assert told["dataset"].keys() == {"name", "n_users", "n_items", "n_interactions", "sha256"}
    assert (told["split"], told["selection"], told["chosen"]) == ("global-time", "validation", "ContentWalk")
    for row in told["models"]:
        assert {"name", "options", "seeds", "metrics", "cold", *TIMES} <= row.keys()
        assert row["metrics"]["recall@5"].keys() == {"mean", "low", "high", "n"} and row["seeds"] == 1
    worth = told["modalities"]
    assert (worth["model"], worth["metric"], worth["seeds"]) == ("ContentWalk", "ndcg@5", 3)
    assert {column["column"] for column in worth["columns"]} == {"title", "photo"}
    for column in worth["columns"]:
        assert column["sentence"].startswith(column["column"]) and column["sentence"].endswith(".")
        assert column["against"].keys() == {"removed", "noise", "shuffled", "alone"}
        rates = [point["rate"] for point in column["missing"]]
        assert rates == sorted(rates) and (rates[0], rates[-1]) == (0.0, 1.0)
        assert column["missing"][0]["mean"] == pytest.approx(told["models"][1]["metrics"]["ndcg@5"]["mean"])
        lost = column["missing"][0]["mean"] - column["missing"][-1]["mean"]
        assert column["gained"]["all"]["mean"] == pytest.approx(lost)


def test_benchmark_tiktok_is_the_contract_of_evaluate(mmrec, tmp_path):
    recipe = tmp_path / "recipe.toml"
    models = ["Popular", {"name": "ContentWalk", "hops": 2}, {"name": "LightGCN", "epochs": 2}]
    recipe.write_text(tomli_w.dumps({"align": "none", "models": models}), encoding="utf-8")
    told = ran("benchmark", "tiktok", "--data", mmrec, "--recipe", recipe, "--seeds", 2)
    assert told["dataset"] | {"name": "", "sha256": ""} == {
        "name": "",
        "n_users": 30,
        "n_items": 25,
        "n_interactions": 210,
        "sha256": "",
    }
    assert (told["split"], told["selection"], told["selected_by"], told["test_opened"]) == (
        "given",
        "validation",
        "ndcg@20",
        1,
    )
    by_label = {row["label"]: row for row in told["models"]}
    assert list(by_label) == ["Popular", "ContentWalk(hops=2)", "LightGCN(epochs=2)"]
    assert [row["seeds"] for row in told["models"]] == [1, 1, 2]
    assert told["chosen"] == max(by_label, key=lambda label: by_label[label]["validation"])
    for row in told["models"]:
        assert row["metrics"]["recall@20"]["n"] == 30 and row["cold"]["recall@20"]["n"] == 6
        assert row["metrics"]["recall@20"]["low"] <= row["metrics"]["recall@20"]["mean"]
        assert all(isinstance(row[name], float) for name in TIMES)


def test_benchmark_speed_leaves_test_shut(mmrec, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(tomli_w.dumps({"align": "none", "models": ["Popular", "RandomWalk"]}), encoding="utf-8")
    told = ran("benchmark", "speed", "--data", mmrec, "--recipe", recipe)
    assert {key: told[key] for key in ("benchmark", "selection", "test_opened")} == {
        "benchmark": "speed",
        "selection": "validation",
        "test_opened": 0,
    }
    for row in told["models"]:
        assert {"label", "name", "options", "seeds", "validation", *TIMES} <= row.keys() and "metrics" not in row


def test_tune_goes_on_and_its_recipe_can_be_evaluated(source, tmp_path):
    pytest.importorskip("optuna")
    out, storage = tmp_path / "tuned.toml", tmp_path / "trials.sqlite"
    search = ("tune", source, "--models", "Popular,RandomWalk", "--out", out, "--storage", storage, "-k", 5)
    first = ran(*search, "--trials", 2)
    again = ran(*search, "--trials", 4)
    for told, n in ((first, 2), (again, 4)):
        assert {key: told[key] for key in ("selection", "test_opened", "metric", "recipe")} == {
            "selection": "validation",
            "test_opened": 0,
            "metric": "ndcg@5",
            "recipe": str(out),
        }
        by_name = {row["name"]: row for row in told["models"]}
        assert by_name["Popular"]["n_trials"] == 1 and by_name["RandomWalk"]["n_trials"] == n
        for row in told["models"]:
            assert row.keys() == {
                "name",
                "options",
                "validation",
                "validation_of_defaults",
                "n_trials",
                "importance",
            }
            assert row["validation"] >= row["validation_of_defaults"] > 0
    assert {row["name"] for row in tomllib.loads(out.read_text(encoding="utf-8"))["models"]} == {
        "Popular",
        "RandomWalk",
    }
    told = ran("evaluate", source, "--recipe", out, "-k", 5)
    best = max(again["models"], key=lambda row: row["validation"])
    row = next(row for row in told["models"] if row["label"] == told["chosen"])
    assert (row["name"], row["validation"]) == (best["name"], pytest.approx(best["validation"]))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("benchmark", "tiktak", "--data", "MMREC"), 2, "did you mean 'tiktok'"),
        (("benchmark", "tiktok"), 2, "Missing option"),
        (("benchmark", "tiktok", "--data", "NOTHING"), 1, "error: "),
        (("benchmark", "tiktok", "--data", "SOURCE"), 1, ".inter"),
        (("benchmark", "tiktok", "--data", "MMREC", "--seeds", 0), 2, "--seeds"),
        (("tune", "SOURCE", "--models", "RandomWlk"), 2, "did you mean 'RandomWalk'"),
        (("tune", "SOURCE", "--trials", 0), 2, "--trials"),
        (("tune", "SOURCE", "--out", "OWN"), 2, "was not written by fuserec tune"),
        (("tune", "NOTHING"), 1, "error: "),
        (
            ("evaluate", "SOURCE", "--models", "Popular,RandomWalk", "--modalities"),
            1,
            "no model of Popular, RandomWalk",
        ),
    ],
)
def test_errors_are_one_line_with_a_status(arguments, status, message, source, mmrec, tmp_path):
    (tmp_path / "own.toml").write_text("[split]\n", encoding="utf-8")
    names = {"SOURCE": source, "MMREC": mmrec, "NOTHING": tmp_path / "nothing", "OWN": tmp_path / "own.toml"}
    code, out, err = run(*(names.get(argument, argument) for argument in arguments), cwd=tmp_path)
    assert (code, out) == (status, "")
    assert message in err and "Traceback" not in err
    assert (tmp_path / "own.toml").read_text(encoding="utf-8") == "[split]\n"
    assert not (tmp_path / "tuned.toml").exists()
