"""Report: what an evaluation found; numbers with n and intervals, as a table and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fuserec.errors import DataError, OptionError, did_you_mean
from fuserec.intervals import FEW_COLD, FEW_USERS, Difference, Estimate, differences, estimates, holm


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
    """What an evaluation found. `chosen` is the label of the model that was best on validation by `select_by`.

    test_opened: how often the process that made this had measured on the same test part, this time included
    """

    dataset: Mapping[str, Any]
    split: str
    k: int
    select_by: str
    chosen: str
    models: tuple[ModelResult, ...]
    seed: int = 0
    test_opened: int = 1
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Label → metric → estimate on all items."""
        intervals = estimates({model.label: model.values for model in self.models}, self.seed)
        for model in self.models:
            n = len(next(iter(model.values.values())))
            intervals[model.label] |= {name: Estimate(value, None, None, n) for name, value in model.whole.items()}
        return intervals

    @cached_property
    def cold_estimates(self) -> dict[str, dict[str, Estimate]]:
        """Label → metric → estimate on cold items; no metrics when no test user went for a cold item."""
        return estimates({model.label: model.cold for model in self.models}, self.seed)

    def difference(self, label: str, other: str, metric: str | None = None) -> Estimate:
        """How much better one model is than another, user by user: mean difference and its paired 95 % interval."""
        metric = metric or self.metric
        gained = self._model(label).values[metric] - self._model(other).values[metric]
        return estimates({label: {metric: gained}}, self.seed)[label][metric]

    def compare(self, reference: str | None = None, metric: str | None = None) -> dict[str, Difference]:
        """Every other model → how much more the reference (default: the chosen model) is worth, user by user.

        Values are averaged per user over a model's seeds before they are compared; p-values are corrected for the
        number of models (Holm 1979).
        """
        best = self._model(reference or self.chosen)
        metric = metric or self.metric
        others = [model for model in self.models if model is not best]
        found = differences([best.values[metric] - model.values[metric] for model in others], self.seed)
        return {model.label: one for model, one in zip(others, holm(found), strict=True)}

    @property
    def metric(self) -> str:
        """The metric that chose, `ndcg@10` for example."""
        return f"{self.select_by}@{self.k}"

    def _model(self, label: str) -> ModelResult:
        by_label = {model.label: model for model in self.models}
        if label not in by_label:
            raise OptionError(f"no model {label!r} in the report{did_you_mean(label, by_label)}")
        return by_label[label]

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
            "selected_by": self.metric,
            "chosen": self.chosen,
            "test_opened": self.test_opened,
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
            "comparisons": [
                {"label": self.chosen, "other": other, "metric": self.metric, **found._asdict()}
                for other, found in self.compare().items()
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

    def beyond(self) -> tuple[list[str], list[list[str]]]:
        """What the lists are like beside being right: header and rows, novelty in bits, diversity by column."""
        end = f"@{self.k}"
        diverse = [name for name in self.models[0].values if name.startswith("diversity-")]
        names = [f"coverage{end}", f"popularity{end}", f"novelty{end}", f"gini{end}", *diverse]
        rows = [
            [model.label, *(f"{self.estimates[model.label][name].mean:.3f}" for name in names)] for model in self.models
        ]
        return ["model", *(name.removesuffix(end).replace("-", " of ") for name in names)], rows

    def comparison(self) -> tuple[list[str], list[list[str]]]:
        """The chosen model against every other: header and rows; none when there is no other."""
        header = ["against", f"{self.metric} gained [95 % interval]", "p (Holm)", "could be seen from", "so it is"]
        rows = [
            [label, str(found), f"{found.p:.4f}", f"{found.smallest:.4f}", found.verdict]
            for label, found in self.compare().items()
        ]
        return header, rows

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
            f"● best on validation ({first.n_validation:,} users) by {self.metric}. "
            + (
                "Test was opened once, after that."
                if self.test_opened == 1
                else f"Test was opened {self.test_opened} times: do not trust what was chosen after looking at it."
            )
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
