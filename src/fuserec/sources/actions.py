"""What users did: a table of interactions, or one table that tells about users and items at once."""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from posixpath import normpath

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fuserec.data.catalog import MEDIA, Catalog, Column
from fuserec.data.dataset import Dataset, SetAside
from fuserec.data.ids import Ids
from fuserec.data.interactions import MILLISECONDS, Interactions
from fuserec.errors import DataError
from fuserec.sources.formats import Note, read_table, silent
from fuserec.sources.roles import ActionRoles, Settings, action_roles, guessed, modalities, read_settings

LABELS = {
    **{"train": 0, "training": 0, "0": 0},
    **{"validation": 1, "valid": 1, "val": 1, "dev": 1, "1": 1},
    **{"test": 2, "testing": 2, "2": 2},
}
LEAVES = "the path leaves the dataset folder"
IS_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+://|data:)")
SAMPLE = 200  # so many paths of a column are looked up when its subfolder is guessed


def clean_ids(
    frame: pl.DataFrame, column: str, file: str, note: Note, known: Collection[str] = frozenset()
) -> pl.DataFrame:
    """The same table, without spaces around ids; ids that are all written "1.0", as floats are, become "1".

    known: ids of another table; where one of them occurs here as it is written, nothing is cut off
    """
    frame = frame.with_columns(pl.col(column).str.strip_chars())
    ids = frame[column].drop_nulls().unique()
    if not ids.is_empty() and ids.str.contains(r"^\d+\.0$").all() and not any(name in known for name in ids):
        note(f"{file}: the ids in {column} all end in .0, which is left out")
        frame = frame.with_columns(pl.col(column).str.strip_suffix(".0"))
    return frame


def first_rows(ids: pl.Series, noun: str, file: str, aside: list[SetAside]) -> pl.Series:
    """Ids of a table → bool (n,), the first row of each id; the other rows are added to `aside`."""
    again = ids.is_not_null() & ~ids.is_first_distinct()
    for bad, reason in ((ids.is_null(), f"empty {noun} id"), (again, f"duplicate {noun} id")):
        aside += [SetAside("read", noun, f"{file} row {row + 1}", reason, ids[row] or "") for row in bad.arg_true()]
    return ids.is_not_null() & ~again


def action_table(file: Path, settings: Settings, note: Note, item: str = "itemid") -> tuple[pl.DataFrame, ActionRoles]:
    """File of interactions → a frame of String columns, and its roles; `item` is what the table of items calls ids."""
    frame = read_table(file, settings.encoding, note)
    roles = action_roles(frame.columns, settings.interactions, file.name, item)
    if roles.time and roles.time_unit == "ms" and file.suffix.lower() == ".parquet":
        if pl.read_parquet_schema(file)[roles.time].is_temporal():
            note(f"{file.name}: {roles.time} holds dates, which have a unit of their own; time_unit is not used")
            roles = replace(roles, time_unit="s")
    return frame, roles


def note_actions(
    frame: pl.DataFrame, roles: ActionRoles, settings: Settings, items: Mapping[str, str], file: str, note: Note
) -> None:
    """Says which roles were guessed; items: column → role of the columns that tell about items."""
    taken = roles.columns
    guess = {name: role for name, role in taken.items() if role not in settings.interactions}
    guess |= {name: role for name, role in items.items() if role not in settings.items}
    if guess:
        left_out = {name: "" for name in frame.columns if name not in taken and name not in items}
        note(f"guessed {file}: {guessed(guess, left_out)}")


