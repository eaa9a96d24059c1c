"""Page: a report and a few users' recommendations → one self-contained HTML file."""

import base64
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from fuserec.atomic import check_writable
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import SetAside, count_causes
from fuserec.data.media import Limits, read_image
from fuserec.errors import ArtifactError, MediaError
from fuserec.recommenders.recommender import Recommender
from fuserec.report import Report

THUMBNAIL = 192  # pixels
N_REASONS, N_COLORS = 3, 6  # reasons shown of an item, the rest is "other"; colors in the style sheet
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


def reasons(why: Mapping[str, float]) -> list[tuple[str, float]]:
    """Name → share of a score → the largest of them, and what they leave of 1 as "other"."""
    largest = sorted(why.items(), key=lambda reason: -reason[1])[:N_REASONS]
    rest = 1.0 - sum(share for _, share in largest)
    return [*largest, ("other", rest)] if why and rest >= 0.005 else largest


def colors(shown: Sequence[Example]) -> dict[str, str]:
    """Examples → name of a reason → its class in the style sheet, the same on the whole page.

    Without entries where there are more names than colors: they are items then, and all have one color.
    """
    names = dict.fromkeys(
        name for example in shown for card in example.recommended for name, _ in reasons(card.why) if name != "other"
    )
    known = {name: f"c{place}" for place, name in enumerate(names)} if len(names) <= N_COLORS else {}
    return {**known, "other": "other"}


def check_page(path: Path) -> None:
    """Raise `ArtifactError` when a page cannot be written there, or would overwrite what is not an earlier page."""
    if os.path.isdir(path):
        raise ArtifactError(f"{path} is a folder; name a file, {path / 'report.html'} for example")
    if os.path.exists(path):
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
    environment.filters["spaced"] = lambda text: re.sub(r"\s?%", "\N{NO-BREAK SPACE}%", text)
    metric = f"ndcg@{report.k}"
    estimates = {label: found[metric] for label, found in report.estimates.items()}
    page = environment.get_template("report.html").render(
        report=report,
        rows=list(zip(report.models, report.rows(), strict=True)),
        header=report.header(),
        zip=zip,
        estimates=estimates,
        highest=max(estimate.high or estimate.mean for estimate in estimates.values()) or 1.0,
        shown=shown,
        reasons=reasons,
        colors=colors(shown),
        percent=lambda share: f"{100 * share:.0f}\N{NO-BREAK SPACE}%",
        causes=count_causes(set_aside),
        set_aside=set_aside,
        made_by=made_by or {},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(path)
