"""Dataset → a dataset folder that `read` reads back the same."""

import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import polars as pl
import tomli_w

from fuserec.atomic import new_folder
from fuserec.data.catalog import MEDIA, Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.interactions import SPLITS
from fuserec.errors import DataError
from fuserec.sources.actions import media_paths


def write(dataset: Dataset, folder: str | Path) -> None:
    """Dataset → a new folder: dataset.toml, items.csv, interactions.csv, media by column, given vectors.

    A users.csv is added when users have no interactions, or another order than in interactions.csv. All or nothing;
    raises `ArtifactError` when the folder holds something. Not written: vectors of a column that an encoder made and
    fused ones (they are made again), and the record of what was set aside. Ids that all end in .0 are read without it.
    """
    with new_folder(Path(folder)) as place:
        told: dict[str, Any] = {"name": dataset.name}
        told["items"] = _write_items(dataset.catalog, place)
        told["interactions"] = _write_interactions(dataset, place)
        if list(dict.fromkeys(dataset.interactions.users.tolist())) != list(range(dataset.n_users)):
            told["users"] = {"file": "users.csv"}
            pl.DataFrame({"user_id": list(dataset.users)}, schema={"user_id": pl.String}).write_csv(place / "users.csv")
        vectors = _write_vectors(dataset, place)
        if vectors:
            told["vectors"] = vectors
        (place / "dataset.toml").write_text(tomli_w.dumps(told), encoding="utf-8", newline="\n")


def _write_items(catalog: Catalog, place: Path) -> dict[str, Any]:
    id_column = "item_id"
    while id_column in catalog.columns:
        id_column += "_"
    told: dict[str, Any] = {"file": "items.csv", "id": id_column, "text": [], **{modality: [] for modality in MEDIA}}
    series = [pl.Series(id_column, list(catalog.ids), dtype=pl.String)]
    folders = {"vectors"}
    for name, column in catalog.columns.items():
        if column.modality not in told:
            raise DataError(
                f"column {name!r} holds {column.modality}; expected text or media; store vectors as vectors"
            )
        told[column.modality].append(name)
        values = list(column.values)
        if column.modality in MEDIA:
            values = _copy_media(catalog, column, place, _file_name(name, folders))
        series.append(pl.Series(name, values, dtype=pl.String))
    pl.DataFrame(series).write_csv(place / "items.csv")
    return told


def _write_interactions(dataset: Dataset, place: Path) -> dict[str, str]:
    told = {"file": "interactions.csv", "user": "user_id", "item": "item_id"}
    rows = dataset.interactions
    users = pl.Series("user_id", list(dataset.users), dtype=pl.String).gather(pl.Series(rows.users))
    items = pl.Series("item_id", list(dataset.catalog.ids), dtype=pl.String).gather(pl.Series(rows.items))
    series = [users, items]
    if rows.ratings is not None:
        told["rating"] = "rating"
        series.append(pl.Series("rating", rows.ratings))
    if rows.times is not None:
        told["time"] = "timestamp"
        series.append(pl.Series("timestamp", rows.times))
    if rows.splits is not None:
        told["split"] = "split"
        series.append(pl.Series("split", SPLITS).gather(pl.Series(rows.splits.astype(np.int64))))
    pl.DataFrame(series).write_csv(place / "interactions.csv")
    return told


def _copy_media(catalog: Catalog, column: Column, place: Path, folder: str) -> list[str | None]:
    root = catalog.root
    if root is None:
        raise DataError(f"column {column.name!r} holds paths, and the catalog has no root folder that they start from")
    _, bad, _ = media_paths(column.values, root)
    if bad:
        row, reason = next(iter(bad.items()))
        raise DataError(f"item {catalog.ids[row]!r}: {column.name} = {column.values[row]!r} cannot be copied: {reason}")
    distinct = dict.fromkeys(value for value in column.values if value is not None)
    below = {value: value.removeprefix(f"{folder}/") for value in distinct}
    short = {value: name if name != value else PurePosixPath(value).name for value, name in below.items()}
    plans = (short, below, {value: value for value in distinct})  # the first in which no two files share a name
    plan = next(names for names in plans if names is plans[-1] or len({*map(str.lower, names.values())}) == len(names))
    targets = {value: f"{folder}/{name}" for value, name in plan.items()}
    for value in distinct:
        source, target = root / value, place / targets[value]
        if source.is_file():  # one that is not there stays as it was told
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return [None if value is None else targets[value] for value in column.values]


def _write_vectors(dataset: Dataset, place: Path) -> dict[str, dict[str, str]]:
    told: dict[str, dict[str, str]] = {}
    files: set[str] = set()
    for name, embeddings in dataset.embeddings.items():
        encoded = name in dataset.catalog.columns and embeddings.made_by.startswith('{"encoder"')
        if encoded or embeddings.parts:  # only fused vectors have parts
            continue
        file = f"vectors/{_file_name(name, files)}.npy"
        told[name] = {"file": file, "modality": embeddings.modality}
        (place / "vectors").mkdir(exist_ok=True)
        vectors = np.where(embeddings.present[:, None], embeddings.vectors, np.float32(np.nan))
        np.save(place / file, vectors, allow_pickle=False)
    return told


def _file_name(name: str, taken: set[str]) -> str:
    """A name that is safe for a file on every system and not yet taken, which it then is."""
    safe = stem = re.sub(r"[^\w-]+", "_", name).strip("_")[:60] or "column"
    number = 2
    while safe.lower() in taken:
        safe, number = f"{stem}_{number}", number + 1
    taken.add(safe.lower())
    return safe
