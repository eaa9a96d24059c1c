"""Report: what an evaluation found; numbers with n and intervals, as a table and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fuserec.errors import DataError, OptionError, did_you_mean

N_RESAMPLES = 1_000
FEW_USERS, FEW_COLD = 30, 10  # with fewer, models cannot be told apart, and cold items not measured


class Estimate(NamedTuple):
    """A mean over n users and its 95 % interval; low and high are None where there is no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        text = f"{self.mean:.4f}"
        return text if self.low is None or self.high is None else f"{text} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelResult:
    """One model's row of a report.

    values, cold: metric → float64 (n_users,), on all items, and on cold items ranked among themselves
    whole: metric → one number for all lists together
    validation: mean of the selecting metric on validation; None when no user has anything to find there
    n_validation: of how many users that is the mean
    """

    label: str
    name: str
    options: Mapping[str, Any]
    values: Mapping[str, NDArray[np.float64]]
    whole: Mapping[str, float]
    cold: Mapping[str, NDArray[np.float64]]
    validation: float | None
    fit_seconds: float
    rank_seconds: float
    peak_mb: float
    seeds: int = 1
    n_validation: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Report:
    """What an evaluation found. `chosen` is the label of the model that was best on validation by `select_by`."""

    dataset: Mapping[str, Any]
    split: str
    k: int
    select_by: str
    chosen: str
    models: tuple[ModelResult, ...]
    seed: int = 0
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Label → metric → estimate on all items."""
        intervals = _estimates({model.label: model.values for model in self.models}, self.seed)
        for model in self.models:
            n = len(next(iter(model.values.values())))
            intervals[model.label] |= {name: Estimate(value, None, None, n) for name, value in model.whole.items()}
        return intervals

    @cached_property
    def cold_estimates(self) -> dict[str, dict[str, Estimate]]:
        """Label → metric → estimate on cold items; no metrics when no test user went for a cold item."""
        return _estimates({model.label: model.cold for model in self.models}, self.seed)

    def difference(self, label: str, other: str, metric: str | None = None) -> Estimate:
        """How much better one model is than another, user by user: mean difference and its paired 95 % interval."""
        metric = metric or f"{self.select_by}@{self.k}"
        by_label = {model.label: model for model in self.models}
        for name in (label, other):
            if name not in by_label:
                raise OptionError(f"no model {name!r} in the report{did_you_mean(name, by_label)}")
        gained = by_label[label].values[metric] - by_label[other].values[metric]
        return _estimates({label: {metric: gained}}, self.seed)[label][metric]

    @classmethod
    def pool(cls, reports: Sequence[Self]) -> Self:
        """Reports of the same models on several data sets (one a seed) → one over all their users."""
        if not reports:
            raise DataError("no reports to pool")
        first = reports[0]
        pooled = []
        for rows in zip(*(report.models for report in reports), strict=True):
            validations = [row.validation for row in rows if row.validation is not None]
            pooled.append(
                replace(
                    rows[0],
                    values={name: np.concatenate([row.values[name] for row in rows]) for name in rows[0].values},
                    cold={name: np.concatenate([row.cold[name] for row in rows]) for name in rows[0].cold},
                    whole={name: float(np.mean([row.whole[name] for row in rows])) for name in rows[0].whole},
                    validation=float(np.mean(validations)) if validations else None,
                    fit_seconds=float(np.mean([row.fit_seconds for row in rows])),
                    rank_seconds=float(np.mean([row.rank_seconds for row in rows])),
                    peak_mb=max(row.peak_mb for row in rows),
                    seeds=len(rows),
                    n_validation=sum(row.n_validation for row in rows),
                )
            )
        chosen = max(pooled, key=lambda row: row.validation or 0.0).label
        return replace(first, models=tuple(pooled), chosen=chosen)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; see `docs/architecture.md`."""
        return {
            "dataset": dict(self.dataset),
            "split": self.split,
            "selection": "validation",
            "selected_by": f"{self.select_by}@{self.k}",
            "chosen": self.chosen,
            "models": [
                {
                    "label": model.label,
                    "name": model.name,
                    "options": dict(model.options),
                    "seeds": model.seeds,
                    "validation": model.validation,
                    "n_validation": model.n_validation,
                    "metrics": {name: value._asdict() for name, value in self.estimates[model.label].items()},
                    "cold": {name: value._asdict() for name, value in self.cold_estimates[model.label].items()},
                    "fit_seconds": model.fit_seconds,
                    "rank_seconds": model.rank_seconds,
                    "peak_mb": model.peak_mb,
                }
                for model in self.models
            ],
            "notes": list(self.notes),
        }

    def header(self) -> list[str]:
        """The names of the table's columns."""
        k = self.k
        names = [
            "model",
            f"ndcg@{k} [95 % interval]",
            f"recall@{k}",
            f"hit@{k}",
            f"cold ndcg@{k}",
            "coverage",
            "fit s",
            "rank s",
        ]
        return names

    def rows(self) -> Iterator[list[str]]:
        """The table, a list of cells a model, in the order of evaluation; the chosen one is marked with ●."""
        k = self.k
        for model in self.models:
            found, cold = self.estimates[model.label], self.cold_estimates[model.label]
            yield [
                ("● " if model.label == self.chosen else "  ") + model.label,
                str(found[f"ndcg@{k}"]),
                f"{found[f'recall@{k}'].mean:.4f}",
                f"{found[f'hit_rate@{k}'].mean:.4f}",
                f"{cold[f'ndcg@{k}'].mean:.4f}" if cold and cold[f"ndcg@{k}"].n >= FEW_COLD else "-",
                f"{found[f'coverage@{k}'].mean:.0%}",
                f"{model.fit_seconds:.2f}",
                f"{model.rank_seconds:.2f}",
            ]

    def caption(self) -> str:
        """What the table's numbers are: data, split, n, seeds, selection."""
        first = self.models[0]
        n, n_cold = len(next(iter(first.values.values()))), len(next(iter(first.cold.values()), []))
        seeds = f", {first.seeds} seeds" if first.seeds > 1 else ""
        cold = f"; cold: the {n_cold:,} who went for an item new in test, ranked among those"
        if n_cold < FEW_COLD:
            cold = (
                f"; {n_cold} users went for an item new in test: too few for cold"
                if n_cold
                else "; no cold items in test"
            )
        told = (
            f"{self.dataset['name']}: {self.dataset['n_users']:,} users, {self.dataset['n_items']:,} items, "
            f"{self.dataset['n_interactions']:,} interactions; {self.split} split; {n:,} test users{seeds}{cold}. "
            f"● best on validation ({first.n_validation:,} users) by {self.select_by}@{self.k}."
        )
        if min(n, first.n_validation) < FEW_USERS:
            told += (
                f" These are too few users to choose between models (expected {FEW_USERS} or more): ● may be chance."
            )
        return told

    def __str__(self) -> str:
        table = [self.header(), *self.rows()]
        widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join([*lines, self.caption(), *self.notes])


