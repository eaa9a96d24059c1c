import numpy as np
import pytest

import fuserec
from fuserec.augmentation.augmentation import Chain
from fuserec.augmentation.image import PictureNoise, Rotation
from fuserec.data.embeddings import unit
from fuserec.encoders.views import encode_views
from fuserec.errors import OptionError
from fuserec.recipe import Recipe
from tests.planted import checkerboard


def test_every_fault_is_told_at_once():
    faulty = {
        "clean": {"core": -1, "cor": 3},
        "split": {"by": "tme"},
        "models": ["EESE"],
        "limits": 3,
        "encoders": {"text": {"dim": 3}},
        "fusion": {"name": "Sum", "sed": 1},
    }
    with pytest.raises(OptionError) as told:
        Recipe.parse(faulty, "mine.toml")
    for part in (
        "mine.toml",
        "clean.core",
        "clean.cor",
        "split.by = 'tme': expected 'auto'",
        "limits = 3: expected a table of options",
        "encoders.text.name is missing",
        "'EESE'; did you mean 'EASE'",
        "no option 'sed'; did you mean 'seed'",
    ):
        assert part in str(told.value)


def test_a_recipe_file(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[split]\nby = "last"\n[encoders]\ntext = {name = "TfidfText", dim = 8}\n'
        '[[models]]\nname = "ContentWalk"\nhops = 1\n[[models]]\nname = "Popular"\n',
        encoding="utf-8",
    )
    recipe = Recipe.read(path)
    train = recipe.with_vectors(checkerboard(), None)
    models = recipe.models_for(train)
    assert list(models) == ["ContentWalk(hops=1)", "Popular"] and models["ContentWalk(hops=1)"].hops == 1
    assert recipe.split.split(checkerboard()).name == "leave-last-out"
    with pytest.raises(OptionError, match="cannot read the recipe"):
        Recipe.read(tmp_path / "none.toml")
    path.write_text("[split", encoding="utf-8")
    with pytest.raises(OptionError, match="is not TOML"):
        Recipe.read(path)


def test_an_encoder_for_a_column_that_is_not_there():
    with pytest.raises(OptionError, match="encoder for 'titel': no such column or modality"):
        Recipe.parse({"encoders": {"titel": "TfidfText"}}).with_vectors(checkerboard(), None)


def test_default_models_follow_the_data():
    recipe = Recipe()
    assert "ContentWalk" not in recipe.models_for(checkerboard(vectors=False))
    labels = list(recipe.models_for(recipe.with_vectors(checkerboard(), None)))
    assert "ContentNeighbors(by=title)" in labels and "ContentNeighbors(by=fused)" in labels


def test_the_one_model_to_train():
    walk = {"name": "ContentWalk", "content": 0.2}
    near = [{"name": "ContentNeighbors", "by": by} for by in ("title", "photo")]
    assert Recipe().one_model() is None and Recipe().one_model("EASE").label == "EASE"
    assert Recipe.parse({"models": [walk]}).one_model().options == {"content": 0.2}
    several = Recipe.parse({"models": [walk, *near]})
    assert several.one_model("ContentWalk").options == {"content": 0.2}
    assert several.one_model("ContentNeighbors(by=photo)").options == {"by": "photo"}
    for name in (None, "ContentNeighbors"):
        with pytest.raises(OptionError, match=r"ContentNeighbors\(by=photo\); expected one to train; say which with"):
            several.one_model(name)


VIEWS = {
    "encoders": {"text": "TfidfText", "image": "ColorTexture", "audio": "MFCC", "video": "VideoFrames"},
    "align": {"name": "Towers", "epochs": 2, "dim": 8},
    "n_views": 2,
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return fuserec.toy_shop(40, 20, 0, folder=tmp_path_factory.mktemp("shop"))


def stages(dataset, learned):
    return next(getattr(stage, learned) for stage in dataset.stages if hasattr(stage, learned))


def test_views_of_a_recipe_are_those_that_towers_learn_from(shop, monkeypatch):
    """A recipe of views, and the same by hand: encoded, normalized, aligned."""
    from fuserec.alignment.towers import Towers

    given = []
    monkeypatch.setattr(Towers, "learn_views", lambda self, names, variants, present: given.append((names, variants)))
    monkeypatch.setattr(Towers, "project", lambda self, name, vectors: vectors)
    recipe = Recipe.parse(
        VIEWS | {"views": {"photo": ["Rotation", {"name": "PictureNoise"}]}, "normalize": {"photo": "ZScore"}}
    )
    made = recipe.with_vectors(shop, None)
    ((names, variants),) = given
    shapes = {name: len(variant) for name, variant in zip(names, variants, strict=True)}
    assert shapes["photo"] == 3 and {shapes[name] for name in names if name != "photo"} == {1}  # own ones and two views
    photo = variants[names.index("photo")]
    chain = Chain(steps=(Rotation(), PictureNoise()))
    views = encode_views(shop, "photo", stages(made, "encoders_")["photo"], chain, n_views=2)
    (scaled,) = stages(made, "normalizers_")["photo"]
    present = np.stack([own.present for own in made.column_vectors.values()])
    rows = shop.warm & (present.sum(axis=0) > 1)
    own, center = made.embeddings["photo"], stages(made, "aligner_").centers_["photo"]
    for view, found in zip(views, photo[1:], strict=True):
        expected = np.where(own.present[:, None], unit(scaled.apply(view) - center), 0)
        np.testing.assert_allclose(found, expected[rows], atol=1e-5)
    assert np.array_equal(stages(made, "aligner_").centers_["photo"], made.embeddings["photo"].center(shop.warm))


def test_a_modality_names_all_its_columns_and_a_model_keeps_what_was_learned_from_views(shop):
    plain, turned = (Recipe.parse(VIEWS | {"views": v}).with_vectors(shop, None) for v in ({}, {"image": "Rotation"}))
    vectors = [made.embeddings["shared-photo"].vectors for made in (plain, turned)]
    assert vectors[0].shape == vectors[1].shape and not np.allclose(*vectors)
    views = encode_views(turned, "photo", stages(turned, "encoders_")["photo"], Rotation(), n_views=1)
    assert stages(turned, "aligner_").project("photo", views[0]).shape == vectors[0].shape


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"align": "GCCA", "views": {"photo": "Rotation"}}, "align = 'GCCA' does not; write align = 'Towers'"),
        ({"align": "none", "views": {"photo": "Rotation"}}, "align = 'none' does not"),
        ({"views": {"photo": "Rotatoin"}}, "did you mean 'Rotation'"),
        ({"views": {"photo": {"name": "Rotation", "degree": 3}}}, "no option 'degree'; did you mean 'degrees'"),
        ({"n_views": 0}, "n_views"),
    ],
)
def test_views_that_cannot_be_had_are_told_before_anything_runs(keys, told):
    with pytest.raises(OptionError) as error:
        Recipe.parse(VIEWS | keys)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("views", "told"),
    [
        ({"phot": "Rotation"}, "views of 'phot': no such column of media; did you mean 'photo'? There are: title"),
        ({"title": "Rotation"}, "column 'title' is for text"),
    ],
)
def test_views_of_a_column_that_does_not_fit(shop, views, told):
    with pytest.raises(OptionError) as error:
        Recipe.parse(VIEWS | {"views": views}).with_vectors(shop, None)
    assert told in str(error.value)
