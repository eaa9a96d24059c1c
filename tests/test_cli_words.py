"""What the command line says before, during and after the work; run in this process, on a shop of texts."""

import json
import os
import re
import sys

import numpy as np
import pytest

from fuserec import __version__
from fuserec.cli import console, main, steps

CLASSIC = ("--encoder", "text=TfidfText")


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fuserec", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """40 users who choose among 30 items, each item of one of two kinds, rated 1 to 5."""
    folder = tmp_path_factory.mktemp("words") / "shop"
    folder.mkdir()
    rng = np.random.default_rng(0)
    kinds = ("a red cup of clay for tea", "a blue lamp of brass for reading")
    items = [f"item-{row},{kinds[row % 2]} number {row}" for row in range(30)]
    (folder / "items.csv").write_text("\n".join(["item_id,title", *items]), encoding="utf-8")
    rows = ["user_id,item_id,rating,timestamp"]
    for user in range(40):
        for item in rng.choice(np.arange(user % 2, 30, 2), 8, replace=False):
            rows.append(f"user-{user},item-{item},{rng.integers(1, 6)},{1_700_000_000 + rng.integers(1_000_000)}")
    (folder / "interactions.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


@pytest.fixture
def no_work(monkeypatch):
    """Fail when a source is read: what is wrong with a call is to be told before."""

    def read(*arguments, **options):
        raise AssertionError("work began")

    monkeypatch.setattr(steps, "read_source", read)


def test_a_report_never_replaces_a_file_of_the_users_own(call, shop, tmp_path, no_work):
    mine = tmp_path / "items.csv"
    mine.write_text("item_id\nmine\n", encoding="utf-8")
    code, out, err = call("evaluate", shop, "--report", mine)
    assert (code, out) == (1, "") and "items.csv exists and is not a report of fuserec; name another file" in err
    assert mine.read_text(encoding="utf-8") == "item_id\nmine\n"
    code, _, err = call("evaluate", shop, "--report", tmp_path)
    assert code == 1 and "is a folder; name a file" in err
    code, _, err = call("evaluate", shop, "--report", mine / "report.html")
    assert code == 1 and f"cannot be written: {mine} is not a folder" in err
    (tmp_path / "toyshop").mkdir()
    (tmp_path / "toyshop" / "report.html").write_text("<h1>thesis</h1>", encoding="utf-8")
    code, _, err = call("demo", tmp_path / "toyshop")
    assert code == 1 and "is not a report of fuserec" in err


@pytest.fixture
def read_only(monkeypatch):
    """As if no folder could be written to; the tests may run as root, who can always."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and access(path, mode))


@pytest.mark.parametrize(("command", "option"), [("evaluate", "--report"), ("train", "--out"), ("encode", "--cache")])
def test_a_place_without_permission_is_told_in_words(call, shop, tmp_path, read_only, command, option):
    code, out, err = call(command, shop, option, tmp_path / "new" / "place")
    assert (code, out) == (1, "")
    assert f"cannot be written: no permission to write into {tmp_path}; name another place" in err
    assert "Errno" not in err


