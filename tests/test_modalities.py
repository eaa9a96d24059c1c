"""What each column is worth: a private taste is found, a useless column is called useless, and nothing leaks."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fuserec import controls, modality_report, registry
from fuserec.alignment.filling import GraphFiller, fill
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.errors import DataError, OptionError
from fuserec.evaluation import evaluate
from fuserec.fusion.early import Weighted
from fuserec.fusion.fuser import fuse
from fuserec.modalities import examine
from fuserec.preparation.split import split_by_time
from fuserec.worth import ModalityReport


def shop(seed=0, n_users=400, n_items=120):
    """Users want one style (photo tells it) and one mood (title tells it); the jingle tells nothing.

    A quarter of the items has no photo. Vectors are the attribute's own direction, with noise.
    """
    rng = np.random.default_rng(seed)
    style, mood = rng.integers(0, 6, (2, n_items))
    wants = rng.integers(0, 6, (2, n_users))
    liking = 3.0 * (wants[0][:, None] == style) + 3.0 * (wants[1][:, None] == mood)
    luck = liking + rng.gumbel(size=liking.shape)
    users = np.repeat(np.arange(n_users), 8)
    items = np.argsort(-luck, axis=1)[:, :8].ravel()
    times = 1_700_000_000 + rng.permutation(len(users))
    catalog = Catalog(Ids(f"i{row}" for row in range(n_items)), {})
    dataset = Dataset(
        "planted", catalog, Ids((f"u{u}" for u in range(n_users)), "user"), Interactions(users, items, None, times)
    )
    everywhere = np.ones(n_items, bool)
    for name, attribute, present in (
        ("photo", style, rng.random(n_items) > 1 / 4),
        ("title", mood, everywhere),
        ("jingle", rng.permutation(mood), everywhere),
    ):
        vectors = np.eye(6)[attribute] + 0.2 * rng.standard_normal((n_items, 6))
        dataset = dataset.with_embeddings(name, Embeddings(vectors, present, json.dumps({"encoder": name})))
    return dataset


@pytest.fixture(scope="module")
def parts():
    split = split_by_time(shop(), validation=0.15, test=0.3)
    return split._replace(train=fuse(split.train))


@pytest.fixture(scope="module")
def found(parts):
    models = {name: registry.make("recommender", name) for name in ("Popular", "ItemNeighbors", "ContentWalk")}
    return modality_report(models, parts, evaluate(models, parts), seeds=2)


def test_it_is_counted_that_test_was_opened_again(found):
    assert found.test_opened == 2 and found.to_dict()["test_opened"] == 2


def test_a_private_taste_is_found_and_a_useless_column_is_called_useless(found):
    assert found.label == "ContentWalk"
    gains = {name: by_slice["all"] for name, by_slice in found.gains.items()}
    assert gains["photo"].sure and gains["photo"].low > 0 and gains["title"].sure and gains["title"].low > 0
    assert not (gains["jingle"].sure and gains["jingle"].mean > 0)
    photo, title, jingle = found.sentences()
    assert photo.startswith("photo helps: ndcg@10 falls by 0.") and "without it" in photo
    assert title.startswith("title helps")
    assert "no effect that could be seen" in jingle or "harms" in jingle
    assert "other columns may tell the same" not in jingle


def test_what_another_column_tells_too_is_not_called_useless(parts):
    title = parts.train.embeddings["title"]
    train = replace(parts.train, embeddings={"title": title, "cover": title}, stages=())
    report = examine(registry.make("recommender", "ContentWalk"), parts._replace(train=train), seeds=1)
    for sentence in report.sentences():
        assert "no effect that could be seen" in sentence and "other columns may tell the same" in sentence


def test_made_up_vectors_are_worth_less_than_the_real_ones(found):
    photo = found.columns[0]
    for control in ("noise", "shuffled"):
        assert found.against(photo, control).low > 0
    rates, values = zip(*((rate, at.mean) for rate, at in found.curve(photo)), strict=True)
    assert rates == (0.0, 0.25, 0.5, 0.75, 1.0) and values[0] > values[2] > values[4]


def test_slices_count_the_users_they_say(found, parts):
    photo = found.columns[0]
    new = parts.test.seen.toarray() * (1 - parts.train.seen.toarray()) > 0
    lacking = ~parts.train.embeddings["photo"].present
    assert len(photo.whole["all"]) == new.any(axis=1).sum()
    assert len(photo.whole["no photo"]) == new[:, lacking].any(axis=1).sum()
    n_chosen = parts.train.seen.getnnz(axis=0)
    assert len(photo.whole["rare"]) == new[:, (n_chosen > 0) & (n_chosen <= found.rare)].any(axis=1).sum()
    assert len(photo.whole["cold"]) == new[:, n_chosen == 0].any(axis=1).sum()


def test_json_and_pool(found):
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [row["column"] for row in told["columns"]] == ["photo", "title", "jingle"]
    assert told["columns"][0]["gained"]["no jingle" if False else "no photo"]["n"] > 0
    assert told["columns"][1]["gained"]["no title"] is None  # every item has one
    assert len(list(found.rows())[0]) == len(found.header())
    pooled = ModalityReport.pool([found, found])
    one, two = found.gains["photo"]["all"], pooled.gains["photo"]["all"]
    assert two.n == 2 * one.n and two.mean == pytest.approx(one.mean) and two.smallest < one.smallest


def test_no_control_leaves_anything_of_the_column_in_the_others():
    """Filled gaps and fused vectors are made again: with the column's vectors tagged, the tag must be gone."""
    train = split_by_time(shop()).train
    filled = fuse(fill(train, GraphFiller()), Weighted(weights={"photo": 5.0}))
    other = np.random.default_rng(1).standard_normal((train.n_items, 6))
    photo = train.embeddings["photo"]
    otherwise = train.with_embeddings("photo", replace(photo, vectors=other))
    otherwise = fuse(fill(otherwise, GraphFiller()), Weighted(weights={"photo": 5.0}))
    for name in ("fused", "title"):
        one, two = (controls.without(data, ["photo"]).embeddings[name].vectors for data in (filled, otherwise))
        np.testing.assert_array_equal(one, two)
    gone = controls.without(filled, ["photo"]).embeddings
    assert not gone["photo"].present.any() and not gone["fused"].parts["photo"].any()
    refilled = controls.with_missing(filled, "photo", 0.5, 0).embeddings["photo"]
    assert refilled.own.sum() == round(0.5 * photo.present.sum()) and refilled.filled.sum() > 0


