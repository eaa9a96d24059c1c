"""MongoDB: a collection of items and one of interactions → the dataset."""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from fuserec.data.dataset import Dataset
from fuserec.errors import DataError, MissingExtraError
from fuserec.sources.folder import read

WAIT = 10_000  # ms
DATABASE = "fuserec"


def read_mongodb(
    uri: str,
    *,
    items: str = "items",
    interactions: str = "interactions",
    on_note: Callable[[str], None] | None = None,
) -> Dataset:
    """`mongodb://host:27017/shop`, and the names of two collections → the dataset.

    A document of items needs `item_id` (else `_id` is taken), one of interactions `user_id` and `item_id`; `rating`,
    `timestamp` (a date, or unix seconds) and `split` as in a dataset folder. Every other field of texts or numbers is
    a column; fields that hold documents, lists or bytes are left out and told. Raises `DataError` for a server that
    does not answer and for a collection that is not there or lacks a field.
    """
    try:
        import pymongo
    except ImportError:
        raise MissingExtraError("pymongo is not installed; pip install 'fuserec[mongo]'") from None
    note = on_note or (lambda told: None)
    try:
        with pymongo.MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=WAIT) as client:
            database = client.get_default_database(DATABASE)
            catalog = _table(database[items].find({}).sort("_id"), items, note, of_items=True)
            actions = _table(database[interactions].find({}).sort("_id"), interactions, note)
    except pymongo.errors.PyMongoError as error:
        raise DataError(f"MongoDB does not answer as expected: {error}") from error
    for name, needed, table in ((items, ["item_id"], catalog), (interactions, ["user_id", "item_id"], actions)):
        missing = [field for field in needed if field not in table.columns]
        if missing:
            found = ", ".join(table.columns) or "none: it is empty, or not there"
            raise DataError(f"collection {name!r} has no field {missing[0]!r}; fields found: {found}")
    note(f"{items}: {catalog.height:,} documents; {interactions}: {actions.height:,} documents")
    with tempfile.TemporaryDirectory(prefix="fuserec-") as place:  # so that columns are understood as in a folder
        folder = Path(place) / database.name
        folder.mkdir()
        catalog.write_csv(folder / "items.csv")
        actions.write_csv(folder / "interactions.csv")
        return read(folder)


def _table(
    documents: Iterable[Mapping[str, Any]], name: str, note: Callable[[str], None], *, of_items: bool = False
) -> pl.DataFrame:
    """Documents → a table of texts, empty where a document has no such field."""
    rows: list[dict[str, str]] = []
    left_out: dict[str, None] = {}
    for document in documents:
        given = {field: value for field, value in document.items() if value is not None and field != "_id"}
        if of_items:
            given = {"item_id": document["_id"], **given}
        row = {field: text for field, value in given.items() if (text := _text(value)) is not None}
        left_out |= dict.fromkeys(given.keys() - row.keys())
        rows.append(row)
    if left_out:
        note(f"{name}: left out, since they hold no text or number: {', '.join(sorted(left_out))}")
    columns = list(dict.fromkeys(field for row in rows for field in row))
    return pl.DataFrame({field: [row.get(field) for row in rows] for field in columns})


def _text(value: Any) -> str | None:
    """A value of a field → as a dataset folder has it; None for a document, a list or bytes."""
    if isinstance(value, datetime):  # without a zone, MongoDB's dates are UTC
        return str(int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()))
    if isinstance(value, (Mapping, list, bytes)):
        return None
    return str(value)
