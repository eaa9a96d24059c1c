import numpy as np
import pytest
import torch
from tests.planted import checkerboard

from fuserec import make, split_random
from fuserec.evaluation import rank_and_measure
from fuserec.recommenders.factors import LEAST_TEMPERATURE, Negatives
from fuserec.recommenders.softmax import log_sum_exp

QUICK = {"negatives": 64, "epochs": 25, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def blocks():
    return split_random(checkerboard(n_users=60, n_items=40, skip=0.6, vectors=False))


@pytest.mark.parametrize(
    ("name", "options"),
    [("BPR", {"negatives": 1}), ("BPR", {"negatives": 1, "sampling": "hard"})]
    + [("SoftmaxFactors", {"sampling": each}) for each in ("uniform", "all", "popularity", "in-batch", "hard")],
)
def test_planted_blocks_are_learned_with_every_kind_of_negatives(name, options, blocks):
    model = make("recommender", name, {**QUICK, **options}).fit(blocks.train, blocks.validation)
    popular = make("recommender", "Popular").fit(blocks.train)
    found, floor = (rank_and_measure(each, blocks.test, 10).values["ndcg@10"].mean() for each in (model, popular))
    assert found > 1.4 * floor


def test_the_fast_log_sum_exp_is_the_plain_one_with_its_gradients():
    generator = torch.Generator().manual_seed(0)
    users, negatives = (torch.randn((n, 4), generator=generator, dtype=torch.float64) for n in (5, 7))
    weights = torch.rand(7, generator=generator, dtype=torch.float64) + 0.1
    users.requires_grad, negatives.requires_grad = True, True
    plain = (users @ negatives.T + weights.log()).logsumexp(1)
    torch.testing.assert_close(log_sum_exp()(users, negatives, weights), plain)
    torch.autograd.gradcheck(lambda u, n: log_sum_exp()(u, n, weights), (users, negatives))


def test_at_the_least_temperature_it_is_still_exact():
    """All cosines as large as they get, 2,048 negatives: float32 against the plain sum in float64."""
    generator = torch.Generator().manual_seed(0)
    users, negatives = (torch.nn.functional.normalize(torch.randn((n, 8), generator=generator)) for n in (6, 2_048))
    negatives[:1_500] = users[0]  # of the first user nearly all negatives are as near as can be, of the second as far
    users[1] = -users[0]
    for temperature in (LEAST_TEMPERATURE, 0.3):
        found, exact = [], []
        for dtype, result in ((torch.float32, found), (torch.float64, exact)):
            u, n = (table.to(dtype, copy=True).requires_grad_() for table in (users, negatives))
            scaled = u / temperature
            if dtype == torch.float32:
                value = log_sum_exp()(scaled, n, torch.ones(len(n)))
            else:
                value = (scaled @ n.T).logsumexp(1)
            value.sum().backward()
            result.extend([value.detach().double(), u.grad.double(), n.grad.double()])
        for one, other in zip(found, exact, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_negatives_are_drawn_as_likely_as_told():
    popularity = np.array([0.0, 1.0, 3.0, 4.0], np.float32)
    chosen = np.repeat(np.arange(4), popularity.astype(int))
    assert set(Negatives("all", popularity, chosen, np.random.default_rng(0)).draw(100)[0]) == {0, 1, 2, 3}
    for sampling in ("popularity", "in-batch", "uniform"):
        rows, log_share = Negatives(sampling, popularity, chosen, np.random.default_rng(0)).draw(20_000)
        share = np.bincount(rows, minlength=4) / len(rows)
        np.testing.assert_allclose(share[rows], np.exp(log_share) / 3, atol=0.015)
        assert share[0] == 0.0  # nobody chose it
        # with the correction, every item that can be drawn weighs the same
        weighed = np.bincount(rows, weights=np.exp(-log_share), minlength=4) / len(rows)
        np.testing.assert_allclose(weighed[share > 0], 1 / 3, atol=0.015)


def test_the_loss_of_pairs_is_the_formula():
    users = torch.tensor([[1.0, 2.0], [0.5, -1.0]])
    items = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    model = make("recommender", "BPR", {"l2": 0.1})

    class Drawn:
        def draw(self, n):
            return np.array([2, 0]), np.zeros(n, np.float32)

    found = model.loss(users, items, np.array([0, 1]), Drawn()).item()
    pairs = [(0, 0, 2), (1, 1, 0)]
    expected = 0.0
    for u, i, j in pairs:
        gap = users[u] @ items[i] - users[u] @ items[j]
        expected += -np.log(1 / (1 + np.exp(-gap.item())))
        expected += 0.1 * sum((vector**2).sum().item() for vector in (users[u], items[i], items[j]))
    assert found == pytest.approx(expected / 2, rel=1e-5)


def test_biases_of_pairs_follow_popularity(blocks):
    model = make("recommender", "BPR", {**QUICK, "negatives": 1}).fit(blocks.train, blocks.validation)
    assert np.corrcoef(model.item_vectors_[:, -1], model.popularity_)[0, 1] > 0.5
    assert (model.user_vectors_[:, -1] == 1.0).all()
