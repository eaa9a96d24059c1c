"""Every registered fuser keeps the contract; the learned ones are worth their training."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from fuserec import registry
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings, unit
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.errors import DataError, NotFittedError
from fuserec.evaluation import rank_and_measure
from fuserec.fusion.fuser import fuse
from fuserec.fusion.learned import LearnedFuser
from fuserec.intervals import estimates
from fuserec.preparation.split import split_by_time
from fuserec.recommenders.content import ContentNeighbors

NAMES = list(registry.components("fuser"))
LEARNED = [name for name in NAMES if issubclass(registry.load("fuser", name), LearnedFuser)]
COLUMNS = ("picture", "sound", "text")


@cache
def private_tastes(seed, n_items=150, n_users=120):
    """A split where every column tells of a theme of five, and of a taste of five that no other column tells of.

    Users choose by theme and by all three tastes. One item in ten lacks a column; the last two items have only text.
    """
    rng = np.random.default_rng(seed)
    values = {name: rng.integers(0, 5, n_items) for name in ("theme", *COLUMNS)}
    liking = sum(rng.normal(size=(n_users, 5))[:, value] for value in values.values())
    order = np.argsort(-(liking + rng.gumbel(size=liking.shape)), axis=1)
    users, items = np.repeat(np.arange(n_users), 15), order[:, :15].ravel()
    dataset = Dataset(
        "private-tastes",
        Catalog(Ids(f"i{row}" for row in range(n_items)), {}),
        Ids((f"u{row}" for row in range(n_users)), "user"),
        Interactions(users, items, None, rng.permutation(len(users)) + 1_700_000_000),
    )
    for name, dim in zip(COLUMNS, (30, 20, 25), strict=True):
        told = np.hstack([np.eye(5)[values["theme"]], np.eye(5)[values[name]]]) @ rng.standard_normal((10, dim))
        present = rng.random(n_items) > 0.1
        present[-2:] = name == "text"
        vectors = 3.0 + told + 1.5 * rng.standard_normal(told.shape)
        dataset = dataset.with_embeddings(name, Embeddings(vectors, present, f"planted {name}"))
    parts = split_by_time(dataset)
    return parts, values["theme"]


@cache
def fitted(name, seed=0):
    options = (
        {"rounds": 5, "settle": 0, "learning_rate": 3e-3} if name in LEARNED else {}
    )  # a smaller shop is learned sooner
    return registry.make("fuser", name, options).fit(private_tastes(seed)[0].train)


def source(dataset, rows=slice(None)):
    return {name: Embeddings(e.vectors[rows], e.present[rows], e.made_by) for name, e in dataset.embeddings.items()}


@pytest.mark.parametrize("name", NAMES)
def test_an_item_with_one_column_of_three_gets_a_usable_vector_with_sensible_neighbours(name):
    parts, theme = private_tastes(0)
    fuser = fitted(name)
    whole = fuser.fuse(source(parts.train))
    for column in COLUMNS:
        there = parts.train.embeddings[column].present
        alone = fuser.fuse({column: parts.train.embeddings[column]})
        assert np.isfinite(alone.vectors).all() and (np.linalg.norm(alone.vectors[there], axis=1) > 1e-3).all()
        assert {key: part.any() for key, part in alone.parts.items()} == {key: key == column for key in COLUMNS}
        cosine = unit(alone.vectors) @ unit(whole.vectors - whole.center()).T
        np.fill_diagonal(cosine, -np.inf)
        nearest = np.argsort(-cosine[there], axis=1)[:, :5]
        assert np.mean(theme[nearest] == theme[there, None]) > 1.5 * np.mean(theme[:, None] == theme)


@pytest.mark.parametrize("name", NAMES)
def test_an_item_without_any_column_gets_none(name):
    parts, _ = private_tastes(0)
    nothing = {key: Embeddings(np.zeros((2, e.dim)), np.zeros(2, bool), "") for key, e in source(parts.train).items()}
    fused = fitted(name).fuse(nothing)
    assert not fused.present.any() and not fused.vectors.any()


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_columns_and_a_second_fit_change_nothing(name):
    train = private_tastes(0)[0].train
    options = {"rounds": 2, "settle": 2} if name in LEARNED else {}
    first = registry.make("fuser", name, options).fit(train, COLUMNS).fuse(source(train))
    second = registry.make("fuser", name, options).fit(train, COLUMNS[::-1])
    shuffled = dict(reversed(source(train).items()))
    np.testing.assert_array_equal(second.fuse(shuffled).vectors, first.vectors)
    assert second.fuse(shuffled).made_by == first.made_by


@pytest.mark.parametrize("name", NAMES)
def test_new_items_get_the_vectors_that_they_would_have_in_the_catalog(name):
    train = private_tastes(0)[0].train
    whole = fitted(name).fuse(source(train))
    rows = np.array([148, 3, 77])
    new = fitted(name).fuse(source(train, rows))
    np.testing.assert_allclose(new.vectors, whole.vectors[rows], atol=1e-5)
    only_text = fitted(name).fuse({"text": source(train, rows)["text"]})
    np.testing.assert_allclose(only_text.vectors[0], whole.vectors[148], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_learned_attributes_make_the_same_fuser_again(name):
    train = private_tastes(0)[0].train
    again = registry.make("fuser", name)
    learned = {key: value for key, value in vars(fitted(name)).items() if key.endswith("_")}
    for key, value in learned.items():
        for array in value.values() if isinstance(value, dict) else [value]:
            assert isinstance(array, np.ndarray) and array.dtype == np.float32, key
        setattr(again, key, value)
    np.testing.assert_array_equal(again.fuse(source(train)).vectors, fitted(name).fuse(source(train)).vectors)


@pytest.mark.parametrize("name", NAMES)
def test_errors_say_what_to_do(name):
    with pytest.raises(NotFittedError, match=f"this {name} is not fitted; call fit"):
        registry.make("fuser", name).fuse({})
    bare = replace(private_tastes(0)[0].train, embeddings={})
    with pytest.raises(DataError, match="encode it first"):
        registry.make("fuser", name).fit(bare)


@pytest.mark.parametrize("name", LEARNED)
def test_items_without_any_column_do_not_disturb_training(name):
    train = private_tastes(0)[0].train
    hole = np.arange(train.n_items) % 4 == 0
    for key, e in source(train).items():
        train = train.with_embeddings(key, Embeddings(e.vectors, e.present & ~hole, e.made_by))
    fused = registry.make("fuser", name, {"rounds": 1, "settle": 1}).fit(train).fuse(source(train))
    assert not fused.present[hole].any() and (np.linalg.norm(fused.vectors[~hole], axis=1) > 0.5).mean() > 0.9


def test_the_shared_half_hardly_tells_which_column_it_came_from():
    """A classifier that training never saw names the column less often than it does without the adversary."""
    train = private_tastes(0)[0].train
    found = {}
    for adversary in (0.0, 0.1):
        fuser = registry.make("fuser", "Adversarial", {"adversary": adversary}).fit(train)
        blocks, present = fuser._blocks(source(train))
        weights = {key: torch.from_numpy(value) for key, value in fuser.weights_.items()}
        shares = fuser.shares(weights, [torch.from_numpy(block) for block in blocks]).numpy()
        told, column = shares[present], np.nonzero(present)[1]
        probe = KNeighborsClassifier(5).fit(told[::2], column[::2])
        found[adversary] = probe.score(told[1::2], column[1::2])
    assert found[0.1] < found[0.0] - 0.1


def ndcg(train, part, by):
    return rank_and_measure(ContentNeighbors(by=by).fit(train), part, 10).values["ndcg@10"]


@pytest.mark.parametrize("name", LEARNED)
def test_learned_fusion_beats_the_best_single_column_and_does_not_lose_to_concatenation(name):
    """The same on ten toy shops with real pictures and sounds: benchmarks/fusion.py."""
    gained = []
    for seed in range(3):
        parts, _ = private_tastes(seed)
        train = fuse(parts.train, registry.make("fuser", "Concat"), name="side by side")
        train = train.with_embeddings("fused", fitted(name, seed).fuse(source(parts.train)))
        fused = ndcg(train, parts.test, "fused")
        assert fused.mean() > max(ndcg(train, parts.test, column).mean() for column in COLUMNS)
        gained.append(fused - ndcg(train, parts.test, "side by side"))
    paired = estimates({name: {"ndcg@10": np.concatenate(gained)}}, seed=0)[name]["ndcg@10"]
    assert paired.high > 0.0
