"""The commands: interests of a user and of a session, and recommend for a session."""

import json
import sys

import pytest

from fuserec import cli, make, save_model
from fuserec.fusion.fuser import fuse
from tests.planted import checkerboard


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interests") / "model"
    save_model(make("recommender", "ContentWalk").fit(fuse(checkerboard(n_items=60))), folder)
    return folder


@pytest.fixture
def call(capsys, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fuserec", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_a_session_is_recommended_for_without_an_account(call, model):
    code, out, err = call("recommend", model, "--items", "i2,i6", "-k", 3, "--json", "--explain")
    assert code == 0, err
    told = json.loads(out)
    assert told["query"] == {"items": ["i2", "i6"], "k": 3} and isinstance(told["interests"], list)
    assert all(int(item["item_id"][1:]) % 2 == 0 and item["item_id"] not in ("i2", "i6") for item in told["items"])


def test_interests_are_told_with_the_items_that_say_so(call, model):
    code, out, err = call("interests", model, "u0", "--json")
    assert code == 0, err
    looks = [one for one in json.loads(out)["interests"] if one["kind"] == "look"]
    assert looks and looks[0]["column"] == "photo" and looks[0]["share"] > 1.5 * looks[0]["base"]
    assert all(int(item["item_id"][1:]) % 2 == 0 for item in looks[0]["because"])
    code, out, _ = call("interests", model, "u0")
    assert code == 0 and "photo" in out and "because of" in out
    code, out, _ = call("recommend", model, "u0", "--explain")
    assert code == 0 and "Likes: " in out
    code, out, _ = call("interests", model, "--items", "i1")
    assert code == 0 and "nothing stands out" in out


def test_the_vectors_of_a_user_are_told_by_command(call, tmp_path):
    options = {"interests": 2, "dim": 8, "epochs": 2}
    save_model(make("recommender", "MultiInterest", options).fit(checkerboard(n_items=60)), tmp_path / "model")
    code, out, err = call("interests", tmp_path / "model", "u0")
    assert code == 0 and "vector 1" in out and "typical" in out, err
    code, out, _ = call("interests", tmp_path / "model", "u0", "--json")
    first = json.loads(out)["interests"][0]
    assert (first["kind"], first["column"]) == ("interest", "vector 1") and "media" in first["typical"][0]
    code, out, _ = call("recommend", tmp_path / "model", "u0", "--explain")
    assert code == 0 and "(interest of vector 1)" in out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("interests",), 2, "give a user id, or --items A,B,C"),
        (("recommend", "u1", "--items", "i1"), 2, "one of the two"),
        (("recommend", "--items", "i1,i99"), 1, "unknown item 'i99'"),
        (("interests", "u99"), 1, "unknown user 'u99'"),
    ],
)
def test_what_cannot_be_told_is_one_line(call, model, arguments, status, message):
    code, _, err = call(arguments[0], model, *arguments[1:])
    assert code == status and message in err and err.count("\n") == 1