def interactions_of(
    frame: pl.DataFrame, roles: ActionRoles, items: Ids, file: str, listed: Iterable[str] = ()
) -> tuple[Ids, Interactions, list[SetAside]]:
    """Table of String columns, its roles, the items → users, interactions, what was set aside.

    The users are those `listed`, who may have no interaction, and then the others in order of appearance.

    Raises `DataError` when nothing is left, for times in milliseconds, and for an unknown split label.
    """
    user, item = frame[roles.user], frame[roles.item]
    names = pl.Series(list(items), dtype=pl.String)
    item_rows = item.replace_strict(names, pl.arange(0, len(names), eager=True), default=None, return_dtype=pl.Int64)
    checks: list[tuple[str, pl.Series, pl.Series]] = [
        ("empty user id", user.is_null(), user),
        ("empty item id", item.is_null(), item),
        ("unknown item", item_rows.is_null(), item),
    ]
    if item_rows.null_count() == frame.height:
        first = next(iter(item.drop_nulls()), "")
        raise DataError(
            f"{file}: none of the {frame.height:,} rows names a known item; found {first!r} first; "
            f"expected ids like {', '.join(map(repr, items[:3]))}; check which columns hold the item ids"
        )
    ratings = times = splits = None
    if roles.rating:
        text = frame[roles.rating]
        rating = text.str.strip_chars().cast(pl.Float64, strict=False).cast(pl.Float32)
        checks.append(("rating is not a finite number", ~rating.is_finite().fill_null(False), text))
        ratings = rating
    if roles.time:
        text = frame[roles.time]
        time = _seconds(text, roles, file)
        checks.append(("missing time", text.is_null(), text))
        checks.append(("time is neither unix seconds nor an ISO date", time.is_null(), text))
        times = time
    if roles.split:
        splits = _split(frame[roles.split], roles.split, file)
    cause = np.full(frame.height, -1, dtype=np.int8)
    for index, (_, bad, _) in reversed(list(enumerate(checks))):
        cause[bad.to_numpy()] = index  # the first cause that applies is the one told
    gone = np.flatnonzero(cause >= 0)
    aside: list[SetAside] = []
    for row in gone.tolist():
        reason, _, told = checks[cause[row]]
        aside.append(SetAside("read", "interaction", f"{file} row {row + 1}", reason, told[row] or ""))
    if len(gone) == frame.height:
        raise DataError(
            f"{file}: no row can be used; expected at least one. The first: {aside[0]}; mend the "
            f'table, or say in dataset.toml that a column is not to be used, as in [interactions] rating = ""'
        )
    kept = pl.Series(cause < 0)
    user = user.filter(kept)
    users = Ids(dict.fromkeys([*listed, *user.unique(maintain_order=True)]), "user")
    user_rows = user.replace_strict(
        pl.Series(list(users), dtype=pl.String), pl.arange(0, len(users), eager=True), return_dtype=pl.Int64
    )

    def pick(series: pl.Series | None) -> NDArray[np.generic] | None:
        return None if series is None else series.filter(kept).to_numpy()

    arrays = {"ratings": pick(ratings), "times": pick(times), "splits": pick(splits)}
    return users, Interactions(user_rows.to_numpy(), item_rows.filter(kept).to_numpy(), **arrays), aside  # type: ignore[arg-type]


def _seconds(text: pl.Series, roles: ActionRoles, file: str) -> pl.Series:
    number = text.str.strip_chars().cast(pl.Float64, strict=False)
    number = number.set(~number.is_finite().fill_null(False), None)
    if roles.time_unit == "ms":
        number = number / 1000
    late = number.is_not_null() & (number.abs() > MILLISECONDS)
    if late.any():
        row = late.arg_true()[0]
        in_seconds = roles.time_unit == "s"
        looks = "milliseconds" if in_seconds and abs(number[row]) <= 1000 * MILLISECONDS else "a smaller unit"
        expected = "unix seconds" if in_seconds else "milliseconds"
        fix = (
            'write time_unit = "ms" under [interactions] in dataset.toml' if looks == "milliseconds" else "convert them"
        )
        raise DataError(f"{file} row {row + 1}: time {text[row]} looks like {looks}; expected {expected}; {fix}")
    seconds = number.floor().cast(pl.Int64)
    dates = text.filter(number.is_null() & text.is_not_null()).unique()
    if dates.is_empty():
        return seconds
    parsed = pl.Series([_iso_seconds(date) for date in dates], dtype=pl.Int64)
    if seconds.null_count() == len(seconds) and parsed.null_count() == len(parsed):
        row = text.is_not_null().arg_true()[0]
        raise DataError(
            f"{file} row {row + 1}: time {text[row]!r} cannot be read; expected unix seconds or an ISO date such as "
            "2024-05-31T12:00:00Z; rewrite the column, or name another one as [interactions] time in dataset.toml"
        )
    return seconds.fill_null(text.replace_strict(dates, parsed, default=None, return_dtype=pl.Int64))


def _iso_seconds(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.strip())
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() // 1)
    except (ValueError, OverflowError):
        return None


def _split(labels: pl.Series, column: str, file: str) -> pl.Series:
    known = list(LABELS)
    plain = labels.str.strip_chars().str.to_lowercase()
    splits = plain.replace_strict(known, list(LABELS.values()), default=None, return_dtype=pl.Int8)
    if splits.null_count():
        row = splits.is_null().arg_true()[0]
        raise DataError(
            f"{file} row {row + 1}: unknown split {labels[row] or ''!r} in column {column!r}; expected train; "
            "validation, valid, val or dev; test; or 0, 1, 2"
        )
    return splits


def item_columns(
    frame: pl.DataFrame, roles: Mapping[str, str], root: Path, file: str, rows: Sequence[int], media: str, note: Note
) -> tuple[dict[str, Column], list[SetAside]]:
    """Table with a row per item, column → modality → the columns of a catalog, and the paths that were set aside.

    rows: the row of each item in the file, from 0; media: the folder below `root` that paths are relative to
    """
    if media and not (_is_below(os.path.join(root, media), os.path.realpath(root)) and (root / media).is_dir()):
        raise DataError(
            f"dataset.toml: [items] media = {media!r}, but there is no such folder in {root}; "
            "expected the folder that the paths of media start from; mend it, or leave it out to have it guessed"
        )
    columns: dict[str, Column] = {}
    aside: list[SetAside] = []
    for name, modality in roles.items():
        values = frame[name].to_list()
        if modality in MEDIA:
            values, bad, subfolder = media_paths(values, root, media)
            if subfolder:
                note(f"{file}: the files of {name} are in {subfolder}/")
            aside += [
                SetAside("read", modality, f"{file} row {rows[row] + 1}", reason, frame[name][row])
                for row, reason in bad.items()
            ]
        columns[name] = Column(name, modality, tuple(values))
    return columns, aside


