import json

import numpy as np
import pytest

from fuserec import registry
from fuserec.artifact import load_model, save_model
from fuserec.atomic import new_file, new_folder
from fuserec.errors import ArtifactError, NotFittedError
from fuserec.fusion.fuser import fuse
from tests.planted import checkerboard


@pytest.fixture
def saved(tmp_path):
    model = registry.make("recommender", "ContentWalk", {"content": 0.25}).fit(fuse(checkerboard()))
    save_model(model, tmp_path / "model", about={"dataset": "checkerboard"})
    return tmp_path / "model"


def change(folder, **values):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def test_vectors_parts_and_titles_survive(saved):
    model = load_model(saved)
    assert set(model.embeddings_) == {"title", "photo", "fused"}
    assert not model.embeddings_["photo"].present[-2]
    assert not model.embeddings_["fused"].parts["photo"][-2]
    assert model.catalog_.title(3) == "Item number 3"
    assert sorted(path.name for path in saved.iterdir()) == [
        "arrays.safetensors", "items.parquet", "manifest.json", "users.parquet",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"version": 9, "made_with": "fuserec 9.0"}, "version 9, written by fuserec 9.0.*pip install -U fuserec"),
        ({"version": 1, "made_with": "fuserec 0.0"}, "version 1, written by fuserec 0.0.*train the model again"),
        ({"format": "other"}, "has format 'other'; expected 'fuserec-model'"),
        ({"version": "new"}, "not a manifest"),
    ],
)
def test_an_unknown_or_newer_format_is_told(saved, values, message):
    change(saved, **values)
    with pytest.raises(ArtifactError, match=message):
        load_model(saved)


def test_damage_is_found(saved, tmp_path):
    path = saved / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-7] + b"1234567")
    with pytest.raises(ArtifactError, match="was changed since it was written; train the model again"):
        load_model(saved)
    path.unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        load_model(saved)
    (saved / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(ArtifactError, match="not a manifest"):
        load_model(saved)
    with pytest.raises(ArtifactError, match="not a fuserec model.*fuserec train"):
        load_model(tmp_path / "nothing")


def test_a_model_that_names_a_class_of_its_own_is_not_loaded(saved):
    change(saved, model={"component": "recommender", "name": "os:system", "options": {}, "learned": {}})
    with pytest.raises(ValueError, match="unknown recommender 'os:system'"):
        load_model(saved)


def test_an_unfitted_model_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError, match="EASE is not fitted"):
        save_model(registry.make("recommender", "EASE"), tmp_path / "m")
    assert not any(tmp_path.iterdir())


def test_a_folder_with_other_things_is_left_alone_and_an_old_artifact_is_replaced(saved, tmp_path):
    model = load_model(saved)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ArtifactError, match="holds something else"):
        save_model(model, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()
    save_model(registry.make("recommender", "Popular").fit(checkerboard()), saved)
    assert type(load_model(saved)).__name__ == "Popular"


def test_nothing_is_left_of_a_folder_that_failed(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "kept").write_text("kept", encoding="utf-8")
    with pytest.raises(RuntimeError), new_folder(tmp_path / "old", may_replace=lambda folder: True) as place:
        (place / "half").write_text("half", encoding="utf-8")
        raise RuntimeError("the disk is full")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["kept"]


def test_a_file_that_failed_leaves_the_old_one_and_nothing_beside_it(tmp_path):
    (tmp_path / "report.html").write_text("kept", encoding="utf-8")
    with pytest.raises(RuntimeError), new_file(tmp_path / "report.html") as place:
        place.write_text("half", encoding="utf-8")
        raise RuntimeError("the disk is full")
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("report.html", "kept")]
    with new_file(tmp_path / "report.html") as place:
        place.write_text("new", encoding="utf-8")
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("report.html", "new")]


def test_arrays_keep_their_types(saved):
    model = load_model(saved)
    assert model.seen_.dtype == np.float32 and model.popularity_.dtype == np.float32
    assert set(model.graphs_) == {"photo", "title"}
