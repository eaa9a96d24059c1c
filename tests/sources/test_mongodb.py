"""Two collections → a dataset. Skipped without a server of MongoDB's protocol: FUSEREC_TEST_MONGODB names one."""

import os
import uuid
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from fuserec import read
from fuserec.cli import entry
from fuserec.errors import DataError, OptionError
from fuserec.sources.mongo import read_mongodb


@pytest.fixture
def shop():
    """An address, and its database."""
    given = os.environ.get("FUSEREC_TEST_MONGODB")
    if not given:
        pytest.skip("needs FUSEREC_TEST_MONGODB=mongodb://127.0.0.1:27017 (mongod, or pip install nx-27017)")
    import pymongo

    address = f"{given.rstrip('/')}/test_{uuid.uuid4().hex}"
    with pymongo.MongoClient(address) as client:
        yield address, client.get_default_database()


def fill(database):
    named = ('A red, "paper" kite', "一只风筝", None)
    database["products"].insert_many(
        [{"_id": f"p{row}", "title": title, "size": {"cm": 3}} for row, title in enumerate(named)]
    )
    when = datetime(2024, 1, 1, tzinfo=UTC)
    clicks = [{"user_id": user, "item_id": f"p{row}", "timestamp": when} for user, row in ((7, 0), (8, 1), (7, 2))]
    database["clicks"].insert_many(clicks)


def test_collections_become_a_dataset_folder(shop, tmp_path):
    address, database = shop
    fill(database)
    notes = []
    made = read_mongodb(address, items="products", interactions="clicks", on_note=notes.append)
    assert list(made.catalog.ids) == ["p0", "p1", "p2"] and sorted(made.users) == ["7", "8"]
    assert made.catalog.columns["title"].values == ('A red, "paper" kite', "一只风筝", None)
    assert len(made.interactions) == 3 and set(made.interactions.times.tolist()) == {1_704_067_200}
    assert notes[0].endswith("left out, since they hold no text or number: size")
    words = ["import", "mongodb", address, str(tmp_path / "shop"), "--items", "products", "--interactions", "clicks"]
    done = CliRunner().invoke(entry.app, words)
    assert done.exit_code == 0, done.output
    assert read(tmp_path / "shop").catalog.columns["title"].values == made.catalog.columns["title"].values


def test_what_is_not_there_is_told(shop):
    address, database = shop
    with pytest.raises(DataError, match="'items' has no field 'item_id'; fields found: none"):
        read_mongodb(address)
    database["items"].insert_one({"_id": "a", "title": "x"})
    database["interactions"].insert_one({"user": 1, "item_id": "a"})
    with pytest.raises(DataError, match="no field 'user_id'; fields found: user, item_id"):
        read_mongodb(address)


def test_a_server_that_does_not_answer_is_told(monkeypatch):
    pytest.importorskip("pymongo")
    monkeypatch.setattr("fuserec.sources.mongo.WAIT", 200)
    with pytest.raises(DataError, match="does not answer"):
        read_mongodb("mongodb://127.0.0.1:1/shop")


def test_collections_are_named_for_mongodb_only(tmp_path):
    done = CliRunner().invoke(entry.app, ["import", "mmrec", str(tmp_path), str(tmp_path / "x"), "--items", "products"])
    assert isinstance(done.exception, OptionError) and "--items is for fuserec import mongodb" in str(done.exception)
