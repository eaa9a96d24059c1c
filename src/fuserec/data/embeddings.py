"""Embeddings: one vector an item, and which items have one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fuserec.data.catalog import MODALITIES
from fuserec.errors import DataError, OptionError, did_you_mean

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

    def __post_init__(self) -> None:
        vectors = np.array(self.vectors, dtype=np.float32, order="C")
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
        rows = self.own if fit_on is None else self.own & fit_on
        chosen = self.vectors[rows if rows.any() else self.own]
        mean: NDArray[np.float32] = chosen.mean(axis=0) if len(chosen) else np.zeros(self.dim, np.float32)
        return mean

    def centered_unit(self, fit_on: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Vectors minus their `center`, at unit length.

        Rows of absent items, and of items at the mean itself, are zero.
        """
        centered = np.where(self.present[:, None], self.vectors - self.center(fit_on), 0.0).astype(np.float32)
        return unit(centered)

    def followed_by(self, more: "Embeddings | None", n_more: int) -> "Embeddings":
        """The same with the vectors of `n_more` items below; None: they have none of this kind."""
        if more is None:
            none = np.zeros(n_more, bool)
            more = replace(self, vectors=np.zeros((n_more, self.dim), np.float32), present=none, parts={}, filled=none)
        absent = np.zeros(n_more, bool)
        return replace(
            self,
            vectors=np.concatenate([self.vectors, more.vectors]),
            present=np.concatenate([self.present, more.present]),
            parts={name: np.concatenate([part, more.parts.get(name, absent)]) for name, part in self.parts.items()},
            filled=np.concatenate([self.filled, more.filled]),
        )


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
    scaled = unit(vectors)
    found: NDArray[np.float32] = scaled @ scaled[row]
    return found


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Float32 (n, dim) → the same at unit length; rows shorter than 1e-8 become zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-8)
    return scaled
