"""The best items found among few are those found among all, to the bit; cells find nearly all of them."""

import numpy as np
import pytest
from tests.planted import checkerboard
from tests.recommenders.test_contract import fitted

from fuserec.data.embeddings import unit
from fuserec.fusion.fuser import fuse
from fuserec.recommenders import cells, factors
from fuserec.recommenders.factors import LOOKED_AT
from fuserec.recommenders.reach import best_reached
from fuserec.retrieval import top_k


@pytest.fixture(scope="module")
def train():
    return fuse(checkerboard(80, 60))


def best_of(model, user, k, candidates):
    """As a server asks."""
    history = model.history.of_user(user)[0]
    return best_reached(model.reach(user, history, k + len(history)), k, candidates, history)


@pytest.mark.parametrize(
    "name", ["ItemNeighbors", "ContentNeighbors", "RandomWalk", "ContentWalk", "BPR", "SoftmaxFactors"]
)
def test_what_is_reached_is_what_is_ranked_to_the_bit(name, train):
    model = fitted(name, train)
    candidates = np.arange(train.n_items) % 7 != 3
    if name not in ("BPR", "SoftmaxFactors"):  # those have no session of nobody known
        nobody = best_reached(model.reach(-1, np.zeros(0, np.int64), 5), 5, candidates)
        expected = model.for_session([]).rank(np.zeros(1, np.int64), 5, candidates)
        assert nobody[0].tolist() == expected[0][0].tolist() and nobody[1].tobytes() == expected[1][0].tobytes()
    found = 0
    for user in range(train.n_users):
        rows, scores = model.rank(np.array([user]), 5, candidates)
        if best := best_of(model, user, 5, candidates):
            found += 1
            assert best[0].tolist() == rows[0].tolist() and best[1].tobytes() == scores[0].tobytes()
    assert found == train.n_users
    assert best_of(model, 0, train.n_items, candidates) is None  # so many are not reached: `rank` fills the list


def test_ties_break_by_row_and_scores_that_are_no_numbers_are_left_out():
    scores = np.array([1, 2, np.nan, 2, 0, 2, -np.inf, 1], np.float32)
    found, everything = (np.arange(8), scores), np.ones(8, bool)
    assert best_reached(found, 2, everything)[0].tolist() == [1, 3]
    assert best_reached(found, 5, everything)[0].tolist() == [1, 3, 5, 0, 7]
    assert best_reached(found, 7, everything) is None
    assert best_reached(found, 3, everything, np.array([3, -1, 0, 3, 99]))[0].tolist() == [1, 5, 7]
    assert best_reached((np.zeros(0, np.int64), np.zeros(0, np.float32)), 1, everything, np.array([3])) is None


def test_models_that_look_at_all_items_say_so(train):
    assert all(
        fitted(name, train).reach(0, np.zeros(0, np.int64), 5) is None for name in ("EASE", "Popular", "GRU4Rec")
    )
    assert fitted("BPR", train).reach(-1, np.zeros(0, np.int64), 5) is None


@pytest.fixture
def many(monkeypatch):
    """6,000 vectors around 60 centers, of very different lengths, as cells; and 50 vectors to multiply them with."""
    monkeypatch.setattr(cells, "LEAST_ITEMS", 5_000)
    monkeypatch.setattr(cells, "PROBED_ALIKE", 32)  # of 232 cells, where a million items have 3,000
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((60, 16), dtype=np.float32)
    vectors = centers[rng.integers(0, 60, 6_000)] + 0.5 * rng.standard_normal((6_000, 16), dtype=np.float32)
    vectors *= rng.lognormal(0.0, 0.3, (6_000, 1)).astype(np.float32)
    return vectors, cells.cells_of(vectors), centers[:50]


