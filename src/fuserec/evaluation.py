"""Evaluation: models × a split → Report. Full ranking, seen items left out, every test user counted."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fuserec import metrics
from fuserec.data.dataset import Dataset, Split
from fuserec.errors import DataError, OptionError
from fuserec.memory import PeakMemory
from fuserec.recommenders.recommender import OnProgress, Recommender
from fuserec.report import ModelResult, Report


@dataclass(frozen=True, eq=False)
class Lists:
    """What one model recommends to the users with held-out items, and how good it is, a value a user.

    users: rows int64 (n,); ranked: item rows int64 (n, k), -1 where empty; values: metric → float64 (n,)
    """

    users: NDArray[np.int64]
    ranked: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def rank_and_measure(
    model: Recommender, held_out: Dataset, k: int, candidates: NDArray[np.bool_] | None = None
) -> Lists:
    """A fitted model and held-out interactions → lists and accuracy of every user with a held-out item he had not seen.

    candidates: bool (n_items,), the only items ranked and counted as relevant; default: all.
    """
    relevant = held_out.seen - held_out.seen.multiply(
        model.seen_
    )  # a seen item cannot be recommended, so it is no miss
    if candidates is not None:
        relevant = relevant.multiply(candidates[None, :].astype(np.float32))
    relevant = relevant.tocsr()
    relevant.eliminate_zeros()
    relevant.sort_indices()
    n_relevant = np.diff(relevant.indptr)
    users = np.flatnonzero(n_relevant)
    ranked, _ = model.rank(users, k, candidates)
    # One sorted list of (user, item) pairs answers for all users at once which ranks hold a relevant item.
    n_items = held_out.n_items
    pairs = np.repeat(np.arange(len(n_relevant)), n_relevant) * n_items + relevant.indices
    hits = np.isin(users[:, None] * n_items + ranked, pairs, assume_unique=False) & (ranked >= 0)
    if ranked.shape[1] < k:  # a catalog of fewer than k items: the missing ranks are misses
        hits = np.pad(hits, ((0, 0), (0, k - ranked.shape[1])))
    values = {f"{name}@{k}": measure(hits, n_relevant[users]) for name, measure in metrics.ACCURACY.items()}
    return Lists(users, ranked, values)


def evaluate(
    models: Mapping[str, Recommender] | Sequence[Recommender] | Recommender,
    split: Split,
    *,
    k: int = 10,
    select_by: str = "ndcg",
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Report:
    """Unfitted models (label → model, a list, or one) and a split → Report.

    Every model is fitted on train, with validation for what it chooses itself (when to stop, which weights), and
    measured on validation; the best there by `select_by` is chosen. Then test is opened, once. Beside accuracy on all
    items stands `cold`: the same on items without any interaction in train, ranked among themselves, for the users who
    went for one. Intervals: 95 %, percentile bootstrap over users (Efron 1979), the same resamples for every model, so
    that differences are paired.
    """
    labelled = _labelled(models)
    if k < 1:
        raise OptionError(f"k is {k}; expected 1 or more")
    if select_by not in metrics.ACCURACY:
        raise OptionError(f"cannot select by {select_by!r}; expected one of {', '.join(metrics.ACCURACY)}")
    tell = on_progress or (lambda label, done, total: None)
    validation: dict[str, float | None] = {}
    n_validation = 0
    fit_seconds: dict[str, float] = {}
    peak_mb: dict[str, float] = {}
    chooses_by = split.validation if len(split.validation.interactions) else None
    for done, (label, model) in enumerate(labelled.items()):
        tell(f"fitting {label}", done, len(labelled))
        with PeakMemory() as peak:
            start = time.perf_counter()
            model.fit(split.train, chooses_by, on_progress=on_progress)
            fit_seconds[label] = time.perf_counter() - start
            lists = rank_and_measure(model, split.validation, k)
        validation[label] = float(lists.values[f"{select_by}@{k}"].mean()) if len(lists.users) else None
        n_validation = len(lists.users)
        peak_mb[label] = peak.megabytes
    chosen = max(labelled, key=lambda label: validation[label] or 0.0)
    results = []
    for done, (label, model) in enumerate(labelled.items()):
        tell(f"measuring {label}", done, len(labelled))
        start = time.perf_counter()
        lists = rank_and_measure(model, split.test, k)
        seconds = time.perf_counter() - start
        if not len(lists.users):
            raise DataError(
                f"no user of the test part of {split.test.name} has an item that is new to him; nothing to measure"
            )
        values = dict(lists.values)
        values[f"novelty@{k}"] = metrics.novelty(lists.ranked, model.popularity_, split.train.n_users)
        whole = {
            f"coverage@{k}": metrics.coverage(lists.ranked, split.test.n_items),
            f"gini@{k}": metrics.gini(lists.ranked, split.test.n_items),
        }
        cold = rank_and_measure(model, split.test, k, ~split.train.warm)
        results.append(
            ModelResult(
                label=label,
                name=type(model).__name__,
                options=model.options(),
                values=values,
                whole=whole,
                cold=dict(cold.values),
                validation=validation[label],
                fit_seconds=fit_seconds[label],
                rank_seconds=seconds,
                peak_mb=peak_mb[label],
                n_validation=n_validation,
            )
        )
    tell("done", len(labelled), len(labelled))
    dataset = {
        "name": split.train.name,
        "n_users": split.train.n_users,
        "n_items": split.train.n_items,
        "n_interactions": sum(len(part.interactions) for part in split[:3]),
        "sha256": split.train.sha256,
    }
    return Report(
        dataset=dataset, split=split.name, k=k, select_by=select_by, chosen=chosen, models=tuple(results), seed=seed
    )


def _labelled(models: Mapping[str, Recommender] | Sequence[Recommender] | Recommender) -> dict[str, Recommender]:
    if isinstance(models, Recommender):
        models = [models]
    if isinstance(models, Mapping):
        return dict(models)
    labelled: dict[str, Recommender] = {}
    for model in models:
        name = type(model).__name__
        label = name if name not in labelled else f"{name} {sum(key.startswith(name) for key in labelled) + 1}"
        labelled[label] = model
    if not labelled:
        raise OptionError("no models to evaluate; give at least one")
    return labelled
