"""Stages: what made the vectors travels with the dataset, into the model folder, and makes those of new items."""

import numpy as np
import pytest

import fuserec
from fuserec.alignment.filling import fill
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.encoders.audio import MFCC
from fuserec.encoders.image import ColorTexture
from fuserec.encoders.text import TfidfText
from fuserec.errors import ArtifactError, DataError, OptionError
from fuserec.packing import pack, unpack
from fuserec.preparation.normalize import PCAWhitening, ZScore, normalize
from fuserec.query import search

ENCODERS = {"text": TfidfText(), "image": ColorTexture(), "audio": MFCC()}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return fuserec.clean(fuserec.toy_shop(60, 40, 3, folder=tmp_path_factory.mktemp("shop") / "toyshop"))


@pytest.fixture(scope="module")
def saved(shop, tmp_path_factory):
    """A model folder with all stages, the model that was saved, and the training dataset."""
    train = fuserec.encode(shop, ENCODERS)
    train = normalize(train, {"photo": ZScore(), "title": (ZScore(), PCAWhitening(dim=20))})
    train = fuserec.fuse(fuserec.align(train))
    model = fuserec.make("recommender", "ContentNeighbors").fit(train)
    folder = tmp_path_factory.mktemp("model") / "model"
    fuserec.save_model(model, folder)
    return folder, model, train


def few(catalog, rows):
    """These items of a catalog, as a dataset of new items."""
    none = np.zeros(0, np.int64)
    return Dataset("new", catalog.take(np.array(rows)), Ids([], "user"), Interactions(none, none))


def test_stages_of_a_loaded_model_make_the_same_vectors_for_the_same_items(saved):
    folder, _, train = saved
    stages = fuserec.load_model(folder).stages_
    assert [type(stage).__name__ for stage in stages] == ["Encoded", "Normalized", "Aligned", "Fused"]
    rows = [5, 17, 40]
    new = few(train.catalog, rows)
    for stage in stages:
        new = stage(new)
    assert set(new.embeddings) == set(train.embeddings)
    for name, embeddings in new.embeddings.items():
        assert np.array_equal(embeddings.present, train.embeddings[name].present[rows]), name
        assert np.abs(embeddings.vectors - train.embeddings[name].vectors[rows]).max() < 1e-4, name


def test_a_new_item_with_one_modality_of_three_gets_its_vectors(saved):
    folder, _, train = saved
    catalog = train.catalog
    only_photo = Catalog(catalog.ids, {"photo": catalog.columns["photo"]}, catalog.root)
    new = few(only_photo, [8])
    for stage in fuserec.load_model(folder).stages_:
        new = stage(new)
    assert {"photo", "shared-photo", "fused"} <= set(new.embeddings) and "title" not in new.embeddings
    assert new.embeddings["fused"].vectors.any()


def test_search_by_the_words_of_an_item_finds_it(saved):
    folder, _, train = saved
    model = fuserec.load_model(folder)
    ranks = []
    for row in np.flatnonzero(train.catalog.columns["description"].present)[::6]:
        found = search(model, {"text": train.catalog.columns["description"].values[row]}, k=60)
        ranks.append(found.ids.index(train.catalog.ids[row]))
    assert np.median(ranks) <= 2


def test_search_by_a_picture_finds_the_item_of_the_picture(saved):
    folder, _, train = saved
    model = fuserec.load_model(folder)
    row = next(row for row, value in enumerate(train.catalog.columns["photo"].values) if value)
    found = search(model, {"image": train.catalog.path("photo", row)}, k=3)
    assert found[0].item_id == train.catalog.ids[row] and found[0].why == {"photo": 1.0}


def test_search_across_modalities_is_better_than_chance(saved):
    folder, _, train = saved
    model = fuserec.load_model(folder)
    texts, photos = train.catalog.columns["description"], train.embeddings["photo"].present
    ranks = []
    for row in np.flatnonzero(photos & texts.present):
        found = search(model, {"text": texts.values[row]}, k=60, by="photo")
        ranks.append(found.ids.index(train.catalog.ids[row]))
        assert set(found[0].why) == {"photo"}
    assert len(ranks) > 40 and np.mean(ranks) < 0.35 * photos.sum()  # chance: half of them


def test_what_cannot_be_searched_is_told(saved, tmp_path):
    folder, _, _ = saved
    model = fuserec.load_model(folder)
    (tmp_path / "a.png").write_text("no picture", encoding="utf-8")
    with pytest.raises(DataError, match="the image to search by cannot be used: .*a.png"):
        search(model, {"image": tmp_path / "a.png"})
    with pytest.raises(DataError, match="no such file"):
        search(model, {"image": tmp_path / "nothing.png"})
    with pytest.raises(DataError, match="has no vector"):
        search(model, {"text": "qqqzzz"})
    with pytest.raises(OptionError, match="no vectors named 'phto'; did you mean 'photo'"):
        search(model, {"text": "azure"}, by="phto")
    with pytest.raises(OptionError, match="give a text, a picture or a sound"):
        search(model, {})
    with pytest.raises(OptionError, match="k is 0"):
        search(model, {"text": "azure"}, k=0)


def test_without_a_shared_space_other_modalities_are_refused_with_the_way_out(shop):
    train = fuserec.fuse(fuserec.encode(shop, {"text": TfidfText(), "image": ColorTexture()}))
    model = fuserec.make("recommender", "ContentNeighbors").fit(train)
    with pytest.raises(OptionError, match="trained without a shared space; train it with --align GCCA"):
        search(model, {"text": "azure"}, by="photo")


def test_packing_goes_both_ways_and_refuses_what_it_cannot_store():
    arrays = {}
    value = {"words": ("a", "b"), "n": 3, "none": None, "deep": {"x": np.arange(3)}, "encoder": MFCC(n_mfcc=13)}
    back = unpack(pack(value, arrays, "here"), arrays)
    assert back["words"] == ("a", "b") and back["n"] == 3 and back["none"] is None
    assert np.array_equal(back["deep"]["x"], np.arange(3)) and back["encoder"].n_mfcc == 13
    with pytest.raises(ArtifactError, match="cannot store here, a set"):
        pack({1}, {}, "here")


def test_filling_is_a_stage_and_filled_vectors_are_marked_in_the_model_folder(shop, tmp_path):
    train = fill(fuserec.encode(shop, ENCODERS))
    gaps = ~train.catalog.columns["photo"].present
    assert gaps.any() and train.embeddings["photo"].filled[gaps].all() and not train.embeddings["photo"].own[gaps].any()
    fuserec.save_model(fuserec.make("recommender", "ContentNeighbors").fit(fuserec.fuse(train)), tmp_path / "model")
    model = fuserec.load_model(tmp_path / "model")
    assert np.array_equal(model.embeddings_["photo"].filled, train.embeddings["photo"].filled)
    catalog = train.catalog
    only_title = Catalog(catalog.ids, {"title": catalog.columns["title"]}, catalog.root)
    row = int(np.flatnonzero(gaps)[0])
    new = few(only_title, [row])
    for stage in model.stages_:
        new = stage(new)
    assert new.embeddings["photo"].filled.all() and new.embeddings["photo"].vectors.any()
    with pytest.raises(OptionError, match="trained without a shared space"):  # a prediction is not what was asked for
        search(model, {"text": catalog.columns["title"].values[row]}, by="photo")