def _estimates(values: Mapping[str, Mapping[str, NDArray[np.float64]]], seed: int) -> dict[str, dict[str, Estimate]]:
    """Label → metric → values (n,) → label → metric → estimate; the same users are drawn for every label and metric."""
    keys = [(label, metric) for label, metrics in values.items() for metric in metrics]
    estimates: dict[str, dict[str, Estimate]] = {label: {} for label in values}
    if not keys:
        return estimates
    matrix = np.stack([values[label][metric] for label, metric in keys], axis=1)  # (n, m)
    n = len(matrix)
    if n == 0:
        return estimates
    low, high = np.quantile(_resampled_means(matrix, seed), [0.025, 0.975], axis=0)  # (m,) each
    for column, (label, metric) in enumerate(keys):
        estimates[label][metric] = Estimate(float(matrix[:, column].mean()), float(low[column]), float(high[column]), n)
    return estimates


def _resampled_means(matrix: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Values (n, m) → the means of `N_RESAMPLES` samples of n rows drawn with replacement, float64 (N_RESAMPLES, m)."""
    rng = np.random.default_rng(seed)
    n = len(matrix)
    size = max(1, 4_000_000 // n)
    means = []
    for start in range(0, N_RESAMPLES, size):
        b = min(size, N_RESAMPLES - start)
        drawn = rng.integers(0, n, (b, n)) + n * np.arange(b)[:, None]
        times_drawn = np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n)
        means.append(times_drawn @ matrix / n)
    return np.concatenate(means)
