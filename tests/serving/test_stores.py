"""Every store keeps the contract. One that is not installed is skipped, with a line that says how to start it."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from fuserec.errors import DataError, OptionError, StoreError, UnknownIdError
from fuserec.serving.keys import add_key, checked_key, revoke_key
from fuserec.serving.stores.sqlite import SQLiteStore
from fuserec.serving.stores.store import Event, Key, StoredItem, open_store, without_password


def event(number, user="u1", item="i1", time=1_700_000_000, **more):
    return Event(event_id=f"e{number}", user_id=user, item_id=item, time=time, **more)


def test_events_are_kept_once_and_in_order(store):
    events = [event(1, time=30), event(2, user="u2"), event(3, time=10, kind="like", value=4.5), event(4, time=30)]
    assert store.add_events(events) == [True] * 4
    assert store.add_events([event(1, item="other"), event(5, user="u2")]) == [False, True]
    assert store.add_events([event(6), event(6)]) == [True, False]
    assert store.add_events([]) == []
    assert store.history("u1") == [events[2], events[0], events[3], event(6)]
    assert store.history("nobody") == []
    assert [e.event_id for e in store.events()] == ["e1", "e2", "e3", "e4", "e5", "e6"]
    assert next(iter(store.events())) == events[0]


def test_ids_and_texts_of_any_script_survive(store):
    odd = Event(event_id="日 本", user_id="u:1/ä\n'", item_id='"{}$.', time=0, kind="küche", value=-0.125)
    store.add_events([odd])
    assert store.history(odd.user_id) == [odd]
    item = StoredItem(
        item_id="a/b:c", columns={"title": "红色 🪁\x00", "$photo.x": "ab/c.png"}, vectors={"v": (0.1, -2.0)}
    )
    store.put_item(item)
    assert store.items() == [item]


def test_an_item_is_replaced_and_removed_ones_are_told(store):
    first = StoredItem(item_id="b", columns={"title": "one"}, added=2.0)
    store.put_item(first)
    store.put_item(StoredItem(item_id="c", added=1.0))
    store.put_item(StoredItem(item_id="a", added=2.0, removed=True))
    changed = StoredItem(item_id="b", columns={"title": "two"}, added=2.0)
    store.put_item(changed)
    assert [item.item_id for item in store.items()] == ["c", "a", "b"]
    assert store.items()[2] == changed and store.items()[1].removed


def test_keys_are_kept_as_hashes_only(store):
    secret, key = add_key(store, ["read", "write"], "the shop")
    assert checked_key(store, secret) == key == store.key(key.key_id)
    assert secret.split("_", 2)[2] not in repr(store.keys())
    for wrong in (
        "",
        "x",
        secret[:-1],
        secret + "a",
        secret.replace("fuserec", "other"),
        f"fuserec_{key.key_id}_",
        "é_é_é",
    ):
        assert checked_key(store, wrong) is None
    other = Key(key_id="other", sha256="0", scopes=frozenset({"read"}), created=key.created + 1)
    store.put_key(other)
    assert store.keys() == [key, other]
    revoke_key(store, key.key_id)
    assert checked_key(store, secret) is None and store.keys() == [other]
    with pytest.raises(UnknownIdError, match="fuserec keys list"):
        revoke_key(store, key.key_id)
    with pytest.raises(OptionError, match="admin: expected read, write"):
        add_key(store, ["admin"])


def test_many_threads_write_the_same_events_once(store):
    def write(part):
        return sum(sum(store.add_events([event(n, item=f"i{n}")])) for n in range(part, part + 20))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(write, [0, 10, 0, 10])) == 30
    assert sorted(int(e.item_id[1:]) for e in store.history("u1")) == list(range(30))


def test_what_was_returned_from_is_there_after_kill_9(store, store_address):
    code = f"""
import os, signal
from fuserec.serving.stores.store import Event, StoredItem, open_store
store = open_store({store_address!r})
store.add_events([Event(event_id=str(n), user_id="u", item_id="i", time=n) for n in range(50)])
store.put_item(StoredItem(item_id="new", columns={{"title": "a kite"}}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), timeout=60)
    assert done.returncode == -9
    assert [e.time for e in store.history("u")] == list(range(50))
    assert store.items()[0].columns == {"title": "a kite"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"time": 1_700_000_000_000}, "divide by 1000"),
        ({"time": -1}, "expected unix seconds"),
        ({"value": float("nan")}, "finite"),
        ({"user_id": ""}, "user_id is empty"),
    ],
)
def test_an_event_that_means_nothing_is_told(values, message):
    with pytest.raises(DataError, match=message):
        Event(**{"event_id": "e", "user_id": "u", "item_id": "i", "time": 1, **values})


def test_an_address_is_understood_or_told(tmp_path):
    for address in ("mysql://x", "shop.sqlite", "sqlite://shop", "sqlite:///"):
        with pytest.raises(OptionError, match="expected sqlite:///FILE"):
            open_store(address)
    assert without_password("redis://me:secret@host:1/0") == "redis://me:***@host:1/0"
    assert without_password("sqlite:///a@b") == "sqlite:///a@b"


def test_a_database_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(StoreError, match="something else"):
        SQLiteStore(f"sqlite:///{path}")
    path.write_bytes(b"not a database, but a long enough text" * 100)
    with pytest.raises(StoreError, match="not a database"):
        SQLiteStore(f"sqlite:///{path}")
