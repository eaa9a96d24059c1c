"""Ids: the owner's strings ↔ row numbers."""

from collections.abc import Iterable, Iterator, Sequence
from typing import SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from fuserec.errors import DataError, UnknownIdError, did_you_mean


class Ids(Sequence[str]):
    """An ordered set of ids; row k is the k-th id. Immutable.

    Raises `DataError` when an id occurs twice or is empty.
    """

    def __init__(self, ids: Iterable[str], noun: str = "item") -> None:
        self.noun = noun
        self._ids = tuple(ids)
        self._rows = {name: row for row, name in enumerate(self._ids)}
        if len(self._rows) != len(self._ids):
            twice = next(name for row, name in enumerate(self._ids) if self._rows[name] != row)
            raise DataError(f"{noun} id {twice!r} occurs more than once; every {noun} needs an id of its own")
        if "" in self._rows:
            raise DataError(f"{noun} in row {self._rows[''] + 1} has an empty id; give it one or delete the row")

    @overload
    def __getitem__(self, row: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __getitem__(self, row: SupportsIndex | slice) -> str | Sequence[str]:
        return self._ids[row]

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def row(self, name: str) -> int:
        """Id → row; raises `UnknownIdError`, with the nearest known id."""
        try:
            return self._rows[name]
        except KeyError:
            hint = did_you_mean(name, self._ids[:20_000])
            raise UnknownIdError(f"unknown {self.noun} {name!r} among {len(self):,} {self.noun}s{hint}") from None

    def rows(self, names: Iterable[str | None]) -> NDArray[np.int64]:
        """Ids → rows int64 (n,); -1 where an id is not known."""
        return np.fromiter((self._rows.get(name, -1) if name else -1 for name in names), dtype=np.int64)

    def __repr__(self) -> str:
        return f"Ids({len(self):,} {self.noun}s)"
