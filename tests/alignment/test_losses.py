"""The losses against slow loops, written from their formulas."""

from math import exp, log

import numpy as np
import pytest
import torch

from fuserec.alignment.losses import infonce, sigmoid_pairs, triplet


def pairs_of(n, seed, dim=5):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n, dim))
    return a / np.linalg.norm(a, axis=1, keepdims=True), b / np.linalg.norm(b, axis=1, keepdims=True)


def value(loss, a, b, *options):
    return float(loss(torch.from_numpy(a), torch.from_numpy(b), *options))


@pytest.mark.parametrize("n", [2, 7])
def test_infonce_is_the_mean_cross_entropy_of_both_choices(n):
    a, b = pairs_of(n, seed=n)
    total = 0.0
    for i in range(n):
        total -= log(exp(8 * a[i] @ b[i]) / sum(exp(8 * a[i] @ b[j]) for j in range(n)))
        total -= log(exp(8 * b[i] @ a[i]) / sum(exp(8 * b[i] @ a[j]) for j in range(n)))
    assert value(infonce, a, b, 8.0) == pytest.approx(total / (2 * n))


@pytest.mark.parametrize("n", [1, 6])
def test_sigmoid_asks_of_every_pair_whether_it_is_one(n):
    a, b = pairs_of(n, seed=n)
    total = 0.0
    for i in range(n):
        for j in range(n):
            z = 1 if i == j else -1
            total -= log(1 / (1 + exp(-z * (5 * a[i] @ b[j] - 2))))
    assert value(sigmoid_pairs, a, b, 5.0, -2.0) == pytest.approx(total / n)


def slow_triplet(a, b, margin):
    total = 0.0
    for left, right in ((a, b), (b, a)):
        for i in range(len(a)):
            positive = np.sum((left[i] - right[i]) ** 2)
            others = [np.sum((left[i] - right[j]) ** 2) for j in range(len(a)) if j != i]
            farther = [distance for distance in others if distance > positive]
            negative = min(farther) if farther else max(others)
            total += max(0.0, positive - negative + margin)
    return total / (2 * len(a))


@pytest.mark.parametrize("seed", range(4))
def test_triplet_takes_the_semi_hard_negative(seed):
    a, b = pairs_of(8, seed)
    for margin in (0.0, 0.2, 1.0):
        assert value(triplet, a, b, margin) == pytest.approx(slow_triplet(a, b, margin))


def test_triplet_takes_the_farthest_negative_where_all_are_nearer_than_the_own_partner():
    a = np.array([[1.0, 0.0], [0.0, 1.0]])
    b = -a  # the own partner is as far as can be
    assert value(triplet, a, b, 0.2) == pytest.approx(4 - 2 + 0.2)
    assert value(triplet, a, b, 0.2) == pytest.approx(slow_triplet(a, b, 0.2))


def test_every_loss_falls_when_own_partners_come_closer_and_has_finite_gradients():
    a, far = pairs_of(6, seed=0)
    near = 0.9 * a + 0.1 * far
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    for loss, options in ((infonce, (10.0,)), (sigmoid_pairs, (10.0, -5.0)), (triplet, (0.2,))):
        assert value(loss, a, near, *options) < value(loss, a, far, *options)
        moving = torch.from_numpy(far).requires_grad_()
        loss(torch.from_numpy(a), moving, *options).backward()
        assert torch.isfinite(moving.grad).all() and moving.grad.abs().sum() > 0
