"""What sequential models learn from: windows of histories, gaps between items, views, what is held out."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fuserec import registry
from fuserec.augmentation.augmentation import Augmentation
from fuserec.data.dataset import Dataset
from fuserec.data.history import NOTHING, History

GAPS = 24  # buckets of the time since the item before: 0 unknown, else 1 + log2 of seconds, to three months and more
PRINCIPAL = 128  # components of a column that are learned from
MASK = -2  # "something was here"
Rows = NDArray[np.int64]
View = Literal["SequenceCrop", "SequenceMask", "SequenceReorder"]
VIEWS: tuple[View, ...] = ("SequenceCrop", "SequenceMask", "SequenceReorder")


def augmentations(names: Sequence[str]) -> list[Augmentation]:
    """Names → augmentations of histories, with their defaults."""
    return [registry.make("augmentation", name, {"token": MASK} if name == "SequenceMask" else {}) for name in names]


def two_views(histories: Rows, chosen: Sequence[Augmentation], rng: np.random.Generator) -> list[Rows]:
    """Histories int64 (b, l), padded on the left → two arrays like it, by two different augmentations a history.

    These are the views of CL4SRec (Xie 2022, section 3.3).
    """
    made = [np.full_like(histories, NOTHING) for _ in range(2)]
    for row, history in enumerate(histories):
        real = history[history != NOTHING]
        for view, one in zip(made, rng.permutation(len(chosen)), strict=False):
            changed = chosen[one % len(chosen)](real, rng)
            view[row, histories.shape[1] - len(changed) :] = changed
    return made


def principal(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors float32 (n, dim) → their first principal axes, float32 (dim, at most 128): what a projection learns in.

    A projection from there costs less than from thousands of numbers an item, and keeps to what items differ in.
    """
    if vectors.shape[1] <= PRINCIPAL:
        return np.eye(vectors.shape[1], dtype=np.float32)
    _, axes = np.linalg.eigh(vectors.T @ vectors)  # ascending
    return np.ascontiguousarray(axes[:, : -PRINCIPAL - 1 : -1], dtype=np.float32)


def windows_of(history: History, length: int) -> tuple[Rows, Rows]:
    """Histories → for each stretch of `length` items to predict, with one before it: its user, and where it ends.

    Stretches are cut from the end, so only the first of a history is shorter.
    """
    sizes = np.diff(history.starts).astype(np.int64)
    n = np.maximum(-(-(sizes - 1) // length), 0)  # of each user
    users = np.repeat(np.arange(len(sizes)), n)
    before = np.arange(len(users)) - np.repeat(np.cumsum(n) - n, n)  # how many stretches of the user come after it
    return users, sizes[users] - before * length


def trimmed(items: Rows, times: Rows) -> tuple[Rows, Rows]:
    """Histories (b, l), padded on the left → without columns in which all are padded; one column is left at least."""
    real = (items != NOTHING).any(axis=0)
    first = int(real.argmax()) if real.any() else items.shape[1] - 1
    return items[:, first:], times[:, first:]


def gap_buckets(times: Rows, known: NDArray[np.bool_]) -> Rows:
    """Times (b, l) in seconds and where they are known → buckets of the time since the item before, 0: not known."""
    since = np.diff(times, axis=1, prepend=0)
    both = known & np.pad(known, ((0, 0), (1, 0)))[:, :-1]
    return np.where(both, 1 + np.minimum(np.log2(np.maximum(since, 0) + 1.0).astype(np.int64), GAPS - 2), 0)


def hold_out_last(dataset: Dataset, seed: int, share: float = 0.05) -> tuple[Dataset, Dataset]:
    """Dataset → all but the last interaction of some users with three or more, and those: a share of all, or fewer."""
    rows = dataset.interactions
    times = np.zeros(len(rows), np.int64) if rows.times is None else rows.times
    order = np.lexsort((times, rows.users))
    sizes = np.bincount(rows.users, minlength=dataset.n_users)
    last = order[(np.cumsum(sizes) - 1)[sizes >= 3]]
    held = np.zeros(len(rows), bool)
    held[np.random.default_rng(seed).permutation(last)[: max(1, round(share * len(rows)))]] = True
    return replace(dataset, interactions=rows.take(~held)), replace(dataset, interactions=rows.take(held))
