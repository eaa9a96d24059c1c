from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.planted import checkerboard

from fuserec import make, split_random
from fuserec.errors import OptionError
from fuserec.evaluation import rank_and_measure
from fuserec.recommenders.edges import Edges, normalized, propagate

QUICK = {"negatives": 64, "epochs": 15, "learning_rate": 0.02}


def edges(data):
    walk = normalized(data.seen)
    return Edges(walk, "cpu"), Edges(walk.T.tocsr(), "cpu")


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("user_ids", [True, False])
def test_propagation_is_the_dense_product(layers, user_ids):
    data = checkerboard(n_users=7, n_items=6)
    seen = data.seen.toarray().astype(np.float64)
    n = 7 + 6
    whole = np.zeros((n, n))
    whole[:7, 7:], whole[7:, :7] = seen, seen.T
    degree = whole.sum(axis=1)
    root = np.divide(1.0, np.sqrt(degree), out=np.zeros(n), where=degree > 0)
    whole = root[:, None] * whole * root[None, :]
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, 3)).astype(np.float32)
    vectors[:7] *= user_ids
    expected = sum(np.linalg.matrix_power(whole, k) @ vectors for k in range(layers + 1))
    users, items = (torch.from_numpy(part) for part in (vectors[:7], vectors[7:]))
    found = propagate(users if user_ids else torch.zeros((7, 3)), items, *edges(data), layers)
    np.testing.assert_allclose(torch.cat(found).numpy(), expected, atol=1e-5)
    if not user_ids and layers:  # without vectors of users is as with zeros
        short = propagate(None, items, *edges(data), layers)
        np.testing.assert_allclose(torch.cat(short).numpy(), expected, atol=1e-5)


def test_its_gradient_is_that_of_the_product():
    data = checkerboard(n_users=5, n_items=4, skip=0.2)
    sides = edges(data)
    for side in sides:
        side.weights = side.weights.double()
    generator = torch.Generator().manual_seed(0)
    users, items = (torch.randn((n, 2), generator=generator, dtype=torch.float64) for n in (5, 4))
    users.requires_grad, items.requires_grad = True, True
    for layers in (0, 1, 3):
        torch.autograd.gradcheck(lambda u, i, n=layers: propagate(u, i, *sides, n), (users, items))
        if layers:
            torch.autograd.gradcheck(lambda i, n=layers: propagate(None, i, *sides, n), (items,))


@pytest.mark.parametrize("options", [{"content": 0.0}, {"content": 0.3}, {"user_ids": False}])
def test_planted_blocks_are_learned(options):
    split = split_random(checkerboard(n_users=60, n_items=40, skip=0.6))
    model = make("recommender", "LightGCN", {**QUICK, **options}).fit(split.train, split.validation)
    popular = make("recommender", "Popular").fit(split.train)
    found, floor = (rank_and_measure(each, split.test, 10).values["ndcg@10"].mean() for each in (model, popular))
    assert found > 1.5 * floor


def test_an_item_that_nobody_chose_is_reached_by_content_alone():
    data = checkerboard()
    cold = data.n_items - 1  # odd
    users = np.arange(data.n_users)
    scores = make("recommender", "LightGCN", QUICK).fit(data).score(users)[:, cold]
    assert scores[1::2].min() > scores[0::2].max()
    blind = make("recommender", "LightGCN", {**QUICK, "content": 0.0}).fit(data).score(users)[:, cold]
    assert (blind == 0.0).all()


def test_a_column_that_an_item_lacks_adds_nothing():
    data = checkerboard()
    photo = data.embeddings["photo"]
    only = replace(data, embeddings={"photo": photo})
    missing = replace(photo, present=photo.present & (np.arange(data.n_items) != data.n_items - 1))
    gone = only.with_embeddings("photo", missing)
    model = make("recommender", "LightGCN", QUICK).fit(gone)  # the cold item has no vector at all
    assert (model.score(np.arange(4))[:, -1] == 0.0).all() and np.isfinite(model.item_vectors_).all()


def test_wrong_options_are_told():
    data = checkerboard()
    with pytest.raises(OptionError, match="no vectors 'titel'; did you mean 'title'"):
        make("recommender", "LightGCN", {"columns": ("titel",)}).fit(data)
    with pytest.raises(OptionError, match="layers is -1"):
        make("recommender", "LightGCN", {"layers": -1}).fit(data)
