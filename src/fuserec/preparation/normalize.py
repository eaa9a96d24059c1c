"""Normalization: a column's vectors → the same on a common scale, learned from the training items only."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from json import dumps
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fuserec.data.catalog import MODALITIES
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings, check_vectors, unit
from fuserec.errors import DataError, NotFittedError, OptionError

Vectors = NDArray[np.float32]
ROUNDING = 1e-7  # of a float32 number, relative: a spread smaller than this is no spread


@dataclass(kw_only=True, eq=False)
class Normalizer(ABC):
    """Learns from training vectors how to bring all vectors of a column to a common scale.

    A subclass writes `learn`, which sets `center_` and `scale_`, or `directions_` as well, and `apply` if it must.
    A column of numbers that never vary is centered and otherwise left alone.

    center_: float32 (dim,), what is subtracted
    scale_: float32 (dim,), what the rest is divided by
    """

    def fit(self, vectors: Vectors) -> Self:
        """Training vectors float32 (n, dim) → this normalizer, fitted. Raises `DataError` without any."""
        if not len(vectors):
            raise DataError(f"{type(self).__name__} learns from vectors of training items; found none")
        self.learn(vectors)
        return self

    @abstractmethod
    def learn(self, vectors: Vectors) -> None:
        """Training vectors float32 (n, dim), n >= 1 → learned attributes."""

    def apply(self, vectors: Vectors) -> Vectors:
        """Vectors float32 (n, dim) → normalized float32 (n, dim_). Raises `NotFittedError`, `DataError`."""
        normalized: Vectors = self._centered(vectors) / self.scale_
        return normalized

    def _keep(self, center: NDArray[np.float64], scale: NDArray[np.float64]) -> None:
        varies = scale > ROUNDING * np.abs(center)
        self.center_, self.scale_ = center.astype(np.float32), np.where(varies, scale, 1.0).astype(np.float32)

    def _centered(self, vectors: Vectors) -> Vectors:
        if not hasattr(self, "center_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit(vectors) with training vectors")
        if vectors.ndim != 2 or vectors.shape[1] != len(self.center_):
            raise DataError(
                f"{type(self).__name__}: vectors of shape {vectors.shape}; expected (n, {len(self.center_)})"
            )
        return vectors - self.center_


@dataclass(kw_only=True, eq=False)
class Center(Normalizer):
    """Subtracts the mean training vector: x - mean."""

    def learn(self, vectors: Vectors) -> None:
        """Training vectors float32 (n, dim) → the mean."""
        self._keep(vectors.mean(axis=0, dtype=np.float64), np.ones(vectors.shape[1]))


@dataclass(kw_only=True, eq=False)
class UnitLength(Normalizer):
    """Divides each vector by its Euclidean length; a vector shorter than 1e-8 becomes zero. Learns nothing."""

    def learn(self, vectors: Vectors) -> None:
        """Nothing is learned."""

    def apply(self, vectors: Vectors) -> Vectors:
        """Vectors float32 (n, dim) → float32 (n, dim) of unit length."""
        return unit(vectors)


@dataclass(kw_only=True, eq=False)
class ZScore(Normalizer):
    """Brings each place to mean 0 and standard deviation 1 over the training vectors: (x - mean) / std."""

    def learn(self, vectors: Vectors) -> None:
        """Training vectors float32 (n, dim) → mean and standard deviation (of n, not n - 1)."""
        self._keep(vectors.mean(axis=0, dtype=np.float64), vectors.std(axis=0, dtype=np.float64))


@dataclass(kw_only=True, eq=False)
class Robust(Normalizer):
    """Brings each place to median 0 and interquartile range 1, which outliers do not move: (x - median) / IQR.

    (Tukey 1977.) Quartiles are interpolated linearly. A place of which half of the numbers are equal, as in counts that
    are mostly 0, has no range and is centered only.
    """

    def learn(self, vectors: Vectors) -> None:
        """Training vectors float32 (n, dim) → median and interquartile range."""
        low, middle, high = np.percentile(vectors.astype(np.float64), [25, 50, 75], axis=0)
        self._keep(middle, high - low)


@dataclass(kw_only=True, eq=False)
class PCAWhitening(Normalizer):
    """Rotates to the directions in which the training vectors vary most, and brings each to variance 1.

    z = (x - mean) V / sqrt(variance + eps variance_1), with V the first principal directions and variance_1 the largest
    variance (PCA whitening, Kessy et al. 2018, table 1). `dim_` is `dim`, or fewer where the training vectors
    vary in fewer directions, at least 1. The sign of a direction makes its largest entry positive.

    directions_: float32 (dim, dim_), V over the square roots
    """

    dim: int = 64  # numbers kept, at most
    eps: float = 1e-6  # so that directions in which there is only noise are not blown up

    def __post_init__(self) -> None:
        if self.dim < 1 or not 0 <= self.eps <= 1:
            raise OptionError(
                f"PCAWhitening: dim = {self.dim}, eps = {self.eps}; expected dim >= 1 and eps from 0 to 1"
            )

    def learn(self, vectors: Vectors) -> None:
        """Training vectors float32 (n, dim) → mean and directions."""
        mean = vectors.mean(axis=0, dtype=np.float64)
        self._keep(mean, np.ones(len(mean)))
        triangle = np.linalg.qr(vectors - mean, mode="r")  # the same directions and lengths, in fewer rows
        _, lengths, directions = np.linalg.svd(triangle, full_matrices=False)  # (r,) and (r, dim)
        rounding = ROUNDING * np.linalg.norm(mean) * len(vectors) ** 0.5
        n_varying = int((lengths > 1e-6 * lengths[0] + rounding).sum())
        kept = max(1, min(self.dim, n_varying))
        variance = lengths[:kept] ** 2 / max(len(vectors) - 1, 1)
        scale = np.sqrt(variance + self.eps * variance[0]) if n_varying else np.ones(kept)
        directions = directions[:kept].T / scale  # (dim, dim_)
        largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None], axis=0)
        self.directions_ = (directions * np.sign(largest)).astype(np.float32)

    def apply(self, vectors: Vectors) -> Vectors:
        """Vectors float32 (n, dim) → float32 (n, dim_). Raises `NotFittedError`, `DataError`."""
        rotated: Vectors = self._centered(vectors) @ self.directions_
        return rotated


def normalize(
    dataset: Dataset,
    normalizers: Mapping[str, Normalizer | Sequence[Normalizer]],
    *,
    fit_on: NDArray[np.bool_] | None = None,
) -> Dataset:
    """Dataset with vectors → the same, normalized; comes before vectors are aligned or fused.

    normalizers: column name or modality → normalizer, or several, applied in order; the name wins.
    Learns from the items of `fit_on`, bool (n_items,); default: those with interactions in this dataset, so give it the
    training part. Raises `OptionError` for an unknown column, `DataError` where no item to learn from has a vector.
    """
    columns = dataset.column_vectors
    check_vectors(normalizers, [*columns, *MODALITIES])
    if fit_on is None:
        fit_on = dataset.warm if dataset.warm.any() else np.ones(dataset.n_items, dtype=bool)
    fitted: dict[str, tuple[Normalizer, ...]] = {}
    for name, embeddings in columns.items():
        chosen = normalizers.get(name, normalizers.get(embeddings.modality, ()))
        steps = (chosen,) if isinstance(chosen, Normalizer) else chosen
        training = embeddings.vectors[embeddings.present & fit_on]
        if steps and not len(training):
            raise DataError(f"vectors {name!r}: no item to learn the normalization from has one; leave {name!r} out")
        for step in steps:
            own = replace(step).fit(training)  # columns of one modality each learn their own
            training = own.apply(training)
            fitted[name] = (*fitted.get(name, ()), own)
    stage = Normalized(normalizers_=fitted)
    return stage(dataset).with_stage(stage) if fitted else dataset


@dataclass(kw_only=True, eq=False)
class Normalized:
    """The stage that `normalize` leaves behind: column → its fitted normalizers, for the vectors of other items."""

    normalizers_: dict[str, tuple[Normalizer, ...]] = field(default_factory=dict)

    def __call__(self, dataset: Dataset) -> Dataset:
        """Another dataset with vectors → the same with those of these columns normalized."""
        for name, steps in self.normalizers_.items():
            if name not in dataset.embeddings:
                continue
            given = dataset.embeddings[name]
            vectors = given.vectors
            for step in steps:
                vectors = step.apply(vectors)
            told = [{"normalizer": type(step).__name__, "options": asdict(step)} for step in steps]
            made_by = dumps({"normalizers": told, "of": given.made_by}, sort_keys=True)
            dataset = dataset.with_embeddings(name, Embeddings(vectors, given.present, made_by, given.modality))
        return dataset
