"""Interactions: what users did, as parallel arrays."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserec.errors import DataError

SPLITS = ("train", "validation", "test")
MILLISECONDS = 100_000_000_000  # as seconds this is the year 5138; as milliseconds it is 1973


@dataclass(frozen=True, eq=False)
class Interactions:
    """What users did: n rows.

    users, items: rows in the dataset's user ids and catalog, int64 (n,)
    ratings: float32 (n,), finite, on the owner's scale; None when behavior is implicit
    times: unix seconds UTC, int64 (n,); None when unknown
    splits: int8 (n,), an index into `SPLITS`, when the owner has split the data; else None
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    ratings: NDArray[np.float32] | None = None
    times: NDArray[np.int64] | None = None
    splits: NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        for name, dtype in (
            ("users", np.int64),
            ("items", np.int64),
            ("ratings", np.float32),
            ("times", np.int64),
            ("splits", np.int8),
        ):
            values = getattr(self, name)
            if values is None:
                continue
            array = np.ascontiguousarray(values, dtype=dtype)
            if array.shape != (len(self.users),):
                raise DataError(f"interactions: {name} has shape {array.shape}, expected ({len(self.users)},)")
            object.__setattr__(self, name, array)
        if len(self.users) and min(self.users.min(), self.items.min()) < 0:
            raise DataError("interactions: a negative row number; every user and item must be known")
        if self.ratings is not None and not np.isfinite(self.ratings).all():
            row = int(np.flatnonzero(~np.isfinite(self.ratings))[0])
            raise DataError(f"interactions row {row + 1}: rating is {self.ratings[row]}; expected a finite number")
        if self.times is not None and len(self.times) and self.times.max() > MILLISECONDS:
            row = int(self.times.argmax())
            raise DataError(f"interactions row {row + 1}: time {self.times[row]} is not unix seconds; divide by 1000?")

    def __len__(self) -> int:
        return len(self.users)

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Interactions":
        """The rows of a mask bool (n,) or of row numbers int64 (m,), in that order."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        kept: dict[str, Any] = {name: None if array is None else array[which] for name, array in arrays.items()}
        return Interactions(**kept)
