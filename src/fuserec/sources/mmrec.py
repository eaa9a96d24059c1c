"""MMRec: NAME.inter and arrays of ready-made vectors, the form of the public multimodal benchmarks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from fuserec.data.catalog import MODALITIES, Catalog
from fuserec.data.dataset import Dataset, SetAside
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.errors import DataError
from fuserec.sources.actions import interactions_of
from fuserec.sources.folder import given, read_array
from fuserec.sources.formats import parse_csv, read_utf8
from fuserec.sources.roles import ActionRoles

SHORT = {"v": "image", "t": "text", "a": "audio"}


def read_mmrec(path: str | Path, *, on_note: Callable[[str], None] | None = None) -> Dataset:
    """Folder with NAME.inter (userID, itemID, x_label, tab separated) and `*_feat.npy` → the dataset, without columns.

    Row k of every array is the item with itemID k; x_label is 0 train, 1 validation, 2 test.
    """
    place = Path(path)
    file = place if place.is_file() else _inter_file(place)
    frame = parse_csv(read_utf8(file), file.name, "\t", quote=None)
    if frame.is_empty():
        raise DataError(f"{file.name} has no rows; expected one per interaction")
    for column in ("userID", "itemID"):
        if column not in frame.columns:
            raise DataError(
                f"{file.name} has no column {column}; columns found: {', '.join(frame.columns)}; "
                "expected userID, itemID, x_label and optionally rating, timestamp, tab separated"
            )
    number = frame["itemID"].cast(pl.UInt32, strict=False)
    if number.null_count():
        row = number.is_null().arg_true()[0]
        raise DataError(f"{file.name} row {row + 1}: itemID {frame['itemID'][row]!r}; expected a row number from 0")
    aside: list[SetAside] = []
    embeddings = _embeddings(file.parent, aside)
    sizes = {name: each.n_items for name, each in embeddings.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"{file.parent}: arrays of different lengths {sizes}; expected one row per item in each")
    last = int(number.max())  # type: ignore[arg-type]
    n_items = next(iter(sizes.values()), last + 1)
    if last >= n_items:
        row = (number == last).arg_true()[0]
        raise DataError(f"{file.name} row {row + 1}: itemID {last}, but the vectors have {n_items} rows; expected less")
    items = Ids(str(row) for row in range(n_items))
    rating, time, split = (name if name in frame.columns else None for name in ("rating", "timestamp", "x_label"))
    roles = ActionRoles("userID", "itemID", rating, time, split)
    frame = frame.with_columns(number.cast(pl.String))
    users, interactions, more = interactions_of(frame, roles, items, file.name)
    if on_note is not None:
        vectors = ", ".join(f"{name} {each.vectors.shape}" for name, each in embeddings.items())
        on_note(f"{file.name}: {len(interactions):,} interactions; vectors: {vectors or 'none'}")
    return Dataset(file.stem, Catalog(items, {}), users, interactions, embeddings, (*aside, *more))


def _inter_file(folder: Path) -> Path:
    found = sorted(folder.glob("*.inter"))
    found = [file for file in found if file.stem == folder.resolve().name] or found
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise DataError(f"{folder}: .inter files found: {names}; expected one NAME.inter; give the path of one")
    return found[0]


def _embeddings(folder: Path, aside: list[SetAside]) -> dict[str, Embeddings]:
    embeddings: dict[str, Embeddings] = {}
    for file in sorted(folder.glob("*_feat.npy")):
        prefix = file.name.removesuffix("_feat.npy")
        name = SHORT.get(prefix, prefix)
        if name in embeddings:
            raise DataError(
                f"{folder}: {file.name} and another file both hold the vectors {name!r}; remove one of them"
            )
        table = read_array(file)
        modality = name if name in MODALITIES else "vector"
        embeddings[name] = given(table, file.name, modality, np.arange(len(table)), aside)
    return embeddings
