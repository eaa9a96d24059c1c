"""Evaluation of rating models: fitted on train, chosen on validation, measured on test, which is opened once."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from fuserec.data.dataset import Dataset, Split
from fuserec.errors import DataError, OptionError
from fuserec.evaluation import open_test
from fuserec.memory import PeakMemory
from fuserec.metrics import rmse
from fuserec.ratings.predictor import RatingPredictor
from fuserec.ratings.report import RatingReport, RatingResult
from fuserec.recommenders.recommender import OnProgress


def evaluate_ratings(
    models: Mapping[str, RatingPredictor] | Sequence[RatingPredictor],
    split: Split,
    *,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> RatingReport:
    """Unfitted rating models (label → model, or a list) and a split → RatingReport.

    Every model is fitted on train, with validation for what it chooses itself (when to stop, weights, how sure it is);
    the one with the lowest RMSE on validation is chosen. Then test is opened. seed: of the bootstrap over users.
    Raises `DataError` where validation or test has no ratings.
    """
    labelled = dict(models) if isinstance(models, Mapping) else {type(model).__name__: model for model in models}
    if not labelled:
        raise OptionError("no models to evaluate; give at least one")
    tell = on_progress or (lambda label, done, total: None)
    if not len(split.validation.interactions):
        raise DataError(f"{split.train.name}: validation is empty; a rating model is chosen there, so give it a share")
    found = []
    for done, (label, model) in enumerate(labelled.items()):
        tell(f"fitting {label}", done, len(labelled))
        with PeakMemory() as peak:
            start = time.perf_counter()
            model.fit(split.train, split.validation, on_progress=on_progress)
            found.append((label, model, time.perf_counter() - start, measured(model, split.validation), peak))
    test, n_opened = open_test(split)
    rows = test.interactions
    if rows.ratings is None:
        raise DataError(f"the test part of {test.name} has no ratings; nothing to measure")
    results = []
    for label, model, seconds, validation, peak in found:
        results.append(result(label, model, test, validation, fit_seconds=seconds, peak_mb=peak.megabytes))
    return report_of(split, split.train, test, found[0][1], results, seed=seed, test_opened=n_opened)


def result(label: str, model: RatingPredictor, test: Dataset, validation: float, **costs: float) -> RatingResult:
    """A fitted model and the test part → its row of a report; costs: `fit_seconds`, `peak_mb`, ..."""
    rows = test.interactions
    start = time.perf_counter()
    predicted = model.predict(rows.users, rows.items)
    return RatingResult(
        label=label,
        name=type(model).__name__,
        options=model.options(),
        predicted=predicted,
        predict_seconds=time.perf_counter() - start,
        chance=model.like(rows.users, rows.items),
        validation=validation,
        **costs,
    )


def report_of(
    split: Split,
    learned_from: Dataset,
    test: Dataset,
    first: RatingPredictor,
    results: Sequence[RatingResult],
    *,
    seed: int = 0,
    test_opened: int,
) -> RatingReport:
    """Rows of models fitted on `learned_from`, of which `first` tells the scale → the report on the test part.

    Chosen is the model with the lowest error on validation; one without such an error is only shown.
    """
    rows = test.interactions
    assert rows.ratings is not None
    known = learned_from.interactions
    return RatingReport(
        dataset=described(split),
        split=split.name,
        scale=(float(first.scale_[0]), float(first.scale_[1]), float(first.scale_[2])),
        like_from=first.like_from_,
        users=rows.users,
        ratings=rows.ratings,
        of_item=np.bincount(known.items, minlength=test.n_items)[rows.items],
        of_user=np.bincount(known.users, minlength=test.n_users)[rows.users],
        models=tuple(results),
        chosen=min((one for one in results if one.validation is not None), key=lambda one: one.validation or 0.0).label,
        seed=seed,
        test_opened=test_opened,
    )


def measured(model: RatingPredictor, part: Dataset) -> float:
    """A fitted model and held-out ratings → its root mean squared error."""
    rows = part.interactions
    assert rows.ratings is not None
    return rmse(rows.ratings, model.predict(rows.users, rows.items))


def described(split: Split) -> dict[str, object]:
    """A split → what the report says of its data."""
    return {
        "name": split.train.name,
        "n_users": split.train.n_users,
        "n_items": split.train.n_items,
        "n_interactions": sum(len(part.interactions) for part in split[:3]),
        "sha256": split.train.sha256,
    }
