"""Events, items and keys ↔ JSON objects, for stores that keep such."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fuserec.serving.stores.store import Event, Key, StoredItem


def item_dict(item: StoredItem) -> dict[str, Any]:
    """An item → its JSON form."""
    return asdict(item) | {"columns": dict(item.columns), "vectors": {k: list(v) for k, v in item.vectors.items()}}


def item_of(told: Mapping[str, Any]) -> StoredItem:
    """The JSON form → the item."""
    return StoredItem(**{**told, "vectors": {name: tuple(vector) for name, vector in told["vectors"].items()}})


def key_dict(key: Key) -> dict[str, Any]:
    """A key → its JSON form."""
    return asdict(key) | {"scopes": sorted(key.scopes)}


def key_of(told: Mapping[str, Any]) -> Key:
    """The JSON form → the key."""
    return Key(**{**told, "scopes": frozenset(told["scopes"])})


def event_of(told: Mapping[str, Any]) -> Event:
    """The JSON form → the event."""
    return Event(**told)
