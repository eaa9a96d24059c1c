"""Vectors of items: nobody else changes them, and cosines are made block by block."""

import numpy as np

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
