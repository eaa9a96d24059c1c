"""GraphRatings: codes and decoder by slow loops from the paper, and no rating that predicts itself."""

import numpy as np
import pytest
import torch
from tests.planted_ratings import planted_ratings

from fuserec import make
from fuserec.errors import OptionError
from fuserec.ratings.graph import Edges

SMALL = {"dim": 5, "hidden": 3, "epochs": 2}


@pytest.fixture(scope="module")
def data():
    return planted_ratings()


@pytest.fixture(scope="module")
def model(data):
    return make("rater", "GraphRatings", SMALL).fit(data)


def test_codes_are_those_of_the_paper(model, data):
    """Eq. 1 and 2 with levels side by side, section 2.7 (weights of a level added to those below), eq. 10."""
    arrays = model.start(data, np.random.default_rng(1))
    weights = {name: torch.from_numpy(value) for name, value in arrays.items()}
    users, items = (one.numpy() for one in model._codes(weights, model._edges(data), None))
    rows, content = data.interactions, model._content(data.embeddings)
    for side, found, to, other, of in (
        ("users", users, rows.users, "items", rows.items),
        ("items", items, rows.items, "users", rows.users),
    ):
        for node in (0, 3):
            heard = np.zeros((len(model.levels_), 3))
            mine = np.flatnonzero(to == node)
            for edge in mine:
                level = int(np.flatnonzero(model.levels_ == rows.ratings[edge])[0])
                heard[level] += sum(arrays[f"own/{other}"][below, of[edge]] for below in range(level + 1))
            state = np.maximum(heard.ravel() / np.sqrt(len(mine)), 0.0) @ arrays[f"dense/{side}"]
            if side == "items":
                state = state + sum(vectors[node] @ arrays[f"side/{name}"] for name, vectors in content.items())
            np.testing.assert_allclose(found[node], np.tanh(state), atol=1e-5)


def test_a_rating_is_the_mean_of_the_levels_by_their_chances(model):
    """Eq. 4 to 6."""
    user, item = model.user_codes_[2], model.item_codes_[7]
    products = [user @ base @ item for base in model.decoder_["bases"]]
    raised = np.exp([sum(a * b for a, b in zip(mix, products, strict=True)) for mix in model.decoder_["mix"]])
    expected = sum(chance * level for chance, level in zip(raised / raised.sum(), model.levels_, strict=True))
    assert model.estimate(np.array([2]), np.array([7]))[0] == pytest.approx(expected, abs=1e-4)
    assert set(model.decoder_) == {"mix", "bases", *(f"side/{name}" for name in model.centers_)}


def test_ratings_of_a_batch_are_no_edges():
    users, items, level = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 3, 0, 3]), torch.tensor([1, 2, 3, 4])
    left = Edges(users, items, level, {}).without(torch.tensor([0, 2]), torch.tensor([3, 3]))
    assert left.users.tolist() == [0, 1] and left.items.tolist() == [0, 0] and left.level.tolist() == [1, 3]


@pytest.mark.parametrize(("option", "value"), [("hidden", 0), ("bases", 0), ("dropout", 1.0)])
def test_wrong_options_are_told(option, value, data):
    with pytest.raises(OptionError, match=f"GraphRatings: .*{option}.* {value}"):
        make("rater", "GraphRatings", {**SMALL, option: value}).fit(data)
