"""The adversary: a fresh discriminator, trained afterwards, tells less; own vectors are still found."""

import warnings
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier

from fuserec.alignment.adversarial import Discriminator
from fuserec.alignment.towers import Towers, mean_reciprocal_rank
from fuserec.data.embeddings import Embeddings

SEEDS = range(3)
NAMES = ("curved", "plain", "two-sided")


def fingerprints(seed, n=1000, plain=8, bent=3, noise=0.3):
    """Three columns: eight latents that all tell alike, and three that each bends in its own way, with an offset."""
    rng = np.random.default_rng(seed)
    alike, apart = rng.normal(size=(n, plain)), rng.normal(size=(n, bent))
    columns = {}
    for name, bend in zip(NAMES, (lambda t: np.exp(t) / 2.16, lambda t: t, np.sign), strict=True):
        told = np.concatenate([alike, 1.5 * bend(apart)], axis=1) + noise * rng.normal(size=(n, plain + bent))
        turn = np.linalg.qr(rng.normal(size=(plain + bent, plain + bent)))[0]
        columns[name] = Embeddings(told @ turn + 3 * rng.normal(size=plain + bent), np.ones(n, bool), name)
    return columns


@cache
def measured(adversary, seed):
    """How far above chance a fresh discriminator is on items it did not see, and how well own vectors are found."""
    columns = fingerprints(seed)
    n = columns["plain"].n_items
    order = np.random.default_rng(seed).permutation(n)
    train, to_learn, to_judge = order[: n // 2], order[n // 2 : 3 * n // 4], order[3 * n // 4 :]
    fit_on = np.isin(np.arange(n), train)
    towers = Towers(dim=11, dropout=0.2, epochs=150, adversary=adversary, adversary_weight=5.0, seed=seed)
    towers.fit(columns, fit_on)

    def shared(rows):
        return [towers.project(name, columns[name].vectors[rows]) for name in NAMES]

    def stacked(rows):
        return np.concatenate(shared(rows)) * 11**0.5, np.repeat(np.arange(3), len(rows))

    fresh = MLPClassifier((64,), alpha=1e-2, max_iter=150, random_state=0)
    with warnings.catch_warnings(action="ignore"):  # it would take more steps still
        fresh.fit(*stacked(to_learn))
    held = order[n // 2 :]
    return fresh.score(*stacked(to_judge)) - 1 / 3, mean_reciprocal_rank(shared(held), np.ones((len(held), 3), bool))


@pytest.mark.parametrize("form", ["reversal", "gan"])
def test_columns_become_hard_to_tell_apart_and_own_vectors_are_still_found(form):
    """Measured, mean of three seeds: accuracy 0.50 without, 0.39 reversal, 0.40 gan; chance 0.33.

    Mean reciprocal rank among 500 items: 0.883, 0.892 and 0.892.
    """
    without, within = (np.mean([measured(kind, seed) for seed in SEEDS], axis=0) for kind in ("none", form))
    assert without[0] > 0.12
    assert within[0] < 0.6 * without[0]
    assert within[1] > without[1] - 0.02


def planted_batch():
    generator = torch.Generator().manual_seed(0)
    shared = [torch.nn.functional.normalize(torch.randn(20, 6, generator=generator) + m) for m in range(3)]
    there = torch.rand(20, 3, generator=generator) < 0.8
    return [z.requires_grad_() for z in shared], there


def test_reversal_turns_the_gradient_of_the_towers_only():
    shared, there = planted_batch()
    torch.manual_seed(0)
    discriminator = Discriminator("reversal", 6, 3, "cpu")
    discriminator.penalty(shared, there, 2.0).backward()
    turned = [z.grad.clone() for z in shared]
    own = [weight.grad.clone() for weight in discriminator.network.parameters()]
    (group,) = discriminator.beside_towers()
    assert len(list(group["params"])) == 4

    # the same from the definition: the mean cross-entropy of each column, averaged over the columns
    discriminator.network.zero_grad()
    again = [z.detach().clone().requires_grad_() for z in shared]
    terms = []
    for column, z in enumerate(again):
        chances = discriminator.network(z[there[:, column]] * 6**0.5).softmax(dim=1)
        terms.append(-chances[:, column].log().mean())
    (sum(terms) / 3).backward()
    for z, reversed_gradient in zip(again, turned, strict=True):
        torch.testing.assert_close(reversed_gradient, -2.0 * z.grad)
    # the discriminator's own gradient is not turned; beside it stands that of the roughness
    torch.testing.assert_close(
        own[-1], discriminator.network[-1].bias.grad + roughness_gradient(discriminator, again, there)
    )


def roughness_gradient(discriminator, shared, there):
    """Of the mean squared slope of the log-probability of the own column, by a slow loop: by the last bias."""
    discriminator.network.zero_grad()
    squares = []
    for column, z in enumerate(shared):
        for row in range(len(z)):
            if there[row, column]:
                x = (z[row].detach() * 6**0.5).requires_grad_()
                chance = discriminator.network(x).log_softmax(dim=0)[column]
                (slope,) = torch.autograd.grad(chance, x, create_graph=True)
                squares.append((slope**2).sum())
    (sum(squares) / len(squares)).backward()
    return discriminator.network[-1].bias.grad


def test_in_turns_the_discriminator_learns_at_once_and_the_towers_are_pulled_to_the_others():
    shared, there = planted_batch()
    torch.manual_seed(0)
    discriminator = Discriminator("gan", 6, 3, "cpu")
    assert discriminator.beside_towers() == []
    losses = [discriminator.penalty(shared, there, 2.0).item() for _ in range(100)]
    assert losses[-1] > losses[0]  # it gives wrong answers less and less, as these vectors stay as they are
    expected = []
    penalty = discriminator.penalty(shared, there, 2.0)
    for column, z in enumerate(shared):
        chances = discriminator.network(z[there[:, column]] * 6**0.5).log_softmax(dim=1)
        others = [other for other in range(3) if other != column]
        expected.append(-(chances[:, others].sum(dim=1) / 2).mean())
    torch.testing.assert_close(penalty, 2.0 * sum(expected) / 3)


def test_a_column_that_no_item_of_the_batch_has_is_survived():
    shared, there = planted_batch()
    there[:, 1] = False
    for form in ("reversal", "gan"):
        penalty = Discriminator(form, 6, 3, "cpu").penalty(shared, there, 1.0)
        penalty.backward()
        assert torch.isfinite(penalty) and all(torch.isfinite(shared[m].grad).all() for m in (0, 2))
