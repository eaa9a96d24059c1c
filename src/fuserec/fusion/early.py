"""Early fusion: the vectors of several columns → one vector an item, before any model sees them.

Each column is centered on its mean over the training items and brought to unit length, so that none speaks louder only
because its numbers are larger. A missing column is left out of sums and means; the parts of every vector are kept.
(Baltrušaitis 2019, section 6.1, calls these model-agnostic early fusion.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import unit
from fuserec.errors import OptionError, did_you_mean
from fuserec.fusion.fuser import Fuser, Vectors


@dataclass(kw_only=True, eq=False)
class Concat(Fuser):
    """Columns side by side, at unit length in all: keeps what is private to each. A missing column's block is zero."""

    def combine(self, blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> Vectors:
        """Blocks (n, dim_m) → (n, dim_1 + ... + dim_M)."""
        fused = np.concatenate(blocks, axis=1)
        return unit(fused) if self.normalize else fused


@dataclass(kw_only=True, eq=False)
class PCAConcat(Concat):
    """Columns side by side, turned to their `dim` directions of largest variance (Pearson 1901): as good as shorter.

    mean_: float32 (dim_1 + ... + dim_M,), of the training items' concatenations
    axes_: float32 (dim_1 + ... + dim_M, dim), orthonormal columns, the largest variance first
    """

    dim: int = 64  # at most; the concatenation may have fewer numbers

    def learn(self, dataset: Dataset, blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> None:
        """Mean and principal axes over the training items that have a column."""
        if self.dim < 1:
            raise OptionError(f"PCAConcat: dim is {self.dim}; expected 1 or more")
        known = present.any(axis=1)
        rows = super().combine(blocks, present)[known & dataset.warm if (known & dataset.warm).any() else known]
        self.mean_ = rows.mean(axis=0)
        self.axes_ = principal_axes(rows - self.mean_, self.dim)

    def combine(self, blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> Vectors:
        """Blocks (n, dim_m) → (n, dim)."""
        turned: Vectors = (super().combine(blocks, present) - self.mean_) @ self.axes_
        return turned


@dataclass(kw_only=True, eq=False)
class Sum(Fuser):
    """Columns added up. Columns of unequal width are first rotated into the widest one's space (see `isometry`)."""

    seed: int = 0

    def combine(self, blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> Vectors:
        """Blocks (n, dim_m) → (n, max dim_m)."""
        summed: Vectors = np.sum(self._same_width(blocks), axis=0, dtype=np.float32)
        return summed

    def _same_width(self, blocks: Sequence[Vectors]) -> list[Vectors]:
        dims = [block.shape[1] for block in blocks]
        if len(set(dims)) == 1:
            return list(blocks)
        return [block @ isometry(block.shape[1], max(dims), self.seed + m) for m, block in enumerate(blocks)]


@dataclass(kw_only=True, eq=False)
class Mean(Sum):
    """The sum divided by the number of columns that the item has."""

    def combine(self, blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> Vectors:
        """Blocks (n, dim_m) → (n, max dim_m)."""
        n_present = np.maximum(present.sum(axis=1, keepdims=True), 1).astype(np.float32)
        mean: Vectors = super().combine(blocks, present) / n_present
        return mean


@dataclass(kw_only=True, eq=False)
class Weighted(Sum):
    """The weighted mean of the columns that the item has; `weights` maps a column to its weight, 1 where not named."""

    weights: Mapping[str, float] = field(default_factory=dict)

    def learn(self, dataset: Dataset, blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> None:
        """Check the weights against the columns."""
        for name, weight in self.weights.items():
            if name not in self.columns:
                raise OptionError(
                    f"weight for an unknown column {name!r}{did_you_mean(name, self.columns)} "
                    f"Columns: {', '.join(self.columns)}."
                )
            if not weight >= 0.0:
                raise OptionError(f"weight of column {name!r} is {weight}; expected a number of 0 or more")

    def combine(self, blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> Vectors:
        """Blocks (n, dim_m) → (n, max dim_m)."""
        weights = np.array([self.weights.get(name, 1.0) for name in self.columns], dtype=np.float32)
        total = (present * weights).sum(axis=1, keepdims=True)  # (n, 1)
        summed = super().combine([weight * block for weight, block in zip(weights, blocks, strict=True)], present)
        mean: Vectors = np.divide(summed, total, out=np.zeros_like(summed), where=total > 0)
        return mean


def isometry(dim: int, width: int, seed: int) -> Vectors:
    """A random matrix float32 (dim, width), dim <= width, with orthonormal rows.

    Multiplying by it keeps every length and every cosine within a column, while two columns land in directions that are
    nearly orthogonal (Johnson and Lindenstrauss 1984), so that neither drowns the other in a sum.
    """
    normal = np.random.default_rng(seed).standard_normal((width, dim))
    q, r = np.linalg.qr(normal)  # (width, dim): orthonormal columns
    return np.ascontiguousarray((q * np.sign(np.diag(r))).T, dtype=np.float32)


def principal_axes(rows: Vectors, dim: int) -> Vectors:
    """Rows float32 (n, width) → the directions of their largest sums of squares, float32 (width, dim) orthonormal.

    The largest comes first; fewer than `dim` where the rows have fewer numbers (Pearson 1901, for centered rows).
    """
    moments = rows.T.astype(np.float64) @ rows
    width = len(moments)
    _, axes = eigh(moments, subset_by_index=(max(0, width - dim), width - 1))
    axes = axes[:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.ascontiguousarray(axes * np.sign(largest), np.float32)  # an axis has no sign of its own: one is chosen
