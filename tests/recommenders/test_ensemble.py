import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec import make, split_last
from fuserec.artifact import load_model, save_model
from fuserec.errors import OptionError
from fuserec.recommenders.ensemble import WIDE

MODEL = {"name": "SoftmaxFactors", "negatives": 64, "epochs": 4}


def seeds(**options):
    return make("recommender", "Seeds", {"model": MODEL, "seeds": 2, **options})


def test_it_is_the_mean_over_its_seeds_whatever_the_workers(tmp_path):
    split = split_last(checkerboard())
    told = []
    model = seeds(seed=3).fit(split.train, split.validation, on_progress=lambda *args: told.append(args))
    users = np.arange(5)
    alone = [
        make("recommender", "SoftmaxFactors", {"negatives": 64, "epochs": 4, "seed": seed}).fit(*split[:2])
        for seed in (6, 7)
    ]
    np.testing.assert_allclose(model.score(users), np.mean([each.score(users) for each in alone], axis=0), atol=1e-6)
    np.testing.assert_array_equal(seeds(seed=3, workers=2).fit(*split[:2]).score(users), model.score(users))
    assert told[-1][1:] == (8, 8) and told[0][0].startswith("seed 1 of 2: SoftmaxFactors epoch 1")
    save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").score(users), model.score(users))
    near = np.mean([each.score_similar(3) for each in alone], axis=0)
    np.testing.assert_allclose(model.score_similar(3), near, atol=1e-6)


def test_many_users_get_the_same_mean_by_one_product():
    train = split_last(checkerboard(n_users=72)).train
    model = seeds().fit(train)
    assert train.n_users >= 2 * WIDE
    users = np.arange(train.n_users)
    few = np.concatenate([model.score(users[start : start + 8]) for start in range(0, len(users), 8)])
    np.testing.assert_allclose(model.score(users), few, atol=1e-6)
    session = model.for_session([train.catalog.ids[0]])
    everybody = session.score(np.zeros(WIDE, np.int64))
    np.testing.assert_allclose(everybody, np.tile(session.score(np.zeros(1, np.int64)), (WIDE, 1)), atol=1e-6)


def test_late_fusion_fits_its_weights_on_the_given_validation():
    split = split_last(checkerboard())
    models = ({"name": "Random"}, {"name": "Seeds", "model": MODEL, "seeds": 2})
    model = make("recommender", "LateFusion", {"models": models, "method": "weighted"}).fit(*split[:2])
    assert model.weights_[1] > model.weights_[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "EASE"}, "EASE has no seed"),
        ({"model": {"epochs": 3}}, "has no name"),
        ({"seeds": 0}, "seeds is 0, workers 1; expected 1 or more"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(OptionError, match=message):
        seeds(**options).fit(checkerboard())
