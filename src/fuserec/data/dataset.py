"""Dataset: a catalog, what users did with it, and the vectors made so far. Frozen; stages return new ones."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserec.data.catalog import Catalog
from fuserec.data.embeddings import SHARED, Embeddings
from fuserec.data.history import History
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.errors import DataError


class SetAside(NamedTuple):
    """One thing that a stage left out, and why.

    stage: `read`, `clean` or `encode`
    what: the noun: `interaction`, `item`, `image`, ...
    where: file and row, or the path of the file
    reason: why, the same words for the same cause, so that causes can be counted
    found: the value itself
    """

    stage: str
    what: str
    where: str
    reason: str
    found: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what} set aside: {self.reason}" + (
            f" (found {self.found!r})" if self.found else ""
        )


def count_causes(entries: Iterable[SetAside]) -> list[tuple[int, SetAside]]:
    """What was left out → how many of the same kind and reason, and the first of them; the most frequent first."""
    causes: dict[tuple[str, str], list[SetAside]] = {}
    for entry in entries:
        causes.setdefault((entry.what, entry.reason), []).append(entry)
    return sorted(((len(same), same[0]) for same in causes.values()), key=lambda cause: -cause[0])


class Stage(Protocol):
    """A fitted stage: how vectors were made, ready to make those of other items in the same way."""

    def __call__(self, dataset: "Dataset") -> "Dataset":
        """Another dataset with the same columns → the same with this stage's vectors; nothing is learned."""
        ...


@dataclass(frozen=True, eq=False)
class Dataset:
    """A catalog, its users, what they did, the vectors made so far, and a record of all that was set aside.

    stages: what made the vectors, in order; applied to another dataset one after the other, they make its vectors
    """

    name: str
    catalog: Catalog
    users: Ids
    interactions: Interactions
    embeddings: Mapping[str, Embeddings] = field(default_factory=dict)
    set_aside: tuple[SetAside, ...] = ()
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        n_users, n_items = self.n_users, self.n_items
        if len(self.interactions):
            if self.interactions.users.max() >= n_users or self.interactions.items.max() >= n_items:
                raise DataError(
                    f"dataset {self.name}: an interaction points past its {n_users} users or {n_items} items"
                )
        for name, embeddings in self.embeddings.items():
            if embeddings.n_items != n_items:
                raise DataError(f"vectors {name!r} have {embeddings.n_items} rows for {n_items} items")
        object.__setattr__(self, "embeddings", MappingProxyType(dict(self.embeddings)))

    @property
    def n_users(self) -> int:
        """How many users there are, those without interactions included."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """How many items there are, those without interactions included."""
        return self.catalog.n_items

    @cached_property
    def seen(self) -> csr_matrix:
        """Who did something with what: float32 CSR (n_users, n_items) of ones."""
        pairs = (self.interactions.users, self.interactions.items)
        matrix = csr_matrix((np.ones(len(self.interactions), np.float32), pairs), shape=(self.n_users, self.n_items))
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix

    @cached_property
    def history(self) -> History:
        """What each user chose, the oldest first: by time, and by row where times tie or are not known."""
        rows = self.interactions
        return History.of(rows.users, rows.items, rows.times, self.n_users)

    @cached_property
    def warm(self) -> NDArray[np.bool_]:
        """Which items have an interaction here: bool (n_items,); the others are cold."""
        return np.bincount(self.interactions.items, minlength=self.n_items) > 0

    @cached_property
    def sha256(self) -> str:
        """A hash of ids, column values, interactions and given vectors (not of the media files' bytes)."""
        digest = hashlib.sha256()
        for part in (self.catalog.ids, self.users, *(column.values for column in self.catalog.columns.values())):
            digest.update("\x1f".join(value or "\x1e" for value in part).encode())
        for array in (
            self.interactions.users,
            self.interactions.items,
            self.interactions.ratings,
            self.interactions.times,
        ):
            digest.update(b"-" if array is None else array.tobytes())
        for name in sorted(self.embeddings):
            digest.update(self.embeddings[name].vectors.tobytes())
        return digest.hexdigest()

    @property
    def column_vectors(self) -> dict[str, Embeddings]:
        """The vectors of single columns, as encoded or given: neither fused nor brought into a shared space."""
        return {name: e for name, e in self.embeddings.items() if not e.parts and not name.startswith(SHARED)}

    def with_embeddings(self, name: str, embeddings: Embeddings) -> "Dataset":
        """The same dataset with these vectors added or replaced."""
        return replace(self, embeddings={**self.embeddings, name: embeddings})

    def with_stage(self, stage: Stage) -> "Dataset":
        """The same dataset with this stage added to those that made its vectors."""
        return replace(self, stages=(*self.stages, stage))

    def with_set_aside(self, more: Iterable[SetAside]) -> "Dataset":
        """The same dataset with these added to the record of what was set aside."""
        return replace(self, set_aside=(*self.set_aside, *more))

    def __repr__(self) -> str:
        counts = f"{self.n_users:,} users, {self.n_items:,} items, {len(self.interactions):,} interactions"
        columns, vectors = list(self.catalog.columns), list(self.embeddings)
        return f"Dataset({self.name!r}: {counts}; columns {columns}, vectors {vectors}; {len(self.set_aside)} left out)"


class Split(NamedTuple):
    """Three datasets over the same users and the same catalog, and how they were told apart."""

    train: Dataset
    validation: Dataset
    test: Dataset
    name: str
