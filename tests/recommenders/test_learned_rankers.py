"""What every learned ranker has from the shared loop: it goes on where it was cut off, computes in half precision,
stops at numbers that are none; and, where content makes the vectors of items, it scores new ones.
"""  # noqa: D205

from dataclasses import replace

import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec import make, registry, split_random
from fuserec.artifact import load_model, save_model
from fuserec.data.ids import Ids
from fuserec.errors import DataError, OptionError
from fuserec.evaluation import rank_and_measure
from fuserec.recommenders.training import TrainedRecommender

LEARNED = [
    name
    for name in registry.components("recommender")
    if issubclass(registry.load("recommender", name), TrainedRecommender)
]
OF_CONTENT = ["FREEDOM", "LightGCN", "TwoTower", "VBPR"]
QUICK = {"dim": 16, "epochs": 4, "learning_rate": 0.02}


def quick(name, **options):
    few = {} if name in ("BPR", "NeuMF", "VBPR") else {"negatives": 64}
    return make("recommender", name, {**QUICK, **few, **options})


@pytest.fixture(scope="module")
def shop():
    return checkerboard()


def test_the_new_ones_are_among_them():
    assert {"BPR", "FREEDOM", "LightGCN", "NeuMF", "SoftmaxFactors", "TwoTower", "VBPR"} <= set(LEARNED)


@pytest.mark.parametrize("name", LEARNED)
def test_a_run_that_was_cut_off_goes_on_to_the_same_model(name, shop, tmp_path):
    quick(name, epochs=2, checkpoint=str(tmp_path)).fit(shop)
    told = []
    resumed = quick(name, checkpoint=str(tmp_path)).fit(shop, on_progress=lambda *args: told.append(args))
    assert len(told) == 2  # the other two are in the file
    whole = quick(name).fit(shop)
    np.testing.assert_array_equal(resumed.losses_, whole.losses_)
    np.testing.assert_array_equal(resumed.score(np.arange(6)), whole.score(np.arange(6)))


@pytest.mark.parametrize("name", LEARNED)
def test_half_precision_is_another_computation_of_about_the_same(name, shop):
    full, half = (quick(name, precision=precision).fit(shop) for precision in ("full", "half"))
    np.testing.assert_allclose(half.losses_, full.losses_, rtol=0.05)
    assert half.item_vectors_.dtype == np.float32
    if name != "BPR":  # it multiplies no matrices
        assert not np.array_equal(half.losses_, full.losses_)


@pytest.mark.parametrize("name", LEARNED)
def test_what_cannot_be_computed_is_told(name, shop):
    with pytest.raises(OptionError, match="device = 'cuda:99' cannot be used here"):
        quick(name, device="cuda:99").fit(shop)
    with pytest.raises(OptionError, match="precision = 'quarter'"):
        quick(name, precision="quarter")
    if hasattr(make("recommender", name), "temperature"):
        with pytest.raises(OptionError, match=rf"{name}: temperature is 0.01; expected 0.0125 or more"):
            quick(name, temperature=0.01).fit(shop)
    else:  # a softmax over cosines stays finite at any rate
        with pytest.raises(DataError, match=rf"{name}: the loss is (nan|inf) in epoch \d; use a learning_rate below"):
            quick(name, learning_rate=1e30).fit(shop)


def with_a_twin(shop):
    """The shop, and a new item in every respect like the last one, which nobody chose."""
    row = np.array([shop.n_items - 1])
    vectors = {
        name: replace(e, vectors=e.vectors[row], present=e.present[row], filled=e.filled[row])
        for name, e in shop.embeddings.items()
    }
    return replace(shop.catalog.take(row), ids=Ids(["twin"])), vectors


@pytest.mark.parametrize("name", OF_CONTENT)
def test_a_new_item_is_scored_like_one_of_training_that_is_the_same(name, shop, tmp_path):
    model = quick(name).fit(shop)
    before = model.score(np.arange(shop.n_users)).copy()
    more = model.with_items(*with_a_twin(shop))
    scores = more.score(np.arange(shop.n_users))
    assert scores.shape == (shop.n_users, shop.n_items + 1)
    np.testing.assert_array_equal(model.score(np.arange(shop.n_users)), before)
    np.testing.assert_array_equal(scores[:, :-1], before)
    np.testing.assert_allclose(scores[:, -1], scores[:, -2], rtol=1e-4, atol=1e-6)
    assert np.ptp(scores[:, -1]) > 0.01  # and not by a constant
    save_model(more, tmp_path / "model")
    again = load_model(tmp_path / "model")
    np.testing.assert_allclose(again.score(np.arange(3)), scores[:3], rtol=1e-5, atol=1e-6)
    more_still = replace(with_a_twin(shop)[0], ids=Ids(["another"])), with_a_twin(shop)[1]
    np.testing.assert_allclose(again.with_items(*more_still).score(np.arange(3))[:, -1], scores[:3, -1], rtol=1e-4)


@pytest.mark.parametrize("name", OF_CONTENT)
def test_a_missing_column_adds_nothing_whatever_its_row_holds(name, shop):
    """Not even zeros are filled in: what stands in the row of an absent item is never read."""
    scores = []
    for junk in (0.0, 7.0):
        changed = shop
        for column, e in shop.embeddings.items():
            vectors = e.vectors.copy()
            vectors[~e.present] = junk
            changed = changed.with_embeddings(column, replace(e, vectors=vectors))
        scores.append(quick(name).fit(changed).score(np.arange(4)))
    assert not shop.embeddings["photo"].present.all()
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("name", ["FREEDOM", "TwoTower", "VBPR"])
def test_an_item_without_any_vector_and_models_without_any(name, shop):
    only = replace(shop, embeddings={"photo": shop.embeddings["photo"]})
    bare = replace(only.embeddings["photo"], present=np.arange(shop.n_items) != shop.n_items - 1)
    model = quick(name).fit(only.with_embeddings("photo", bare))  # nobody chose the last item, and it has no vector
    scores = model.score(np.arange(shop.n_users))
    assert np.isfinite(scores).all() and (scores[:, -1] == 0.0).all()
    with pytest.raises(DataError, match=f"{name} needs vectors; encode the dataset first"):
        quick(name).fit(replace(shop, embeddings={}))
    with pytest.raises(OptionError, match=f"{name}: no vectors 'potho'; did you mean 'photo'"):
        quick(name, columns=("potho",)).fit(shop)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("VBPR", {}),
        ("TwoTower", {}),
        ("TwoTower", {"hidden": 8, "ids": False, "sampling": "uniform"}),
        ("NeuMF", {"epochs": 12}),
        ("NeuMF", {"epochs": 12, "sampling": "hard"}),
        ("FREEDOM", {}),
        ("FREEDOM", {"gate": True, "drop": 0.0}),
    ],
)
def test_planted_blocks_are_learned(name, options):
    split = split_random(checkerboard(n_users=60, n_items=40, skip=0.6))
    model = quick(name, **{"epochs": 8, **options}).fit(split.train, split.validation)
    popular = make("recommender", "Popular").fit(split.train)
    found, floor = (rank_and_measure(each, split.test, 10).values["ndcg@10"].mean() for each in (model, popular))
    assert found > 1.4 * floor
