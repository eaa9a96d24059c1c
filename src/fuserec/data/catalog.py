"""Catalog: the items, and the columns in which they speak."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fuserec.data.ids import Ids
from fuserec.errors import DataError

MODALITIES = ("text", "image", "audio", "video", "vector")
MEDIA = ("image", "audio", "video")


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a catalog: a text, or the path of a media file, or None where it is missing, for every item.

    Paths are relative to the catalog's `root`, with "/" on every system.
    """

    name: str
    modality: str
    values: tuple[str | None, ...]

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise DataError(f"column {self.name!r}: unknown modality {self.modality!r}; expected one of {MODALITIES}")

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which items have a value: bool (n_items,)."""
        return np.array([value is not None for value in self.values], dtype=bool)

    def without(self, rows: Sequence[int]) -> "Column":
        """The same column with the values of these rows missing."""
        gone = set(rows)
        return replace(self, values=tuple(None if row in gone else value for row, value in enumerate(self.values)))


@dataclass(frozen=True, eq=False)
class Catalog:
    """The items: ids, and columns with a modality each. Row k of everything is item `ids[k]`."""

    ids: Ids
    columns: Mapping[str, Column]
    root: Path | None = None

    def __post_init__(self) -> None:
        for name, column in self.columns.items():
            if name != column.name:
                raise DataError(f"column {column.name!r} is stored under the name {name!r}")
            if len(column.values) != len(self.ids):
                raise DataError(f"column {name!r} has {len(column.values)} values for {len(self.ids)} items")
            if self.root is None and column.modality in MEDIA:
                raise DataError(
                    f"column {name!r} holds paths of {column.modality} files, so the catalog needs a root folder"
                )
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(self.ids)

    def title(self, row: int) -> str:
        """What to call the item of a row: its title or name, else its first short text, else its id."""
        for values in self._titles:
            value = values[row]
            if value:
                return value if len(value) <= 80 else value[:79] + "…"
        return self.ids[row]

    @cached_property
    def _titles(self) -> list[Sequence[str | None]]:
        texts = [column for column in self.columns.values() if column.modality == "text"]
        named = [column for column in texts if column.name.lower() in ("title", "name", "标题", "名称")]
        return [column.values for column in named or texts]

    def path(self, column: str, row: int) -> Path | None:
        """The media file of an item, or None where it is missing."""
        value = self.columns[column].values[row]
        return None if value is None or self.root is None else self.root.joinpath(*PurePosixPath(value).parts)

    def with_column(self, column: Column) -> "Catalog":
        """The same catalog with this column added or replaced."""
        return replace(self, columns={**self.columns, column.name: column})

    def take(self, rows: NDArray[np.int64]) -> "Catalog":
        """The catalog of these rows only, in this order."""
        columns = {
            name: replace(column, values=tuple(column.values[row] for row in rows))
            for name, column in self.columns.items()
        }
        return replace(self, ids=Ids((self.ids[row] for row in rows), self.ids.noun), columns=columns)

    def followed_by(self, more: "Catalog") -> "Catalog":
        """The same with the items of another catalog below: the columns of this one, missing where the other lacks one.

        Raises `DataError` for an id that is in both, and for a column of another modality.
        """
        columns = {}
        for name, column in self.columns.items():
            added = more.columns.get(name) or Column(name, column.modality, (None,) * more.n_items)
            if added.modality != column.modality:
                raise DataError(f"column {name!r} holds {added.modality} in the new items; expected {column.modality}")
            values = added.values
            if name in more.columns and column.modality in MEDIA and self.root != more.root:
                paths = (more.path(name, row) for row in range(more.n_items))
                values = tuple(
                    None if path is None else Path(os.path.relpath(path, self.root)).as_posix() for path in paths
                )
            columns[name] = replace(column, values=(*column.values, *values))
        return replace(self, ids=Ids((*self.ids, *more.ids), self.ids.noun), columns=columns)
