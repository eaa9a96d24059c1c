"""The loop: patience, seeds, checkpoints of a killed run, loss that is not a number, the judge."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from tests.planted import checkerboard

from fuserec import evaluate, make, split_last
from fuserec.errors import ArtifactError, DataError, OptionError
from fuserec.evaluation import rank_and_measure
from fuserec.recommenders.training import HeldOut, hold_out

QUICK = {"negatives": 64, "epochs": 6, "learning_rate": 0.02}


def soft(**options):
    return make("recommender", "SoftmaxFactors", {**QUICK, **options})


@pytest.fixture(scope="module")
def split():
    return split_last(checkerboard())


def test_the_judge_measures_what_evaluation_measures(split):
    model = make("recommender", "ItemNeighbors").fit(split.train)  # has ties
    two = replace(split.test, interactions=checkerboard().interactions)  # several new items a user
    for held_out in (split.validation, two):
        of = HeldOut.of(split.train.seen, held_out.seen, 0)
        expected = rank_and_measure(model, held_out, 5)
        np.testing.assert_array_equal(of.users, expected.users)
        blocks = [block.ndcg(model.score(block.users), 5) for block in of.blocks()]
        np.testing.assert_allclose(np.concatenate(blocks), expected.values["ndcg@5"])


def test_who_has_no_history_judges_nothing(split):
    seen, held = split.train.seen.copy(), split.validation.seen
    judges = HeldOut.of(seen, held, 0).users
    seen.data[seen.indptr[judges[0]] : seen.indptr[judges[0] + 1]] = 0.0
    seen.eliminate_zeros()
    np.testing.assert_array_equal(HeldOut.of(seen, held, 0).users, judges[1:])


def test_held_out_are_single_interactions_of_users_with_three(split):
    data = split.train
    train, held = hold_out(data, seed=3, share=0.1)
    assert len(train.interactions) + len(held.interactions) == len(data.interactions)
    assert len(held.interactions) == round(0.1 * len(data.interactions))
    assert np.bincount(held.interactions.users).max() == 1
    assert np.bincount(data.interactions.users)[held.interactions.users].min() >= 3
    assert not (train.seen.multiply(held.seen)).nnz
    again = hold_out(data, seed=3, share=0.1)[1].interactions
    np.testing.assert_array_equal(again.items, held.interactions.items)


def test_the_best_epoch_by_the_given_validation_is_kept(split):
    told = []
    model = soft(epochs=9).fit(split.train, split.validation, on_progress=lambda *args: told.append(args))
    assert len(told) == len(model.validation_) == len(model.losses_) == 9 and told[-1][1:] == (9, 9)
    assert "loss" in told[0][0] and "ndcg@20" in told[0][0]
    of = HeldOut.of(split.train.seen, split.validation.seen, 0)
    assert of.ndcg(model.score(of.users)).mean() == pytest.approx(model.validation_.max(), abs=1e-6)
    assert model.losses_[-1] < model.losses_[0]


def test_patience_ends_it_and_evaluate_hands_on_validation(split):
    model = soft(epochs=200, patience=2)
    evaluate([model], split)
    best = int(model.validation_.argmax())
    assert len(model.validation_) == best + 1 + 2 < 200
    alone = soft(epochs=200, patience=2).fit(split.train, split.validation)
    np.testing.assert_array_equal(alone.validation_, model.validation_)


def test_a_seed_is_one_model_and_another_seed_another(split):
    import torch

    before = torch.random.get_rng_state()
    first, again, other = (soft(seed=seed).fit(split.train).item_vectors_ for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_large_data_have_large_batches_not_more_steps(split):
    sizes = []
    for steps in (4, 64):
        model = soft(batch=2, steps=steps, epochs=1)
        whole = model.loss
        model.loss = lambda users, *given, whole=whole: sizes.append(len(users)) or whole(users, *given)
        model.fit(split.train, split.validation)
    n = split.train.seen.nnz
    assert sizes[:4] == [len(part) for part in np.array_split(np.arange(n), 4)]
    assert len(sizes[4:]) == min(64, -(-n // 2)) and sum(sizes[4:]) == n


def test_the_judge_asks_several_users_at_once_of_a_large_catalog():
    n_users, n_items = 40, 1_000_000
    seen = csr_matrix((np.ones(n_users, np.float32), (np.arange(n_users), np.arange(n_users))), (n_users, n_items))
    held_out = csr_matrix(
        (np.ones(n_users, np.float32), (np.arange(n_users), np.arange(n_users) + 100)), (n_users, n_items)
    )
    sizes = [len(block.users) for block in HeldOut.of(seen, held_out, 0).blocks()]
    assert sizes == [16, 16, 8]


def test_the_moving_average_is_kept(split):
    raw, smooth = (soft(average=average, epochs=3).fit(split.train, split.validation) for average in (0.0, 0.99))
    np.testing.assert_allclose(raw.losses_, smooth.losses_)  # steps are the same
    assert not np.allclose(raw.item_vectors_, smooth.item_vectors_)


CHILD = """
import sys
sys.path.insert(0, {root!r})
from tests.planted import checkerboard
from fuserec import make
options = {{"negatives": 64, "epochs": 100_000, "patience": 100_000, "checkpoint": {folder!r}, "average": 0.9,
           "precision": {precision!r}}}