def test_controls_do_what_they_say():
    train = split_by_time(shop()).train
    photo = train.embeddings["photo"]
    rows = photo.vectors[photo.present]
    noise = controls.with_noise(train, "photo", 0).embeddings["photo"]
    assert (noise.present == photo.present).all()
    many = np.concatenate(
        [controls.with_noise(train, "photo", s).embeddings["photo"].vectors[photo.present] for s in range(60)]
    )
    assert np.abs(many.mean(axis=0) - rows.mean(axis=0)).max() < 0.03
    assert np.abs(np.cov(many.T) - np.cov(rows.T)).max() < 0.02
    moved = controls.shuffled(train, "photo", 0).embeddings["photo"].vectors[photo.present]
    assert not np.array_equal(moved, rows) and np.array_equal(np.sort(moved, axis=0), np.sort(rows, axis=0))
    less, more = (controls.with_missing(train, "photo", rate, 3).embeddings["photo"].present for rate in (0.75, 0.25))
    assert (more | ~less).all() and less.sum() == round(0.25 * len(rows))
    only = controls.alone(train, "photo").embeddings
    assert only["photo"].present.sum() == len(rows) and not only["title"].present.any()
    with pytest.raises(OptionError, match="no vectors named 'foto'; did you mean 'photo'"):
        controls.without(train, ["foto"])


def test_without_a_content_model_there_is_nothing_to_say(parts):
    models = {"Popular": registry.make("recommender", "Popular")}
    with pytest.raises(DataError, match="no model of Popular looks at the vectors"):
        modality_report(models, parts, evaluate(models, parts))
