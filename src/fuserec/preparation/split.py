"""Splits: one dataset → train, validation and test over the same users and the same catalog."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fuserec.data.dataset import Dataset, Split
from fuserec.data.interactions import SPLITS
from fuserec.errors import DataError, OptionError


def split_by_time(dataset: Dataset, *, validation: float = 0.1, test: float = 0.1) -> Split:
    """Dataset → the last share `test` of all interactions by time, the share `validation` before it, and the rest.

    One point in time for all users, so that nothing learned comes from the future of a test user. Interactions of the
    same second stay on the same side. Raises `DataError` without times.
    """
    _check_shares(validation, test)
    times = dataset.interactions.times
    if times is None:
        raise DataError(
            f"{dataset.name} has no times, so it cannot be split by time; "
            "use split_random or split_cold_items (--split random), or give a column of unix seconds"
        )
    ordered = np.sort(times)
    test_from, validation_from = (ordered[_first(len(ordered), share)] for share in (test, validation + test))
    return _parts(dataset, np.where(times >= test_from, 2, np.where(times >= validation_from, 1, 0)), "global-time")


def split_last(dataset: Dataset) -> Split:
    """Dataset → each user's last interaction is test, the one before it validation.

    Users with fewer than three interactions stay in train. By time where times are known, otherwise by the order of the
    rows. The future of other users is in train: a running system cannot reach what this measures (see `split_by_time`).
    """
    interactions = dataset.interactions
    times = np.zeros(len(interactions), np.int64) if interactions.times is None else interactions.times
    from_last = _rank_from_last(interactions.users, times, dataset.n_users)
    n_of_user = np.bincount(interactions.users, minlength=dataset.n_users)[interactions.users]
    labels = np.where(n_of_user < 3, 0, np.where(from_last == 0, 2, np.where(from_last == 1, 1, 0)))
    return _parts(dataset, labels, "leave-last-out")


def split_random(dataset: Dataset, *, validation: float = 0.1, test: float = 0.1, seed: int = 0) -> Split:
    """Dataset → these shares of each user's interactions, drawn at random: for behavior without times.

    A user keeps at least one interaction in train; what the shares leave of a fraction is drawn too.
    """
    _check_shares(validation, test)
    interactions = dataset.interactions
    rng = np.random.default_rng(seed)
    rank = _rank_from_last(interactions.users, rng.permutation(len(interactions)), dataset.n_users)
    n_of_user = np.bincount(interactions.users, minlength=dataset.n_users)
    luck = rng.random(dataset.n_users)
    n_test = np.floor(n_of_user * test + luck).astype(np.int64)[interactions.users]
    n_held = np.floor(n_of_user * (test + validation) + luck).astype(np.int64)[interactions.users]
    n_held = np.minimum(n_held, n_of_user[interactions.users] - 1)
    labels = np.where(rank < np.minimum(n_test, n_held), 2, np.where(rank < n_held, 1, 0))
    return _parts(dataset, labels, "random")


def split_cold_items(dataset: Dataset, *, validation: float = 0.1, test: float = 0.1, seed: int = 0) -> Split:
    """Dataset → these shares of the items, drawn at random, with all their interactions: they are all cold."""
    _check_shares(validation, test)
    draw = np.random.default_rng(seed).permutation(dataset.n_items) / dataset.n_items
    of_item = np.where(draw < test, 2, np.where(draw < test + validation, 1, 0))
    return _parts(dataset, of_item[dataset.interactions.items], "cold-items")


def split_given(dataset: Dataset) -> Split:
    """Dataset whose owner has split it (a `split` column) → those parts. Raises `DataError` when there is none."""
    if dataset.interactions.splits is None:
        raise DataError(f"{dataset.name} has no split of its own; add a column `split` with {', '.join(SPLITS)}")
    return _parts(dataset, dataset.interactions.splits, "given")


def split_default(dataset: Dataset) -> Split:
    """Dataset → the given split if there is one, else by time if times are known, else at random with seed 0."""
    if dataset.interactions.splits is not None:
        return split_given(dataset)
    return split_random(dataset) if dataset.interactions.times is None else split_by_time(dataset)


SPLITTERS = {
    "auto": split_default,
    "cold-items": split_cold_items,
    "given": split_given,
    "last": split_last,
    "random": split_random,
    "time": split_by_time,
}


def _parts(dataset: Dataset, labels: NDArray[np.integer], name: str) -> Split:
    train, validation, test = (
        replace(dataset, interactions=dataset.interactions.take(labels == label)) for label in range(3)
    )
    for part, noun in ((train, "train"), (test, "test")):
        if not len(part.interactions):
            raise DataError(
                f"the {name} split of {dataset.name} ({len(dataset.interactions):,} interactions) leaves {noun} empty; "
                "use another split, larger shares, or more data"
            )
    return Split(train, validation, test, name)


def _rank_from_last(users: NDArray[np.int64], order: NDArray[np.int64], n_users: int) -> NDArray[np.int64]:
    """Each row's rank among its user's rows, 0 for the largest `order`; later rows count as larger. int64 (n,)."""
    by_user = np.lexsort((np.arange(len(users)), order, users))
    ends = np.cumsum(np.bincount(users, minlength=n_users))
    rank = np.empty(len(users), np.int64)
    rank[by_user] = ends[users[by_user]] - 1 - np.arange(len(users))
    return rank


def _first(n: int, share: float) -> int:
    return min(n - 1, int(np.ceil(n * (1.0 - share))))


def _check_shares(validation: float, test: float) -> None:
    if not (0.0 <= validation < 1.0 and 0.0 < test < 1.0 and validation + test < 1.0):
        raise OptionError(
            f"validation={validation} and test={test}: expected shares from 0 to 1, test above 0, some left for train"
        )
