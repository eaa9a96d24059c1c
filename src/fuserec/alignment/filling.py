"""Gap filling: a missing vector predicted from the item's other columns, and marked as filled."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from json import dumps
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fuserec.alignment.aligner import Vectors, own_columns
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings, unit
from fuserec.errors import DataError, NotFittedError, OptionError
from fuserec.retrieval import block_rows, top_k

TINY = 1e-30  # keeps a ridge above 0 where all inputs are zero


@dataclass(kw_only=True, eq=False)
class Filler(ABC):
    """Predicts an item's vector in one column from its vectors in the others. A subclass writes `learn` and `predict`.

    centers_: column → float32 (dim_m,), the mean of the vectors learned from
    """

    def fit(self, columns: Mapping[str, Embeddings], fit_on: NDArray[np.bool_] | None = None) -> Self:
        """Column → embeddings, and the items to learn from bool (n_items,) (default: all) → this filler, fitted."""
        names = sorted(columns)
        if len(names) < 2:
            raise DataError(f"{type(self).__name__} predicts a column from others; found only {names}")
        self.centers_ = {name: columns[name].center(fit_on) for name in names}
        present: NDArray[np.bool_] = np.stack([columns[name].own for name in names], axis=1)
        rows = present.sum(axis=1) >= 2
        rows = rows if fit_on is None else rows & fit_on
        if rows.sum() < 2:
            raise DataError(
                f"{type(self).__name__} learns from items that have two or more of {', '.join(names)}; "
                f"found {int(rows.sum())} of them, expected at least 2"
            )
        self.learn({name: columns[name].vectors[rows] for name in names}, self._inputs(columns, rows), present[rows])
        return self

    @abstractmethod
    def learn(self, vectors: Mapping[str, Vectors], inputs: Mapping[str, Vectors], present: NDArray[np.bool_]) -> None:
        """Column → its vectors (n, dim_m); → the same centered, at unit length; present bool (n, M), two a row or more.

        Rows of missing vectors are zero in both; columns are sorted by name.
        """

    @abstractmethod
    def predict(self, name: str, inputs: Mapping[str, Vectors]) -> Vectors:
        """A column, the other columns → centered unit vectors (n, dim_m), zero where missing → float32 (n, dim)."""

    def fill(self, name: str, columns: Mapping[str, Embeddings]) -> Embeddings:
        """A column, column → embeddings → the column's, with a filled vector for each item that has another column."""
        if not hasattr(self, "centers_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit(columns) first")
        given = columns.get(name, self._missing(name, next(iter(columns.values())).n_items))
        others = {
            other: columns.get(other, self._missing(other, given.n_items)) for other in self.centers_ if other != name
        }
        gaps = ~given.own & np.any([embeddings.own for embeddings in others.values()], axis=0)
        vectors = np.where(given.own[:, None], given.vectors, np.float32(0))
        vectors[gaps] = self.predict(name, self._inputs(others, gaps))
        made_by = dumps({"filler": type(self).__name__, "options": asdict(self), "of": given.made_by}, sort_keys=True)
        return replace(given, vectors=vectors, present=given.own | gaps, made_by=made_by, filled=gaps)

    def _missing(self, name: str, n_items: int) -> Embeddings:
        """A fitted column that no item has."""
        return Embeddings(np.zeros((n_items, len(self.centers_[name])), np.float32), np.zeros(n_items, bool), "nothing")

    def _inputs(self, columns: Mapping[str, Embeddings], rows: NDArray[np.bool_]) -> dict[str, Vectors]:
        inputs = {}
        for name in sorted(columns):
            centered = unit(columns[name].vectors[rows] - self.centers_[name])
            centered[~columns[name].own[rows]] = 0.0
            inputs[name] = centered
        return inputs


@dataclass(kw_only=True, eq=False)
class RidgeFiller(Filler):
    """Ridge regression (Hoerl and Kennard 1970) of a column's vectors on the other columns side by side.

    A missing column is zero there: at the mean, so it adds nothing to the prediction. W = (X' X + l I)^-1 X' Y for
    inputs X and centered vectors Y; l is `regularization` times the mean eigenvalue of X' X.

    weights_: column → float32 (sum of the other columns' dims, dim_m)
    """

    regularization: float = 10.0  # ridge, in units of the inputs' mean eigenvalue

    def __post_init__(self) -> None:
        if not self.regularization > 0:
            raise OptionError(f"RidgeFiller: regularization = {self.regularization}; expected more than 0")

    def learn(self, vectors: Mapping[str, Vectors], inputs: Mapping[str, Vectors], present: NDArray[np.bool_]) -> None:
        """Column → vectors (n, dim_m); → inputs; present (n, M) → `weights_`."""
        self.weights_ = {}
        for column, there in zip(inputs, present.T, strict=True):
            x = _side_by_side(inputs, column)[there].astype(np.float64)
            y = vectors[column][there] - self.centers_[column]
            gram = x.T @ x
            ridge = self.regularization * max(float(np.trace(gram)) / len(gram), TINY)
            self.weights_[column] = np.linalg.solve(gram + ridge * np.eye(len(gram)), x.T @ y).astype(np.float32)

    def predict(self, name: str, inputs: Mapping[str, Vectors]) -> Vectors:
        """A column, the other columns' centered unit vectors → the column's vectors float32 (n, dim_m)."""
        return self.centers_[name] + _side_by_side(inputs, name) @ self.weights_[name]


