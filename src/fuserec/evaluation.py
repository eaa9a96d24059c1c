"""Evaluation: models × a split → Report. Full ranking, seen items left out, every test user counted."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fuserec import metrics
from fuserec.data.dataset import Dataset, Split
from fuserec.errors import DataError, OptionError
from fuserec.memory import PeakMemory, held
from fuserec.recommenders.ensemble import EVERYWHERE
from fuserec.recommenders.recommender import OnProgress, Recommender
from fuserec.report import ModelResult, Report

Values = Mapping[str, NDArray[np.float64]]  # metric → a value a user (n,)
_opened: Counter[str] = Counter()  # hash of a test part → how often this process measured on it


@dataclass(frozen=True, eq=False)
class Lists:
    """What one model recommends to the users with held-out items, and how good it is, a value a user.

    users: rows int64 (n,); ranked: item rows int64 (n, k), -1 where empty; values: metric → float64 (n,)
    """

    users: NDArray[np.int64]
    ranked: NDArray[np.int64]
    values: Values = field(default_factory=dict)


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


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model fitted once a seed, and what it is worth on validation, averaged per user over the seeds.

    validation: mean of the selecting metric, None when no user has anything to find; n_validation: of how many users
    fit_seconds: of one fit; peak_mb: of the process while it was fitted and measured, without what `others` hold
    """

    models: tuple[Recommender, ...]
    validation: float | None
    n_validation: int
    fit_seconds: float
    peak_mb: float


def fit_and_validate(
    model: Recommender,
    train: Dataset,
    validation: Dataset,
    *,
    k: int = 10,
    select_by: str = "ndcg",
    seeds: int = 1,
    others: Sequence[Recommender] = (),
    on_progress: OnProgress | None = None,
) -> Candidate:
    """An unfitted model → the same fitted on train, and its worth on validation. It has no way to see a test part.

    Validation also is what the model chooses by itself (when to stop, which weights).

    seeds: how many fits, with the model's own seed and those that follow it; a model without a `seed` is fitted once.
    others: fitted models that are kept meanwhile; what they hold is left out of the peak memory of this one.
    """
    models = with_seeds(model, seeds)
    measured = []
    with PeakMemory() as peak:
        start = time.perf_counter()
        for one in models:
            one.fit(train, validation if len(validation.interactions) else None, on_progress=on_progress)
        seconds = (time.perf_counter() - start) / len(models)
        measured = [rank_and_measure(one, validation, k).values[f"{select_by}@{k}"] for one in models]
    own, kept = (
        [value for one in some for name, value in vars(one).items() if name not in EVERYWHERE]
        for some in (models, others)
    )
    only_others = held([*own, *kept]) - held(own)  # equal walks share a table, which is this model's as well
    per_user = np.mean(measured, axis=0)
    worth = float(per_user.mean()) if len(per_user) else None
    return Candidate(models, worth, len(per_user), seconds, peak.megabytes - only_others)


def with_seeds(model: Recommender, n: int) -> tuple[Recommender, ...]:
    """A model → itself and unfitted copies with the seeds that follow its own, n in all; itself if it has no seed."""
    first = getattr(model, "seed", None)
    return (model,) if first is None else (model, *(replace(model, seed=first + s) for s in range(1, n)))  # type: ignore[call-arg]


def open_test(split: Split) -> tuple[Dataset, int]:
    """A split → its test part, and how often this process has opened the same one, this time included.

    The only way in this package to measure a model on test: `evaluate` goes through it once, and the modality report
    once more. A number above 1 says that somebody may have chosen by looking. Another process does not know of it.
    """
    key = split.test.sha256
    _opened[key] += 1
    return split.test, _opened[key]


