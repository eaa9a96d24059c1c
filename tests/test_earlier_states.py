"""What benchmarks/sequential.py measures on: leave-last-out of earlier states of the data."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.sequential import earlier

from fuserec.preparation.split import split_last
from tests.planted import checkerboard


def rows(*parts):
    return {pair for part in parts for pair in zip(part.interactions.users, part.interactions.items, strict=True)}


@pytest.mark.parametrize("ties", [False, True])
def test_what_is_tested_of_an_earlier_state_is_validation_of_the_next_one(ties):
    data = checkerboard()
    if ties:
        data = replace(data, interactions=replace(data.interactions, times=np.ones(len(data.interactions), np.int64)))
    now, before = split_last(data), split_last(earlier(data, 1))
    assert rows(before.test) == rows(now.validation) and rows(*before[:3]) == rows(now.train, now.validation)
    assert rows(earlier(earlier(data, 1), 1)) == rows(earlier(data, 2))


def test_who_has_no_more_films_than_are_left_out_has_none():
    data = checkerboard()
    n = np.bincount(data.interactions.users)
    left = earlier(data, int(n.min())).interactions
    assert np.array_equal(np.bincount(left.users, minlength=len(n)), n - n.min())