def test_cells_find_nearly_all_of_the_largest_products_and_all_that_was_added(many):
    vectors, found, asked = many
    assert sorted(found["rows"].tolist()) == list(range(6_000)) and found["starts"][-1] == 6_000
    index = cells.index_of(found, vectors)
    more = np.concatenate([vectors, np.zeros((3, 16), np.float32)])
    best = top_k(asked @ vectors.T, 20)
    rows = [cells.largest(index, LOOKED_AT * 20, more, one) for one in asked]
    assert all((np.diff(some) > 0).all() and len(some) == LOOKED_AT * 20 + 3 and some[-3] == 6_000 for some in rows)
    assert np.mean([np.isin(b, some).mean() for b, some in zip(best, rows, strict=True)]) > 0.99
    best = top_k(asked @ unit(vectors).T, 20)
    rows = [cells.alike(found, 6_003, one) for one in asked]
    assert all(len(some) < 1_000 and {6_000, 6_001, 6_002} <= set(some.tolist()) for some in rows)
    assert np.mean([np.isin(b, some).mean() for b, some in zip(best, rows, strict=True)]) > 0.95
    assert cells.cells_of(vectors[:5_000]) == {}


def test_codes_are_of_the_nearest_words_and_made_where_a_model_has_none(many):
    vectors, found, asked = many
    index = cells.index_of(found, vectors)
    before = cells.index_of({name: found[name] for name in ("centers", "longest", "rows", "starts")}, vectors)
    for one in asked:
        assert cells.largest(before, 40, vectors, one).tolist() == cells.largest(index, 40, vectors, one).tolist()
    odd = np.random.default_rng(0).standard_normal((600, 97), dtype=np.float32)  # two numbers a word, and a zero
    rows = np.arange(600, dtype=np.int32)[::-1]
    made = cells.codes_of(odd, rows)
    assert made["words"].shape == (49, 16, 2) and made["codes"].shape == (600, 25)
    pairs = np.pad(odd, ((0, 0), (0, 1))).reshape(600, 49, 2)[rows]
    nearest = ((pairs[:, :, None] - made["words"]) ** 2).sum(-1).argmin(-1)  # (600, 49)
    told = np.stack([made["codes"] & 15, made["codes"] >> 4], 2).reshape(600, 50)[:, :49]
    assert (told == nearest).mean() > 0.999  # all but ties


def test_vectors_of_odd_length_are_found(monkeypatch):
    monkeypatch.setattr(cells, "LEAST_ITEMS", 2_000)
    rng = np.random.default_rng(0)
    for dim in (33, 97):  # one number a word, and two
        vectors = rng.standard_normal((3_000, dim), dtype=np.float32)
        monkeypatch.setattr(cells, "PROBED", 1)
        index = cells.index_of(cells.cells_of(vectors), vectors)
        best = top_k(vectors[:50] @ vectors.T, 20)
        rows = [cells.largest(index, LOOKED_AT * 20, vectors, one) for one in vectors[:50]]
        assert np.mean([np.isin(b, some).mean() for b, some in zip(best, rows, strict=True)]) > 0.98


def test_a_model_of_many_items_reaches_what_its_cells_hold(train, monkeypatch, tmp_path):
    from fuserec.artifact import load_model, save_model

    monkeypatch.setattr(cells, "LEAST_ITEMS", 50)
    monkeypatch.setattr(cells, "PROBED", 2)  # of 23: enough for so few
    monkeypatch.setattr(factors, "LOOKED_AT", 4)
    save_model(fitted("SoftmaxFactors", train), tmp_path / "model")
    model = load_model(tmp_path / "model")
    assert len(model.cells_["rows"]) == 60 == len(model.cells_["codes"])
    right = []
    for user in range(0, train.n_users, 8):
        assert len(model.reach(user, np.zeros(0, np.int64), 5)[0]) == 20
        rows, scores = best_of(model, user, 3, np.ones(train.n_items, bool))
        right.append(np.isin(rows, model.rank(np.array([user]), 3)[0]).mean())
        np.testing.assert_allclose(scores, model.score(np.array([user]))[0][rows], rtol=1e-5)
    assert np.mean(right) >= 0.9
    exact = unit(model.item_vectors_) @ unit(model.item_vectors_)[4]
    for item in model.similar_items("i4", 3):
        assert item.score == pytest.approx(float(exact[model.catalog_.ids.row(item.item_id)]), abs=1e-6)
