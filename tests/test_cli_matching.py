"""The commands across modalities: match and search, and the recipe's keys on the command line."""

import io
import json
import sys

import pytest

from fuserec import cli, load_model, toy_shop

CLASSIC = ("--encoder", "text=TfidfText", "--encoder", "image=ColorTexture", "--encoder", "video=VideoFrames")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("matching")


@pytest.fixture(scope="module")
def call(folder):
    """Arguments → exit status, standard output, standard error, in this process: torch and jieba are read once."""

    def run(*arguments):
        out, err, before = io.StringIO(), io.StringIO(), (sys.argv, sys.stdout, sys.stderr)
        sys.argv, sys.stdout, sys.stderr = ["fuserec", *map(str, arguments)], out, err
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.argv, sys.stdout, sys.stderr = before
        return code, out.getvalue(), err.getvalue()

    return run


@pytest.fixture(scope="module")
def shop(folder):
    return toy_shop(60, 40, seed=3, folder=folder / "shop")


@pytest.fixture(scope="module")
def model(call, folder, shop):
    code, out, err = call("train", folder / "shop", "--out", folder / "model", *CLASSIC)
    assert code == 0, err
    return folder / "model"


def test_match_prints_one_json_object_of_every_item_and_pair(call, folder, shop, tmp_path):
    page = tmp_path / "match.html"
    code, out, err = call("match", folder / "shop", "--json", "--report", page, *CLASSIC)
    assert code == 0, err
    told = json.loads(out)
    assert sorted(entry["item_id"] for entry in told["items"]) == sorted(shop.catalog.ids)
    known = [entry["agreement"] for entry in told["items"] if entry["agreement"] is not None]
    assert known == sorted(known) and None not in [entry["agreement"] for entry in told["items"][: len(known)]]
    pair = next(pair for pair in told["pairs"] if pair["columns"] == ["title", "photo"])
    assert {"recall@1", "recall@5", "recall@10", "median_rank", "n"} <= pair.keys()
    assert pair["recall@10"] > pair["chance@10"]
    assert len(told["clusters"]["shared"]["labels"]) == 60 and told["cluster_agreement"]
    text = page.read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in text and "http://" not in text and "https://" not in text
    assert "Items whose columns disagree" in text and "by photo" in text


def test_match_shows_tables(call, folder, shop):
    code, out, err = call("match", folder / "shop", "--clusters", "none", *CLASSIC)
    assert code == 0, err
    assert "title – photo" in out and "Items whose columns disagree, the worst first" in out
    assert "least between" in out


def test_search_finds_by_words_across_columns(call, shop, model):
    title = shop.catalog.columns["title"].values[0]
    code, out, err = call("search", model, "--text", title, "-k", 3, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["query"] == {"text": title, "k": 3} and told["items"][0]["title"] == title
    code, out, _ = call("search", model, "--text", title, "--by", "photo", "--json")
    assert code == 0 and set(json.loads(out)["items"][0]["why"]) == {"photo"}


def test_search_finds_by_a_picture_and_by_a_sound(call, shop, model):
    for option, column in (("--image", "photo"), ("--audio", "jingle")):
        row = next(row for row, value in enumerate(shop.catalog.columns[column].values) if value)
        code, out, err = call("search", model, option, shop.catalog.path(column, row), "-k", 1, "--json")
        assert code == 0, err
        assert json.loads(out)["items"][0]["item_id"] == shop.catalog.ids[row]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "give --text, --image, --audio or --video"),
        (("--image", "nothing.png"), 1, "nothing.png.*no such file|no such file.*nothing.png"),
        (("--text", "kite", "--by", "phto"), 2, "did you mean 'photo'"),
    ],
)
def test_what_cannot_be_searched_is_one_line(call, model, arguments, status, message):
    import re

    code, _, err = call("search", model, *arguments)
    assert code == status and err.count("\n") == 1 and re.search(message, err)


def test_keys_of_the_recipe_on_the_command_line(call, folder, shop, tmp_path):
    options = ("-o", "normalize.photo=ZScore", "-o", "normalize.audio=Robust", "-o", "fill=RidgeFiller")
    code, _, err = call("train", folder / "shop", "--out", tmp_path / "m", "--align", "none", *options, *CLASSIC)
    assert code == 0, err
    stages = load_model(tmp_path / "m").stages_
    assert [type(stage).__name__ for stage in stages] == ["Encoded", "Normalized", "Filled", "Fused"]
    assert set(stages[1].normalizers_) == {"photo", "jingle"}
    code, _, err = call("train", folder / "shop", "--out", tmp_path / "n", "-o", "fill=RidgeFillr")
    assert code == 2 and "did you mean 'RidgeFiller'" in err
    code, _, err = call("train", folder / "shop", "--out", tmp_path / "n", "-o", "normalise.photo=ZScore")
    assert code == 2 and "did you mean 'normalize'" in err
