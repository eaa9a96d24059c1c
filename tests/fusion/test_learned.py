"""Learned fusers: each network against a slow loop written from its formula, and the training loop's parts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from tests.planted import checkerboard

from fuserec.errors import OptionError
from fuserec.fusion import training
from fuserec.fusion.learned import Adversarial, Attention, Gated, LowRankTensor

N, DIMS, DIM = 5, (3, 4, 2), 6


@pytest.fixture
def inputs():
    """Projections, blocks and presence; row 0 has only the second column."""
    rng = np.random.default_rng(0)
    present = np.ones((N, 3), bool)
    present[0] = [False, True, False]
    blocks = [(rng.standard_normal((N, dim)) * present[:, m, None]).astype(np.float32) for m, dim in enumerate(DIMS)]
    return [rng.standard_normal((dim, DIM)).astype(np.float32) for dim in DIMS], blocks, present


def random_weights(fuser, projections):
    """The weights at the start, all shaken, so that nothing is zero by luck."""
    rng = np.random.default_rng(1)
    start = fuser.start(projections, rng)
    return {name: value + rng.standard_normal(value.shape).astype(np.float32) for name, value in start.items()}


def output(fuser, weights, blocks, present):
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    return fuser.forward(tensors, [torch.from_numpy(block) for block in blocks], torch.from_numpy(present)).numpy()


def test_gates(inputs):
    projections, blocks, present = inputs
    weights = random_weights(Gated(), projections)
    found = output(Gated(), weights, blocks, present)
    for row in range(N):
        told = np.concatenate([block[row] for block in blocks])
        expected = np.zeros(DIM)
        for m, block in enumerate(blocks):
            gate = 1 / (1 + np.exp(-(told @ weights["gate"][:, m * DIM : (m + 1) * DIM])))
            expected += gate * np.tanh(block[row] @ weights[f"project-{m}"])
        np.testing.assert_allclose(found[row], expected, atol=1e-4)


def test_attention(inputs):
    projections, blocks, present = inputs
    fuser = Attention(heads=2)
    weights = random_weights(fuser, projections)
    found = output(fuser, weights, blocks, present)
    for row in range(N):
        columns = np.flatnonzero(present[row])
        tokens = [blocks[m][row] @ weights[f"project-{m}"] for m in columns]
        for number in range(DIM):
            query = weights["query"][:, number // (DIM // 2)]
            asked = [
                (token * DIM**0.5 + weights["column"][m]) @ query / DIM**0.5
                for m, token in zip(columns, tokens, strict=True)
            ]
            share = np.exp(np.array(asked) - max(asked))
            expected = sum(part * token[number] for part, token in zip(share / share.sum(), tokens, strict=True))
            assert found[row, number] == pytest.approx(expected, abs=1e-4)


def test_the_low_rank_tensor_is_the_whole_tensor_times_the_outer_product(inputs):
    projections, blocks, present = inputs
    fuser = LowRankTensor(rank=1)
    weights = random_weights(fuser, projections)
    found = output(fuser, weights, blocks, present)
    whole = [np.concatenate([weights[f"factor-{m}"], weights[f"constant-{m}"][:, None]], axis=1) for m in range(3)]
    tensor = np.einsum("rah,rbh,rch->abch", *whole)  # (4, 5, 3, DIM): Liu 2018, eq. 5
    for row in range(N):
        a, b, c = (np.append(block[row], 1.0) for block in blocks)
        outer = a[:, None, None] * b[None, :, None] * c[None, None, :]  # eq. 2
        np.testing.assert_allclose(found[row], np.tensordot(outer, tensor, axes=3), rtol=1e-3, atol=1e-3)


def test_the_shared_half_is_the_direction_of_the_mean_of_unit_projections(inputs):
    projections, blocks, present = inputs
    fuser = Adversarial(shared=4, balance=0.5)
    weights = random_weights(fuser, projections)
    found = output(fuser, weights, blocks, present)
    for row in range(N):
        shares = [blocks[m][row] @ weights[f"share-{m}"] for m in np.flatnonzero(present[row])]
        mean = np.mean([share / np.linalg.norm(share) for share in shares], axis=0)
        np.testing.assert_allclose(found[row, DIM:], 0.5 * mean / np.linalg.norm(mean), atol=1e-4)
        private = sum(blocks[m][row] @ weights[f"project-{m}"] for m in range(3))
        np.testing.assert_allclose(found[row, :DIM], private / np.linalg.norm(private), atol=1e-4)


@pytest.mark.parametrize("fuser", [Gated(), Attention(), LowRankTensor(rank=0)], ids=lambda fuser: type(fuser).__name__)
def test_training_starts_from_the_shorter_concatenation(fuser, inputs):
    projections, blocks, present = inputs
    small = [0.01 * block for block in blocks]  # where tanh is the identity
    found = output(fuser, fuser.start(projections, np.random.default_rng(0)), small, present)
    expected = sum(block @ axes for block, axes in zip(small, projections, strict=True))
    cosine = (found * expected).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    np.testing.assert_allclose(cosine, 1.0, atol=1e-4)


def test_the_adversary_turns_the_gradient_of_the_projections_only(inputs):
    projections, blocks, present = inputs
    gradients = {}
    for adversary in (-1.0, 1.0):  # -1 reverses nothing
        fuser = Adversarial(adversary=adversary)
        weights = {
            name: torch.tensor(value, requires_grad=True)
            for name, value in random_weights(Adversarial(), projections).items()
        }
        fuser.penalty(weights, [torch.from_numpy(block) for block in blocks], torch.from_numpy(present)).backward()
        gradients[adversary] = {name: value.grad for name, value in weights.items()}
    for name in ("hear", "name"):
        torch.testing.assert_close(gradients[1.0][name], gradients[-1.0][name])
    for m in range(3):
        assert gradients[1.0][f"share-{m}"].abs().max() > 1e-6
        torch.testing.assert_close(gradients[1.0][f"share-{m}"], -gradients[-1.0][f"share-{m}"])
        assert gradients[1.0][f"project-{m}"] is None


def test_dropping_hides_the_share_and_leaves_one():
    rng = np.random.default_rng(0)
    present = rng.random((4_000, 3)) > 0.3
    shown = training._some(present, 0.4, rng)
    assert not (shown & ~present).any()
    np.testing.assert_array_equal(shown.any(axis=1), present.any(axis=1))
    two = present.sum(axis=1) == 2  # one of two is always left: each is hidden in 0.4 of the cases but 0.4^2 / 2
    assert shown[two].sum() / present[two].sum() == pytest.approx(1 - (0.4 - 0.4**2 / 2), abs=0.03)
    np.testing.assert_array_equal(training._some(present, 0.0, rng), present)


def test_the_held_out_rank_against_a_loop():
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((9, 4)).astype(np.float32)
    seen = (rng.random((6, 9)) > 0.5).astype(np.float32)
    seen[:, :2] = 1.0
    logs = []
    for user in range(6):
        for item in np.flatnonzero(seen[user]):
            others = sum(vectors[other] for other in np.flatnonzero(seen[user]) if other != item)
            scores = vectors @ others
            rivals = [other for other in range(9) if not seen[user, other] and scores[other] > scores[item]]
            logs.append(np.log2(1 + len(rivals)))
    assert training._mean_log_rank(vectors, csr_matrix(seen)) == pytest.approx(np.mean(logs))


def test_a_batch_holds_what_its_users_chose():
    seen = csr_matrix(np.array([[1, 0, 1, 0, 1], [0, 0, 1, 0, 0], [0, 1, 0, 0, 1]], np.float32))
    rows, history = training._batch(seen, np.array([2, 1, 0]), np.random.default_rng(0))
    assert rows.tolist() == [0, 1, 2, 4]
    assert history.tolist() == [[0, 1, 0, 1], [1, 0, 1, 1]]  # user 1 chose one item, so there is nothing to seek it by


def test_where_nobody_chose_two_items_the_start_is_kept():
    dataset = checkerboard()
    first_of_user = np.unique(dataset.interactions.users, return_index=True)[1]
    lonely = replace(dataset, interactions=dataset.interactions.take(first_of_user))
    assert not Gated().fit(lonely).weights_["gate"].any()
    assert Gated(rounds=1, settle=1).fit(dataset).weights_["gate"].any()


def test_global_random_state_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    Gated(rounds=1).fit(checkerboard())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("fuser", "message"),
    [
        (Gated(dim=0), "Gated: dim is 0; expected 1 or more"),
        (Attention(drop=1.0), "Attention: drop is 1.0; expected 0 to below 1"),
        (LowRankTensor(batch=0), "LowRankTensor: batch is 0"),
        (Gated(device="tpu9"), "device = 'tpu9' cannot be used here"),
    ],
)
def test_wrong_options_are_told(fuser, message):
    with pytest.raises(OptionError, match=message):
        fuser.fit(checkerboard())
