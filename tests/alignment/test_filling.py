from dataclasses import replace

import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec.alignment.aligner import align
from fuserec.alignment.filling import GraphFiller, RidgeFiller, fill
from fuserec.alignment.similarity import cosine, match
from fuserec.data.embeddings import Embeddings, unit
from fuserec.errors import DataError, NotFittedError, OptionError

FILLERS = [RidgeFiller(), GraphFiller()]
named = pytest.mark.parametrize("filler", FILLERS, ids=lambda filler: type(filler).__name__)


def made(vectors, present=None):
    return Embeddings(vectors, np.ones(len(vectors), bool) if present is None else present, "given")


@named
@pytest.mark.parametrize("column", ["title", "description", "photo", "jingle"])
def test_held_out_vectors_are_predicted_better_than_by_the_mean(encoded_shop, filler, column):
    shop = encoded_shop(0)
    truth = shop.embeddings[column]
    held_out = np.random.default_rng(1).random(shop.n_items) < 0.2
    gapped = shop.with_embeddings(column, replace(truth, present=truth.present & ~held_out))
    filled = fill(gapped, filler, columns=[column], fit_on=~held_out).embeddings[column]
    rows = np.flatnonzero(filled.filled & truth.present)
    assert len(rows) > 40
    mean = truth.center(~held_out)
    near = cosine(filled.vectors[rows], truth.vectors[rows])
    assert near.mean() > cosine(mean, truth.vectors[rows]).mean()
    told = cosine(filled.vectors[rows] - mean, truth.vectors[rows] - mean)  # what it tells beyond the mean
    assert told.mean() > 0.2


def test_ridge_solves_the_normal_equations():
    rng = np.random.default_rng(0)
    columns = {"a": made(rng.standard_normal((30, 3))), "b": made(rng.standard_normal((30, 4)))}
    filler = RidgeFiller(regularization=2.0).fit(columns)
    x = columns["b"].centered_unit().astype(float)
    y = columns["a"].vectors - columns["a"].vectors.mean(axis=0)
    ridge = 2.0 * np.trace(x.T @ x) / 4
    # the same as least squares with the ridge's square root as extra rows
    rows = np.concatenate([x, ridge**0.5 * np.eye(4)]), np.concatenate([y, np.zeros((4, 3))])
    np.testing.assert_allclose(filler.weights_["a"], np.linalg.lstsq(*rows)[0], atol=1e-5)


def test_the_graph_takes_the_nearest_items_by_the_columns_that_both_have():
    rng = np.random.default_rng(2)
    present = np.array([[True, True, True]] * 12 + [[False, True, True], [False, True, False], [True, False, True]])
    columns = {name: made(rng.standard_normal((15, 3)), present[:, m]) for m, name in enumerate("abc")}
    filler = GraphFiller(k=4).fit(columns)
    filled = filler.fill("a", columns)
    assert filled.filled.tolist() == [False] * 12 + [True, True, False]
    inputs = {name: columns[name].centered_unit() for name in "bc"}
    for row in (12, 13):
        near = {}
        for other in [*range(12), 14]:
            common = [name for name in "bc" if columns[name].present[row] and columns[name].present[other]]
            cosines = [float(inputs[name][row] @ inputs[name][other]) for name in common]
            near[other] = max(np.mean(cosines), 0.0) if cosines else 0.0
        best = sorted(near, key=near.get)[::-1][:4]
        mean = columns["a"].center()
        expected = mean + sum(near[other] * (columns["a"].vectors[other] - mean) for other in best) / 4
        np.testing.assert_allclose(filled.vectors[row], expected, atol=1e-5)


def test_the_graph_gives_the_same_in_blocks(monkeypatch):
    rng = np.random.default_rng(3)
    present = np.arange(40) < 25
    columns = {"a": made(rng.standard_normal((40, 3)), present), "b": made(rng.standard_normal((40, 5)))}
    whole = GraphFiller(k=3).fit(columns).fill("a", columns)
    monkeypatch.setattr("fuserec.alignment.filling.block_rows", lambda n_columns: 4)
    np.testing.assert_allclose(GraphFiller(k=3).fit(columns).fill("a", columns).vectors, whole.vectors, atol=1e-6)


