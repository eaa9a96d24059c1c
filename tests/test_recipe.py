import pytest

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
