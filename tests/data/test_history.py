"""Histories: order, repeated items, what is added, windows."""

from dataclasses import replace

import numpy as np
from tests.planted import checkerboard

from fuserec.data.history import NOTHING, History


def rows(*values):
    return np.array(values, np.int64)


def test_order_is_by_time_then_by_row_and_the_last_of_an_item_counts():
    history = History.of(rows(1, 0, 0, 0, 1), rows(5, 7, 2, 7, 3), rows(9, 1, 4, 8, 9), 3)
    assert history.starts.tolist() == [0, 2, 4, 4]
    assert history.items.tolist() == [2, 7, 5, 3] and history.times.tolist() == [4, 8, 9, 9]
    untimed = History.of(rows(0, 0, 0), rows(3, 1, 2), None, 1)
    assert untimed.items.tolist() == [3, 1, 2] and not len(untimed.times)


def test_it_holds_what_seen_holds():
    shop = checkerboard()
    np.testing.assert_array_equal(shop.history.seen(shop.n_items).toarray(), shop.seen.toarray())
    items, times = shop.history.of_user(3)
    own = shop.interactions.users == 3
    assert items.tolist() == shop.interactions.items[own][np.argsort(shop.interactions.times[own])].tolist()
    assert (np.diff(times) > 0).all()
    file_order = replace(shop, interactions=replace(shop.interactions, times=None))
    assert file_order.history.of_user(3)[0].tolist() == shop.interactions.items[own].tolist()


def test_what_happens_later_follows():
    history = History.of(rows(0, 0, 1), rows(1, 2, 3), rows(10, 20, 90), 2)
    more = history.followed_by(rows(2, 0), rows(4, 1), None, 3)
    assert [more.of_user(user)[0].tolist() for user in range(3)] == [[2, 1], [3], [4]]
    assert more.of_user(0)[1].tolist() == [20, 90]  # without a time: at the last that is known
    assert history.followed_by(rows(0), rows(9), rows(15), 2).of_user(0)[0].tolist() == [1, 9, 2]


def test_windows_are_padded_on_the_left():
    history = History.of(rows(0, 0, 0, 1), rows(1, 2, 3, 4), rows(5, 6, 7, 8), 3)
    items, times = history.windows(rows(0, 0, 1, 2), rows(3, 2, 1, 0), 2)
    assert items.tolist() == [[2, 3], [1, 2], [NOTHING, 4], [NOTHING, NOTHING]]
    assert times.tolist() == [[6, 7], [5, 6], [0, 8], [0, 0]]