def evaluate(
    models: Mapping[str, Recommender] | Sequence[Recommender] | Recommender,
    split: Split,
    *,
    k: int = 10,
    select_by: str = "ndcg",
    seeds: int = 1,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Report:
    """Unfitted models (label → model, a list, or one) and a split → Report.

    Every model is fitted on train, with validation for what it chooses itself (when to stop, which weights), and
    measured on validation; the best there by `select_by` is chosen. Then test is opened, once. Beside accuracy on all
    items stands `cold`: the same on items without any interaction in train, ranked among themselves, for the users who
    went for one. Intervals: 95 %, percentile bootstrap over users (Efron 1979), the same resamples for every model, so
    that differences are paired.

    seeds: how often a model with a `seed` is fitted; its values are averaged per user. seed: of the bootstrap.
    """
    labelled = _labelled(models)
    if k < 1 or seeds < 1:
        raise OptionError(f"k is {k} and seeds is {seeds}; expected 1 or more")
    if select_by not in metrics.ACCURACY:
        raise OptionError(f"cannot select by {select_by!r}; expected one of {', '.join(metrics.ACCURACY)}")
    tell = on_progress or (lambda label, done, total: None)
    candidates: dict[str, Candidate] = {}
    for done, (label, model) in enumerate(labelled.items()):
        tell(f"fitting {label}", done, len(labelled))
        candidates[label] = fit_and_validate(
            model,
            split.train,
            split.validation,
            k=k,
            select_by=select_by,
            seeds=seeds,
            others=[one for candidate in candidates.values() for one in candidate.models],
            on_progress=on_progress,
        )
    chosen = max(candidates, key=lambda label: candidates[label].validation or 0.0)
    test, n_opened = open_test(split)
    vectors = {name: column.centered_unit(split.train.warm) for name, column in split.train.column_vectors.items()}
    results = []
    for done, (label, candidate) in enumerate(candidates.items()):
        tell(f"measuring {label}", done, len(labelled))
        results.append(_measured(label, candidate, split.train, test, k, vectors))
    tell("done", len(labelled), len(labelled))
    dataset = {
        "name": split.train.name,
        "n_users": split.train.n_users,
        "n_items": split.train.n_items,
        "n_interactions": sum(len(part.interactions) for part in split[:3]),
        "sha256": split.train.sha256,
    }
    return Report(
        dataset=dataset,
        split=split.name,
        k=k,
        select_by=select_by,
        chosen=chosen,
        models=tuple(results),
        seed=seed,
        test_opened=n_opened,
    )


def _measured(
    label: str, candidate: Candidate, train: Dataset, test: Dataset, k: int, vectors: Mapping[str, NDArray[np.float32]]
) -> ModelResult:
    """A candidate → its row of the report; per-user values and whole-list numbers are means over its seeds.

    vectors: column → centered unit vectors (n_items, dim_m), for the diversity of the lists
    """
    each: list[Values] = []
    cold: list[Values] = []
    whole: list[Mapping[str, float]] = []
    seconds = 0.0
    for model in candidate.models:
        start = time.perf_counter()
        lists = rank_and_measure(model, test, k)
        seconds += time.perf_counter() - start
        if not len(lists.users):
            raise DataError(
                f"no user of the test part of {test.name} has an item that is new to him; nothing to measure"
            )
        beside = {
            f"novelty@{k}": metrics.novelty(lists.ranked, model.popularity_, train.n_users),
            f"popularity@{k}": metrics.popularity_percentile(lists.ranked, model.popularity_),
        }
        beside |= {f"diversity-{name}@{k}": metrics.diversity(lists.ranked, unit) for name, unit in vectors.items()}
        each.append({**lists.values, **beside})
        whole.append(
            {
                f"coverage@{k}": metrics.coverage(lists.ranked, test.n_items),
                f"gini@{k}": metrics.gini(lists.ranked, test.n_items),
            }
        )
        cold.append(rank_and_measure(model, test, k, ~train.warm).values)
    first = candidate.models[0]
    return ModelResult(
        label=label,
        name=type(first).__name__,
        options=first.options(),
        values=over_seeds(each),
        whole={name: float(np.mean([one[name] for one in whole])) for name in whole[0]},
        cold=over_seeds(cold),
        validation=candidate.validation,
        fit_seconds=candidate.fit_seconds,
        rank_seconds=seconds / len(candidate.models),
        peak_mb=candidate.peak_mb,
        seeds=len(candidate.models),
        n_validation=candidate.n_validation,
    )


def over_seeds(values: Sequence[Values]) -> Values:
    """Metric → values (n,), one mapping a seed → the same, averaged per user."""
    return {name: np.mean([one[name] for one in values], axis=0) for name in values[0]}


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
