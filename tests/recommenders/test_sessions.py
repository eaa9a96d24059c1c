"""Somebody without an account, new users and new interactions: nothing is trained again."""

import numpy as np
import pytest
from tests.planted import checkerboard
from tests.recommenders.test_contract import NAMES, fitted

from fuserec import make, rerank
from fuserec.artifact import load_model, save_model
from fuserec.errors import OptionError, UnknownIdError
from fuserec.fusion.fuser import fuse
from fuserec.recommenders import walk as walks

TRAINED = (
    "BPR",
    "FREEDOM",
    "LightGCN",
    "Seeds",
    "SoftmaxFactors",
    "VBPR",
)  # users have vectors that were trained: only near
CANNOT = r"has to be fitted again"


@pytest.fixture(scope="module")
def train():
    return fuse(checkerboard())


@pytest.fixture(scope="module")
def walk(train):
    return fitted("ContentWalk", train)


def history(train, user):
    return [train.catalog.ids[row] for row in train.history.of_user(train.users.row(user))[0]]


@pytest.mark.parametrize("name", NAMES)
def test_a_history_as_a_session_gives_what_the_user_gets_or_an_error_says_why_not(name, train):
    model = fitted(name, train)
    for user in ("u2", "u7"):
        items = history(train, user)
        try:
            told = model.recommend(items=items, k=5)
        except OptionError as error:
            assert CANNOT in str(error) and name in str(error)
            return
        known = model.recommend(user, k=5)
        assert told.query == {"items": items, "k": 5} and not set(told.ids) & set(items)
        if name in TRAINED:
            assert np.mean([int(item[1:]) % 2 == int(user[1:]) % 2 for item in told.ids[:3]]) >= 2 / 3
        elif name != "Random":
            assert told.ids == known.ids
            np.testing.assert_allclose([i.score for i in told], [i.score for i in known], rtol=1e-4, atol=1e-6)
            assert [item.why for item in told] == [
                {reason: pytest.approx(share, abs=1e-4) for reason, share in item.why.items()} for item in known
            ]


@pytest.mark.parametrize("name", NAMES)
def test_new_interactions_change_the_next_list_and_leave_the_old_model_alone(name, train, tmp_path):
    model = fitted(name, train)
    before = model.recommend("u1", k=4).to_dict()
    items = before["items"][0]["item_id"], "i0"
    try:
        more = model.with_interactions(["u1", "u1", "new", "new"], [*items, "i3", "i5"])
    except OptionError as error:
        assert CANNOT in str(error)
        return
    assert not set(more.recommend("u1", k=30).ids) & set(items)
    assert more.recommend("new", k=3).ids == model.recommend(items=["i3", "i5"], k=3).ids or name == "Random"
    assert model.recommend("u1", k=4).to_dict() == before and "new" not in model.users_
    np.testing.assert_allclose(more.score(np.array([5])), model.score(np.array([5])), rtol=1e-5, atol=1e-6)
    save_model(more, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.recommend("new", k=9).to_dict() == more.recommend("new", k=9).to_dict()


def test_a_session_of_nothing_gets_what_is_popular_and_unknown_items_are_named(walk, train):
    popular = make("recommender", "Popular").fit(train)
    told = walk.recommend(items=[], k=3)
    assert told.ids == popular.recommend(items=[], k=3).ids and told[0].why == {"popularity": 1.0}
    with pytest.raises(UnknownIdError, match="unknown item 'i99'"):
        walk.recommend(items=["i99"])
    with pytest.raises(OptionError, match="one of the two"):
        walk.recommend()
    with pytest.raises(OptionError, match="one of the two"):
        walk.recommend("u1", items=["i1"])


def test_sessions_of_a_model_with_rules_and_with_new_items(walk, train):
    chosen = rerank(walk, exclude=("i4",))
    assert "i4" not in chosen.recommend(items=["i2", "i6"], k=30).ids
    assert chosen.recommend(items=["i2", "i6"], k=3).ids == walk.recommend(items=["i2", "i6"], k=3, exclude=["i4"]).ids
    more = walk.with_interactions(["new"], ["i1"])
    assert more.recommend("new", k=3).ids == walk.recommend(items=["i1"], k=3).ids


@pytest.mark.parametrize("name", ["BPR", "VBPR"])
def test_a_session_counts_item_biases_like_everybody(name, train):
    model = fitted(name, train)
    items = history(train, "u2")
    session = model.for_session(items)
    rows = train.catalog.ids.rows(items)
    told = model.item_vectors_[rows, :-1].mean(axis=0)
    expected = model.item_vectors_[:, :-1] @ told + model.item_vectors_[:, -1]
    np.testing.assert_allclose(session.score(np.zeros(1, np.int64))[0], expected, atol=1e-5)


@pytest.mark.parametrize("options", [("RandomWalk", {"hops": 1}), ("RandomWalk", {"hops": 3}), ("ContentWalk", {})])
def test_walks_from_few_items_give_what_walks_over_all_edges_give(options, monkeypatch):
    name, told = options
    model = make("recommender", name, {**told, "kept": 0}).fit(fuse(checkerboard()))  # every user walks
    new = model.for_session(["i4"])
    monkeypatch.setattr(walks, "FEW", 1.0)
    users = np.arange(len(model.users_))[: walks.WIDE - 1]
    few, few_new = model.score(users), new.score(np.zeros(1, np.int64))
    monkeypatch.setattr(walks, "FEW", 0.0)
    np.testing.assert_allclose(few, model.score(users), rtol=2e-6, atol=1e-9)
    np.testing.assert_allclose(few_new, new.score(np.zeros(1, np.int64)), rtol=2e-6, atol=1e-9)
