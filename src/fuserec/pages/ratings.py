"""The page of rating models: how far predictions are off, where, and whether chances of a like can be believed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fuserec.data.dataset import SetAside
from fuserec.pages.page import write_html
from fuserec.ratings.report import RatingReport


def write_ratings_page(
    path: Path,
    report: RatingReport,
    *,
    set_aside: Sequence[SetAside] = (),
    made_by: Mapping[str, Any] | None = None,
) -> None:
    """Write the page: the table, comparisons, slices, calibration curves, what was set aside, how it was made.

    An earlier page is replaced; raises `ArtifactError` for any other file that is there.
    """
    models = sorted(report.models, key=lambda one: one.label != report.chosen)  # the chosen one first
    errors = [report.estimates[one.label]["rmse"] for one in models]
    lowest, highest = min(one.low or one.mean for one in errors), max(one.high or one.mean for one in errors)
    compared_by, compared = report.comparison()
    sliced_by, sliced = report.by_slice()
    write_html(
        path,
        "ratings.html",
        report=report,
        models=models,
        header=report.header(),
        rows=list(zip(report.models, report.rows(), strict=True)),
        lowest=lowest,
        span=(highest - lowest) or 1.0,
        compared_by=compared_by,
        compared=compared,
        sliced_by=sliced_by,
        sliced=sliced,
        most=max(n for one in models for _, _, n in report.calibration(one.label)),
        set_aside=set_aside,
        made_by=made_by or {},
    )
