"""SASRec, GRU4Rec and MultiInterest: order, padding, causality, content of new items, views, gaps, interests."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.planted import checkerboard

from fuserec import make, split_last
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset
from fuserec.data.history import NOTHING, History
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.errors import DataError, OptionError
from fuserec.recommenders.multi_interest import squashed
from fuserec.recommenders.windows import (
    augmentations,
    gap_buckets,
    hold_out_last,
    principal,
    trimmed,
    two_views,
    windows_of,
)

NAMES = ("SASRec", "GRU4Rec", "MultiInterest")
QUICK = {"dim": 16, "epochs": 6, "learning_rate": 0.02, "batch": 8}
ROUTING = ("MultiInterest", {"extraction": "routing"})


def made(name, **options):
    return make("recommender", name, {**QUICK, **options})


@pytest.fixture(scope="module")
def shop():
    return checkerboard()


@pytest.fixture(scope="module")
def circle():
    """Everybody goes through 12 items in a circle, each from a place of his own: what comes next is sure."""
    n_users, n_items, steps = 36, 12, 8
    users = np.repeat(np.arange(n_users), steps)
    items = (np.arange(n_users)[:, None] + np.arange(steps)).ravel() % n_items
    times = np.tile(np.arange(steps), n_users) * 3_600 + 1_700_000_000
    order = np.random.default_rng(0).permutation(len(users))  # the file's order tells nothing
    catalog = Catalog(Ids(f"i{row}" for row in range(n_items)), {})
    ids = Ids((f"u{row}" for row in range(n_users)), "user")
    return Dataset("circle", catalog, ids, Interactions(users[order], items[order], None, times[order]))


@pytest.mark.parametrize(("name", "options"), [("SASRec", {}), ("GRU4Rec", {}), ("SASRec", {"negatives": 4})])
def test_what_comes_next_is_learned_from_order(name, options, circle):
    split = split_last(circle)
    model = made(name, epochs=30, **options).fit(split.train, split.validation)
    best = model.rank(np.arange(circle.n_users), 1)[0][:, 0]
    following = np.array([split.train.history.of_user(user)[0][-1] + 1 for user in range(circle.n_users)]) % 12
    assert (best == following).mean() > 0.9
    assert model.recommend(items=["i3", "i4", "i5"], k=1).ids == ["i6"]
    forth, back = (model.for_session(items).score(np.array([0])) for items in (["i3", "i4", "i5"], ["i5", "i4", "i3"]))
    assert np.abs(forth - back).max() > 0.1 * np.abs(forth).max()


@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in NAMES), ROUTING, ("MultiInterest", {"half_life": 2.0})]
)
def test_a_place_knows_nothing_of_later_ones_nor_of_padding(name, options):
    model = made(name, length=9, **options)
    weights = {key: torch.from_numpy(value) for key, value in model.network(np.random.default_rng(0)).items()}
    inputs = torch.randn((2, 9, 16), generator=torch.Generator().manual_seed(0))
    real = torch.ones((2, 9), dtype=torch.bool)
    real[1, :4] = False
    inputs[1, :4] = 0.0
    ages = torch.arange(9.0).expand(2, 9)
    states = model.read(weights, inputs, real, ages, None)
    assert states.shape == (2, 9, 4 if name == "MultiInterest" else 1, 16) and torch.isfinite(states).all()
    later = inputs.clone()
    later[:, 6:] *= torch.linspace(-1.0, 1.0, 16)  # a constant would be taken away again by layers that normalize
    changed = model.read(weights, later, real, ages, None)
    torch.testing.assert_close(changed[:, :6][real[:, :6]], states[:, :6][real[:, :6]])  # at padding, anything goes
    assert not torch.allclose(changed[:, 6:], states[:, 6:])
    noisy = inputs.clone()
    noisy[1, :4] += torch.linspace(-1.0, 1.0, 16)
    torch.testing.assert_close(model.read(weights, noisy, real, ages, None)[1, 4:], states[1, 4:])
    short = model.read(weights, inputs[1:, 4:], real[1:, 4:], ages[1:, 4:], None)
    torch.testing.assert_close(short, states[1:, 4:])


def test_attention_is_that_of_the_paper():
    """Kang and McAuley 2018, eq. 2, one head and one layer, written as a loop."""
    model = made("SASRec", heads=1, length=5, dim=4)
    arrays = model.network(np.random.default_rng(3))
    weights = {key: torch.from_numpy(value).double() for key, value in arrays.items()}
    inputs = torch.randn((1, 5, 4), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = model.read(weights, inputs, torch.ones((1, 5), dtype=torch.bool), torch.zeros((1, 5)), None)[0, :, 0]

    def normal(x):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5)

    x = inputs[0].numpy() + arrays["places"]
    own = {key.removeprefix("layer 0/"): value for key, value in arrays.items()}
    q, k, v = np.split(np.stack([normal(row) for row in x]) @ own["qkv"], 3, axis=1)
    for t in range(5):
        raised = np.exp([q[t] @ k[j] / 2.0 for j in range(t + 1)])
        h = x[t] + sum(w * v[j] for j, w in enumerate(raised / raised.sum())) @ own["out"]
        h = h + np.maximum(normal(h) @ own["up"], 0.0) @ own["down"]
        np.testing.assert_allclose(found[t].numpy(), normal(h), atol=1e-4)


def test_routing_is_that_of_the_paper():
    """Cen 2020, algorithm 1, written as a loop."""
    model = made("MultiInterest", extraction="routing", interests=2, length=4, dim=3)
    arrays = model.network(np.random.default_rng(1))
    weights = {key: torch.from_numpy(value) for key, value in arrays.items()}
    inputs = torch.randn((1, 4, 3), generator=torch.Generator().manual_seed(1))
    found = model.read(weights, inputs, torch.ones((1, 4), dtype=torch.bool), torch.zeros((1, 4)), None)[0, -1].numpy()
    sent, logits = inputs[0].numpy() @ arrays["route"], arrays["begin"].copy()  # (4, 2)
    for _ in range(3):
        share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        total = [sum(share[i, j] * sent[i] for i in range(4)) for j in range(2)]
        capsules = [z * (z @ z) / (1 + z @ z) / np.linalg.norm(z) for z in total]
        logits = logits + np.array([[sent[i] @ capsules[j] for j in range(2)] for i in range(4)])
    np.testing.assert_allclose(found, capsules, atol=1e-5)
    assert squashed(torch.tensor([3.0, 4.0])).norm().item() == pytest.approx(25 / 26)


@pytest.mark.parametrize("name", NAMES)
def test_content_reaches_items_that_nobody_chose_and_new_ones(name, shop):
    split = split_last(shop)
    model = made(name, epochs=10, id_dropout=0.2).fit(split.train, split.validation)
    cold = shop.n_items - 1  # odd
    scores = model.score(np.arange(shop.n_users))[:, cold]
    assert scores[1::2].mean() > scores[0::2].mean() and (model.ids_[cold] == 0.0).all()
    blind = made(name, content=0.0, epochs=1).fit(split.train, split.validation).score(np.arange(4))[:, cold]
    assert (blind == 0.0).all()
    row = np.array([4])
    vectors = {key: replace(e, vectors=e.vectors[row], present=e.present[row], filled=e.filled[row])
               for key, e in split.train.embeddings.items()}  # fmt: skip
    twin = Catalog(Ids(["twin"]), {"title": replace(shop.catalog.columns["title"], values=("Item number 4 again",))})
    more = model.with_items(twin, vectors)
    np.testing.assert_allclose(more.item_vectors_[-1], model.item_vectors_[4] - model.ids_[4], atol=1e-5)
    assert len(model.item_vectors_) == shop.n_items
    assert "twin" in more.recommend("u0", k=30).ids


def test_content_alone_and_one_column(shop):
    alone = made("SASRec", ids=False, columns=("title",)).fit(shop)
    assert set(alone.centers_) == {"title"} and (alone.ids_ == 0.0).all()
    with pytest.raises(OptionError, match="SASRec: no vectors 'titel'; did you mean 'title'"):
        made("SASRec", columns=("titel",)).fit(shop)
    with pytest.raises(DataError, match="without ids it needs vectors"):
        made("SASRec", ids=False).fit(checkerboard(vectors=False))


@pytest.mark.parametrize("options", [{"contrast": 0.1}, {"gaps": True}, {"negatives": 5}, {"dropout": 0.0}])
def test_options_change_what_is_learned_and_a_seed_is_one_model(options, shop):
    plain = made("SASRec", epochs=2).fit(shop)
    first, again = (made("SASRec", epochs=2, **options).fit(shop) for _ in range(2))
    np.testing.assert_array_equal(first.item_vectors_, again.item_vectors_)
    assert not np.allclose(first.item_vectors_, plain.item_vectors_)


def test_without_times_the_order_is_that_of_the_file(circle):
    untimed = replace(circle, interactions=replace(circle.interactions, times=None))
    by_time = np.lexsort((circle.interactions.times, circle.interactions.users))
    in_order = replace(circle, interactions=replace(circle.interactions.take(by_time), times=None))
    one, other = (made("GRU4Rec", epochs=2).fit(each) for each in (untimed, in_order))
    assert in_order.history.of_user(5)[0].tolist() == circle.history.of_user(5)[0].tolist()
    assert not np.allclose(one.item_vectors_, other.item_vectors_)
    with pytest.raises(DataError, match="circle has no times, which gaps=true needs"):
        made("SASRec", gaps=True).fit(untimed)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SASRec", {"heads": 3}, "dim a multiple of heads"),
        ("SASRec", {"length": 0}, "SASRec: length is 0; expected 1 or more"),
        ("GRU4Rec", {"layers": 0}, "GRU4Rec: layers is 0"),
        ("GRU4Rec", {"dropout": 1.0}, "dropout is 1.0; expected 0 to below 1"),
        ("MultiInterest", {"interests": 0}, "interests is 0"),
        ("MultiInterest", {"half_life": -1.0}, "half_life is -1.0; expected 0 or more"),
        ("SASRec", {"contrast": 1.0, "views": ("SequenceCrop",)}, "contrast takes two views"),
        ("SASRec", {"views": ("SequenceSwap",)}, "views"),
    ],
)
def test_wrong_options_are_told(name, options, message, shop):
    with pytest.raises(OptionError, match=message):
        made(name, **options).fit(shop)


def test_users_of_one_item_each_are_an_error(shop):
    first = np.unique(shop.interactions.users, return_index=True)[1]
    with pytest.raises(DataError, match="no user of checkerboard has two items, so nothing comes next"):
        made("SASRec").fit(replace(shop, interactions=shop.interactions.take(first)))


def test_reasons_are_what_is_lost_without_an_item(shop):
    model = made("SASRec").fit(shop)
    user, item = 3, 7
    read = model.history.of_user(user)[0]
    whole = model.score(np.array([user]))[0, item]
    lost = []
    for place in range(len(read)):
        ids = [shop.catalog.ids[row] for row in np.delete(read, place)]
        lost.append(max(whole - model.for_session(ids).score(np.array([0]))[0, item], 0.0))
    (why,) = model.explain(user, np.array([item]))
    if not sum(lost):
        assert why == {"the history as a whole": 1.0}
    for place, part in zip(read, lost, strict=True):
        if part > 0.05 * sum(lost):
            assert why[shop.catalog.title(int(place))] == pytest.approx(part / sum(lost), abs=1e-3)


def test_interests_are_told_apart_named_and_shown(shop):
    two = shop.interactions  # one more user, who went for even items and then for odd ones
    mixed = np.array([0, 2, 4, 6, 1, 3, 5, 7])
    rows = Interactions(np.append(two.users, np.full(8, shop.n_users)), np.append(two.items, mixed), None,
                        np.append(two.times, two.times.max() + 1 + np.arange(8)))  # fmt: skip
    data = replace(shop, users=Ids([*shop.users, "both"], "user"), interactions=rows)
    model = made("MultiInterest", interests=2, epochs=20, clusters=4).fit(data)
    found = model.interests_of(shop.n_users)
    assert sum(one.share for one in found) == pytest.approx(1.0)
    assert found[0].share >= found[-1].share and all(one.name and one.typical for one in found)
    assert {row for one in found for row in one.because} <= set(mixed.tolist())
    assert model.interests_of(0)[0].because and not model.for_session([]).interests_of(0)


def test_diversity_mixes_clusters(shop):
    model = made("MultiInterest", clusters=4).fit(shop)
    scores = np.linspace(1.0, 0.0, shop.n_items, dtype=np.float32)[None].copy()
    model.clusters_ = np.arange(shop.n_items) // 5
    scores[0, 3] = -np.inf
    assert model.choose(scores, 4).tolist() == [[0, 1, 2, 4]]
    model.diversity = 5.0
    lists = model.choose(scores, 4)[0]
    assert lists[0] == 0 and sorted(model.clusters_[lists]) == [0, 1, 2, 3]
    allowed = scores.copy()
    allowed[0, 2:] = -np.inf
    assert model.choose(allowed, 4).tolist() == [[0, 1, -1, -1]]


def test_older_items_fade():
    model = made("MultiInterest", length=3, half_life=2.0, interests=1)
    network = model.network(np.random.default_rng(0))
    weights = {key: torch.zeros(value.shape) for key, value in network.items()}
    inputs = torch.eye(16)[:3][None]
    state = model.read(weights, inputs, torch.ones((1, 3), dtype=torch.bool), torch.tensor([[0.0, 2.0, 4.0]]), None)
    np.testing.assert_allclose(state[0, -1, 0, :3].numpy(), np.array([0.25, 0.5, 1.0]) / 1.75, atol=1e-6)


def test_windows_cover_every_step_once():
    history = History.of(np.repeat(np.arange(4), [1, 2, 7, 0]), np.arange(10), None, 4)
    users, ends = windows_of(history, 3)
    items, _ = history.windows(users, ends, 4)
    steps = [(a, b) for row in items for a, b in zip(row, row[1:], strict=False) if a != NOTHING]
    assert sorted(steps) == [(1, 2), *((row, row + 1) for row in range(3, 9))]


def test_gaps_views_and_what_is_held_out(shop):
    times = np.array([[0, 100, 100, 101, 100 + 2**30]])
    assert gap_buckets(times, times > 0).tolist() == [[0, 0, 1, 2, 23]]
    cut, _ = trimmed(np.array([[NOTHING, NOTHING, 3], [NOTHING, 1, 2]]), np.zeros((2, 3), np.int64))
    assert cut.tolist() == [[NOTHING, 3], [1, 2]]
    histories = np.array([[NOTHING, 1, 2, 3, 4]] * 3)
    one, other = two_views(histories, augmentations(("SequenceCrop", "SequenceMask")), np.random.default_rng(0))
    assert (
        one.shape == other.shape == histories.shape
        and (one != other).any()
        and set(one.ravel()) <= {-2, -1, 1, 2, 3, 4}
    )
    train, held = hold_out_last(shop, 0)
    user = held.interactions.users[0]
    assert held.interactions.items[0] == shop.history.of_user(user)[0][-1]
    assert len(train.interactions) + len(held.interactions) == len(shop.interactions)
    axes = principal(np.random.default_rng(0).standard_normal((200, 150)).astype(np.float32))
    assert axes.shape == (150, 128)
    np.testing.assert_allclose(axes.T @ axes, np.eye(128), atol=1e-4)
