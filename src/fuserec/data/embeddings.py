"""Embeddings: one vector an item, and which items have one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fuserec.data.catalog import MODALITIES
from fuserec.errors import DataError, OptionError, did_you_mean

BLOCK = 16_384  # vectors that are looked at together
FEW = 1_024  # vectors that fit into the cache of a core
SHARED = "shared-"  # what the names of vectors in the shared space begin with; the column's name follows


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One vector an item.

    vectors: float32 (n_items, dim), finite; zero in the rows of items that have none
    present: bool (n_items,), which items have a vector; a zero row of an absent item is a gap, not a vector
    made_by: what made them, as JSON, exact enough to make them again
    parts: for fused vectors, column → bool (n_items,): which columns each item's vector was made from
    filled: bool (n_items,), which of the present vectors were predicted from the item's other columns; default: none
    """

    vectors: NDArray[np.float32]
    present: NDArray[np.bool_]
    made_by: str
    modality: str = "vector"
    parts: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    filled: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))  # empty: none
    _center: Mapping[bytes, NDArray[np.float32]] = field(default_factory=dict, init=False, repr=False)
    _free: list[int] = field(default_factory=list, init=False, repr=False)  # see `_extended`

    def __post_init__(self) -> None:
        vectors = self.vectors
        if vectors.dtype != np.float32 or not vectors.flags.c_contiguous or vectors.flags.writeable:
            vectors = np.array(vectors, dtype=np.float32, order="C")  # nobody else may change it
        present = np.array(self.present, dtype=bool)
        if vectors.ndim != 2 or present.shape != (len(vectors),):
            raise DataError(
                f"embeddings: vectors of shape {vectors.shape} and present of shape {present.shape}; "
                "expected (n_items, dim) and (n_items,)"
            )
        if self.modality not in MODALITIES:
            raise DataError(f"embeddings: unknown modality {self.modality!r}; expected one of {MODALITIES}")
        filled = np.array(self.filled, dtype=bool) if len(self.filled) else np.zeros(len(vectors), dtype=bool)
        if filled.shape != present.shape or (filled & ~present).any():
            raise DataError("embeddings: filled must be of shape (n_items,), and filled vectors are present")
        if vectors[~present].any():
            vectors = vectors if vectors.flags.writeable else vectors.copy()
            vectors[~present] = 0.0
        bad = ~np.isfinite(vectors).all(axis=1)
        if bad.any():
            raise DataError(f"embeddings: row {int(bad.argmax())} of {self.made_by} is not finite")
        for array in (vectors, present, filled):
            array.setflags(write=False)
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "present", present)
        object.__setattr__(self, "filled", filled)

    @property
    def n_items(self) -> int:
        """How many items there are, those without a vector included."""
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        return int(self.vectors.shape[1])

    @property
    def own(self) -> NDArray[np.bool_]:
        """Which items have a vector that was made from their own text, picture, ...: bool (n_items,)."""
        return self.present & ~self.filled

    def center(self, fit_on: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """The mean of the items' own vectors over `fit_on` (bool (n_items,), default: all), float32 (dim,)."""
        key = b"" if fit_on is None else np.packbits(fit_on).tobytes()
        found = self._center.get(key)
        if found is None:
            rows = self.own if fit_on is None else self.own & fit_on
            found = self._mean(rows if rows.any() else self.own)
            object.__setattr__(self, "_center", {key: found})  # servers ask for the same again and again
        return found

    def _mean(self, rows: NDArray[np.bool_]) -> NDArray[np.float32]:
        if not rows.any():
            return np.zeros(self.dim, np.float32)
        if self.n_items <= BLOCK:
            mean: NDArray[np.float32] = self.vectors[rows].mean(axis=0)
            return mean
        blocks = (slice(start, start + BLOCK) for start in range(0, self.n_items, BLOCK))
        total = np.sum([self.vectors[here][rows[here]].sum(axis=0, dtype=np.float64) for here in blocks], axis=0)
        return np.asarray(total / rows.sum(), np.float32)

    def centered_unit(self, fit_on: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Vectors minus their `center`, at unit length.

        Rows of absent items, and of items at the mean itself, are zero.
        """
        center, found = self.center(fit_on), np.empty_like(self.vectors)
        for start in range(0, self.n_items, FEW):  # at once, the memory of two more such arrays would be asked for
            here = slice(start, start + FEW)
            found[here] = _centered_unit(self.vectors[here], self.present[here], center)
        return found

    def cosines_to(self, asked: NDArray[np.float32], fit_on: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """A unit vector (dim,) → its cosine with each `centered_unit` vector, float32 (n_items,).

        Block by block, since the vectors of a million items should not be there twice.
        """
        center, cosines = self.center(fit_on), np.zeros(self.n_items, np.float32)
        for start in range(0, self.n_items, BLOCK):
            here = slice(start, start + BLOCK)
            cosines[here] = _centered_unit(self.vectors[here], self.present[here], center) @ asked
        return cosines

    def centered_unit_of(self, row: int, fit_on: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """A row → its `centered_unit` vector, float32 (dim,)."""
        here = slice(row, row + 1)
        only: NDArray[np.float32] = _centered_unit(self.vectors[here], self.present[here], self.center(fit_on))[0]
        return only

    def followed_by(self, more: "Embeddings | None", n_more: int) -> "Embeddings":
        """The same with the vectors of `n_more` items below; None: they have none of this kind.

        Raises `ValueError` for vectors of another length.
        """
        if more is None:
            none = np.zeros(n_more, bool)
            more = replace(self, vectors=np.zeros((n_more, self.dim), np.float32), present=none, parts={}, filled=none)
        absent = np.zeros(n_more, bool)
        if more.dim != self.dim:
            raise ValueError(f"vectors of {more.dim} numbers; expected {self.dim}")
        vectors, free = self._extended(more.vectors)
        followed = replace(
            self,
            vectors=vectors,
            present=np.concatenate([self.present, more.present]),
            parts={name: np.concatenate([part, more.parts.get(name, absent)]) for name, part in self.parts.items()},
            filled=np.concatenate([self.filled, more.filled]),
        )
        object.__setattr__(followed, "_free", free)
        return followed

    def _extended(self, more: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[int]]:
        """The vectors with those of more items below, and `_free` of these: in the same memory, where there is room.

        `vectors` are the first rows of a larger array then. All that share it share the list `_free`, with one number:
        its first row that nobody has. Who takes the number may write from there on; who finds another goes elsewhere.
        """
        n, size = self.n_items, self.n_items + len(more)
        try:
            free = self._free.pop()
        except IndexError:  # no such array, or another thread writes to it
            free = -1
        room, left = self.vectors.base, self._free
        if free != n or room is None or len(room) < size:
            if free >= 0:
                left.append(free)
            room, left = np.empty((size + size // 8 + 64, self.dim), np.float32), []
            room[:n] = self.vectors
            object.__setattr__(self, "vectors", _read_only(room[:n]))  # the same numbers
            object.__setattr__(self, "_free", left)
        room[n:size] = more
        left.append(size)
        return _read_only(room[:size]), left


def _centered_unit(
    vectors: NDArray[np.float32], present: NDArray[np.bool_], center: NDArray[np.float32]
) -> NDArray[np.float32]:
    centered = vectors - center
    centered[~present] = 0.0
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    np.divide(centered, length, out=centered, where=length > 1e-8)  # in place: `unit` would take the memory twice
    centered[length[:, 0] <= 1e-8] = 0.0
    return centered


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    array.setflags(write=False)
    return array


def check_vectors(names: Iterable[str], known: Iterable[str], who: str = "") -> None:
    """Raise `OptionError` for the first of the names that is none of the known vectors; who: what asks, for the text.

    The error says which there are.
    """
    known = list(known)
    for name in names:
        if name not in known:
            told = f"{who}: no vectors" if who else "no vectors named"
            there = ", ".join(known) or "none; encode the dataset first"
            raise OptionError(f"{told} {name!r}{did_you_mean(name, known)} There are: {there}.")


def cosines(vectors: NDArray[np.float32], row: int) -> NDArray[np.float32]:
    """Float32 (n, dim) and a row → the cosine of its vector with every other, float32 (n,)."""
    asked, found = unit(vectors[row : row + 1])[0], np.zeros(len(vectors), np.float32)
    for start in range(0, len(vectors), BLOCK):
        found[start : start + BLOCK] = unit(vectors[start : start + BLOCK]) @ asked
    return found


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Float32 (n, dim) → the same at unit length; rows shorter than 1e-8 become zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-8)
    return scaled
