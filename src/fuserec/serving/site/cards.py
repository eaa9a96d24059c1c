"""Cards: an item as pages show it in a list, and the cells of its own page."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fuserec.data.catalog import MEDIA
from fuserec.recommenders.recommender import Recommender

Card = dict[str, Any]  # item_id, title, picture (an address or None), and what the page says of it
N_REASONS = 4  # told of a recommended item; the rest is `other`


def card_of(model: Recommender, row: int) -> Card:
    """A row of a model → its id, its title and the address of its picture."""
    return {"item_id": model.catalog_.ids[row], "title": model.catalog_.title(row), "picture": picture_of(model, row)}


def picture_of(model: Recommender, row: int) -> str | None:
    """The address of an item's first picture, made small."""
    for column in model.catalog_.columns.values():
        if column.modality == "image" and column.values[row]:
            return _file("thumbs", column.name, model.catalog_.ids[row])
    return None


def _file(kind: str, column: str, item: str) -> str:
    return f"/{kind}/{quote(item, safe='')}?column={quote(column, safe='')}"


def cell_of(model: Recommender, name: str, row: int) -> dict[str, Any] | None:
    """What an item has in a column: a text, or the address of a file."""
    column = model.catalog_.columns[name]
    value = column.values[row]
    if not value:
        return None
    if column.modality in MEDIA:
        return {"name": name, "modality": column.modality, "file": _file("media", name, model.catalog_.ids[row])}
    return {"name": name, "modality": column.modality, "text": value}


def reasons_of(why: Mapping[str, float]) -> list[dict[str, Any]]:
    """What spoke for an item → the largest shares, and what they leave of 1 as `other`."""
    largest = sorted(why.items(), key=lambda reason: -reason[1])[:N_REASONS]
    rest = 1.0 - sum(share for _, share in largest)
    told = [*largest, ("other", rest)] if why and rest >= 0.01 else largest
    return [{"name": name, "share": share} for name, share in told]
