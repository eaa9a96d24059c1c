"""The modality report: what each column is worth to a model on this data, by taking it away and by making it up.

Each column in turn is removed, replaced by noise of the same moments, shuffled between items, and left alone; and more
and more of its vectors are dropped. The model is trained anew each time. Which model that is, validation chose.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fuserec import controls
from fuserec.data.dataset import Dataset, Split
from fuserec.errors import DataError
from fuserec.evaluation import open_test, rank_and_measure, with_seeds
from fuserec.recommenders.recommender import OnProgress, Recommender
from fuserec.report import Report
from fuserec.worth import CONTROLS, BySlice, ColumnWorth, ModalityReport, PerUser

RATES = (0.25, 0.5, 0.75)  # of a column's vectors, dropped at random
RARE = 0.25  # rare items: this share of the items with interactions, those with fewest
N_TRIED = 500  # users whose recommendations tell whether a model sees content


def modality_report(
    models: Mapping[str, Recommender],
    split: Split,
    report: Report,
    *,
    seeds: int = 3,
    on_progress: OnProgress | None = None,
) -> ModalityReport:
    """The models that `evaluate` compared, the split, and its report → what each column is worth to the best of them.

    The best on validation of those whose recommendations change when all vectors are taken away; nothing is chosen on
    test, which `evaluate` has opened and which is opened again here. seeds: how often noise, shuffling and dropping are
    drawn, and how often a model with a `seed` is fitted; values are averaged per user. Raises `DataError` where no
    model looks at content.
    """
    label = content_model(models, split, report)
    return examine(
        models[label], split, label=label, k=report.k, select_by=report.select_by, seeds=seeds, on_progress=on_progress
    )


def content_model(models: Mapping[str, Recommender], split: Split, report: Report) -> str:
    """The label of the model that is best on validation of those that see content."""
    columns = split.train.column_vectors
    by_validation = sorted(report.models, key=lambda model: -(model.validation or 0.0))
    if columns:
        blind = controls.without(split.train, columns)
        for result in by_validation:
            if _sees_content(models[result.label], split.train, blind):
                return result.label
    raise DataError(
        f"no model of {', '.join(models)} looks at the vectors of items; there is nothing to say about modalities. "
        "Encode the dataset, and evaluate ContentWalk or ContentNeighbors beside them"
    )


def _sees_content(model: Recommender, train: Dataset, blind: Dataset) -> bool:
    users = np.flatnonzero(np.diff(train.seen.indptr))[:N_TRIED]
    with_content, without_content = (replace(model).fit(data).rank(users, 10)[0] for data in (train, blind))
    return not np.array_equal(with_content, without_content)


@dataclass(frozen=True)
class Trial:
    """A change of the training part, by seed; drawn: whether another seed makes another change; what is measured."""

    what: str
    change: Callable[[int], Dataset]
    drawn: bool = False
    slices: Sequence[str] = ("all",)


def examine(
    model: Recommender,
    split: Split,
    *,
    label: str = "",
    k: int = 10,
    select_by: str = "ndcg",
    seeds: int = 3,
    on_progress: OnProgress | None = None,
) -> ModalityReport:
    """A model that sees content, and a split whose train part has vectors → what each column is worth to it."""
    train = split.train
    columns = train.column_vectors
    n_chosen = np.bincount(train.interactions.items, minlength=train.n_items)
    rare = int(np.quantile(n_chosen[train.warm], RARE, method="lower"))
    slices: dict[str, NDArray[np.bool_] | None] = {"all": None, "cold": ~train.warm}
    slices["rare"] = train.warm & (n_chosen <= rare)
    slices |= {f"no {name}": ~embeddings.own for name, embeddings in columns.items()}
    variants = with_seeds(replace(model), seeds)
    test, n_opened = open_test(split)
    metric = f"{select_by}@{k}"
    validation = split.validation if len(split.validation.interactions) else None

    def measured(trial: Trial) -> BySlice:
        """A trial → slice → values, averaged per user over the seeds of the change and of the model."""
        runs: dict[str, list[PerUser]] = {part: [] for part in trial.slices}
        for run in range(seeds if trial.drawn else len(variants)):
            fitted = replace(variants[run % len(variants)]).fit(trial.change(run), validation)
            for part, values in runs.items():
                values.append(rank_and_measure(fitted, test, k, slices[part]).values[metric])
        return {part: np.mean(values, axis=0) for part, values in runs.items()}

    trials = {"whole": Trial("all columns", lambda _: train, slices=list(slices))}
    trials["nothing"] = Trial("no column", lambda _: controls.without(train, columns))
    for name in columns:
        trials |= _trials(train, name)
    found: dict[str, BySlice] = {}
    for done, (key, trial) in enumerate(trials.items()):
        if on_progress is not None:
            on_progress(trial.what, done, len(trials))
        found[key] = measured(trial)
    worth = [
        ColumnWorth(
            name=name,
            modality=embeddings.modality,
            n_items=int(embeddings.own.sum()),
            by_control={control: found[f"{name} {control}"] for control in CONTROLS},
            whole=found["whole"],
            nothing=found["nothing"],
            curve={rate: found[f"{name} {rate}"]["all"] for rate in RATES},
        )
        for name, embeddings in columns.items()
    ]
    return ModalityReport(
        label=label or type(model).__name__,
        metric=metric,
        columns=tuple(worth),
        n_items=train.n_items,
        rare=rare,
        seeds=seeds,
        test_opened=n_opened,
    )


def _trials(train: Dataset, name: str) -> dict[str, Trial]:
    """A column → its trials."""
    slices = ("all", "cold", "rare", f"no {name}")
    return {
        f"{name} removed": Trial(f"{name} removed", lambda _: controls.without(train, [name]), slices=slices),
        f"{name} noise": Trial(f"noise for {name}", lambda seed: controls.with_noise(train, name, seed), drawn=True),
        f"{name} shuffled": Trial(f"{name} shuffled", lambda seed: controls.shuffled(train, name, seed), drawn=True),
        f"{name} alone": Trial(f"{name} alone", lambda _: controls.alone(train, name)),
    } | {
        f"{name} {rate}": Trial(
            f"{rate:.0%} of {name} missing",
            lambda seed, rate=rate: controls.with_missing(train, name, rate, seed),  # type: ignore[misc]
            drawn=True,
        )
        for rate in RATES
    }
