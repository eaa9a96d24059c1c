"""Every registered rating model keeps the contract."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.planted import checkerboard
from tests.planted_ratings import planted_ratings

from fuserec import registry
from fuserec.artifact import load_model, save_model
from fuserec.data.catalog import Catalog, Column
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.errors import DataError, NotFittedError, UnknownIdError
from fuserec.fusion.fuser import fuse
from fuserec.ratings.predictor import hold_out_ratings

NAMES = list(registry.components("rater"))
BAYES = {"name": "BayesianFactors", "dim": 4, "sweeps": 60, "burn": 20}
SMALL = {  # enough for data so small
    "BayesianFactors": {key: value for key, value in BAYES.items() if key != "name"},
    "ContentRatings": {"l2_tastes": 1.0},
    "NeighborRatings": {"shrink_similarity": 5.0},
    "RatingEnsemble": {"models": (BAYES, "Biases", "NeighborRatings")},
    "TextLSTM": {"dim": 8, "hidden": 8, "learning_rate": 0.02, "length": 8},
}
PERSONAL = [name for name in NAMES if name not in ("Biases", "TextLSTM")]
BY_CONTENT = ["BayesianFactors", "ContentRatings", "GraphRatings"]


@cache
def parts():
    train, test = hold_out_ratings(planted_ratings(), 1, users=1.0, share=0.2)
    return fuse(train), test


def make(name, **options):
    return registry.make("rater", name, {**SMALL.get(name, {}), **options})


@cache
def fitted(name):
    return make(name).fit(parts()[0])


def rmse(model, part):
    rows = part.interactions
    return float(np.sqrt(np.mean((model.predict(rows.users, rows.items) - rows.ratings) ** 2)))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_gives_what_one_by_one_does(name):
    model, n_items = fitted(name), parts()[0].n_items
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 60, 25), rng.integers(0, n_items, 25)
    batch = model.predict(users, items)
    assert batch.dtype == np.float32 and batch.shape == (25,)
    single = [model.predict([user], [item])[0] for user, item in zip(users, items, strict=True)]
    np.testing.assert_allclose(batch, single, rtol=1e-5)
    scores = model.score(users)
    assert scores.shape == (25, n_items) and scores.dtype == np.float32
    np.testing.assert_allclose(np.clip(scores[np.arange(25), items], 1, 5), batch, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_ratings_are_on_the_scale_and_likes_are_chances(name):
    model = fitted(name)
    assert model.scale_.tolist() == [1.0, 5.0, 0.5]
    users, items = np.divmod(np.arange(60 * 40), 40)
    ratings, chances = model.predict(users, items), model.like(users, items)
    assert ratings.min() >= 1.0 and ratings.max() <= 5.0 and np.isfinite(ratings).all()
    assert 0.0 <= chances.min() < chances.max() <= 1.0
    assert np.corrcoef(ratings, chances)[0, 1] > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_unknown_users_and_items_get_the_biases(name):
    model = fitted(name)
    both, user_only, item_only = model.predict_ids(["nobody", "u3", "nobody"], ["nothing", "nothing", "i5"])
    assert both == pytest.approx(model.mean_, abs=1e-5)
    assert user_only == pytest.approx(np.clip(model.mean_ + model.user_bias_[3], 1, 5), abs=1e-5)
    assert item_only == pytest.approx(np.clip(model.mean_ + model.item_bias_[5], 1, 5), abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_one_prediction(name):
    users, items = np.arange(60), np.arange(60) % 40
    again = make(name).fit(parts()[0])
    np.testing.assert_array_equal(again.predict(users, items), fitted(name).predict(users, items))


@pytest.mark.parametrize("name", NAMES)
def test_save_and_load_keep_predictions_and_ranking(name, tmp_path):
    model = fitted(name)
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    users, items = np.arange(60), np.arange(60) % 40
    np.testing.assert_array_equal(again.predict(users, items), model.predict(users, items))
    np.testing.assert_array_equal(again.like(users, items), model.like(users, items))
    assert again.options() == model.options()
    assert again.recommend("u2", k=9).to_dict() == model.recommend("u2", k=9).to_dict()


@pytest.mark.parametrize("name", NAMES)
def test_recommend_leaves_out_what_was_rated(name):
    train = parts()[0]
    seen = {train.catalog.ids[row] for row in train.seen[[4]].indices}
    ids = fitted(name).recommend("u4", k=40).ids
    assert not seen & set(ids) and len(set(ids)) == 40 - len(seen)


@pytest.mark.parametrize("name", NAMES)
def test_errors_name_the_thing(name):
    with pytest.raises(NotFittedError, match=name):
        make(name).predict([0], [0])
    with pytest.raises(UnknownIdError, match="unknown user 'u99'"):
        fitted(name).recommend("u99")
    train = parts()[0]
    without = replace(train, interactions=replace(train.interactions, ratings=None))
    with pytest.raises(DataError, match=f"{name} predicts ratings, and planted ratings has none"):
        make(name).fit(without)
    same = replace(train, interactions=replace(train.interactions, ratings=np.full(len(train.interactions), 4.0)))
    with pytest.raises(DataError, match="every rating of planted ratings is 4; expected two different"):
        make(name).fit(same)


@pytest.mark.parametrize("name", NAMES)
def test_better_than_the_mean(name):
    train, test = parts()
    floor = float(np.sqrt(np.mean((test.interactions.ratings - train.interactions.ratings.mean()) ** 2)))
    assert rmse(fitted(name), test) < 0.95 * floor


@pytest.mark.parametrize("name", PERSONAL)
def test_tastes_are_found_that_biases_do_not_know(name):
    assert rmse(fitted(name), parts()[1]) < 0.9 * rmse(fitted("Biases"), parts()[1])


def new_items():
    """Two items in opposite corners of what users have tastes for, and one without any content."""
    titles = Column("title", "text", ("good highx highy story", "bad lowx lowy story", None))
    catalog = Catalog(Ids(["new1", "new2", "bare"]), {"title": titles})
    vectors = Embeddings(np.array([[2.0, 2.0], [-2.0, -2.0], [0, 0]]), np.array([1, 1, 0], bool), "{}", "image")
    return catalog, {"photo": vectors}


@pytest.mark.parametrize("name", NAMES)
def test_new_items_are_predicted_without_training(name):
    model = fitted(name).with_items(*new_items())
    rows = model.catalog_.ids.rows(["new1", "new2", "bare"])
    found = model.predict(np.repeat(np.arange(60), 3), np.tile(rows, 60)).reshape(60, 3)
    assert np.isfinite(found).all()
    if name in BY_CONTENT:
        known = model.predict(np.arange(60), np.full(60, 7))
        apart = found[:, 0] - found[:, 1]
        assert apart.std() > 0.5 and known.shape == (60,)
        train = parts()[0]
        likes = [_slope(train, user) for user in range(60)]
        assert np.corrcoef(apart, likes)[0, 1] > 0.6
    assert fitted(name).catalog_.n_items == 40  # the model itself is left as it was


def _slope(train, user):
    """How much more a user rates along (1, 1) of what the photo tells."""
    rows = train.interactions.users == user
    z = train.embeddings["photo"].vectors[train.interactions.items[rows]].sum(axis=1)
    return np.polyfit(z, train.interactions.ratings[rows], 1)[0]


@pytest.mark.parametrize("name", ["ContentRatings", "BayesianFactors", "TextLSTM"])
def test_what_an_item_is_counts_where_nobody_rated_it(name):
    """All ratings of one item in eight are held out: content predicts them better than a mean for each user."""
    data = planted_ratings(n_users=120, n_items=60, known=0.4, seed=3)
    if name == "TextLSTM":  # it hears only the signs, so what all users agree on, from more items
        data = planted_ratings(n_users=60, n_items=240, known=0.3, taste=0.3)
    cold = data.interactions.items % 8 == 0
    train, test = (replace(data, interactions=data.interactions.take(rows)) for rows in (~cold, cold))
    model = make(name, **({"biases": "users"} if name == "TextLSTM" else {})).fit(fuse(train))
    floor = make("Biases").fit(train)
    assert rmse(model, test) < (0.9 if name == "TextLSTM" else 0.8) * rmse(floor, test)


def test_ratings_of_another_scale_and_no_vectors():
    shop = checkerboard(vectors=False)
    scaled = replace(shop.interactions, ratings=shop.interactions.ratings * 20 - 50)
    shop = replace(shop, interactions=scaled)
    for name in NAMES:
        if name != "ContentRatings":
            model = make(name).fit(shop)
            assert model.scale_.tolist() == [-30.0, 50.0, 20.0]
    with pytest.raises(DataError, match="ContentRatings needs vectors named 'fused'"):
        make("ContentRatings").fit(shop)


@pytest.mark.parametrize("name", NAMES)
def test_reasons_add_up_to_the_rating(name):
    model = fitted(name)
    users, items = np.array([0, 3, 7]), np.array([1, 5, 2])
    wanted = model.estimate(users, items)
    for user, item, rating in zip(users.tolist(), items.tolist(), wanted, strict=True):
        assert sum(model.reasons(user, item).values()) == pytest.approx(float(rating), abs=1e-3)
    assert set(model.reasons(-1, -1)) == {"mean"} and "user" in model.reasons(0, -1)