def media_paths(
    values: Sequence[str | None], root: Path, media: str = ""
) -> tuple[list[str | None], dict[int, str], str]:
    """Paths as written → paths below `root` or None, row → why it became None, and the subfolder that was found.

    No path that leaves `root`, by itself or by a symbolic link, is kept or opened. Files need not exist.
    """
    paths: list[str | None] = []
    bad: dict[int, str] = {}
    for row, value in enumerate(values):
        path, reason = _below(value, media) if value is not None else (None, "")
        paths.append(path)
        if reason:
            bad[row] = reason
    subfolder = "" if media else _subfolder([path for path in paths if path][:SAMPLE], root)
    real_root = os.path.realpath(root)
    safe: dict[str, bool] = {}
    for row, path in enumerate(paths):
        if path is None:
            continue
        placed = f"{subfolder}/{path}" if subfolder else path
        full = os.path.join(real_root, placed)
        parent = os.path.dirname(full)
        if parent not in safe:
            safe[parent] = _is_below(parent, real_root)
        kept = safe[parent] and (not os.path.islink(full) or _is_below(full, real_root))
        paths[row] = placed if kept else None
        if not kept:
            bad[row] = LEAVES
    return paths, dict(sorted(bad.items())), subfolder


def _below(value: str, media: str) -> tuple[str | None, str]:
    path = value.strip().replace("\\", "/")
    if IS_URL.match(path):
        return None, "a URL; download the file first"
    if "\0" in path:
        return None, "not a file name"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return None, LEAVES
    path = normpath(f"{media}/{path}" if media else path)
    return (None, LEAVES) if path.split("/")[0] in ("..", "") else (path, "")


def _is_below(path: str, real_root: str) -> bool:
    real = os.path.realpath(path)
    return real == real_root or real.startswith(real_root.rstrip(os.sep) + os.sep)


def _subfolder(sample: Sequence[str], root: Path) -> str:
    if not sample or not root.is_dir() or any(os.path.lexists(root / path) for path in sample):
        return ""
    folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    counts = {name: sum(os.path.lexists(root / name / path) for path in sample) for name in folders if name[0] != "."}
    best = max(counts, key=lambda name: counts[name], default="")
    return best if counts.get(best) else ""


def read_actions(file: Path, note: Note = silent, settings: Settings | None = None) -> Dataset:
    """Table with one row per user action, telling of the item as well → the dataset.

    What an item says is the first value that is not empty among its rows. A `dataset.toml` beside the file is heeded.
    """
    settings = read_settings(file.parent) if settings is None else settings
    frame, roles = action_table(file, settings, note)
    for column in (roles.user, roles.item):
        frame = clean_ids(frame, column, file.name, note)
    found, _ = modalities(frame, settings.items, file.name, list(roles.columns))
    note_actions(frame, roles, settings, found, file.name, note)
    table = frame.with_row_index("\0row").filter(pl.col(roles.item).is_not_null())
    if table.is_empty():
        raise DataError(f"{file.name}: no row has an item id in column {roles.item!r}; expected one in each row")
    first = table.group_by(roles.item, maintain_order=True).agg(
        pl.col("\0row").first(), *(pl.col(name).drop_nulls().first() for name in found)
    )
    items = Ids(first[roles.item].to_list())
    columns, aside = item_columns(
        first, found, file.parent, file.name, first["\0row"].to_list(), settings.items.get("media", ""), note
    )
    users, interactions, more = interactions_of(frame, roles, items, file.name)
    aside = [*_differing(table, first, roles.item, found, file.name), *aside, *more]
    catalog = Catalog(items, columns, file.parent.absolute())
    return Dataset(settings.top.get("name", file.stem), catalog, users, interactions, set_aside=tuple(aside))


def _differing(
    table: pl.DataFrame, first: pl.DataFrame, item: str, columns: Iterable[str], file: str
) -> list[SetAside]:
    told = table.join(first, on=item, how="left", suffix="\0first", maintain_order="left")
    found = [
        told.filter(pl.col(name) != pl.col(f"{name}\0first")).select(item, "\0row", pl.col(name).alias("\0value"))
        for name in columns
    ]
    if not found:
        return []
    each = pl.concat(found).sort("\0row", maintain_order=True).unique(item, keep="first", maintain_order=True)
    return [
        SetAside("read", "item", f"{file} row {row + 1}", "differs from the item's first row", value)
        for row, value in zip(each["\0row"], each["\0value"], strict=True)
    ]
