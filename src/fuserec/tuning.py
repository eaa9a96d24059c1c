"""Tuning: the options of a recipe's models, searched on validation, the same budget for every model, floor included.

The test part has no way in: `tune` takes train and validation. Trials are kept in an SQLite file and go on from there.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import tomli_w

from fuserec import registry
from fuserec.atomic import new_file
from fuserec.data.dataset import Dataset
from fuserec.errors import DataError, FuserecError, MissingExtraError
from fuserec.evaluation import fit_and_validate
from fuserec.ratings.evaluation import measured
from fuserec.ratings.predictor import RatingPredictor
from fuserec.recipe import Component, Recipe
from fuserec.recommenders.recommender import OnProgress

if TYPE_CHECKING:
    from optuna import Study, Trial

# Options that say how a run is made, not what is learned.
FIXED = """seed device precision checkpoint patience steps workers columns by max_items sweeps burn keep kept""".split()
HEAD = "# Written by fuserec tune: chosen on validation, test not read."
TIMES = 10.0  # a number is searched from a tenth of its default to ten times it, on a logarithmic scale
SMALL = 0.01  # a share up to this is searched so too: an l2 of .5 is no neighbor of one of .001


@dataclass(frozen=True)
class Tuned:
    """What a search found of one model.

    value: ndcg@k on validation with the best options, RMSE of a rater; default: the same with the model's own options
    importance: option → share of the variance over the trials that it explains (fANOVA, Hutter 2014)
    """

    component: Component
    value: float
    default: float
    n_trials: int
    importance: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "name": self.component.name,
            "options": self.component.options,
            "validation": self.value,
            "validation_of_defaults": self.default,
            "n_trials": self.n_trials,
            "importance": dict(self.importance),
        }


def space(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A model's name and the options that a recipe fixes → option → what to try: a tuple of choices, or (low, high).

    A component may say it itself: field metadata `{"space": (1, 8)}` or `{"space": ["a", "b"]}`. Otherwise: both of a
    bool, the choices of a Literal, 0 to 1 for a float in there, and a tenth to ten times the default of other numbers
    and of those up to `SMALL`.
    """
    component = registry.load(_kind(name), name)
    types = get_type_hints(component)
    found: dict[str, Any] = {}
    for option in fields(component):
        default, kind = option.default, types[option.name]
        if option.name in FIXED or option.name in given:
            continue
        if "space" in option.metadata:
            found[option.name] = option.metadata["space"]
        elif kind is bool:
            found[option.name] = [False, True]
        elif get_origin(kind) is Literal:
            found[option.name] = list(get_args(kind))
        elif default is MISSING or kind not in (int, float):
            continue
        elif kind is float and (default == 0.0 or SMALL < default <= 1.0) and option.name != "learning_rate":
            found[option.name] = (0.0, 1.0)
        elif default > 0:
            found[option.name] = (kind(max(default / TIMES, 1 if kind is int else 0)), kind(default * TIMES))
    return found


def tune(
    part: Component,
    train: Dataset,
    validation: Dataset,
    *,
    trials: int = 30,
    k: int = 10,
    seed: int = 0,
    storage: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Tuned:
    """A model of a recipe, train and validation → the options that are best on validation, after so many trials.

    Best: the highest ndcg@k, or the lowest RMSE of a model that predicts ratings.
    Options that the recipe gives stay as they are; what it wants searched (`Component.search`) is searched instead of
    `space`. The first trial is the model as it is. storage: an SQLite file;
    trials that are there already count, so that a search that was stopped goes on. A model without options has one
    trial. Raises `DataError` where no trial worked, `MissingExtraError` without optuna.
    """
    optuna, kind = _optuna(), _kind(part.name)
    searched = space(part.name, part.options) if part.search is None else _asked(part, part.search)
    told = json.dumps([part.label, train.sha256, validation.sha256, k, searched], sort_keys=True, default=str)
    study: Study = optuna.create_study(
        study_name=f"{part.label} {sha256(told.encode()).hexdigest()[:12]}",
        storage=None if storage is None else f"sqlite:///{storage}",
        direction="minimize" if kind == "rater" else "maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=seed),
    )
    defaults = {name: getattr(part.make(kind), name) for name in searched}
    if not study.trials:
        study.enqueue_trial(defaults)

    def worth(trial: "Trial") -> float:
        options = {name: _suggested(trial, name, among) for name, among in searched.items()}
        try:
            model = registry.make(kind, part.name, {**part.options, **options})
            if isinstance(model, RatingPredictor):
                return measured(model.fit(train, validation), validation)
            return fit_and_validate(model, train, validation, k=k).validation or 0.0
        except FuserecError as error:
            raise optuna.TrialPruned(str(error)) from None

    budget = trials if searched else 1
    while len(study.trials) < budget or study.trials[-1].state == optuna.trial.TrialState.WAITING:
        if on_progress is not None:
            on_progress(f"tuning {part.label}", len(study.trials), budget)
        study.optimize(worth, n_trials=1)
    done = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    if not done:
        raise DataError(f"none of {len(study.trials)} trials of {part.label} worked; try fuserec evaluate first")
    best = {name: _rounded(value) for name, value in study.best_params.items() if value != defaults[name]}
    return Tuned(
        Component.model_validate({"name": part.name, **part.options, **best}),
        study.best_value,
        next((trial.value or 0.0 for trial in done if trial.params == defaults), 0.0),
        len(study.trials),
        _importance(study, len(done)),
    )


def _asked(part: Component, search: Mapping[str, list[Any]]) -> dict[str, Any]:
    """What a recipe wants searched, as `space` has it: of two numbers all between them, otherwise choices.

    The model as it is belongs to it: it is the first trial.
    """
    model = part.make(_kind(part.name))
    asked: dict[str, Any] = {}
    for option, among in search.items():
        default = getattr(model, option)
        if len(among) == 2 and all(type(value) in (int, float) for value in (*among, default)):
            asked[option] = (min(*among, default), max(*among, default))
        else:
            asked[option] = among if default in among else [default, *among]
    return asked


def _kind(name: str) -> str:
    return "rater" if name in registry.components("rater") else "recommender"


def wrote(path: Path) -> bool:
    """A file → whether `tune` wrote it."""
    return path.read_bytes().startswith(HEAD.encode())


def write_tuned(path: Path, recipe: Recipe, command: str) -> None:
    """A recipe → a TOML file, whole or not at all; above it the command that made it."""
    values = recipe.model_dump(exclude_defaults=True) | ({"align": "none"} if recipe.align is None else {})
    with new_file(path) as place:
        place.write_text(f"{HEAD}\n# {command}\n\n{tomli_w.dumps(_without_none(values))}", encoding="utf-8")


def _without_none(value: Any) -> Any:
    """TOML has no null: what is None is left out."""
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _suggested(trial: "Trial", name: str, among: Any) -> Any:
    if isinstance(among, list):
        return trial.suggest_categorical(name, among)
    low, high = among
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=low > 0)
    return _rounded(trial.suggest_float(name, low, high, log=low > 0))


def _rounded(value: Any) -> Any:
    """Floats with three digits: what is measured is what the recipe says, and can be read."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _importance(study: "Study", n_done: int) -> dict[str, float]:
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if n_done < 4:
        return {}
    try:
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    except (RuntimeError, ValueError):  # every trial was worth the same
        return {}
    return {name: float(share) for name, share in found.items()}


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("tuning needs optuna; install it with: pip install 'fuserec[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
