"""Aligner: the contract of everything that brings several columns into one shared space; `align` applies one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from json import dumps
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import SHARED, Embeddings, check_vectors, unit
from fuserec.errors import DataError, NotFittedError, OptionError, did_you_mean

Vectors = NDArray[np.float32]


@dataclass(kw_only=True, eq=False)
class Aligner(ABC):
    """Learns to bring the vectors of several columns into one space, where an item's own vectors lie close together.

    A subclass writes `learn` and `to_shared`. Learned attributes end in `_` and are arrays, or dicts of arrays by
    column, so that a model folder can hold them.

    centers_: column → float32 (dim_m,), what is subtracted before a vector is brought to unit length
    """

    dim: int = 64  # of the shared space, at most

    def fit(
        self,
        columns: Mapping[str, Embeddings],
        fit_on: NDArray[np.bool_] | None = None,
        *,
        views: Mapping[str, Vectors] | None = None,
    ) -> Self:
        """Column → embeddings, and the items to learn from bool (n_items,) (default: all) → this aligner, fitted.

        views: column → float32 (n_views, n_items, dim_m), as `encode_views` makes them, for aligners that train; a zero
        row is no view, and the item's own vector stands in for it.
        Filled vectors are not learned from. Raises `DataError` where fewer than two columns, or fewer than two items
        with two columns each, are given, or views of another shape than their column; `OptionError` for views of a
        column that is not there, or where the aligner has no use for them.
        """
        if not views:
            names, blocks, present, _ = self.prepare(columns, fit_on)
            self.learn(names, blocks, present)
            return self
        for name, view in views.items():
            if name not in columns:
                raise OptionError(f"views of {name!r}, which is not aligned{did_you_mean(name, columns)}")
            if view.ndim != 3 or view.shape[1:] != columns[name].vectors.shape:
                raise DataError(
                    f"views of {name!r} have the shape {view.shape}; expected (n_views, *{columns[name].vectors.shape})"
                )
        names, blocks, present, rows = self.prepare(columns, fit_on)
        variants = []
        for name, block in zip(names, blocks, strict=True):
            own = [view[rows] for view in views.get(name, ())]
            made = [np.where(v.any(axis=1, keepdims=True), self._prepared(name, v), block) for v in own]
            variants.append(np.stack([block, *made]))
        self.learn_views(names, variants, present)
        return self

    @property
    def takes_views(self) -> bool:
        """Whether it learns from views of media."""
        return type(self).learn_views is not Aligner.learn_views

    def prepare(
        self, columns: Mapping[str, Embeddings], fit_on: NDArray[np.bool_] | None
    ) -> tuple[list[str], list[Vectors], NDArray[np.bool_], NDArray[np.bool_]]:
        """What `fit` takes → sets `centers_`; what `learn` takes, and which items that is, bool (n_items,)."""
        names = sorted(columns)  # so that the order in which columns were added changes nothing
        if len(names) < 2:
            raise DataError(f"{type(self).__name__} aligns at least two columns with vectors; found {names}")
        present: NDArray[np.bool_] = np.stack([columns[name].own for name in names], axis=1)
        rows = present.sum(axis=1) >= 2
        if fit_on is not None:
            rows &= fit_on
        if rows.sum() < 2:
            raise DataError(
                f"{type(self).__name__} learns from items that have two or more of {', '.join(names)}; "
                f"found {int(rows.sum())} of them, expected at least 2"
            )
        self.centers_ = {name: columns[name].center(fit_on) for name in names}
        blocks = [self._prepared(name, columns[name].vectors[rows]) for name in names]
        for block, there in zip(blocks, present[rows].T, strict=True):
            block[~there] = 0.0
        return names, blocks, present[rows], rows

    @abstractmethod
    def learn(self, names: Sequence[str], blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> None:
        """M blocks float32 (n, dim_m) of centered unit vectors, zero where missing; present bool (n, M), two a row."""

    def learn_views(self, names: Sequence[str], variants: Sequence[Vectors], present: NDArray[np.bool_]) -> None:
        """As `learn`, of M arrays float32 (1 + n_views, n, dim_m), an item's own vectors first; few aligners can."""
        raise OptionError(f"{type(self).__name__} does not learn from views of media; use Towers, or leave them out")

    @abstractmethod
    def to_shared(self, name: str, block: Vectors) -> Vectors:
        """Centered unit vectors of one column, float32 (n, dim_m) → float32 (n, dim) in the shared space."""

    def project(self, name: str, vectors: Vectors) -> Vectors:
        """Vectors of one column as its encoder makes them, float32 (n, dim_m) → float32 (n, dim) of unit length."""
        if not hasattr(self, "centers_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit(columns) first")
        if name not in self.centers_:
            known = ", ".join(self.centers_)
            raise OptionError(f"no column {name!r} was aligned{did_you_mean(name, self.centers_)} There are: {known}.")
        return unit(self.to_shared(name, self._prepared(name, vectors)))

    def _prepared(self, name: str, vectors: Vectors) -> Vectors:
        return unit(vectors - self.centers_[name])


