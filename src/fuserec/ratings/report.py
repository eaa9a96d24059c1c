"""RatingReport: how far predicted ratings are off; with n, and intervals over users."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserec import metrics
from fuserec.errors import DataError, OptionError, did_you_mean
from fuserec.intervals import N_RESAMPLES, N_RESAMPLES_PAIRED, Difference, Estimate, holm

FEW = 10  # an item with fewer training ratings has few
SLICES = ((0, 0), (1, FEW - 1), (FEW, 49), (50, 199), (200, None))  # training ratings of an item or a user, inclusive
LOWER_IS_BETTER = ("rmse", "mae", "log_loss")


@dataclass(frozen=True, eq=False, kw_only=True)
class RatingResult:
    """One model on the held-out ratings.

    predicted, chance: float32 (n,), ratings clipped to the scale, and the chance of a like
    validation: root mean squared error on the validation part, None without one
    """

    label: str
    name: str
    options: Mapping[str, Any]
    predicted: NDArray[np.float32]
    chance: NDArray[np.float32]
    validation: float | None
    fit_seconds: float
    predict_seconds: float
    peak_mb: float = 0.0
    cpu_seconds: float | None = None  # of the fit, where it was measured


@dataclass(frozen=True, eq=False, kw_only=True)
class RatingReport:
    """What was found on held-out ratings.

    users: int64 (n,), who gave each; ratings: float32 (n,)
    of_item, of_user: int64 (n,), how many training ratings the item and the user of each have
    scale: lowest, highest and step of training ratings; like_from: what counts as a like
    chosen: the label of the model with the lowest root mean squared error on validation
    """

    dataset: Mapping[str, Any]
    split: str
    scale: tuple[float, float, float]
    like_from: float
    users: NDArray[np.int64]
    ratings: NDArray[np.float32]
    of_item: NDArray[np.int64]
    of_user: NDArray[np.int64]
    models: tuple[RatingResult, ...]
    chosen: str
    seed: int = 0
    test_opened: int = 1

    @property
    def few(self) -> NDArray[np.bool_]:
        """Which ratings are of items with fewer than `FEW` training ratings, bool (n,)."""
        return self.of_item < FEW

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Label → metric → estimate over all held-out ratings; n counts users."""
        return {model.label: self._estimates(model, np.ones(len(self.users), bool)) for model in self.models}

    @cached_property
    def few_estimates(self) -> dict[str, dict[str, Estimate]]:
        """The same for ratings of items with fewer than `FEW` training ratings; no metrics where there are none."""
        return {model.label: self._estimates(model, self.few) if self.few.any() else {} for model in self.models}

    def compare(self, reference: str | None = None, few: bool = False) -> dict[str, Difference]:
        """Every other model → how much lower the RMSE of the reference (default: the chosen model) is, paired by user.

        p-values are corrected for the number of models (Holm 1979). few: on items with few ratings only.
        """
        best = self.model(reference or self.chosen)
        rows = self.few if few else np.ones(len(self.users), bool)
        others = [model for model in self.models if model is not best]
        ours = self._summed(metrics.squared_error(self.ratings, best.predicted), rows)
        found = []
        for model in others:
            theirs = self._summed(metrics.squared_error(self.ratings, model.predicted), rows)
            found.append(_difference(theirs, ours, self._counts(rows), self.seed))
        return {model.label: one for model, one in zip(others, holm(found), strict=True)}

    def model(self, label: str) -> RatingResult:
        """The row of this label; raises `OptionError`."""
        by_label = {model.label: model for model in self.models}
        if label not in by_label:
            raise OptionError(f"no model {label!r} in the report{did_you_mean(label, by_label)}")
        return by_label[label]

    def calibration(self, label: str) -> list[tuple[float, float, int]]:
        """A model's chances of a like in ten bins → (mean chance, share liked, ratings) of each."""
        return metrics.calibration(self.ratings >= self.like_from, self.model(label).chance)

    def slices(self) -> list[dict[str, Any]]:
        """Ratings of items, and of users, with 0, 1 to 9, ... training ratings → how many, and each model's RMSE there.

        `{"of": "items" | "users", "from", "to" (None: no end), "n", "rmse": {label: RMSE}}`; without empty ones.
        """
        found = []
        for of, known in (("items", self.of_item), ("users", self.of_user)):
            for low, high in SLICES:
                rows = (known >= low) & (known <= (np.inf if high is None else high))
                if rows.any():
                    each = {one.label: metrics.rmse(self.ratings[rows], one.predicted[rows]) for one in self.models}
                    found.append({"of": of, "from": low, "to": high, "n": int(rows.sum()), "rmse": each})
        return found

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; see `docs/architecture.md`."""
        low, high, step = self.scale
        return {
            "dataset": dict(self.dataset),
            "split": self.split,
            "scale": {"low": low, "high": high, "step": step, "clipped": True, "like_from": self.like_from},
            "selection": "validation",
            "selected_by": "rmse",
            "chosen": self.chosen,
            "test_opened": self.test_opened,
            "n_ratings": len(self.ratings),
            "n_few": int(self.few.sum()),
            "models": [
                {
                    "label": model.label,
                    "name": model.name,
                    "options": dict(model.options),
                    "validation": model.validation,
                    "metrics": {name: one._asdict() for name, one in self.estimates[model.label].items()},
                    "few": {name: one._asdict() for name, one in self.few_estimates[model.label].items()},
                    "calibration": [
                        {"chance": chance, "liked": liked, "n": n} for chance, liked, n in self.calibration(model.label)
                    ],
                    "fit_seconds": model.fit_seconds,
                    "predict_seconds": model.predict_seconds,
                    "peak_mb": model.peak_mb,
                }
                for model in self.models
            ],
            "slices": self.slices(),
            "comparisons": [
                {"label": self.chosen, "other": other, "metric": "rmse", **found._asdict()}
                for other, found in self.compare().items()
            ],
        }

    def header(self) -> list[str]:
        """The names of the table's columns."""
        few = f"few ratings (n = {int(self.few.sum()):,})"
        return ["model", "RMSE [95 % interval]", "MAE", "accuracy", "AUC", "log loss", few, "fit s"]

    def rows(self) -> Iterator[list[str]]:
        """The table, a list of cells a model; the chosen one is marked with ●."""
        for model in self.models:
            found, few = self.estimates[model.label], self.few_estimates[model.label]
            yield [
                ("● " if model.label == self.chosen else "  ") + model.label,
                str(found["rmse"]),
                *(f"{found[name].mean:.4f}" for name in ("mae", "accuracy", "auc", "log_loss")),
                str(few["rmse"]) if few else "-",
                f"{model.fit_seconds:.2f}",
            ]

    def comparison(self) -> tuple[list[str], list[list[str]]]:
        """The chosen model against every other: header and rows; none when there is no other."""
        header = ["against", "RMSE saved [95 % interval]", "p (Holm)", "could be seen from", "so it is"]
        return header, [
            [label, str(found), f"{found.p:.4f}", f"{found.smallest:.4f}", found.verdict]
            for label, found in self.compare().items()
        ]

    def by_slice(self) -> tuple[list[str], list[list[str]]]:
        """RMSE where little or much is known of the item or the user: header and rows."""
        rows = []
        for one in self.slices():
            upto = "" if one["to"] == one["from"] else " or more" if one["to"] is None else f" to {one['to']}"
            told = f"{one['of']} with {one['from']}{upto} training ratings"
            rows.append([told, f"{one['n']:,}", *(f"{one['rmse'][model.label]:.4f}" for model in self.models)])
        return ["RMSE on ratings of", "ratings", *(model.label for model in self.models)], rows

    def caption(self) -> str:
        """What the table's numbers are."""
        low, high, _ = self.scale
        opened = "once, after that" if self.test_opened == 1 else f"{self.test_opened} times"
        return (
            f"{self.dataset['name']}: {len(self.ratings):,} ratings of {len(np.unique(self.users)):,} users held out, "
            f"{self.split} split; predictions clipped to {low:g} to {high:g}; liked: from {self.like_from:g} on; few: "
            f"items with fewer than {FEW} training ratings. ● lowest RMSE on validation. Test was opened {opened}."
        )

    def __str__(self) -> str:
        table = [self.header(), *self.rows()]
        widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table]
        return "\n".join([*lines, self.caption()])

    def _estimates(self, model: RatingResult, rows: NDArray[np.bool_]) -> dict[str, Estimate]:
        liked = self.ratings >= self.like_from
        each = {
            "rmse": metrics.squared_error(self.ratings, model.predicted),
            "mae": metrics.absolute_error(self.ratings, model.predicted),
            "accuracy": metrics.right(liked, model.chance),
            "log_loss": metrics.surprise(liked, model.chance),
        }
        counts = self._counts(rows)
        drawn = _draws(len(counts), self.seed)
        found = {}
        for name, values in each.items():
            total = self._summed(values, rows)
            shape = np.sqrt if name == "rmse" else np.asarray
            means = shape((drawn @ total) / (drawn @ counts))
            low, high = np.quantile(means, [0.025, 0.975])
            found[name] = Estimate(float(shape(total.sum() / counts.sum())), float(low), float(high), len(counts))
        _, place = np.unique(self.users[rows], return_inverse=True)
        whole = metrics.auc(liked[rows], model.chance[rows])
        several = drawn[: N_RESAMPLES // 5]  # a fifth of them: each sorts all ratings
        areas = [metrics.auc(liked[rows], model.chance[rows], one[place]) for one in several]
        low, high = (float(one) for one in np.nanquantile(areas, [0.025, 0.975])) if whole == whole else (0.0, 1.0)
        found["auc"] = Estimate(whole if whole == whole else 0.5, low, high, len(counts))
        return found

    def _summed(self, values: NDArray[np.float64], rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """A value for each rating (n,) → its sum for each user who has ratings among `rows`."""
        _, place = np.unique(self.users[rows], return_inverse=True)
        return np.bincount(place, values[rows]).astype(np.float64)

    def _counts(self, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        return self._summed(np.ones(len(self.users)), rows)

    @classmethod
    def pool(cls, reports: Sequence["RatingReport"]) -> "RatingReport":
        """Reports of the same models on several folds → one over all their ratings; a user of two folds counts once."""
        if not reports:
            raise DataError("no reports to pool")
        first = reports[0]
        pooled = [
            RatingResult(
                label=same[0].label,
                name=same[0].name,
                options=same[0].options,
                predicted=np.concatenate([one.predicted for one in same]),
                chance=np.concatenate([one.chance for one in same]),
                validation=_mean([one.validation for one in same]),
                fit_seconds=float(np.mean([one.fit_seconds for one in same])),
                predict_seconds=float(np.mean([one.predict_seconds for one in same])),
                peak_mb=max(one.peak_mb for one in same),
            )
            for same in zip(*(report.models for report in reports), strict=True)
        ]
        return cls(
            dataset=first.dataset,
            split=first.split,
            scale=first.scale,
            like_from=first.like_from,
            users=np.concatenate([report.users for report in reports]),
            ratings=np.concatenate([report.ratings for report in reports]),
            of_item=np.concatenate([report.of_item for report in reports]),
            of_user=np.concatenate([report.of_user for report in reports]),
            models=tuple(pooled),
            chosen=first.chosen,
            seed=first.seed,
            test_opened=max(report.test_opened for report in reports),
        )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _draws(n: int, seed: int, times: int = N_RESAMPLES) -> NDArray[np.float64]:
    """How often each of n users is drawn in each of `times` samples with replacement, float64 (times, n)."""
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(times)]).astype(np.float64)


def _difference(
    theirs: NDArray[np.float64], ours: NDArray[np.float64], counts: NDArray[np.float64], seed: int
) -> Difference:
    """Summed squared errors of two models and counts, one of each a user → how much lower the second RMSE is."""
    if not len(counts):
        return Difference(np.nan, np.nan, np.nan, 0, 1.0, np.nan)
    drawn = _draws(len(counts), seed, N_RESAMPLES_PAIRED // 4)
    n = drawn @ counts
    saved = np.sqrt(drawn @ theirs / n) - np.sqrt(drawn @ ours / n)
    low, high = np.quantile(saved, [0.025, 0.975])
    tail = min((saved <= 1e-12).sum(), (saved >= -1e-12).sum())
    whole = float(np.sqrt(theirs.sum() / counts.sum()) - np.sqrt(ours.sum() / counts.sum()))
    p = min(1.0, 2 * (1 + float(tail)) / (1 + len(saved)))
    return Difference(whole, float(low), float(high), len(counts), p, float(2.8 * saved.std()))
