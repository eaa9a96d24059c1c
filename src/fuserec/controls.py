"""Controls: a training dataset → the same with one column's vectors gone, made up, or given to the wrong items.

Whatever a later stage made of the columns (filled gaps, fused and aligned vectors) is made anew from what is left, so
that nothing of a column stays behind in the vectors of others.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from fuserec.alignment.aligner import Aligned
from fuserec.alignment.filling import Filled, fill
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings, check_vectors
from fuserec.fusion.fuser import Fused, fuse

MOST_ROWS = 2_000  # vectors that the moments of noise are taken from


def without(dataset: Dataset, columns: Iterable[str]) -> Dataset:
    """Dataset, names of columns → the same where no item has them. The columns are still there, empty."""
    return _changed(dataset, {name: _kept(_own(dataset, name), 0.0, 0) for name in columns})


def alone(dataset: Dataset, column: str) -> Dataset:
    """Dataset, a column → the same where items have no other column."""
    return without(dataset, [name for name in dataset.column_vectors if name != _checked(dataset, column)])


def with_noise(dataset: Dataset, column: str, seed: int) -> Dataset:
    """Dataset, a column → the same with normal noise for its vectors, of their mean and covariance.

    The moments are those of (at most 2,000 of) the vectors that are there. Which items have one does not change.
    """
    own = _own(dataset, column)
    rng = np.random.default_rng(seed)
    given = own.vectors[own.present]
    if len(given) > MOST_ROWS:
        given = given[rng.choice(len(given), MOST_ROWS, replace=False)]
    vectors = own.vectors.copy()
    if len(given) > 1:
        # Sums of the centered vectors with normal weights have their covariance, without any decomposition.
        weights = rng.standard_normal((int(own.present.sum()), len(given))).astype(np.float32)
        vectors[own.present] = given.mean(axis=0) + weights @ (given - given.mean(axis=0)) / np.sqrt(len(given) - 1)
    return _changed(dataset, {column: replace(own, vectors=vectors)})


def shuffled(dataset: Dataset, column: str, seed: int) -> Dataset:
    """Dataset, a column → the same with its vectors dealt anew to the items that have one."""
    own = _own(dataset, column)
    rows = np.flatnonzero(own.present)
    vectors = own.vectors.copy()
    vectors[rows] = own.vectors[np.random.default_rng(seed).permutation(rows)]
    return _changed(dataset, {column: replace(own, vectors=vectors)})


def with_missing(dataset: Dataset, column: str, rate: float, seed: int) -> Dataset:
    """Dataset, a column → the same where this share of its vectors, drawn at random, is missing too."""
    return _changed(dataset, {column: _kept(_own(dataset, column), 1.0 - rate, seed)})


def _kept(own: Embeddings, share: float, seed: int) -> Embeddings:
    """Embeddings → the same with this share of the vectors that are there. With one seed, fewer are among more."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(own.present))
    present = np.zeros(own.n_items, bool)
    present[rows[: round(share * len(rows))]] = True
    return replace(own, present=present)


def _checked(dataset: Dataset, column: str) -> str:
    check_vectors([column], dataset.column_vectors)
    return column


def _own(dataset: Dataset, column: str) -> Embeddings:
    """The column without the vectors that were filled in."""
    given = dataset.embeddings[_checked(dataset, column)]
    return replace(given, present=given.own, filled=np.zeros(0, bool))


def _changed(dataset: Dataset, columns: dict[str, Embeddings]) -> Dataset:
    """Dataset, columns → the same with these, and with all that later stages made of them made anew."""
    own = {name: columns.get(name) or _own(dataset, name) for name in dataset.column_vectors}
    made = replace(dataset, embeddings=own, stages=())
    for stage in dataset.stages:
        if isinstance(stage, Filled) and stage.filler_ is not None:
            made = _filled(made, stage)
        elif isinstance(stage, Fused) and stage.fuser_ is not None:
            made = fuse(made, replace(stage.fuser_), columns=stage.fuser_.columns, name=stage.name)
        elif isinstance(stage, Aligned):
            made = stage(made)  # the space stays as it was learned; what is gone is gone from it
    return made


def _filled(dataset: Dataset, stage: Filled) -> Dataset:
    """The gaps of the columns that have anything left are filled from each other."""
    there = {name: own for name, own in dataset.embeddings.items() if own.present.any()}
    if len(there) < 2 or stage.filler_ is None:
        return dataset
    gaps = [name for name in stage.columns_ if name in there]
    filled = fill(replace(dataset, embeddings=there), replace(stage.filler_), columns=gaps)
    return replace(dataset, embeddings={**dataset.embeddings, **filled.embeddings})
