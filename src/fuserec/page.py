"""Page: a report and a few users' recommendations → one self-contained HTML file."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from fuserec.atomic import check_writable
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import SetAside
from fuserec.data.media import Limits, read_image
from fuserec.errors import ArtifactError, MediaError
from fuserec.recommenders.recommender import Recommender
from fuserec.report import Report

THUMBNAIL = 128  # pixels
GENERATOR = b'<meta name="generator" content="fuserec">'  # in the first lines of every page


@dataclass(frozen=True)
class Card:
    """An item as the page shows it; `picture` is a data URI or None, `why` name → share."""

    title: str
    picture: str | None
    why: Mapping[str, float]


@dataclass(frozen=True)
class Example:
    """A user: what he chose last, and what is recommended to him."""

    user: str
    history: Sequence[Card]
    recommended: Sequence[Card]


def examples(model: Recommender, users: Sequence[int], *, k: int = 6) -> list[Example]:
    """A fitted model and user rows → their last k items seen, and the k recommended, with pictures."""
    catalog = model.catalog_
    made = []
    for user in users:
        seen = model.seen_[[user]].indices[-k:]
        recommended = model.recommend(model.users_[user], k)
        made.append(
            Example(
                model.users_[user],
                [Card(catalog.title(int(row)), picture(catalog, int(row)), {}) for row in seen],
                [Card(item.title, picture(catalog, catalog.ids.row(item.item_id)), item.why) for item in recommended],
            )
        )
    return made


def picture(catalog: Catalog, row: int) -> str | None:
    """An item → its first picture as a small JPEG in a data URI, or None."""
    for column in catalog.columns.values():
        path = catalog.path(column.name, row) if column.modality == "image" else None
        if path is not None:
            try:
                image = Image.fromarray(read_image(path, Limits()))
            except MediaError:
                continue
            image.thumbnail((THUMBNAIL, THUMBNAIL))
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=80)
            return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return None


def check_page(path: Path) -> None:
    """Raise `ArtifactError` when a page cannot be written there, or would overwrite what is not an earlier page."""
    if path.is_dir():
        raise ArtifactError(f"{path} is a folder; name a file, {path / 'report.html'} for example")
    if path.exists():
        with path.open("rb") as file:
            if GENERATOR not in file.read(4_000):
                raise ArtifactError(f"{path} exists and is not a report of fuserec; name another file")
    check_writable(path)


def write_page(
    path: Path,
    report: Report,
    *,
    shown: Sequence[Example] = (),
    set_aside: Sequence[SetAside] = (),
    made_by: Mapping[str, Any] | None = None,
) -> None:
    """Write the page: the table, example users with pictures, what was set aside, how it was made.

    An earlier page is replaced; raises `ArtifactError` for any other file that is there.
    """
    check_page(path)
    environment = Environment(
        loader=PackageLoader("fuserec", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    metric = f"ndcg@{report.k}"
    estimates = {label: found[metric] for label, found in report.estimates.items()}
    page = environment.get_template("report.html").render(
        report=report,
        rows=list(zip(report.models, report.rows(), strict=True)),
        metric=metric,
        estimates=estimates,
        highest=max(estimate.high or estimate.mean for estimate in estimates.values()) or 1.0,
        shown=shown,
        set_aside=set_aside,
        made_by=made_by or {},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(path)