def test_a_read_only_source_without_a_cache_folder_is_told(call, shop, tmp_path, monkeypatch, read_only):
    monkeypatch.setattr(steps, "user_cache_path", lambda name: tmp_path / name)
    code, _, err = call("encode", shop, *CLASSIC)
    assert code == 1 and "shop is read-only, and" in err and "with --cache FILE" in err and "delete" not in err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("train", "--out", "SHOP"), 1, "exists and holds something else (interactions.csv, items.csv)"),
        (("train", "--out", "SHOP/items.csv"), 1, "is a file; name a new folder"),
        (("train", "--out", "OUT", "--set", "foo=1"), 2, "ContentWalk has no option 'foo'"),
        (
            ("train", "--out", "OUT", "--recipe", "RECIPE"),
            2,
            "names 3 models: Popular, ContentWalk(content=0.2), ItemN",
        ),
        (("train", "--out", "OUT", "--model", "ease"), 2, "error: unknown recommender 'ease'; did you mean 'EASE'? Kn"),
        (("evaluate", "--models", "ease"), 2, "error: unknown recommender 'ease'; did you mean 'EASE'? Known: "),
        (("evaluate", "--recipe", "MISSPELT"), 2, "unknown key 'clean.min_raitng'; did you mean 'min_rating'? Known: "),
        (("evaluate", "--split", "tme"), 2, "split.by = 'tme': expected 'auto', "),
        (("evaluate", "--encoder", "text=tfidftext"), 2, "unknown encoder 'tfidftext'; did you mean 'TfidfText'?"),
    ],
)
def test_what_is_wrong_is_told_before_the_work(call, shop, tmp_path, no_work, arguments, status, message):
    (tmp_path / "recipe.toml").write_text(
        'models = ["Popular", {name = "ContentWalk", content = 0.2}, "ItemNeighbors"]', encoding="utf-8"
    )
    (tmp_path / "misspelt.toml").write_text("[clean]\nmin_raitng = 3", encoding="utf-8")
    names = {"SHOP": shop, "SHOP/items.csv": shop / "items.csv", "OUT": tmp_path / "out"}
    names |= {"RECIPE": tmp_path / "recipe.toml", "MISSPELT": tmp_path / "misspelt.toml"}
    command, *rest = arguments
    code, out, err = call(command, shop, *(names.get(word, word) for word in rest))
    assert (code, out) == (status, "") and message in err
    assert "Input should" not in err and "Value error" not in err and "[type=" not in err


