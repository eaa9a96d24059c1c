"""The store that needs nothing: one SQLite file."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from fuserec.errors import DataError, OptionError, StoreError
from fuserec.serving.stores.store import Event, Key, Store, StoredItem

VERSION = 1
TABLES = """
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL,
    item_id TEXT NOT NULL, time INTEGER NOT NULL, kind TEXT NOT NULL, value REAL
);
CREATE INDEX IF NOT EXISTS events_of_user ON events (user_id, time, position);
CREATE TABLE IF NOT EXISTS items (
    item_id TEXT PRIMARY KEY, columns TEXT NOT NULL, vectors TEXT NOT NULL, removed INTEGER NOT NULL,
    added REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS keys (
    key_id TEXT PRIMARY KEY, sha256 TEXT NOT NULL, scopes TEXT NOT NULL, note TEXT NOT NULL, created INTEGER NOT NULL
);
"""
PAGE = 10_000  # events read at a time


class SQLiteStore(Store):
    """One file in WAL mode: a commit is on the disk before it returns, and readers do not wait for writers."""

    kind = "sqlite"

    def __init__(self, address: str) -> None:
        """`sqlite:///shop.sqlite` (relative) or `sqlite:////var/lib/shop.sqlite` (absolute) → the store."""
        scheme, _, name = address.partition(":///")
        if scheme != "sqlite" or not name:
            raise OptionError(f"store {address!r}: expected sqlite:///FILE, or sqlite:////FOLDER/FILE for a full path")
        self._path = path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writing, self._reading = Lock(), Lock()
        with self._errors():
            self._writer, self._reader = self._connect(), self._connect()
            version = self._writer.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise StoreError(f"{path} is a store of version {version}; this fuserec reads up to {VERSION}")
            if not version:  # a new file, or somebody else's
                tables = self._writer.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                if tables and ("events",) not in tables:
                    raise StoreError(f"{path} is a database of something else (it has a table {tables[0][0]!r})")
            self._writer.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30.0, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"store {self._path}: {error}") from error
        except UnicodeEncodeError as error:  # half a surrogate pair, which JSON can carry and UTF-8 cannot
            raise DataError(f"a text that is not valid Unicode cannot be stored ({error.reason})") from error

    @contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with self._writing, self._errors():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def _read(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._reading, self._errors():
            return self._reader.execute(query, values).fetchall()

    def add_events(self, events: Sequence[Event]) -> list[bool]:
        """Commit events in one transaction → for each, whether it is new."""
        with self._written() as connection:
            insert = "INSERT OR IGNORE INTO events (event_id, user_id, item_id, time, kind, value) VALUES (?,?,?,?,?,?)"
            return [
                connection.execute(insert, (e.event_id, e.user_id, e.item_id, e.time, e.kind, e.value)).rowcount == 1
                for e in events
            ]

    def history(self, user_id: str) -> list[Event]:
        """User id → the events of that user, the oldest first."""
        query = "SELECT event_id, user_id, item_id, time, kind, value FROM events WHERE user_id = ?"
        return [_event(row) for row in self._read(f"{query} ORDER BY time, position", user_id)]

    def events(self) -> Iterator[Event]:
        """Every event, as they came, read page by page."""
        query = "SELECT event_id, user_id, item_id, time, kind, value, position FROM events WHERE position > ?"
        last: object = 0
        while rows := self._read(f"{query} ORDER BY position LIMIT {PAGE}", last):
            yield from map(_event, rows)
            last = rows[-1][6]

    def put_item(self, item: StoredItem) -> None:
        """Commit an item."""
        row = (item.item_id, json.dumps(dict(item.columns)), json.dumps(dict(item.vectors)), item.removed, item.added)
        with self._written() as connection:
            connection.execute("INSERT OR REPLACE INTO items VALUES (?,?,?,?,?)", row)

    def items(self) -> list[StoredItem]:
        """Every item kept, as they were added."""
        rows = self._read("SELECT item_id, columns, vectors, removed, added FROM items ORDER BY added, item_id")
        return [
            StoredItem(
                item_id=str(item_id),
                columns=json.loads(str(columns)),
                vectors={name: tuple(vector) for name, vector in json.loads(str(vectors)).items()},
                removed=bool(removed),
                added=added,  # type: ignore[arg-type]
            )
            for item_id, columns, vectors, removed, added in rows
        ]

    def put_key(self, key: Key) -> None:
        """Commit a key."""
        row = (key.key_id, key.sha256, " ".join(sorted(key.scopes)), key.note, key.created)
        with self._written() as connection:
            connection.execute("INSERT OR REPLACE INTO keys VALUES (?,?,?,?,?)", row)

    def key(self, key_id: str) -> Key | None:
        """Key id → the key, or None."""
        rows = self._read("SELECT key_id, sha256, scopes, note, created FROM keys WHERE key_id = ?", key_id)
        return _key(rows[0]) if rows else None

    def keys(self) -> list[Key]:
        """Every key, by when it was made."""
        return [
            _key(row)
            for row in self._read("SELECT key_id, sha256, scopes, note, created FROM keys ORDER BY created, key_id")
        ]

    def remove_key(self, key_id: str) -> bool:
        """Forget a key → whether there was one."""
        with self._written() as connection:
            return connection.execute("DELETE FROM keys WHERE key_id = ?", (key_id,)).rowcount == 1

    def ping(self) -> None:
        """Raise `StoreError` where the file cannot be read."""
        self._read("SELECT 1 FROM events LIMIT 1")

    def close(self) -> None:
        """Close the file."""
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()


def _event(row: tuple[object, ...]) -> Event:
    names = ("event_id", "user_id", "item_id", "time", "kind", "value")
    return Event(**dict(zip(names, row, strict=False)))  # type: ignore[arg-type]


def _key(row: tuple[object, ...]) -> Key:
    key_id, sha256, scopes, note, created = row
    return Key(
        key_id=str(key_id),
        sha256=str(sha256),
        scopes=frozenset(str(scopes).split()),
        note=str(note),
        created=created,  # type: ignore[arg-type]
    )
