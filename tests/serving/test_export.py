"""Lists of all users go where a shop reads them; what was broken off goes on."""

import json
import os
import shutil
import uuid

import polars as pl
import pytest
from tests.serving.conftest import NEEDED
from typer.testing import CliRunner

from fuserec import load_model, make, save_model
from fuserec.cli import entry
from fuserec.errors import OptionError, StoreError
from fuserec.serving import export as exporting
from fuserec.serving.export import export


class Broken(Exception):
    pass


@pytest.fixture(params=["parquet", "redis", "mongodb"])
def place(request, tmp_path):
    """An address, and a function that reads what is there: user → item ids and scores, best first."""
    if request.param == "parquet":
        address = str(tmp_path / "out" / "lists.parquet")

        def read():
            if not os.path.exists(address):
                return {}
            table = pl.read_parquet(address)
            assert table.columns == ["user_id", "rank", "item_id", "score"]
            return {
                user[0]: list(zip(part.sort("rank")["item_id"], part.sort("rank")["score"], strict=True))
                for user, part in table.group_by("user_id")
            }
    elif request.param == "redis":
        address = request.getfixturevalue("redis_address")
        import redis

        client = redis.Redis.from_url(address, decode_responses=True)
        client.flushall()
        request.addfinalizer(client.close)

        def read():
            kept = client.hgetall("fuserec:recommendations")
            return {user: [(one["item_id"], one["score"]) for one in json.loads(told)] for user, told in kept.items()}
    else:
        given = os.environ.get("FUSEREC_TEST_MONGODB")
        if not given:
            pytest.skip(NEEDED["mongodb"])
        import pymongo

        address = f"{given.rstrip('/')}/test_{uuid.uuid4().hex}"
        client = pymongo.MongoClient(address)
        request.addfinalizer(client.close)
        lists = client.get_default_database()["recommendations"]

        def read():
            return {one["_id"]: [(item["item_id"], item["score"]) for item in one["items"]] for one in lists.find()}

    return address, read


def expected(folder, k):
    model = load_model(folder)
    return {
        user: [(one.item_id, pytest.approx(one.score)) for one in model.recommend(user, k)] for user in model.users_
    }


def test_the_lists_of_all_users_are_there_and_go_on_where_they_broke_off(
    place, shop, shop_model, tmp_path, monkeypatch
):
    address, read = place
    monkeypatch.setattr(exporting, "BATCH", 7)  # 30 users: five batches
    folder = tmp_path / "model"
    shutil.copytree(shop_model, folder)
    told = []

    def broken(done, total):
        told.append((done, total))
        if len(told) == 3:
            raise Broken

    with pytest.raises(Broken):
        export(folder, address, 4, on_progress=broken)
    told.append("again")
    assert export(folder, address, 4, on_progress=lambda done, total: told.append((done, total))) == 30
    assert told == [(7, 30), (14, 30), (21, 30), "again", (28, 30), (30, 30)]
    assert read() == expected(folder, 4)
    assert export(folder, address, 2) == 30 and read() == expected(folder, 2)
    save_model(make("recommender", "Popular").fit(shop), folder)
    assert export(folder, address, 2) == 30 and read() == expected(folder, 2)


def test_what_is_no_place_for_lists_is_told(shop_model, tmp_path):
    for address in ("lists.csv", "postgres://me:secret@host/x", ""):
        with pytest.raises(OptionError, match=r"expected FILE.parquet") as caught:
            export(shop_model, address)
        assert "secret" not in str(caught.value)
    with pytest.raises(StoreError, match="127.0.0.1:1"):
        export(shop_model, "redis://127.0.0.1:1/0")


def test_the_command_tells_what_it_wrote(shop_model, tmp_path):
    done = CliRunner().invoke(entry.app, ["export", str(shop_model), str(tmp_path / "a.parquet"), "-k", "3", "--json"])
    assert done.exit_code == 0 and '"n_users": 30' in done.stdout
    assert pl.read_parquet(tmp_path / "a.parquet").height == 90 and list(tmp_path.iterdir()) == [tmp_path / "a.parquet"]
