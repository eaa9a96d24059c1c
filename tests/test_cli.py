"""The command line as a user meets it: exit status, one-line errors, JSON alone on standard output."""

import json
import os
import subprocess
import sys

import pytest

from fuserec import toy_shop


def run(*arguments, cwd=None):
    environment = {**os.environ, "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "fuserec", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment, cwd=cwd, timeout=200
    )
    return done.returncode, done.stdout, done.stderr


CLASSIC = ("--encoder", "text=TfidfText", "--encoder", "image=ColorTexture")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "shop"
    toy_shop(40, 30, seed=3, folder=folder, broken=3)
    return folder


@pytest.fixture(scope="module")
def model(shop):
    code, out, err = run("train", shop, "--out", shop.parent / "model", "--set", "content=0.4", *CLASSIC)
    assert code == 0, err
    assert "content=0.4" in out
    return shop.parent / "model"


def test_a_model_folder_keeps_the_evaluation_for_its_pages(shop, model, tmp_path):
    code, _, err = run("evaluate", shop, "--models", "Popular,EASE", "--keep", model, *CLASSIC)
    assert code == 0 and "its pages show it" in err, err
    kept = json.loads((model / "evaluation.json").read_text(encoding="utf-8"))
    assert {one["name"] for one in kept["models"]} == {"Popular", "EASE"} and "test users" in kept["caption"]
    assert run("recommend", model, "user-7")[0] == 0
    code, _, err = run("evaluate", shop, "--keep", tmp_path)
    assert code != 0 and "not a fuserec model" in err
    code, _, err = run("evaluate", shop, "--keep", model, "--ratings")
    assert code != 0 and "--keep is for evaluations of rankings" in err


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "inspect",
        "import",
        "encode",
        "train",
        "evaluate",
        "match",
        "recommend",
        "predict",
        "similar",
        "search",
        "list",
    ],
)
def test_every_command_has_help_with_an_example(command):
    code, out, _ = run(command, "--help")
    assert code == 0 and f"Example: fuserec {command}" in out


def test_inspect_tells_what_is_broken(shop):
    code, out, err = run("inspect", shop)
    assert code == 0
    assert "photo" in out and "image" in out and "30 users, 40 items" in out
    assert err.count("set aside") >= 1
    code, out, _ = run("inspect", shop, "--json")
    told = json.loads(out)
    assert told["columns"]["photo"].keys() == {"modality", "usable", "missing", "broken"}
    broken = sum(column["broken"] for column in told["columns"].values())
    assert broken == sum(entry["stage"] == "clean" and entry["what"] != "interaction" for entry in told["set_aside"])


def test_evaluate_prints_one_json_object_and_writes_a_page_without_foreign_addresses(shop, tmp_path):
    page = tmp_path / "report.html"
    code, out, err = run(
        "evaluate", shop, "--models", "Popular,ContentWalk", "-k", 5, "--json", "--report", page, *CLASSIC
    )
    assert code == 0, err
    told = json.loads(out)
    assert [row["name"] for row in told["models"]] == ["Popular", "ContentWalk"]
    assert told["split"] == "global-time" and "recall@5" in told["models"][0]["metrics"]
    text = page.read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in text and "http://" not in text and "https://" not in text
    assert "<script" not in text and "95\N{NO-BREAK SPACE}% interval" in text


def test_a_second_run_reads_every_vector_from_the_cache(shop):
    assert run("encode", shop, *CLASSIC)[0] == 0
    cache = shop / ".fuserec" / "vectors.sqlite"
    import sqlite3

    def count():
        connection = sqlite3.connect(cache)
        n = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
        connection.close()
        return n

    before = count()
    code, out, _ = run("encode", shop, *CLASSIC)
    assert code == 0 and "ColorTexture" in out and count() == before > 60


def test_recommend_and_similar_read_the_model(model):
    code, out, err = run("recommend", model, "user-1", "-k", 3, "--explain", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["query"] == {"user": "user-1", "k": 3}
    assert [item.keys() for item in told["items"]] == [{"item_id", "score", "title", "why"}] * 3
    code, out, _ = run("recommend", model, "user-1", "--explain")
    assert code == 0 and "because of" in out and "community" in out
    code, out, _ = run("recommend", model, "user-1", "-k", 3, "--diversity", 0.9, "--json")
    diverse = [item["item_id"] for item in json.loads(out)["items"]]
    assert diverse[0] == told["items"][0]["item_id"] and diverse != [item["item_id"] for item in told["items"]]
    code, out, _ = run("similar", model, "item-5", "--by", "title", "--json")
    assert code == 0 and len(json.loads(out)["items"]) == 10


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("recommend", "MODEL", "user-999"), 1, "error: unknown user 'user-999'"),
        (("similar", "MODEL", "item-5", "--by", "titel"), 2, "did you mean 'title'"),
        (("recommend", "SHOP", "user-1"), 1, "is not a fuserec model"),
        (("evaluate", "NOTHING"), 1, "error: "),
        (("evaluate", "SHOP", "--models", "EESE"), 2, "did you mean 'EASE'"),
        (("evaluate", "SHOP", "--split", "tme"), 2, "split.by"),
        (("train", "SHOP", "--out", "SHOP"), 1, "holds something else"),
        (("train", "SHOP", "--out", "OUT", "--model", "EASE", "--set", "l2"), 2, "expected KEY=VALUE"),
        (("train", "SHOP", "--out", "OUT", "--model", "EASE", "--set", "l22=3"), 2, "no option 'l22'"),
        (("import", "movilens", "SHOP", "OUT"), 2, "did you mean 'movielens'"),
        (("list", "encodrs"), 2, "did you mean 'encoders'"),
        (("recommend", "MODEL"), 2, "give a user id, or --items A,B,C"),
    ],
)
def test_errors_are_one_line_with_a_status(arguments, status, message, shop, model, tmp_path):
    names = {"SHOP": shop, "MODEL": model, "NOTHING": tmp_path / "nothing", "OUT": tmp_path / "out"}
    code, out, err = run(*(names.get(argument, argument) for argument in arguments))
    assert (code, out) == (status, "")
    assert message in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_debug_shows_the_traceback(model):
    code, _, err = run("recommend", model, "user-999", "--debug")
    assert code == 1 and "Traceback" in err


def test_list_names_every_component():
    code, out, _ = run("list")
    assert code == 0
    for name in ("ColorTexture", "Concat", "ContentWalk", "movielens"):
        assert name in out


def test_demo_shows_that_all_columns_together_win(tmp_path):
    code, out, err = run("demo", tmp_path / "toyshop", "--seeds", 1)
    assert code == 0, err
    assert "ContentNeighbors(by=fused) beats Popular" in out
    assert str(tmp_path / "toyshop" / "report.html") in err
    assert (tmp_path / "toyshop" / "report.html").stat().st_size > 20_000
