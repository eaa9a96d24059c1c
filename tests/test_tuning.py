"""Tuning: on validation only, the same budget for all, resumable, and its recipe can be read again."""

import tomllib

import pytest

from fuserec import evaluation, registry
from fuserec.errors import MissingExtraError, OptionError
from fuserec.preparation.split import split_by_time
from fuserec.recipe import Component, Recipe
from fuserec.tuning import space, tune, write_tuned, wrote
from tests.planted import checkerboard

pytest.importorskip("optuna", reason='needs the extra [tune]: pip install -e ".[tune]" (make test does)')


@pytest.fixture(scope="module")
def parts():
    return split_by_time(checkerboard(n_users=60), test=0.2)


def part(name, **options):
    return Component.model_validate({"name": name, **options})


@pytest.mark.parametrize("kind", ["recommender", "rater"])
def test_every_model_has_a_space_that_its_options_allow(kind):
    for name in registry.components(kind):
        for option, among in space(name, {}).items():
            for value in among:
                registry.make(kind, name, {option: value})


def test_spaces_are_around_the_defaults_and_leave_out_what_is_given():
    walk = space("ContentWalk", {"hops": 3})
    assert "hops" not in walk and walk["content"] == (0.0, 1.0) and walk["neighbors"] == (5, 500)
    assert space("Popular", {}) == {}


def test_small_shares_are_searched_in_steps_of_size_and_how_a_run_is_made_is_not():
    bpr = space("BPR", {})
    assert bpr["l2"] == (1e-4, 1e-2) and bpr["average"] == (0.0, 1.0)
    assert not {"precision", "patience", "device", "seed"} & set(bpr)


def test_a_recipe_says_what_is_searched_and_the_model_as_it_is_belongs_to_it(parts):
    walk = part("RandomWalk", search={"hops": [1, 3]})
    found = tune(walk, parts.train, parts.validation, trials=4)
    assert found.default > 0 and set(found.component.options) <= {"hops"} and found.component.options.get("hops") != 2
    assert "search" not in walk.label and walk.options == {}
    few = part("RandomWalk", discount=0.0, search={"hops": [2, 4, 5]})  # three: choices; the default is one too
    assert few.make("recommender").discount == 0.0
    assert set(tune(few, parts.train, parts.validation, trials=3).component.options) <= {"discount", "hops"}


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"hops": [1, "x"]}, "RandomWalk: hops = 'x'"),
        ({"hop": [1, 3]}, "no option 'hop'"),
        ({"discount": [0.0, 1.0]}, "search has discount"),
        ({"hops": []}, "search has hops"),
    ],
)
def test_a_search_that_cannot_be_is_told_before_anything_runs(search, message):
    with pytest.raises(OptionError, match=message):
        Recipe.parse({"models": [{"name": "RandomWalk", "discount": 0.0, "search": search}]})


def test_a_search_finds_what_is_better_and_goes_on_where_it_stopped(parts, tmp_path):
    file = tmp_path / "trials.sqlite"
    poor = part("ContentWalk", fade=0.5, hops=1, neighbors=5)
    first = tune(poor, parts.train, parts.validation, trials=3, storage=file)
    again = tune(poor, parts.train, parts.validation, trials=6, storage=file)
    assert first.n_trials == 3 and again.n_trials == 6
    assert again.value >= first.value >= first.default == again.default > 0
    assert again.component.options["hops"] == 1 and set(again.importance) <= {"content", "discount"}
    assert sum(again.importance.values()) == pytest.approx(1.0)
    same = tune(poor, parts.train, parts.validation, trials=6, storage=file)
    assert same.component.options == again.component.options and same.n_trials == 6


def test_test_is_never_opened_and_the_floor_has_its_trial(parts, monkeypatch):
    monkeypatch.setattr(evaluation, "_opened", evaluation.Counter())
    found = tune(part("Popular"), parts.train, parts.validation, trials=4)
    assert found.n_trials == 1 and found.value == found.default > 0 and not evaluation._opened


def test_the_recipe_is_written_and_read_again(tmp_path):
    path = tmp_path / "tuned.toml"
    recipe = Recipe.parse({"align": "none", "models": [{"name": "RandomWalk", "hops": 3}, "Popular"]})
    write_tuned(path, recipe, "fuserec tune shop")
    assert wrote(path)
    assert Recipe.read(path).align is None
    assert [one.label for one in Recipe.read(path).models] == ["RandomWalk(hops=3)", "Popular"]
    assert tomllib.loads(path.read_text(encoding="utf-8"))["models"][0] == {"name": "RandomWalk", "hops": 3}
    path.write_text("[split]", encoding="utf-8")
    assert not wrote(path)


def test_without_optuna_the_extra_is_named(parts, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fuserec\[tune\]'"):
        tune(part("RandomWalk"), parts.train, parts.validation)