@dataclass(kw_only=True, eq=False)
class GraphFiller(Filler):
    """The mean vector of the items that are nearest in the other columns, of those that have the column.

    Near: the mean cosine of centered vectors, over the columns that both items have, 0 where it is negative. The
    predicted vector is the column's mean plus (1 / k) sum of cosine_j (y_j - mean) over the k neighbours j: the less
    near they are, the nearer it stays to the mean.

    vectors_, inputs_: column → float32 (n, dim_m), of the items learned from: the vectors; centered, at unit length
    present_: bool (n, M), in the order of the sorted names
    """

    k: int = 30  # neighbours

    def __post_init__(self) -> None:
        if self.k < 1:
            raise OptionError(f"GraphFiller: k = {self.k}; expected 1 or more")

    def learn(self, vectors: Mapping[str, Vectors], inputs: Mapping[str, Vectors], present: NDArray[np.bool_]) -> None:
        """Column → vectors (n, dim_m); → inputs; present (n, M): all are kept."""
        self.vectors_, self.inputs_, self.present_ = dict(vectors), dict(inputs), present

    def predict(self, name: str, inputs: Mapping[str, Vectors]) -> Vectors:
        """A column, the other columns' centered unit vectors → the column's vectors float32 (n, dim_m)."""
        known = self.present_[:, list(self.inputs_).index(name)]
        n = len(next(iter(inputs.values())))
        predicted = np.tile(self.centers_[name], (n, 1))
        if not known.any():
            return predicted
        candidates = self.vectors_[name][known] - self.centers_[name]
        size = block_rows(len(candidates))
        for start in range(0, n, size):
            block = slice(start, start + size)
            total = n_common = np.zeros((len(predicted[block]), len(candidates)), np.float32)
            for other in inputs:
                mine, theirs = inputs[other][block], self.inputs_[other][known]
                total = total + mine @ theirs.T
                n_common = n_common + np.outer(mine.any(axis=1), theirs.any(axis=1))
            near = np.maximum(total / np.maximum(n_common, 1), 0)
            nearest = top_k(near, self.k)  # (b, k)
            weights = np.take_along_axis(near, nearest, axis=1) / nearest.shape[1]
            predicted[block] += np.einsum("bk,bkd->bd", weights, candidates[nearest])
        return predicted


def fill(
    dataset: Dataset,
    filler: Filler | None = None,
    *,
    columns: Sequence[str] | None = None,
    fit_on: NDArray[np.bool_] | None = None,
) -> Dataset:
    """Dataset with vectors → the same, the gaps of these columns (default: of all) filled from all; `RidgeFiller`.

    Learns from the items of `fit_on`, bool (n_items,); default: those with interactions in this dataset, so give it
    the training part. A filled vector is `present` and `filled`; an item without any vector stays without. Vectors that
    were filled before are made anew. Columns without a gap stay as they are.
    """
    sources = own_columns(dataset)
    warm = dataset.warm if dataset.warm.any() else None
    fitted = (filler or RidgeFiller()).fit(sources, warm if fit_on is None else fit_on)
    gaps = tuple(name for name in own_columns(dataset, columns) if not sources[name].own.all())
    stage = Filled(filler_=fitted, columns_=gaps)
    return stage(dataset).with_stage(stage) if gaps else dataset


@dataclass(kw_only=True, eq=False)
class Filled:
    """The stage that `fill` leaves behind: the fitted filler, and the columns whose gaps it fills."""

    filler_: Filler | None = None
    columns_: tuple[str, ...] = ()

    def __call__(self, dataset: Dataset) -> Dataset:
        """Another dataset with vectors → the same with gaps filled, those of columns that it lacks included."""
        assert self.filler_ is not None  # it is set when the stage is made or loaded
        sources = {name: e for name, e in dataset.column_vectors.items() if name in self.filler_.centers_}
        for name in self.columns_ if sources else ():
            dataset = dataset.with_embeddings(name, self.filler_.fill(name, sources))
        return dataset


def _side_by_side(inputs: Mapping[str, Vectors], target: str) -> Vectors:
    """Column → (n, dim_m), and the one to predict → the others side by side, by name: (n, sum of their dims)."""
    return np.concatenate([inputs[name] for name in sorted(inputs) if name != target], axis=1)