def test_a_recipe_of_several_models_trains_the_one_that_is_named(call, shop, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('models = ["Popular", {name = "ContentWalk", content = 0.2}]', encoding="utf-8")
    more = ("--recipe", recipe, *CLASSIC)
    code, out, err = call("train", shop, "--out", tmp_path / "model", "--model", "ContentWalk", *more)
    assert code == 0 and "content=0.2" in out, err
    code, out, err = call("evaluate", shop, "--models", "ContentWalk,Random", "--json", *more)
    assert code == 0 and [row["label"] for row in json.loads(out)["models"]] == ["ContentWalk(content=0.2)", "Random"]


def test_evaluate_says_how_to_train_what_it_chose(call, shop, tmp_path):
    code, out, err = call("evaluate", shop, "--models", "Popular", "--min-rating", 2, *CLASSIC)
    assert code == 0, err
    last = out.splitlines()[-1]
    told = "--encoder text=TfidfText --min-rating 2.0"
    assert last == f"Train it: fuserec train {shop} --out MODEL --model Popular {told}"
    words = last.removeprefix("Train it: fuserec ").replace("MODEL", str(tmp_path / "model")).split()
    assert call(*words)[0] == 0
    code, out, _ = call("evaluate", shop, *CLASSIC)
    assert code == 0 and "--model ContentNeighbors --set by=" in out.splitlines()[-1]


def test_interactions_below_a_rating_are_left_out_and_counted(call, shop, tmp_path):
    code, _, err = call("train", shop, "--out", tmp_path / "model", "--min-rating", 4, *CLASSIC)
    assert code == 0
    n = int(re.search(r"set aside: (\d+) x interaction, rated below 4;", err)[1])
    rows = (shop / "interactions.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert n == sum(int(row.split(",")[2]) < 4 for row in rows) > 0
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["about"]["n_interactions"] == len(rows) - n


def test_without_a_terminal_there_is_a_line_a_column(call, shop, tmp_path):
    code, _, err = call("encode", shop, "--cache", tmp_path / "cache.sqlite", *CLASSIC)
    assert code == 0 and "encoding title: 30 items\n" in err and "encoding title: done in 0 s" in err
    _, _, err = call("encode", shop, "--cache", tmp_path / "cache.sqlite", *CLASSIC)
    assert "encoding title: 30 items, all known already\n" in err and "done in" not in err


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(console.out, "width", 80)


def test_a_narrow_terminal_shows_every_column(call, shop, tmp_path, narrow):
    code, out, err = call("list", "encoders")
    assert code == 0 and "what it is" in out and "wider" not in err
    assert max(map(len, out.splitlines())) <= 80
    assert "that tell texts apart." in " ".join(out.split())
    assert call("train", shop, "--out", tmp_path / "model", *CLASSIC)[0] == 0
    code, out, _ = call("recommend", tmp_path / "model", "user-1", "--explain", "-k", 3)
    assert code == 0 and "because of" in out and "community" in out and max(map(len, out.splitlines())) <= 80


def test_a_narrow_report_has_every_number_whole(call, shop, narrow):
    code, out, _ = call("evaluate", shop, *CLASSIC)
    assert code == 0
    table = out[: out.index("shop: 40 users")]
    assert max(map(len, table.splitlines())) <= 80
    for word in ("ndcg", "recall", "hit", "cold", "coverage", "fit", "rank"):
        assert word in table
    wide = call("evaluate", shop, *CLASSIC, "--json")[1]
    for model in json.loads(wide)["models"]:
        low, high = (model["metrics"]["ndcg@10"][key] for key in ("low", "high"))
        assert f"[{low:.4f}, {high:.4f}]" in table and f"{model['metrics']['recall@10']['mean']:.4f}" in table
        assert re.search(rf"\b{model['name']}\b", table)


def test_a_user_who_has_seen_everything(call, tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "items.csv").write_text("item_id,price\na,1\nb,2\n", encoding="utf-8")
    (folder / "interactions.csv").write_text("user_id,item_id\nu,a\nu,b\nv,a\n", encoding="utf-8")
    assert call("train", folder, "--out", tmp_path / "model", "--model", "Popular")[0] == 0
    code, out, err = call("recommend", tmp_path / "model", "u", "--json")
    assert code == 0 and json.loads(out)["items"] == [] and "nothing left to recommend: user u" in err
    assert "nothing left" not in call("recommend", tmp_path / "model", "v")[2]


def test_the_same_import_again_replaces_the_folder(call, tmp_path):
    files = tmp_path / "ml"
    files.mkdir()
    (files / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,10,4,5\n", encoding="utf-8")
    (files / "movies.csv").write_text("movieId,title,genres\n10,One,Drama\n", encoding="utf-8")
    target = tmp_path / "to"
    assert call("import", "movielens", files, target)[0] == 0
    (target / ".fuserec").mkdir()
    (target / ".fuserec" / "vectors.sqlite").write_bytes(b"kept")
    (files / "movies.csv").write_text("movieId,title,genres\n10,Two,Drama\n", encoding="utf-8")
    code, _, err = call("import", "movielens", files, target)
    assert code == 0 and "Two" in (target / "items.csv").read_text(encoding="utf-8"), err
    assert (target / ".fuserec" / "vectors.sqlite").read_bytes() == b"kept"
    (target / "notes.txt").write_text("mine", encoding="utf-8")
    code, _, err = call("import", "movielens", files, target)
    assert code == 1 and "would be replaced, but also holds notes.txt; move that away" in err
    code, _, err = call("import", "movielens", files, files)
    assert code == 1 and "exists and holds something else (movies.csv, ratings.csv)" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ml", "to"]


def test_version_short_help_and_plural_kinds(call):
    assert call("--version") == (0, f"fuserec {__version__}\n", "")
    assert "Example: fuserec train" in call("train", "-h")[1] and "evaluate" in call("-h")[1]
    code, _, err = call("list", "foo")
    assert code == 2 and "unknown kind 'foo'. Known: aligners, augmentations, benchmarks, encoders, fillers, " in err
    assert call("list", "encoder")[0] == 0


def test_ctrl_c_says_how_to_go_on(call, shop, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "read_source", stop)
    code, _, err = call("encode", shop)
    assert code == 130 and "stopped; run the same command again to go on" in err


def test_an_error_of_the_system_is_told_without_its_number(call, shop, monkeypatch):
    def fail(*arguments):
        raise PermissionError(13, "Permission denied", "/locked/items.csv")

    monkeypatch.setattr(steps, "read_source", fail)
    assert call("encode", shop) == (1, "", "error: /locked/items.csv: Permission denied\n")