def own_columns(dataset: Dataset, columns: Sequence[str] | None = None) -> dict[str, Embeddings]:
    """Dataset, names (default: all) → the columns' own vectors, fused and shared ones left out, by name.

    Raises `OptionError` for a name without such vectors.
    """
    available = dataset.column_vectors
    check_vectors(columns or (), available)
    return available if columns is None else {column: available[column] for column in columns}


def align(
    dataset: Dataset,
    aligner: Aligner | None = None,
    *,
    columns: Sequence[str] | None = None,
    fit_on: NDArray[np.bool_] | None = None,
    views: Mapping[str, Vectors] | None = None,
) -> Dataset:
    """Dataset with vectors → the same with `shared-<column>` for each; default: `GCCA` over all columns.

    Learns from the items of `fit_on`, bool (n_items,); default: those with interactions in this dataset, so give it
    the training part. The aligner given is fitted, and can then `project` vectors of new items. `views`: see `fit`.
    """
    from fuserec.alignment.projection import GCCA

    chosen = own_columns(dataset, columns)
    warm = dataset.warm if dataset.warm.any() else None
    stage = Aligned(aligner_=(aligner or GCCA()).fit(chosen, warm if fit_on is None else fit_on, views=views))
    return stage(dataset).with_stage(stage)


@dataclass(kw_only=True, eq=False)
class Aligned:
    """The stage that `align` leaves behind: the fitted aligner, to bring other items into the same space."""

    aligner_: Aligner | None = None

    def __call__(self, dataset: Dataset) -> Dataset:
        """Another dataset with vectors → the same with `shared-<column>` for each column that it has."""
        assert self.aligner_ is not None  # it is set when the stage is made or loaded
        for name in self.aligner_.centers_:
            if name not in dataset.embeddings:
                continue
            own = dataset.embeddings[name]
            told = {"aligner": type(self.aligner_).__name__, "options": asdict(self.aligner_), "of": own.made_by}
            shared = np.where(own.present[:, None], self.aligner_.project(name, own.vectors), np.float32(0))
            made = replace(own, vectors=shared, made_by=dumps(told, sort_keys=True))
            dataset = dataset.with_embeddings(SHARED + name, made)
        return dataset


def shared_items(dataset: Dataset) -> Dataset:
    """An aligned dataset → the same with `shared`: each item's place in the shared space, the mean of its columns."""
    columns = {name.removeprefix(SHARED): e for name, e in dataset.embeddings.items() if name.startswith(SHARED)}
    if not columns:
        return dataset
    total = np.sum([embeddings.vectors for embeddings in columns.values()], axis=0)
    parts = {name: embeddings.present for name, embeddings in columns.items()}
    present = np.any(list(parts.values()), axis=0)
    made_by = dumps({"mean of": {name: embeddings.made_by for name, embeddings in columns.items()}})
    return dataset.with_embeddings("shared", Embeddings(unit(total), present, made_by, parts=parts))
