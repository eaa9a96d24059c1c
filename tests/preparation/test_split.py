import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec.data.interactions import Interactions
from fuserec.errors import DataError, OptionError
from fuserec.preparation.split import (
    SPLITTERS,
    split_by_time,
    split_cold_items,
    split_default,
    split_given,
    split_last,
    split_random,
)


def rows(part):
    return set(zip(part.interactions.users.tolist(), part.interactions.items.tolist(), strict=True))


@pytest.mark.parametrize("by", ["time", "last", "random", "cold-items"])
def test_every_interaction_is_in_exactly_one_part(by):
    data = checkerboard()
    parts = SPLITTERS[by](data)
    found = [rows(part) for part in parts[:3]]
    assert sum(len(part) for part in found) == len(data.interactions)
    assert set.union(*found) == rows(data)
    assert all(part.users is data.users and part.catalog is data.catalog for part in parts[:3])


def test_by_time_nothing_in_train_is_later_than_what_is_tested():
    train, validation, test, name = split_by_time(checkerboard(), validation=0.2, test=0.1)
    assert train.interactions.times.max() < validation.interactions.times.min()
    assert validation.interactions.times.max() < test.interactions.times.min()
    assert name == "global-time"
    n = len(checkerboard().interactions)
    assert len(test.interactions) == n - int(np.ceil(n * 0.9))


def test_interactions_of_the_same_second_stay_together():
    data = checkerboard()
    from dataclasses import replace

    times = data.interactions.times // 40 * 40
    parts = split_by_time(replace(data, interactions=replace(data.interactions, times=times)))
    seconds = [set(part.interactions.times.tolist()) for part in parts[:3]]
    assert not (seconds[0] & seconds[1] or seconds[1] & seconds[2])


def test_last_takes_the_last_of_each_user():
    data = checkerboard()
    train, validation, test, _ = split_last(data)
    for user in range(data.n_users):
        times = {
            name: part.interactions.times[part.interactions.users == user]
            for name, part in zip("avt", (train, validation, test), strict=True)
        }
        if len(times["t"]):
            assert len(times["t"]) == len(times["v"]) == 1
            assert times["a"].max() < times["v"][0] < times["t"][0]


def test_random_is_seeded_and_leaves_every_user_something_to_learn_from():
    data = checkerboard()
    first, again, other = split_random(data, seed=1), split_random(data, seed=1), split_random(data, seed=2)
    assert rows(first.test) == rows(again.test) != rows(other.test)
    had = np.bincount(data.interactions.users, minlength=data.n_users) > 0
    assert (np.bincount(first.train.interactions.users, minlength=data.n_users)[had] > 0).all()
    assert 0.05 < len(first.test.interactions) / len(data.interactions) < 0.15


def test_cold_items_are_new_in_test():
    parts = split_cold_items(checkerboard(), test=0.2)
    assert not (parts.train.warm & parts.test.warm).any()
    assert not (parts.validation.warm & parts.test.warm).any()


def test_a_given_split_is_kept_and_is_the_default():
    data = checkerboard()
    from dataclasses import replace

    labels = np.arange(len(data.interactions)) % 3
    given = replace(data, interactions=replace(data.interactions, splits=labels.astype(np.int8)))
    parts = split_default(given)
    assert parts.name == "given" and len(parts.test.interactions) == (labels == 2).sum()
    assert split_default(data).name == "global-time"
    no_times = replace(data, interactions=replace(data.interactions, times=None))
    assert split_default(no_times).name == "random"
    with pytest.raises(DataError, match="add a column `split`"):
        split_given(data)
    with pytest.raises(DataError, match="no times.*split_random"):
        split_by_time(no_times)


def test_shares_that_make_no_sense():
    with pytest.raises(OptionError, match=r"test=0\.0"):
        split_by_time(checkerboard(), test=0.0)
    with pytest.raises(OptionError, match="some left for train"):
        split_random(checkerboard(), validation=0.6, test=0.6)


def test_too_little_data_is_told():
    from dataclasses import replace

    one = replace(checkerboard(), interactions=Interactions(np.array([0]), np.array([0]), None, np.array([5])))
    with pytest.raises(DataError, match="leaves train empty"):
        split_by_time(one)