@named
def test_filled_vectors_are_marked_and_own_ones_untouched(filler):
    dataset = checkerboard()
    photo = dataset.embeddings["photo"]
    gap = int(np.flatnonzero(~photo.present)[0])
    filled = fill(dataset, filler).embeddings["photo"]
    assert filled.present.all() and np.flatnonzero(filled.filled).tolist() == [gap]
    np.testing.assert_array_equal(filled.own, photo.present)
    np.testing.assert_array_equal(filled.vectors[photo.present], photo.vectors[photo.present])
    same, other = filled.vectors[photo.present & (np.arange(20) % 2 == gap % 2)], filled.vectors[1 - gap % 2 :: 2]
    assert cosine(filled.vectors[gap], same).mean() > cosine(filled.vectors[gap], other).mean()
    assert type(filler).__name__ in filled.made_by and filled.modality == "image"
    assert fill(dataset, filler).embeddings["title"] is dataset.embeddings["title"]  # it has no gap


def test_an_item_without_any_vector_stays_without():
    rng = np.random.default_rng(0)
    present = np.arange(20) < 15
    both = present & (np.arange(20) > 2)
    dataset = checkerboard(vectors=False)
    for name, there in (("a", present), ("b", both)):
        dataset = dataset.with_embeddings(name, made(rng.standard_normal((20, 3)), there))
    filled = fill(dataset).embeddings["b"]
    np.testing.assert_array_equal(filled.present, present)
    np.testing.assert_array_equal(filled.filled, present & ~both)


def test_what_was_filled_is_never_learned_from():
    dataset = checkerboard()
    once = fill(dataset)
    np.testing.assert_array_equal(fill(once).embeddings["photo"].vectors, once.embeddings["photo"].vectors)
    gap = once.embeddings["photo"].filled
    np.testing.assert_array_equal(once.embeddings["photo"].center(), dataset.embeddings["photo"].center())
    shared, expected = (align(d).embeddings["shared-photo"] for d in (once, dataset))
    np.testing.assert_array_equal(shared.vectors[~gap], expected.vectors[~gap])
    assert shared.filled[gap].all() and np.linalg.norm(shared.vectors[gap]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(match(once).agreement, match(dataset).agreement)


@named
def test_learns_from_the_items_of_fit_on_only(filler):
    dataset = checkerboard(n_items=40)
    fit_on = np.arange(40) < 30
    title = dataset.embeddings["title"]
    spoiled = title.vectors.copy()
    spoiled[30:38] *= -5  # the gap, row 38, stays as it is
    changed = dataset.with_embeddings("title", replace(title, vectors=spoiled))
    first, second = (fill(d, filler, fit_on=fit_on).embeddings["photo"].vectors[38] for d in (dataset, changed))
    np.testing.assert_array_equal(first, second)


def test_what_cannot_be_filled_is_said():
    columns = dict(checkerboard().embeddings)
    with pytest.raises(NotFittedError, match="call fit"):
        RidgeFiller().fill("title", columns)
    with pytest.raises(DataError, match="found only \\['title'\\]"):
        GraphFiller().fit({"title": columns["title"]})
    with pytest.raises(DataError, match="found 0 of them, expected at least 2"):
        GraphFiller().fit(columns, np.zeros(20, bool))
    with pytest.raises(OptionError, match="expected more than 0"):
        RidgeFiller(regularization=0)
    with pytest.raises(OptionError, match="k = 0; expected 1 or more"):
        GraphFiller(k=0)
    with pytest.raises(DataError, match="filled vectors are present"):
        Embeddings(unit(np.eye(2, dtype=np.float32)), np.array([True, False]), "x", filled=np.array([False, True]))
