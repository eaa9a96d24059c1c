from dataclasses import replace

import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec import make, rerank
from fuserec.artifact import load_model, save_model
from fuserec.data.catalog import Column
from fuserec.errors import DataError, OptionError, UnknownIdError
from fuserec.fusion.fuser import fuse


@pytest.fixture(scope="module")
def train():
    """The checkerboard with a column of kinds: a color, and a size for two in three."""
    shop = checkerboard()
    kinds = [f"{'red' if row % 2 else 'blue'}" + ("", "|small", "|large")[row % 3] for row in range(shop.n_items)]
    kinds[3] = None
    return fuse(replace(shop, catalog=shop.catalog.with_column(Column("kind", "text", tuple(kinds)))))


@pytest.fixture(scope="module")
def walk(train):
    return make("recommender", "ContentWalk").fit(train)


def one_place_after_another(model, user, k, diversity, novelty, boost):
    """The plain way: a loop over places and items."""
    scores = model.score(np.array([user]))[0]
    seen = set(model.seen_[[user]].indices)
    items = [item for item in range(len(scores)) if item not in seen]
    low, high = min(scores[items]), max(scores[items])
    vectors = model.embeddings_["fused"].centered_unit(model.popularity_ > 0)
    n_users = len(model.users_)

    def worth(item):
        unknown = -np.log2(max(model.popularity_[item], 1) / n_users) / np.log2(n_users)
        return (scores[item] - low) / (high - low) + novelty * unknown + boost.get(f"i{item}", 0.0)

    chosen = []
    while len(chosen) < k:
        left = [item for item in items if item not in chosen]
        likeness = [max((vectors[item] @ vectors[other] for other in chosen), default=-1.0) for item in left]
        values = [(1 - diversity) * worth(i) - diversity * alike for i, alike in zip(left, likeness, strict=True)]
        chosen.append(left[int(np.argmax(values))])
    return chosen


@pytest.mark.parametrize(
    ("diversity", "novelty", "boost"),
    [(0.3, 0.0, {}), (0.7, 0.5, {"i4": 0.6}), (0.0, 1.0, {}), (0.0, 0.0, {"i5": 2.0})],
)
def test_lists_are_those_of_a_loop_over_places(walk, diversity, novelty, boost):
    model = rerank(walk, diversity=diversity, novelty=novelty, boost=boost, pool=100)
    users = np.array([0, 7, 11])
    ranked, scores = model.rank(users, 5)
    for row, user in enumerate(users):
        assert ranked[row].tolist() == one_place_after_another(walk, user, 5, diversity, novelty, boost)
        np.testing.assert_allclose(scores[row], walk.score(users)[row, ranked[row]])


def test_without_rules_nothing_changes(walk):
    users = np.arange(6)
    for got, expected in zip(rerank(walk).rank(users, 7), walk.rank(users, 7), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_diverse_lists_are_less_alike(walk):
    vectors = walk.embeddings_["fused"].centered_unit(walk.popularity_ > 0)

    def alike(model):
        items = model.rank(np.arange(8), 4)[0]
        return np.mean([vectors[row] @ vectors[row].T for row in items])

    assert alike(rerank(walk, diversity=0.6)) < alike(rerank(walk, diversity=0.3)) < alike(walk)


def test_caps_hold_for_every_value_and_small_pools_grow(train, walk):
    model = rerank(walk, cap_column="kind", cap=2, pool=1)
    kinds = train.catalog.columns["kind"].values
    users = np.arange(train.n_users)
    ranked, scores = model.rank(users, 5)
    for row in ranked:
        values = [value for item in row if item >= 0 for value in (kinds[item] or "").split("|") if value]
        assert max(values.count(value) for value in values) == 2
        assert (row >= 0).sum() >= 4  # two reds and two blues at least; the item without a kind has no cap
    assert (np.isneginf(scores) == (ranked < 0)).all()
    unlimited = rerank(walk, cap_column="kind", cap=train.n_items).rank(users, 5)[0]
    np.testing.assert_array_equal(unlimited, walk.rank(users, 5)[0])


def test_the_owner_excludes_pins_and_boosts(train, walk):
    usual = walk.recommend("u0", k=6)
    last = walk.recommend("u0", k=train.n_items).ids[-2:]
    model = rerank(walk, pin=last, exclude=(usual.ids[0],), boost={usual.ids[3]: 5.0}, pool=1)
    told = model.recommend("u0", k=4)
    assert told.ids == [*last, usual.ids[3], usual.ids[1]]
    assert told[0].why == {"pinned": 1.0} and told[3].why == usual[1].why
    seen = train.catalog.ids[train.seen[[0]].indices[0]]
    assert seen not in rerank(walk, pin=(seen,)).recommend("u0", k=train.n_items).ids
    assert usual.ids[0] not in model.similar_items(usual.ids[1], k=train.n_items).ids
    assert rerank(walk, pin=last).recommend("u0", k=2, exclude=last[:1]).ids == [last[1], usual.ids[0]]


def test_fitted_or_given_it_is_the_same_and_is_saved(train, walk, tmp_path):
    rules = {"diversity": 0.4, "cap_column": "kind", "cap": 3, "pin": ("i9",), "boost": {"i2": 0.5}}
    given = rerank(walk, **rules)
    model = make("recommender", "Reranked", {"model": {"name": "ContentWalk"}, **rules}).fit(train)
    save_model(given, tmp_path / "model")
    users = np.arange(train.n_users)
    for other in (model, load_model(tmp_path / "model")):
        np.testing.assert_array_equal(other.rank(users, 6)[0], given.rank(users, 6)[0])
    again = rerank(load_model(tmp_path / "model"), diversity=0.0)
    assert again.pin == ("i9",) and again.diversity == 0.0
    np.testing.assert_array_equal(
        again.rank(users, 6)[0], rerank(walk, **{**rules, "diversity": 0.0}).rank(users, 6)[0]
    )


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ({"diversity": 1.0}, OptionError, "diversity is 1.0; expected 0 to below 1"),
        ({"novelty": -1.0}, OptionError, "novelty is -1.0; expected 0 or more"),
        ({"pool": 0}, OptionError, "pool is 0; expected 1 or more"),
        ({"cap_column": "kinds"}, OptionError, "no text column 'kinds'; did you mean 'kind'"),
        ({"cap_column": "kind", "cap": 0}, OptionError, "cap is 0; expected 1 or more"),
        ({"pin": ("i99",)}, UnknownIdError, "unknown item 'i99'"),
        ({"boost": {"i99": 1.0}}, UnknownIdError, "unknown item 'i99'"),
        ({"diversity": 0.3, "by": "fussed"}, DataError, "none named 'fussed'; did you mean 'fused'"),
        ({"diversty": 0.3}, OptionError, "no option 'diversty'; did you mean 'diversity'"),
    ],
)
def test_wrong_rules_are_told(walk, rules, error, message):
    with pytest.raises(error, match=message):
        rerank(walk, **rules)


def test_it_is_not_put_around_itself(train):
    with pytest.raises(OptionError, match="give all rules to one"):
        make("recommender", "Reranked", {"model": {"name": "Reranked"}}).fit(train)
