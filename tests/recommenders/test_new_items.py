"""A brand-new item is scored at once, as by a model that was fitted with it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec import encode, make, rerank
from fuserec.artifact import load_model, save_model
from fuserec.data.catalog import Catalog, Column
from fuserec.data.ids import Ids
from fuserec.encoders.text import TfidfText
from fuserec.errors import DataError, OptionError
from fuserec.fusion.fuser import fuse
from fuserec.recommenders import walk
from fuserec.retrieval import enlarged, grown_graph, symmetric_graph

N_NEW = 3  # the last one without a photo
MODELS = {
    "ContentNeighbors": {"neighbors": 4},
    "ContentWalk": {"neighbors": 4, "hops": 2, "weights": {"photo": 2.0}},
    "LateFusion": {"models": ("ContentWalk", {"name": "ContentNeighbors", "by": "photo"})},
    "Popular": {},
}


def take(dataset, rows):
    vectors = {
        name: replace(e, vectors=e.vectors[rows], present=e.present[rows], filled=e.filled[rows])
        for name, e in dataset.embeddings.items()
    }
    kept = dataset.interactions.take(dataset.interactions.items < len(rows))
    return replace(dataset, catalog=dataset.catalog.take(rows), embeddings=vectors, interactions=kept)


@pytest.fixture(scope="module")
def whole():
    """The checkerboard, of whose items nobody chose the last three."""
    shop = checkerboard()
    old = shop.interactions.items < shop.n_items - N_NEW
    return replace(shop, interactions=shop.interactions.take(old))


def grown(model, whole):
    rows = np.arange(whole.n_items)
    new = take(whole, rows[-N_NEW:])  # its interactions are not used
    return model.fit(fuse(take(whole, rows[:-N_NEW]))).with_items(new.catalog, new.embeddings)


@pytest.mark.parametrize("name", MODELS)
def test_new_items_are_scored_as_by_a_model_fitted_with_them(name, whole, tmp_path):
    model = grown(make("recommender", name, MODELS[name]), whole)
    fitted = make("recommender", name, MODELS[name]).fit(fuse(whole))
    users = np.arange(whole.n_users)
    np.testing.assert_allclose(model.score(users), fitted.score(users), rtol=1e-4, atol=1e-6)
    assert model.recommend("u1", k=30).ids == fitted.recommend("u1", k=30).ids
    save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").score(users), model.score(users))
    new = whole.catalog.ids[whole.n_items - 1]
    if name != "Popular":
        assert all(int(item[1:]) % 2 == (whole.n_items - 1) % 2 for item in model.similar_items(new, k=3).ids)


def test_the_model_it_came_from_is_left_as_it_was(whole):
    model = make("recommender", "ContentWalk").fit(fuse(take(whole, np.arange(whole.n_items - N_NEW))))
    before = model.recommend("u1", k=30).to_dict()
    new = take(whole, np.arange(whole.n_items)[-N_NEW:])
    model.with_items(new.catalog, new.embeddings)
    assert model.recommend("u1", k=30).to_dict() == before


def test_walks_that_are_remembered_grow_by_a_new_item(monkeypatch):
    """In a large catalog only walks beside the new item are made anew; from all others, it is found by walking back."""
    monkeypatch.setattr(walk, "FEW_ITEMS", 0)
    shop = checkerboard(n_users=60, n_items=200)
    shop = replace(shop, interactions=shop.interactions.take(shop.interactions.items < shop.n_items - 1))
    rows, options = np.arange(shop.n_items), {"neighbors": 4, "hops": 3, "kept": 800}
    model = make("recommender", "ContentWalk", options).fit(fuse(take(shop, rows[:-1])))
    more = model.with_items(take(shop, rows[-1:]).catalog, take(shop, rows[-1:]).embeddings)
    exact = make("recommender", "ContentWalk", options).fit(fuse(shop)).walks_.toarray()
    found = more.walks_.toarray()
    np.testing.assert_allclose(found[:, -1], exact[:, -1], atol=1e-6)
    np.testing.assert_allclose(found[-1], exact[-1], atol=1e-6)
    assert exact[:-1, -1].max() > 0.0
    known = enlarged(model.walks_, found.shape).toarray()
    assert np.abs(found - exact).sum() < 0.1 * np.abs(known - exact).sum()


def test_a_grown_graph_is_that_of_all_items():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    present = rng.random(60) > 0.2
    expected = symmetric_graph(vectors, 5, present)
    for n_old in (59, 40, 1):
        graph = grown_graph(symmetric_graph(vectors[:n_old], 5, present[:n_old]), vectors, 5, present)
        np.testing.assert_allclose(graph.toarray(), expected.toarray(), atol=1e-6)
    nothing_new = grown_graph(
        symmetric_graph(vectors[:50], 5, present[:50]), vectors, 5, present & (np.arange(60) < 50)
    )
    assert nothing_new.shape == (60, 60) and nothing_new[50:].nnz == 0


def test_a_new_item_leaves_rows_that_it_is_not_near_to_as_they_were():
    """Also where these are not the nearest of all, as in large catalogs, whose neighbours are found approximately."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((300, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    present = np.ones(300, bool)
    graph = symmetric_graph(vectors[:299], 10, present[:299])  # rows have more than the five nearest
    before, after = graph.toarray(), grown_graph(graph, vectors, 5, present).toarray()
    np.testing.assert_array_equal(after, after.T)
    assert 0 < (after[:-1, :-1] != before).any(axis=1).sum() < 150 and 0 < np.count_nonzero(after[-1]) < 20


def test_a_new_item_is_encoded_like_the_others_and_rules_apply_to_it():
    shop = checkerboard(vectors=False)
    titles = tuple(f"{'red kite' if row % 2 else 'blue boat'} of wood {row}" for row in range(shop.n_items))
    shop = replace(shop, catalog=shop.catalog.with_column(Column("title", "text", titles)))
    model = make("recommender", "ContentWalk").fit(fuse(encode(shop, {"text": TfidfText(dim=8)})))
    new = Catalog(Ids(["boat", "nameless"]), {"title": Column("title", "text", ("a blue boat", None))})
    more = rerank(model, diversity=0.1).with_items(new)
    assert more.catalog_.title(shop.n_items) == "a blue boat" and more.embeddings_["title"].present[-2:].tolist() == [
        True,
        False,
    ]
    blue, red = more.score(np.array([0, 1]))[:, shop.n_items]  # u0 chose even items
    assert blue > red
    assert more.recommend("u0", k=60).ids.count("boat") == 1
    both = more.with_items(Catalog(Ids(["kite"]), {"title": Column("title", "text", ("a red kite",))}))
    assert "kite" in both.recommend("u1", k=3).ids or both.score(np.array([1]))[0, -1] > 0


def test_what_cannot_be_added_is_told(whole):
    new = take(whole, np.arange(whole.n_items)[-N_NEW:])
    model = grown(make("recommender", "ContentNeighbors"), whole)
    with pytest.raises(DataError, match="item id 'i.*' occurs more than once"):
        model.with_items(new.catalog, new.embeddings)
    with pytest.raises(DataError, match="column 'title' holds image in the new items; expected text"):
        model.with_items(Catalog(Ids(["x"]), {"title": Column("title", "image", ("a.png",))}, root=Path(".")))
    with pytest.raises(OptionError, match="EASE knows items by who chose them"):
        grown(make("recommender", "EASE"), whole)
