"""Fuser: the contract of everything that makes one vector an item from those of several columns; `fuse` applies one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from json import dumps
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings, check_vectors, unit
from fuserec.errors import DataError, NotFittedError, OptionError, did_you_mean

Vectors = NDArray[np.float32]


@dataclass(kw_only=True, eq=False)
class Fuser(ABC):
    """Makes one vector an item from those of several columns; fitted once, then also for items that come later.

    A subclass writes `combine` and, if it learns more than the centers, `learn`. Learned attributes end in `_` and are
    arrays, or dicts of arrays, so that a model folder can hold them.

    centers_: column → float32 (dim_m,), its mean over the training items
    """

    normalize: bool = True  # center every column and bring it to unit length first, so that none speaks louder

    def fit(self, dataset: Dataset, columns: Sequence[str] | None = None) -> Self:
        """Training dataset with vectors → this fuser, fitted to `columns` (default: all that are not fused or aligned).

        Centers are means over the items with interactions in this dataset, so give it the training part.
        """
        available = dataset.embeddings
        check_vectors(columns or (), available)
        chosen = sorted(
            dataset.column_vectors if columns is None else columns
        )  # so that the order of columns changes nothing
        if not chosen:
            raise DataError("nothing to fuse: the dataset has no vectors; encode it first")
        self.centers_ = {name: available[name].center(dataset.warm) for name in chosen}
        self.learn(dataset, *self._blocks({name: available[name] for name in chosen}))
        return self

    def learn(  # noqa: B027  a fuser that learns nothing more need not write it
        self, dataset: Dataset, blocks: Sequence[Vectors], present: NDArray[np.bool_]
    ) -> None:
        """Training dataset, its blocks and presence as `combine` gets them → more learned attributes."""

    @abstractmethod
    def combine(self, blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> Vectors:
        """Blocks float32 (n, dim_m) by fitted column, zero where missing; present bool (n, M) → float32 (n, dim)."""

    def fuse(self, embeddings: Mapping[str, Embeddings]) -> Embeddings:
        """Column → embeddings of any items → their fused embeddings with `parts`: which columns each was made from.

        A fitted column that is not given is missing for all of them. Raises `OptionError` for a column not fitted.
        """
        self._check_fitted()
        blocks, present = self._blocks(embeddings)
        fused = self.combine(blocks, present)
        made_by = dumps(
            {
                "fuser": type(self).__name__,
                "options": asdict(self),
                "columns": {name: embeddings[name].made_by for name in sorted(embeddings)},
            },
            sort_keys=True,
        )
        parts = {name: present[:, m] for m, name in enumerate(self.columns)}
        return Embeddings(fused, np.any(present, axis=1), made_by, "vector", parts)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it was fitted to, sorted."""
        self._check_fitted()
        return tuple(sorted(self.centers_))

    def _blocks(self, embeddings: Mapping[str, Embeddings]) -> tuple[list[Vectors], NDArray[np.bool_]]:
        """Column → embeddings → a block float32 (n, dim_m) and a presence bool (n,) for every fitted column."""
        for name, given in embeddings.items():
            if name not in self.centers_:
                known = ", ".join(self.columns)
                raise OptionError(f"column {name!r} was not fitted{did_you_mean(name, self.centers_)} Fitted: {known}.")
            if given.dim != len(self.centers_[name]):
                raise DataError(
                    f"vectors of {name!r} have {given.dim} numbers; expected {len(self.centers_[name])}, as in training"
                )
        sizes = {given.n_items for given in embeddings.values()}
        if len(sizes) != 1:
            raise DataError(f"fuse needs columns of one number of items; found {sorted(sizes) or 'no column'}")
        n_items = sizes.pop()
        blocks, present = [], np.zeros((n_items, len(self.centers_)), bool)
        for m, name in enumerate(self.columns):
            block = np.zeros((n_items, len(self.centers_[name])), np.float32)
            if name in embeddings:
                present[:, m] = there = embeddings[name].present
                vectors = embeddings[name].vectors[there]
                block[there] = unit(vectors - self.centers_[name]) if self.normalize else vectors
            blocks.append(block)
        return blocks, present

    def _check_fitted(self) -> None:
        if not hasattr(self, "centers_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit(train) first")


def fuse(
    dataset: Dataset, fuser: Fuser | None = None, *, columns: Sequence[str] | None = None, name: str = "fused"
) -> Dataset:
    """Dataset with vectors → the same with their fusion under `name`; default: `Concat` of all columns.

    The fuser given is fitted to this dataset, so give the training part; it can then `fuse` new items.
    """
    from fuserec.fusion.early import Concat

    stage = Fused(fuser_=(fuser or Concat()).fit(dataset, columns), name=name)
    return stage(dataset).with_stage(stage)


@dataclass(kw_only=True, eq=False)
class Fused:
    """The stage that `fuse` leaves behind: the fitted fuser, to fuse the vectors of other items in the same way."""

    fuser_: Fuser | None = None
    name: str = "fused"  # of the vectors that it makes

    def __call__(self, dataset: Dataset) -> Dataset:
        """Another dataset with vectors of fitted columns → the same with fused ones; without any, as it is."""
        assert self.fuser_ is not None  # it is set when the stage is made or loaded
        there = {name: dataset.embeddings[name] for name in self.fuser_.columns if name in dataset.embeddings}
        return dataset.with_embeddings(self.name, self.fuser_.fuse(there)) if there else dataset
