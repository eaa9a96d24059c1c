from dataclasses import replace

import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec import make
from fuserec.artifact import load_model, save_model
from fuserec.errors import DataError, OptionError
from fuserec.fusion import late
from fuserec.fusion.fuser import fuse
from fuserec.recommenders.late import coordinate_ascent

MODELS = ("EASE", {"name": "ContentWalk", "content": 0.5}, {"name": "ContentNeighbors", "by": "photo"})


@pytest.fixture(scope="module")
def train():
    return fuse(checkerboard())


def fitted(train, **options):
    return make("recommender", "LateFusion", {"models": MODELS, **options}).fit(train)


def alone(train):
    return [
        make("recommender", name, options).fit(train)
        for name, options in (
            ("EASE", {}),
            ("ContentWalk", {"content": 0.5}),
            ("ContentNeighbors", {"by": "photo"}),
        )
    ]


def test_it_is_the_fusion_of_what_its_models_say_of_items_not_seen(train):
    users = np.array([0, 7])
    scores = [model.score(users) for model in alone(train)]
    for one in scores:
        one[train.seen[users].toarray() > 0] = -np.inf
    np.testing.assert_allclose(fitted(train).score(users), late.reciprocal_rank(scores), rtol=1e-6)
    expected = late.comb_sum([late.z_score(one) for one in scores])
    np.testing.assert_allclose(
        fitted(train, method="combsum", normalization="z-score").score(users), expected, atol=1e-5
    )
    expected = late.comb_mnz([late.min_max(one) for one in scores])
    np.testing.assert_allclose(fitted(train, method="combmnz").score(users), expected, atol=1e-5)
    expected = late.weighted_sum([late.min_max(one) for one in scores], [1, 0, 2])
    given = fitted(train, method="weighted", weights=(1, 0, 2))
    np.testing.assert_allclose(given.score(users), expected, atol=1e-5)


def test_an_item_that_nobody_chose_has_weights_of_its_own(train):
    kept = train.interactions.items != 4
    train = replace(train, interactions=train.interactions.take(kept))
    users = np.array([0, 7])
    options = {"method": "weighted", "weights": (1, 0.5, 0)}
    same = fitted(train, **options).score(users)
    model = fitted(train, **options, cold_weights=(0, 0, 2))
    given, warm = model.score(users), train.warm
    np.testing.assert_array_equal(given[:, warm], same[:, warm])
    by_content = alone(train)[2].score(users)
    by_content[train.seen[users].toarray() > 0] = -np.inf
    np.testing.assert_allclose(given[:, 4], 2 * late.min_max(by_content)[:, 4], rtol=1e-5)
    cold, other = model.explain(0, np.array([4, 5]))
    assert set(cold) <= {"ContentNeighbors(by=photo)"} and not set(other) & set(cold)


@pytest.mark.parametrize("method", ["rrf", "combsum", "combmnz", "weighted"])
def test_save_and_load_keep_everything(method, train, tmp_path):
    model = fitted(train, method=method)
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    users = np.arange(train.n_users)
    np.testing.assert_array_equal(again.score(users), model.score(users))
    assert again.recommend("u2", k=5).to_dict() == model.recommend("u2", k=5).to_dict()
    assert again.similar_items("i3", k=5).to_dict() == model.similar_items("i3", k=5).to_dict()


def test_fusions_of_fusions_are_saved_too(train, tmp_path):
    inner = {"name": "LateFusion", "models": MODELS, "method": "combsum"}
    model = make("recommender", "LateFusion", {"models": (inner, "Popular")}).fit(train)
    save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").score(np.arange(5)), model.score(np.arange(5)))


def test_similar_items_and_reasons_come_from_all_models(train):
    model = fitted(train, method="combsum")
    assert all(int(item[1:]) % 2 == 0 for item in model.similar_items("i4", k=3).ids)
    why = model.recommend("u1", k=1)[0].why
    assert set(why) == {"EASE", "ContentWalk(content=0.5)", "ContentNeighbors(by=photo)"}
    assert sum(why.values()) == pytest.approx(1.0)
    weighted = fitted(train, method="weighted", weights=(0, 0, 1)).recommend("u1", k=1)[0].why
    assert weighted == {"ContentNeighbors(by=photo)": 1.0}


def test_fitted_weights_tell_a_good_model_from_noise(train):
    models = ({"name": "Random"}, "ItemNeighbors")
    weights = make("recommender", "LateFusion", {"models": models, "method": "weighted"}).fit(train).weights_
    assert weights[1] > 2 * weights[0]


def test_coordinate_ascent_finds_the_top_of_a_hill_and_leaves_ties_alone():
    target = np.array([0.5, 4.0, 0.0], np.float32)
    assert coordinate_ascent(lambda weights: -np.abs(weights - target).sum(), 3).tolist() == target.tolist()
    assert coordinate_ascent(lambda weights: 0.0, 3).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ("EASE",)}, "expected two or more different ones"),
        ({"models": ("EASE", "EASE")}, "expected two or more different ones"),
        ({"models": ("EASE", {"by": "photo"})}, "has no name"),
        ({"models": ("EASE", "Populer")}, "unknown recommender 'Populer'; did you mean 'Popular'"),
        ({"weights": (1, 1, 1)}, "weights are for method='weighted'; method is 'rrf'"),
        ({"method": "weighted", "weights": (1, 1)}, "expected 3 numbers of 0 or more"),
        ({"method": "combmnz", "normalization": "z-score"}, "wants normalization='min-max'"),
        ({"method": "borda"}, "method = 'borda'"),
    ],
)
def test_wrong_options_are_told(options, message, train):
    with pytest.raises(OptionError, match=message):
        fitted(train, **options)


def test_without_enough_history_weights_must_be_given(train):
    from dataclasses import replace

    little = replace(train, interactions=train.interactions.take(np.arange(len(train.interactions)) < 2))
    with pytest.raises(DataError, match="give weights, or use method='rrf'"):
        fitted(little, method="weighted")
