"""Export: a model → the lists of all its users, in a Parquet file, Redis or MongoDB; what was broken off goes on."""

import hashlib
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from fuserec.artifact import MANIFEST, load_model
from fuserec.errors import OptionError
from fuserec.serving.stores import mongo, redis
from fuserec.serving.stores.store import without_password

BATCH = 1_000  # users

UserList = tuple[str, list[tuple[str, float]]]  # user id, and item ids with scores, best first


class Target(ABC):
    """Where lists go. A reader sees those of the export before until all are there."""

    @abstractmethod
    def begun(self) -> int:
        """How many batches of this export are there already."""

    @abstractmethod
    def write(self, batch: int, lists: Sequence[UserList]) -> None:
        """Keep the lists of a batch; written twice, they are there once."""

    @abstractmethod
    def finish(self, n_batches: int) -> None:
        """All batches are there: let readers see them, and forget the export before."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""


def export(folder: Path, to: str, k: int = 10, *, on_progress: Callable[[int, int], None] | None = None) -> int:
    """A model folder and `FILE.parquet`, `redis://...` or `mongodb://...` → how many users' lists are there.

    Lists are those of the model as trained: what a user did since, and items added online, are the server's to know.
    on_progress: told how many users are done, of how many. Broken off, the same export goes on after the last batch;
    a model that was trained again, or another k, begins anew.
    """
    if k < 1:
        raise OptionError(f"k is {k}; expected 1 or more")
    model = load_model(folder)
    name = hashlib.sha256((folder / MANIFEST).read_bytes() + b"\0%d" % k).hexdigest()[:16]
    target = open_target(to, name)
    n_users = len(model.users_)
    n_batches = -(-n_users // BATCH)
    try:
        for batch in range(target.begun(), n_batches):
            rows = np.arange(batch * BATCH, min((batch + 1) * BATCH, n_users))
            ranked, scores = model.rank(rows, k)
            lists = [
                (
                    model.users_[row],
                    [(model.catalog_.ids[i], float(s)) for i, s in zip(items, own, strict=True) if i >= 0],
                )
                for row, items, own in zip(rows, ranked, scores, strict=True)
            ]
            target.write(batch, lists)
            if on_progress:
                on_progress(int(rows[-1]) + 1, n_users)
        target.finish(n_batches)
    finally:
        target.close()
    return n_users


def open_target(to: str, name: str) -> Target:
    """An address, and the name of an export → where its lists go. Raises `OptionError` for what is neither."""
    if to.startswith("redis://"):
        return RedisLists(to, name)
    if to.startswith("mongodb://"):
        return MongoLists(to, name)
    if to.endswith(".parquet") and "://" not in to:
        return ParquetLists(Path(to), name)
    raise OptionError(f"export to {without_password(to)!r}: expected FILE.parquet, redis://... or mongodb://...")


class ParquetLists(Target):
    """One file: user_id, rank (from 1), item_id, score; until then, batches are in a folder beside it."""

    SCHEMA = {"user_id": pl.String, "rank": pl.Int32, "item_id": pl.String, "score": pl.Float32}

    def __init__(self, file: Path, name: str) -> None:
        self.file, self.parts = file, file.with_name(f"{file.name}.{name}.parts")
        self.parts.mkdir(parents=True, exist_ok=True)

    def begun(self) -> int:
        """Batches are written in order, so that their number tells."""
        return len(list(self.parts.glob("*.parquet")))

    def write(self, batch: int, lists: Sequence[UserList]) -> None:
        """A file of its own, there once it is whole."""
        rows = [(user, rank, *item) for user, items in lists for rank, item in enumerate(items, 1)]
        place = self.parts / f"{batch:06d}"
        pl.DataFrame(rows, schema=self.SCHEMA, orient="row").write_parquet(place)
        os.replace(place, place.with_suffix(".parquet"))

    def finish(self, n_batches: int) -> None:
        """One file of all batches, in place of what was there."""
        parts = [self.parts / f"{batch:06d}.parquet" for batch in range(n_batches)]
        whole = self.parts / "whole"
        if parts:
            pl.scan_parquet(parts).sink_parquet(whole)
        else:
            pl.DataFrame(schema=self.SCHEMA).write_parquet(whole)
        os.replace(whole, self.file)
        shutil.rmtree(self.parts)

    def close(self) -> None:
        """Nothing is open."""


class RedisLists(Target):
    """A hash `fuserec:recommendations`: user id → JSON list of `{"item_id", "score"}`, best first."""

    def __init__(self, address: str, name: str) -> None:
        self._redis, self._errors = redis.connected(address)
        self._half = f"fuserec:recommendations:{name}"

    def begun(self) -> int:
        """As noted beside the lists, in the same transaction."""
        with self._errors():
            return int(self._redis.get(f"{self._half}:batches") or 0)

    def write(self, batch: int, lists: Sequence[UserList]) -> None:
        """The lists of a batch and how far this is, in one transaction."""
        told = {user: json.dumps(_told(items), ensure_ascii=False) for user, items in lists}
        with self._errors(), self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(self._half, mapping=told)
            pipe.set(f"{self._half}:batches", batch + 1)
            pipe.execute()

    def finish(self, n_batches: int) -> None:
        """The hash takes the place of the one before."""
        with self._errors(), self._redis.pipeline(transaction=True) as pipe:
            if n_batches:
                pipe.rename(self._half, "fuserec:recommendations")
            pipe.delete(f"{self._half}:batches")
            pipe.execute()

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class MongoLists(Target):
    """A collection `recommendations`: `{"_id": user id, "items": [{"item_id", "score"}], "export"}`.

    Lists are replaced user by user; those of users whom the model does not know any more are removed at the end.
    """

    def __init__(self, address: str, name: str) -> None:
        self._database, self._errors = mongo.connected(address)
        self._lists, self._exports, self._name = self._database["recommendations"], self._database["exports"], name

    def begun(self) -> int:
        """As noted in the collection `exports`, after each batch."""
        with self._errors():
            found = self._exports.find_one({"_id": self._name})
        return int(found["batches"]) if found else 0

    def write(self, batch: int, lists: Sequence[UserList]) -> None:
        """The lists of a batch, then how far this is."""
        from pymongo import ReplaceOne

        told = [{"_id": user, "items": _told(items), "export": self._name} for user, items in lists]
        with self._errors():
            self._lists.bulk_write([ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in told], ordered=False)
            self._exports.replace_one({"_id": self._name}, {"_id": self._name, "batches": batch + 1}, upsert=True)

    def finish(self, n_batches: int) -> None:
        """Remove what another export left."""
        with self._errors():
            self._lists.delete_many({"export": {"$ne": self._name}})
            self._exports.delete_one({"_id": self._name})

    def close(self) -> None:
        """Close the connections."""
        self._database.client.close()


def _told(items: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"item_id": item, "score": score} for item, score in items]
