"""What all pages share: cards with pictures, the style, and writing that never replaces a file of the user's."""

import base64
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from fuserec.atomic import check_writable, new_file
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import count_causes
from fuserec.data.media import Limits, read_image
from fuserec.errors import ArtifactError, MediaError

THUMBNAIL = 192  # pixels
GENERATOR = b'<meta name="generator" content="fuserec">'  # in the first lines of every page


@dataclass(frozen=True)
class Card:
    """An item as a page shows it; `picture` is a data URI or None, `why` name → share, `note` a line of its own."""

    title: str
    picture: str | None
    why: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def card(catalog: Catalog, row: int, why: Mapping[str, float] | None = None, note: str = "") -> Card:
    """An item → its card."""
    return Card(catalog.title(row), picture(catalog, row), why or {}, note)


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
    if os.path.isdir(path):
        raise ArtifactError(f"{path} is a folder; name a file, {path / 'report.html'} for example")
    if os.path.exists(path):
        with path.open("rb") as file:
            if GENERATOR not in file.read(4_000):
                raise ArtifactError(f"{path} exists and is not a report of fuserec; name another file")
    check_writable(path)


def write_html(path: Path, template: str, **values: Any) -> None:
    """A template's name and its values → the page, written whole or not at all.

    An earlier page is replaced; raises `ArtifactError` for any other file that is there.
    """
    check_page(path)
    environment = Environment(
        loader=PackageLoader("fuserec", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["spaced"] = lambda text: re.sub(r"\s?%", "\N{NO-BREAK SPACE}%", text)
    environment.globals["zip"] = zip
    environment.globals["count_causes"] = count_causes
    environment.globals["percent"] = lambda share: f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
    page = environment.get_template(template).render(values)
    with new_file(path) as place:
        place.write_text(page, encoding="utf-8")
