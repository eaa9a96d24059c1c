"""Every registered recommender keeps the contract."""

from dataclasses import replace

import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec import registry, retrieval
from fuserec.artifact import load_model, save_model
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.errors import FuserecError, NotFittedError, OptionError, UnknownIdError
from fuserec.fusion.fuser import fuse
from fuserec.recommenders import walk

NAMES = list(registry.components("recommender"))
FEW = {"dim": 16, "epochs": 8, "learning_rate": 0.02}  # steps enough for so small a shop
QUICK = {**FEW, "epochs": 6, "batch": 8}  # of networks that read histories, of which there are 24
SETTINGS = {
    "FREEDOM": {**FEW, "negatives": 64},
    "GRU4Rec": QUICK,
    "MultiInterest": {**QUICK, "hidden": 16, "interests": 2, "clusters": 4},
    "NeuMF": {**FEW, "epochs": 20},
    "SASRec": QUICK,
    "TwoTower": {**FEW, "negatives": 64},
    "VBPR": FEW,
}
PERSONAL = [name for name in NAMES if name not in ("Popular", "Random")]


@pytest.fixture(scope="module")
def train():
    return fuse(checkerboard())


def fitted(name, train):
    return registry.make("recommender", name, SETTINGS.get(name)).fit(train)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_gives_the_rows_of_one_by_one(name, train):
    model = fitted(name, train)
    users = np.array([5, 0, 5, 11])
    batch = model.score(users)
    assert batch.shape == (4, train.n_items) and batch.dtype == np.float32
    for row, user in enumerate(users):
        np.testing.assert_allclose(batch[row], model.score(np.array([user]))[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["Popular", "EASE", "RandomWalk", "ContentWalk"])
def test_many_users_in_blocks_and_threads_get_what_they_get_alone(name, train, monkeypatch):
    monkeypatch.setattr(retrieval, "BLOCK_CELLS", 50 * train.n_items)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    model = fitted(name, train)
    users = np.resize(np.arange(train.n_users), 170)  # 50 at a time is enough for another way to compute a walk
    scores = model.rank(users, 5)[1]
    alone = {user: model.rank(np.array([user]), 5)[1][0] for user in set(users.tolist())}
    np.testing.assert_allclose(scores, [alone[user] for user in users], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_seen_items_are_left_out_and_none_comes_twice(name, train):
    model = fitted(name, train)
    for user in ("u0", "u1"):
        items = model.recommend(user, k=train.n_items).ids
        seen = {train.catalog.ids[row] for row in train.seen[[train.users.row(user)]].indices}
        assert not seen & set(items)
        assert len(items) == len(set(items)) == train.n_items - len(seen)


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_one_ranking(name, train):
    assert fitted(name, train).recommend("u3", k=15).ids == fitted(name, train).recommend("u3", k=15).ids


@pytest.mark.parametrize("name", NAMES)
def test_save_and_load_keep_options_ranking_and_reasons(name, train, tmp_path):
    model = fitted(name, train)
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.options() == model.options()
    assert again.recommend("u2", k=9).to_dict() == model.recommend("u2", k=9).to_dict()
    assert again.similar_items("i4", by="photo").ids == model.similar_items("i4", by="photo").ids


@pytest.mark.parametrize("name", NAMES)
def test_errors_name_the_thing(name, train):
    with pytest.raises(NotFittedError, match=name):
        registry.make("recommender", name).recommend("u1")
    model = fitted(name, train)
    with pytest.raises(UnknownIdError, match="unknown user 'u99'"):
        model.recommend("u99")
    with pytest.raises(UnknownIdError, match="unknown item 'i99'"):
        model.similar_items("i99")
    with pytest.raises(OptionError, match="k is 0"):
        model.recommend("u1", k=0)
    with pytest.raises(OptionError, match="no vectors named 'potho'; did you mean 'photo'"):
        model.similar_items("i1", by="potho")
    with pytest.raises(FuserecError, match="has no photo"):
        model.similar_items(f"i{train.n_items - 2}", by="photo")


@pytest.mark.parametrize("name", PERSONAL)
def test_quality_floor_on_planted_tastes(name, train):
    """Of the five best for a user, at least four are of the user's own side."""
    model = fitted(name, train)
    right = [
        int(item[1:]) % 2 == user % 2 for user in range(train.n_users) for item in model.recommend(f"u{user}", k=3).ids
    ]
    assert np.mean(right) >= 0.8


@pytest.mark.parametrize("name", ["ContentNeighbors", "ContentWalk", "FREEDOM", "TwoTower", "VBPR"])
def test_content_reaches_an_item_that_nobody_chose(name, train):
    model = fitted(name, train)
    cold = train.n_items - 1  # an odd item
    scores = model.score(np.arange(train.n_users))[:, cold]
    assert scores[1::2].min() > scores[0::2].max()


@pytest.mark.parametrize("name", PERSONAL)
def test_reasons_are_shares(name, train):
    for item in fitted(name, train).recommend("u4", k=5):
        assert all(0.0 <= share <= 1.0 for share in item.why.values())
        assert sum(item.why.values()) <= 1.0 + 1e-6
        assert item.why or item.score <= 0


def test_a_user_without_history_gets_what_is_popular(train):
    more = replace(train, users=Ids([*train.users, "new"], "user"))
    for name in NAMES:
        if name != "Random":
            assert fitted(name, more).recommend("new", k=3).ids == fitted("Popular", more).recommend("new", k=3).ids, (
                name
            )


@pytest.mark.parametrize("name", ["ItemNeighbors", "EASE", "RandomWalk", "ContentWalk", "ContentNeighbors"])
def test_a_user_whose_history_nobody_shares_gets_what_is_popular(name):
    """He chose one item that nobody else did and that has no vector: nothing leads from it to another."""
    shop = checkerboard()
    alone = shop.n_items - 1  # the cold item
    rows = shop.interactions
    rows = Interactions(np.append(rows.users, shop.n_users), np.append(rows.items, alone))
    shop = replace(shop, users=Ids([*shop.users, "hermit"], "user"), interactions=rows)
    for column, embeddings in shop.embeddings.items():
        gone = np.arange(shop.n_items) == alone
        shop = shop.with_embeddings(column, replace(embeddings, present=embeddings.present & ~gone))
    shop = fuse(shop)
    model = fitted(name, shop)
    told = model.recommend("hermit", k=3)
    assert told.ids == fitted("Popular", shop).recommend("hermit", k=3).ids
    assert [item.why for item in told] == [{"popularity": 1.0}] * 3 and min(item.score for item in told) > 0
    others = model.score(np.array([3, shop.users.row("hermit"), 4]))
    np.testing.assert_allclose(others[[0, 2]], model.score(np.array([3, 4])), rtol=1e-5, atol=1e-7)
    assert not model.goes_by_popularity(3)


def test_content_walk_says_which_column_spoke(train):
    why = fitted("ContentWalk", train).recommend("u1", k=3)[0].why
    assert set(why) <= {"community", "title", "photo"} and "title" in why


def test_ease_refuses_politely(train):
    from fuserec.errors import TooLargeError

    with pytest.raises(TooLargeError, match="use ItemNeighbors or RandomWalk"):
        registry.make("recommender", "EASE", {"max_items": 5}).fit(train)


def test_ease_is_the_closed_form(train):
    model = registry.make("recommender", "EASE", {"l2": 3.0}).fit(train)
    seen = train.seen.toarray().astype(np.float64)
    inverse = np.linalg.inv(seen.T @ seen + 3.0 * np.eye(train.n_items))
    expected = np.eye(train.n_items) - inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(model.weights_, expected, atol=1e-4)


def test_the_walk_is_the_product_of_transition_matrices(train):
    model = registry.make("recommender", "RandomWalk", {"hops": 2}).fit(train)
    seen = train.seen.toarray().astype(np.float64)
    to_items = seen / seen.sum(axis=1, keepdims=True)
    to_users = np.divide(
        seen.T, seen.sum(axis=0)[:, None], out=np.zeros_like(seen.T), where=seen.sum(axis=0)[:, None] > 0
    )
    hop = to_users @ to_items
    np.testing.assert_allclose(model.score(np.arange(4)), (to_items @ hop @ hop)[:4], atol=1e-6)


@pytest.mark.parametrize("name", ["RandomWalk", "ContentWalk"])
def test_walks_are_remembered_item_by_item(name, train, monkeypatch):
    users, warm = np.arange(train.n_users), train.warm
    exact = registry.make("recommender", name, {"kept": 0}).fit(train).score(users)
    whole = registry.make("recommender", name, {"kept": 10_000}).fit(train)
    np.testing.assert_allclose(whole.score(users), exact, rtol=1e-5, atol=1e-7)
    part = registry.make("recommender", name, {"kept": 4}).fit(train)
    assert np.diff(part.walks_.indptr).max() <= 5
    best = whole.walks_.toarray()
    for row, kept in enumerate(part.walks_.toarray()):
        assert set(np.flatnonzero(kept[warm])) <= set(np.argsort(-best[row, warm], kind="stable")[:4])
    cold = np.flatnonzero(~warm)
    assert name == "RandomWalk" or (part.walks_[:, cold].nnz > 0)
    monkeypatch.setattr(walk, "MOST_EXACT", train.n_items - 1)
    assert registry.make("recommender", name).fit(train).walks_ is None
    with pytest.raises(OptionError, match="kept -1; expected 1 or more, and 0 or more"):
        registry.make("recommender", name, {"kept": -1}).fit(train)


def test_item_neighbors_is_the_shrunk_cosine(train):
    model = registry.make("recommender", "ItemNeighbors", {"neighbors": 100, "shrink": 2.0}).fit(train)
    seen = train.seen.toarray()
    for left, right in ((0, 2), (1, 3), (4, 8)):
        both = (seen[:, left] * seen[:, right]).sum()
        expected = both / (np.sqrt(seen[:, left].sum() * seen[:, right].sum()) + 2.0)
        assert model.weights_[left, right] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("EASE", {"l22": 1}, "EASE has no option 'l22'; did you mean 'l2'"),
        ("EASE", {"l2": "much"}, "l2 = 'much'"),
        ("EESE", {}, "unknown recommender 'EESE'; did you mean 'EASE'"),
    ],
)
def test_wrong_options_are_told(name, options, message):
    with pytest.raises(OptionError, match=message.replace("(", r"\(")):
        registry.make("recommender", name, options)
