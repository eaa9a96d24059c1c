"""Where walkers from each item end, kept in a table: the same scores as walking for each user."""

import gc

import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec import make
from fuserec.recommenders import walk


@pytest.mark.parametrize("options", [{}, {"hops": 3, "discount": 0.0, "content": 0.1, "fade": 1.0}])
def test_scores_of_the_table_are_those_of_walking(options, monkeypatch):
    train = checkerboard(n_users=72)
    users = np.arange(72)
    model = make("recommender", "ContentWalk", options).fit(train)
    monkeypatch.setattr(walk, "MOST_ENDS", 3)
    plain = make("recommender", "ContentWalk", options).fit(train)
    assert "_table" in vars(model) and "_table" not in vars(plain)
    np.testing.assert_allclose(model.score(users), plain.score(users), rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(model.rank(users, 5)[0], plain.rank(users, 5)[0])


def test_equal_walks_share_a_table_and_others_have_their_own():
    train = checkerboard()
    one, same, other = (make("recommender", "ContentWalk", {"hops": hops}).fit(train) for hops in (2, 2, 3))
    assert one._table is same._table and one._table is not other._table
    kept = len(walk._tables)
    del one, same, other
    gc.collect()
    assert len(walk._tables) <= kept - 2