make("recommender", "SoftmaxFactors", options).fit(checkerboard())
"""


@pytest.mark.parametrize("precision", ["full", "half"])
def test_a_killed_run_goes_on_to_the_same_model(precision, tmp_path):
    folder, root = tmp_path / "states", str(Path(__file__).parents[2])
    child = subprocess.Popen([sys.executable, "-c", CHILD.format(root=root, folder=str(folder), precision=precision)])
    started = time.monotonic()
    while not list(folder.glob("*.safetensors")) and time.monotonic() - started < 60:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    (state,) = folder.glob("*.safetensors")
    told = []
    options = {"negatives": 64, "average": 0.9, "patience": 100_000, "precision": precision}
    done = int(_epoch(state))
    resumed = make("recommender", "SoftmaxFactors", {**options, "epochs": done + 3, "checkpoint": str(folder)})
    resumed.fit(checkerboard(), on_progress=lambda *args: told.append(args))
    assert len(told) == 3  # only what was missing
    whole = make("recommender", "SoftmaxFactors", {**options, "epochs": done + 3}).fit(checkerboard())
    np.testing.assert_array_equal(resumed.item_vectors_, whole.item_vectors_)
    np.testing.assert_array_equal(resumed.validation_, whole.validation_)
    assert not [path for path in folder.iterdir() if path.suffix == ".tmp"]


def _epoch(state):
    import json

    from safetensors import safe_open

    with safe_open(state, framework="numpy") as stored:
        return json.loads(stored.metadata()["about"])["epoch"]


HALVED = {
    "SoftmaxFactors": {"negatives": 64, "learning_rate": 0.02},
    "LightGCN": {"negatives": 64},
    "VBPR": {},
    "TwoTower": {"negatives": 64},
    "FREEDOM": {"negatives": 64, "gate": True},
    "NeuMF": {},
    "SASRec": {},
    "GRU4Rec": {},
    "MultiInterest": {},
}


@pytest.mark.parametrize("name", HALVED)
def test_products_in_half_precision_learn_as_well(name, split):
    full, half = (
        make("recommender", name, {**HALVED[name], "epochs": 8, "patience": 8, "precision": precision}).fit(
            split.train, split.validation
        )
        for precision in ("full", "half")
    )
    assert (half.losses_ != full.losses_).any()  # it is in effect
    np.testing.assert_allclose(half.losses_, full.losses_, rtol=0.1)
    assert half.validation_.max() > full.validation_.max() - 0.05 > 0.42  # by chance .39
    assert half.item_vectors_.dtype == np.float32 and np.isfinite(half.score(np.arange(4))).all()


def test_other_options_or_data_have_a_state_of_their_own_and_rubbish_is_told(split, tmp_path):
    folder = str(tmp_path / "states")
    soft(checkpoint=folder).fit(split.train)
    soft(checkpoint=folder, dim=8).fit(split.train)
    soft(checkpoint=folder).fit(checkerboard())
    states = sorted(Path(folder).iterdir())
    assert len(states) == 3
    for state in states:
        state.write_bytes(b"rubbish")
    with pytest.raises(ArtifactError, match="is not a checkpoint of fuserec .* remove it to start anew"):
        soft(checkpoint=folder).fit(split.train)


def test_a_loss_that_is_not_a_number_ends_it(split):
    with pytest.raises(DataError, match=r"BPR: the loss is (nan|inf) in epoch 1; use a learning_rate below 1e\+30"):
        make("recommender", "BPR", {"learning_rate": 1e30}).fit(split.train)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "SoftmaxFactors: epochs is 0; expected 1 or more"),
        ({"temperature": 0.0}, "temperature is 0.0; expected 0.0125 or more"),
        ({"device": "cuda:99"}, "device = 'cuda:99' cannot be used here"),
        ({"sampling": "best"}, "sampling = 'best'"),
    ],
)
def test_wrong_options_are_told(options, message, split):
    with pytest.raises(OptionError, match=message):
        soft(**options).fit(split.train)


def test_without_anybody_to_judge_by_the_loss_judges(split):
    few = replace(split.train, interactions=split.train.interactions.take(np.array([0, 1])))
    model = soft(epochs=3).fit(few)
    np.testing.assert_allclose(model.validation_, -model.losses_)


def test_steps_are_those_of_torch_adam():
    import torch

    from fuserec.recommenders.training import _Loop

    start = {"a": np.ones((3, 2), np.float32), "unused": np.ones(2, np.float32)}
    loop = _Loop(make("recommender", "BPR", {"learning_rate": 0.1}), start, None)
    weight = torch.tensor(start["a"], requires_grad=True)
    adam = torch.optim.Adam([weight], lr=0.1, fused=True)
    for _ in range(4):
        for one in (loop.weights["a"], weight):
            one.grad = None
            (one**3).sum().backward()
        loop._step()
        adam.step()
    assert torch.equal(loop.weights["a"], weight) and not torch.equal(weight, torch.ones(3, 2))
    assert torch.equal(loop.weights["unused"], torch.ones(2))
