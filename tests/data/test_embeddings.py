"""Vectors of items: nobody else changes them, and cosines are made block by block."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fuserec.data import embeddings
from fuserec.data.embeddings import Embeddings, cosines, unit


def test_vectors_are_a_copy_unless_nobody_else_may_change_them():
    given = np.ones((4, 3), np.float32)
    present = np.array([True, True, False, True])
    made = Embeddings(given, present, "test")
    given[0] = 7.0
    assert made.vectors[0].tolist() == [1.0] * 3 and not made.vectors[2].any() and not made.vectors.flags.writeable
    assert Embeddings(made.vectors, present, "test").vectors is made.vectors
    other = Embeddings(made.vectors, np.array([False, True, False, True]), "test")
    assert not other.vectors[0].any() and made.vectors[0].any()


def test_vectors_of_more_items_share_memory_and_change_nobody_elses():
    rng = np.random.default_rng(0)

    def made(n):
        return Embeddings(rng.standard_normal((n, 3)), np.ones(n, bool), "test")

    first, one, two, other = made(5), made(1), made(2), made(1)
    expected = first.vectors.copy()
    longer = first.followed_by(one, 1)
    longest = longer.followed_by(two, 2).followed_by(None, 1)
    assert np.shares_memory(first.vectors, longest.vectors) and np.shares_memory(longer.vectors, longest.vectors)
    aside = longer.followed_by(other, 1)  # not after the two
    again = first.followed_by(made(200), 200)  # more than there is room for
    assert not np.shares_memory(longest.vectors, aside.vectors)
    np.testing.assert_array_equal(first.vectors, expected)
    np.testing.assert_array_equal(longer.vectors, np.concatenate([expected, one.vectors]))
    np.testing.assert_array_equal(
        longest.vectors, np.concatenate([expected, one.vectors, two.vectors, np.zeros((1, 3))])
    )
    np.testing.assert_array_equal(aside.vectors, np.concatenate([expected, one.vectors, other.vectors]))
    np.testing.assert_array_equal(again.vectors[:5], expected)
    assert longest.present.tolist() == [True] * 8 + [False] and not longest.vectors.flags.writeable
    kept = pickle.loads(pickle.dumps(longer))
    np.testing.assert_array_equal(kept.followed_by(two, 2).vectors[6:], two.vectors)
    with pytest.raises(ValueError, match="vectors of 1 numbers; expected 3"):
        first.followed_by(Embeddings(np.ones((1, 1)), np.ones(1, bool), "test"), 1)


def test_many_threads_follow_the_same_vectors():
    first = Embeddings(np.zeros((4, 2)), np.ones(4, bool), "test").followed_by(None, 1)

    def follow(number):
        more = Embeddings(np.full((1, 2), number), np.ones(1, bool), "test")
        return first.followed_by(more, 1).followed_by(more, 1)

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(follow, range(400))):
            assert found.vectors.tolist() == [[0.0] * 2] * 5 + [[float(number)] * 2] * 2


def test_cosines_in_blocks_are_those_of_all_at_once(monkeypatch):
    monkeypatch.setattr(embeddings, "BLOCK", 7)
    rng = np.random.default_rng(0)
    present = rng.random(50) > 0.2
    made = Embeddings(rng.standard_normal((50, 6)) + 3.0, present, "test")
    warm = rng.random(50) > 0.5
    center = made.vectors[present & warm].mean(axis=0)
    np.testing.assert_allclose(made.center(warm), center, rtol=1e-6)
    assert made.center(warm) is made.center(warm) and not np.allclose(made.center(), center, rtol=1e-3)
    whole = unit(np.where(present[:, None], made.vectors - center, 0.0))
    np.testing.assert_allclose(made.centered_unit(warm), whole, atol=1e-6)
    row = int(np.flatnonzero(present)[3])
    np.testing.assert_allclose(made.centered_unit_of(row, warm), whole[row], atol=1e-6)
    np.testing.assert_allclose(made.cosines_to(whole[row], warm), whole @ whole[row], atol=1e-6)
    np.testing.assert_allclose(cosines(made.vectors, row), unit(made.vectors) @ unit(made.vectors)[row], atol=1e-6)
