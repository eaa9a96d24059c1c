"""Early fusion: the vectors of several columns → one vector an item, before any model sees them.

Each column is centered on its mean over the training items and brought to unit length, so that none speaks louder only
because its numbers are larger. A missing column is left out of sums and means; the parts of every vector are kept.
(Baltrušaitis 2019, section 6.1, calls these model-agnostic early fusion.)
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from json import dumps

import numpy as np
from numpy.typing import NDArray

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings, unit
from fuserec.errors import DataError, OptionError, did_you_mean

Vectors = NDArray[np.float32]


@dataclass(kw_only=True, eq=False)
class Fuser(ABC):
    """Makes one vector an item from those of several columns."""

    normalize: bool = True  # center and bring to unit length first

    @abstractmethod
    def combine(self, names: Sequence[str], vectors: Sequence[Vectors], present: NDArray[np.bool_]) -> Vectors:
        """M blocks float32 (n_items, dim_m), zero where missing; present bool (n_items, M) → float32 (n_items, dim)."""

    def fuse(self, embeddings: Mapping[str, Embeddings], fit_on: NDArray[np.bool_] | None = None) -> Embeddings:
        """Column → embeddings, and the items to center on bool (n_items,) → fused embeddings with their `parts`."""
        if not embeddings:
            raise DataError("nothing to fuse: the dataset has no vectors; encode it first")
        names = sorted(embeddings)  # so that the order in which columns were added changes nothing
        blocks = [
            embeddings[name].centered_unit(fit_on) if self.normalize else embeddings[name].vectors for name in names
        ]
        present: NDArray[np.bool_] = np.stack([embeddings[name].present for name in names], axis=1)  # (n_items, M)
        fused = self.combine(names, blocks, present)
        made_by = dumps(
            {
                "fuser": type(self).__name__,
                "options": asdict(self),
                "columns": {name: embeddings[name].made_by for name in names},
            },
            sort_keys=True,
        )
        parts = {name: present[:, column] for column, name in enumerate(names)}
        return Embeddings(fused, np.any(present, axis=1), made_by, "vector", parts)


@dataclass(kw_only=True, eq=False)
class Concat(Fuser):
    """Columns side by side, at unit length in all: keeps what is private to each. A missing column's block is zero."""

    def combine(self, names: Sequence[str], vectors: Sequence[Vectors], present: NDArray[np.bool_]) -> Vectors:
        """M blocks (n_items, dim_m) → (n_items, dim_1 + ... + dim_M)."""
        fused = np.concatenate(vectors, axis=1)
        return unit(fused) if self.normalize else fused


@dataclass(kw_only=True, eq=False)
class Sum(Fuser):
    """Columns added up. Columns of unequal width are first rotated into the widest one's space (see `isometry`)."""

    seed: int = 0

    def combine(self, names: Sequence[str], vectors: Sequence[Vectors], present: NDArray[np.bool_]) -> Vectors:
        """M blocks (n_items, dim_m) → (n_items, max dim_m)."""
        summed: Vectors = np.sum(self._same_width(vectors), axis=0, dtype=np.float32)
        return summed

    def _same_width(self, vectors: Sequence[Vectors]) -> list[Vectors]:
        dims = [block.shape[1] for block in vectors]
        if len(set(dims)) == 1:
            return list(vectors)
        return [block @ isometry(block.shape[1], max(dims), self.seed + m) for m, block in enumerate(vectors)]


@dataclass(kw_only=True, eq=False)
class Mean(Sum):
    """The sum divided by the number of columns that the item has."""

    def combine(self, names: Sequence[str], vectors: Sequence[Vectors], present: NDArray[np.bool_]) -> Vectors:
        """M blocks (n_items, dim_m) → (n_items, max dim_m)."""
        n_present = np.maximum(present.sum(axis=1, keepdims=True), 1).astype(np.float32)
        mean: Vectors = super().combine(names, vectors, present) / n_present
        return mean


@dataclass(kw_only=True, eq=False)
class Weighted(Sum):
    """The weighted mean of the columns that the item has; `weights` maps a column to its weight, 1 where not named."""

    weights: Mapping[str, float] = field(default_factory=dict)

    def combine(self, names: Sequence[str], vectors: Sequence[Vectors], present: NDArray[np.bool_]) -> Vectors:
        """M blocks (n_items, dim_m) → (n_items, max dim_m)."""
        for name, weight in self.weights.items():
            if name not in names:
                raise OptionError(
                    f"weight for an unknown column {name!r}{did_you_mean(name, names)} Columns: {', '.join(names)}."
                )
            if not weight >= 0.0:
                raise OptionError(f"weight of column {name!r} is {weight}; expected a number of 0 or more")
        weights = np.array([self.weights.get(name, 1.0) for name in names], dtype=np.float32)
        total = (present * weights).sum(axis=1, keepdims=True)  # (n_items, 1)
        blocks = [weight * block for weight, block in zip(weights, vectors, strict=True)]
        summed = super().combine(names, blocks, present)
        mean: Vectors = np.divide(summed, total, out=np.zeros_like(summed), where=total > 0)
        return mean


def fuse(
    dataset: Dataset, fuser: Fuser | None = None, *, columns: Sequence[str] | None = None, name: str = "fused"
) -> Dataset:
    """Dataset with vectors → the same with their fusion under `name`; default: `Concat` of all columns.

    Centers are taken over the items that have interactions in this dataset, so give it the training part.
    """
    available = {key: value for key, value in dataset.embeddings.items() if key != name}
    for column in columns or ():
        if column not in available:
            raise OptionError(
                f"no vectors named {column!r}{did_you_mean(column, available)} There are: {', '.join(available)}."
            )
    chosen = available if columns is None else {column: available[column] for column in columns}
    return dataset.with_embeddings(name, (fuser or Concat()).fuse(chosen, dataset.warm))


def isometry(dim: int, width: int, seed: int) -> Vectors:
    """A random matrix float32 (dim, width), dim <= width, with orthonormal rows.

    Multiplying by it keeps every length and every cosine within a column, while two columns land in directions that are
    nearly orthogonal (Johnson and Lindenstrauss 1984), so that neither drowns the other in a sum.
    """
    normal = np.random.default_rng(seed).standard_normal((width, dim))
    q, r = np.linalg.qr(normal)  # (width, dim): orthonormal columns
    return np.ascontiguousarray((q * np.sign(np.diag(r))).T, dtype=np.float32)
