"""What columns are worth: the numbers of a modality report, as sentences, as a table and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fuserec.errors import DataError
from fuserec.intervals import FEW_COLD, Difference, differences, holm

PerUser = NDArray[np.float64]
BySlice = Mapping[str, PerUser]  # slice → a value for each of its users
CONTROLS = ("removed", "noise", "shuffled", "alone")


@dataclass(frozen=True, eq=False, kw_only=True)
class ColumnWorth:
    """What was measured of one column. The values of a slice are of the same users everywhere in a report.

    n_items: that have a vector; filled ones not counted
    by_control: removed, noise, shuffled, alone → slice → values (n,)
    whole, nothing: slice → values with all columns, and with none
    curve: share of the column's vectors that is missing → values (n,), all items
    """

    name: str
    modality: str
    n_items: int
    by_control: Mapping[str, BySlice]
    whole: BySlice
    nothing: BySlice
    curve: Mapping[float, PerUser]


@dataclass(frozen=True, eq=False, kw_only=True)
class ModalityReport:
    """What each column is worth to one model; `gains` has the numbers, `sentences` says them.

    slices: `all`, `cold`, `rare`, and `no <column>`; all but the first rank and count only items of that kind
    rare: the most interactions of a rare item
    test_opened: how often the process that made this had opened the test part, this time included
    """

    label: str
    metric: str
    columns: tuple[ColumnWorth, ...]
    n_items: int
    rare: int
    seeds: int
    seed: int = 0
    test_opened: int = 1

    @cached_property
    def gains(self) -> dict[str, dict[str, Difference]]:
        """Column → slice → how much more the model is worth with the column than without; p corrected over columns."""
        found: dict[str, dict[str, Difference]] = {column.name: {} for column in self.columns}
        for part in ("all", "cold", "rare"):
            lost = [column.whole[part] - column.by_control["removed"][part] for column in self.columns]
            for column, one in zip(self.columns, holm(differences(lost, self.seed)), strict=True):
                found[column.name][part] = one
        for column in self.columns:
            part = f"no {column.name}"
            lost = [column.whole[part] - column.by_control["removed"][part]]
            found[column.name][part] = differences(lost, self.seed)[0]
        return found

    def against(self, column: ColumnWorth, control: str) -> Difference:
        """A column → how much the model loses under a control, on all items; of `alone`, what it gains over nothing."""
        values = column.by_control[control]["all"]
        lost = values - column.nothing["all"] if control == "alone" else column.whole["all"] - values
        return differences([lost], self.seed)[0]

    def sentences(self) -> tuple[str, ...]:
        """One sentence a column: whether it helps on this data, by how much, and how sure that is."""
        return tuple(self._sentence(column) for column in self.columns)

    def _sentence(self, column: ColumnWorth) -> str:
        gained = self.gains[column.name]["all"]
        if not gained.sure:
            told = (
                f"{column.name}: no effect that could be seen on {self.metric} ({gained}; less than "
                f"{gained.smallest:.4f} would not have been seen)"
            )
            by_itself = self.against(column, "alone")
            if len(self.columns) > 1 and by_itself.sure and by_itself.mean > 0:
                told += f"; alone it is worth {by_itself}, so other columns may tell the same"
        else:
            verb, moves = ("helps", "falls") if gained.mean > 0 else ("harms", "rises")
            low, high = sorted((abs(gained.low), abs(gained.high)))
            by = f"{abs(gained.mean):.4f} [{low:.4f}, {high:.4f}]"
            told = f"{column.name} {verb}: {self.metric} {moves} by {by} without it"
        cold = self.gains[column.name]["cold"]
        if cold.n >= FEW_COLD and cold.sure:
            told += f"; among new items it {'falls' if cold.mean > 0 else 'rises'} by {abs(cold.mean):.4f} without it"
        return f"{told}."

    def curve(self, column: ColumnWorth) -> list[tuple[float, Difference]]:
        """A column → share of its vectors missing, from 0 to 1, and the metric there: mean and interval over users."""
        points = {0.0: column.whole["all"], **column.curve, 1.0: column.by_control["removed"]["all"]}
        return list(zip(points, differences(list(points.values()), self.seed), strict=True))

    @property
    def highest(self) -> float:
        """The top of all curves."""
        return max(at.high for column in self.columns for _, at in self.curve(column)) or 1.0

    def header(self) -> list[str]:
        """The names of the table's columns."""
        return ["column", "items", f"{self.metric} gained [95 % interval]", "p (Holm)", "could be seen from"] + [
            "noise",
            "shuffled",
            "alone",
            "cold",
            "rare",
            "items without it",
        ]

    def rows(self) -> Iterator[list[str]]:
        """The table, a column of the catalog a row: what is gained with it, against each control, slice by slice."""
        for column in self.columns:
            gained = self.gains[column.name]
            against = {control: f"{self.against(column, control).mean:+.4f}" for control in CONTROLS[1:]}
            by_slice = [gained["cold"], gained["rare"], gained[f"no {column.name}"]]
            yield [
                column.name,
                f"{column.n_items / self.n_items:.0%}",
                str(gained["all"]),
                f"{gained['all'].p:.4f}",
                f"{gained['all'].smallest:.4f}",
                *against.values(),
                *(f"{one.mean:+.4f}" if one.n >= FEW_COLD else "-" for one in by_slice),
            ]

    def caption(self) -> str:
        """What the numbers are."""
        first = self.columns[0]
        n = {part: len(first.whole[part]) for part in ("all", "cold", "rare")}
        return (
            f"What each column is worth to {self.label}, the best on validation of those that see content: "
            f"{self.metric} with it minus without it; minus noise of the same moments in its place; minus its own "
            f"vectors shuffled between items; alone: over no content at all. {n['all']:,} test users; cold: "
            f"{n['cold']:,} who went for a new item, ranked among those; rare: {n['rare']:,} who went for one with 1 "
            f"to {self.rare} interactions, likewise. Means of {self.seeds} draws."
        )

    def __str__(self) -> str:
        return "\n".join([self.caption(), *self.sentences()])

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; see `docs/architecture.md`."""

        def told(found: Difference) -> dict[str, Any] | None:
            return found._asdict() if found.n else None

        return {
            "model": self.label,
            "metric": self.metric,
            "seeds": self.seeds,
            "rare": self.rare,
            "test_opened": self.test_opened,
            "columns": [
                {
                    "column": column.name,
                    "modality": column.modality,
                    "n_items": column.n_items,
                    "sentence": self._sentence(column),
                    "gained": {part: told(found) for part, found in self.gains[column.name].items()},
                    "against": {control: told(self.against(column, control)) for control in CONTROLS},
                    "missing": [
                        {"rate": rate, "mean": at.mean, "low": at.low, "high": at.high}
                        for rate, at in self.curve(column)
                    ],
                }
                for column in self.columns
            ],
        }

    @classmethod
    def pool(cls, reports: Sequence[Self]) -> Self:
        """Reports of the same model and columns on several data sets → one over all their users."""
        if not reports:
            raise DataError("no modality reports to pool")
        columns = []
        for same in zip(*(report.columns for report in reports), strict=True):
            columns.append(
                replace(
                    same[0],
                    n_items=round(float(np.mean([one.n_items for one in same]))),
                    by_control={name: _joined([one.by_control[name] for one in same]) for name in same[0].by_control},
                    whole=_joined([one.whole for one in same]),
                    nothing=_joined([one.nothing for one in same]),
                    curve={rate: np.concatenate([one.curve[rate] for one in same]) for rate in same[0].curve},
                )
            )
        return replace(reports[0], columns=tuple(columns), rare=max(report.rare for report in reports))


def _joined(values: Sequence[BySlice]) -> BySlice:
    return {part: np.concatenate([one[part] for one in values]) for part in values[0]}
