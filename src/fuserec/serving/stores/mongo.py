"""The store in MongoDB: the collections events, items and keys of one database."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any

from fuserec.errors import DataError, MissingExtraError, StoreError
from fuserec.serving.stores.records import event_of, item_dict, item_of, key_dict, key_of
from fuserec.serving.stores.store import Event, Key, Store, StoredItem, without_password

DUPLICATE = 11_000  # MongoDB's code of an _id that is there
DATABASE = "fuserec"
WAIT = 10_000  # ms


def connected(address: str) -> tuple[Any, Callable[[], AbstractContextManager[None]]]:
    """`mongodb://localhost:27017/shop` → the database, and a context in which errors are told in the user's words."""
    try:
        import pymongo
        from bson.errors import BSONError
    except ImportError:
        raise MissingExtraError("pymongo is not installed; pip install 'fuserec[mongo]'") from None
    told = without_password(address)

    @contextmanager
    def errors() -> Iterator[None]:
        try:
            yield
        except pymongo.errors.PyMongoError as error:
            raise StoreError(f"store {told}: {error}") from error
        except (UnicodeEncodeError, BSONError) as error:
            raise DataError(f"a text that cannot be stored ({error})") from error

    with errors():
        client: Any = pymongo.MongoClient(address, serverSelectionTimeoutMS=WAIT, w="majority", journal=True)
        return client.get_default_database(DATABASE), errors


class MongoStore(Store):
    """MongoDB; writes are answered once the majority has them in the journal. _id is the id of an event, item or key.

    Several events are written one by one in order, each for good: MongoDB has no transactions on a single server. A
    failure in between is an error, and what is sent again counts once. Columns and vectors are lists of pairs, since a
    name may hold `.` and `$`.
    """

    kind = "mongodb"

    def __init__(self, address: str) -> None:
        """`mongodb://localhost:27017/shop` → the store in the database `shop`."""
        self._database, self._errors = connected(address)
        with self._errors():
            self.ping()
            self._database.events.create_index([("user_id", 1), ("time", 1)])

    def add_events(self, events: Sequence[Event]) -> list[bool]:
        """Commit events → for each, whether it is new."""
        from pymongo.errors import BulkWriteError

        if not events:
            return []
        now = time.time_ns()
        told = [{**asdict(event), "_id": event.event_id, "arrived": now + place} for place, event in enumerate(events)]
        with self._errors():
            try:
                self._database.events.insert_many(told, ordered=False)
            except BulkWriteError as error:
                faults = error.details["writeErrors"]
                if any(fault["code"] != DUPLICATE for fault in faults) or error.details.get("writeConcernErrors"):
                    raise
                known = {fault["index"] for fault in faults}
                return [place not in known for place in range(len(events))]
        return [True] * len(events)

    def history(self, user_id: str) -> list[Event]:
        """User id → the events of that user, the oldest first."""
        return list(self._found({"user_id": user_id}, [("time", 1), ("arrived", 1)]))

    def events(self) -> Iterator[Event]:
        """Every event, as they came."""
        return self._found({}, [("arrived", 1)])

    def _found(self, wanted: Mapping[str, Any], order: list[tuple[str, int]]) -> Iterator[Event]:
        with self._errors():
            for told in self._database.events.find(wanted, {"_id": 0, "arrived": 0}).sort(order):
                yield event_of(told)

    def put_item(self, item: StoredItem) -> None:
        """Keep an item."""
        told = item_dict(item)
        self._put(
            "items", item.item_id, {**told, **{name: list(told[name].items()) for name in ("columns", "vectors")}}
        )

    def items(self) -> list[StoredItem]:
        """Every item kept, as they were added."""
        found = [{**told, **{n: dict(told[n]) for n in ("columns", "vectors")}} for told in self._all("items")]
        return sorted(map(item_of, found), key=lambda item: (item.added, item.item_id))

    def put_key(self, key: Key) -> None:
        """Keep a key."""
        self._put("keys", key.key_id, key_dict(key))

    def key(self, key_id: str) -> Key | None:
        """Key id → the key, or None."""
        with self._errors():
            found = self._database["keys"].find_one({"_id": key_id}, {"_id": 0})
        return key_of(found) if found else None

    def keys(self) -> list[Key]:
        """Every key, by when it was made."""
        return sorted(map(key_of, self._all("keys")), key=lambda key: (key.created, key.key_id))

    def remove_key(self, key_id: str) -> bool:
        """Forget a key → whether there was one."""
        with self._errors():
            return bool(self._database["keys"].delete_one({"_id": key_id}).deleted_count)

    def _put(self, collection: str, name: str, told: dict[str, Any]) -> None:
        with self._errors():
            self._database[collection].replace_one({"_id": name}, {**told, "_id": name}, upsert=True)

    def _all(self, collection: str) -> list[dict[str, Any]]:
        with self._errors():
            return list(self._database[collection].find({}, {"_id": 0}))

    def ping(self) -> None:
        """Raise `StoreError` where the server does not answer."""
        with self._errors():
            self._database.client.admin.command("ping")

    def close(self) -> None:
        """Close the connections."""
        self._database.client.close()
