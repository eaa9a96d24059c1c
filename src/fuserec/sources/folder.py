"""Dataset folders: tables of items and interactions, media files and vectors → Dataset."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fuserec.data.catalog import MODALITIES, Catalog
from fuserec.data.dataset import Dataset, SetAside
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.errors import DataError, OptionError, did_you_mean
from fuserec.sources.actions import (
    action_table,
    clean_ids,
    first_rows,
    interactions_of,
    item_columns,
    note_actions,
    read_actions,
)
from fuserec.sources.formats import SUFFIXES, Note, as_text, read_table, silent
from fuserec.sources.roles import NAMES, Settings, find_column, guessed, item_id, modalities, read_settings

ITEMS, INTERACTIONS = ("items",), ("interactions", "ratings", "events")


def read(path: str | Path, *, on_note: Callable[[str], None] | None = None) -> Dataset:
    """Dataset folder, or one table with a row per user action → the dataset.

    on_note: takes lines about what was guessed. What cannot be used is in the dataset's `set_aside`.
    """
    place, note = Path(path), on_note or silent
    if place.is_file() and place.name != "dataset.toml":
        return read_actions(place, note)
    folder = place.parent if place.is_file() else place
    if not folder.is_dir():
        raise DataError(f"no folder and no file {place}; expected a dataset folder or a table; check the name")
    settings = read_settings(folder)
    items_file = _table(folder, settings.items.get("file"), ITEMS, "items")
    actions_file = _table(folder, settings.interactions.get("file"), INTERACTIONS, "interactions")
    aside: list[SetAside] = []

    catalog, rows, id_column = _catalog(folder, items_file, settings, note, aside)
    listed = _listed_users(folder, settings, note, aside)
    frame, roles = action_table(actions_file, settings, note, id_column)
    frame = clean_ids(frame, roles.user, actions_file.name, note, set(listed))
    frame = clean_ids(frame, roles.item, actions_file.name, note, catalog.ids)
    note_actions(frame, roles, settings, {}, actions_file.name, note)
    users, interactions, more = interactions_of(frame, roles, catalog.ids, actions_file.name, listed)
    aside += more

    vectors = _vectors(folder, settings, catalog, rows, aside)
    name = settings.top.get("name") or folder.resolve().name
    return Dataset(name, catalog, users, interactions, vectors, tuple(aside))


def _table(folder: Path, told: str | None, names: tuple[str, ...], section: str) -> Path:
    if told is not None:
        return _inside(folder, told, f"[{section}] file")
    found = [folder / f"{name}{suffix}" for name in names for suffix in SUFFIXES]
    found = [file for file in found if file.is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{folder} holds {' and '.join(file.name for file in found)}; expected one table of {section}; "
            f'write file = "{found[0].name}" under [{section}] in dataset.toml'
        )
    tables = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    raise DataError(
        f"{folder} has no table of {section}; tables found: {', '.join(tables) or 'none'}; expected "
        f"{' or '.join(names)} as {', '.join(SUFFIXES)}; name yours as [{section}] file in dataset.toml"
        + (f", or, if {tables[0]} has a row per user action, read that file" if len(tables) == 1 else "")
    )


def _inside(folder: Path, told: str, key: str) -> Path:
    file = folder / told.replace("\\", "/")
    if not file.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"dataset.toml: {key} = {told!r} leaves the dataset folder; put the file inside of it")
    if not file.is_file():
        raise DataError(f"dataset.toml: {key} = {told!r}, but there is no such file in {folder}")
    return file


def _catalog(
    folder: Path, file: Path, settings: Settings, note: Note, aside: list[SetAside]
) -> tuple[Catalog, NDArray[np.int64], str]:
    frame = read_table(file, settings.encoding, note)
    column = item_id(frame.columns, settings.items, file.name)
    roles, left_out = modalities(frame, settings.items, file.name, [column])
    guess = {} if "id" in settings.items else {column: "id"}
    guess |= {name: modality for name, modality in roles.items() if modality not in settings.items}
    if guess:
        note(f"guessed {file.name}: {guessed(guess, left_out)}")
    frame = clean_ids(frame, column, file.name, note)
    kept = first_rows(frame[column], "item", file.name, aside)
    if not kept.any():
        raise DataError(f"{file.name}: no row has an id in column {column!r}; expected one in each row")
    rows = kept.arg_true().to_numpy().astype(np.int64)
    frame = frame.filter(kept)
    columns, bad_paths = item_columns(
        frame, roles, folder, file.name, rows.tolist(), settings.items.get("media", ""), note
    )
    aside += bad_paths
    return Catalog(Ids(frame[column].to_list()), columns, folder.absolute()), rows, column


def _listed_users(folder: Path, settings: Settings, note: Note, aside: list[SetAside]) -> list[str]:
    if "file" not in settings.users:
        return []
    file = _inside(folder, settings.users["file"], "[users] file")
    frame = read_table(file, settings.encoding, note)
    column = find_column(frame.columns, NAMES["user"])
    if column is None:
        raise DataError(f"{file.name} has no user_id; columns found: {', '.join(frame.columns)}; rename one to user_id")
    users = clean_ids(frame, column, file.name, note)[column]
    return users.filter(first_rows(users, "user", file.name, aside)).to_list()


def _vectors(
    folder: Path, settings: Settings, catalog: Catalog, rows: NDArray[np.int64], aside: list[SetAside]
) -> dict[str, Embeddings]:
    files: dict[str, Path] = {}
    for name, told in settings.vectors.items():
        here = [f"vectors/{name}{suffix}" for suffix in (".npy", ".parquet")]
        told_file = told.get("file") or next((each for each in here if (folder / each).is_file()), None)
        if told_file is None:
            raise DataError(
                f"dataset.toml: [vectors.{name}] names no file, and there is no {' or '.join(here)}; "
                f'put one there, or write file = "FILE" under [vectors.{name}]'
            )
        modality = told.get("modality")
        if modality not in (None, *MODALITIES):
            raise OptionError(
                f"dataset.toml: [vectors.{name}] modality = {modality!r}{did_you_mean(str(modality), MODALITIES)} "
                f"Expected one of {', '.join(MODALITIES)}."
            )
        if told.get("missing", "zero") != "zero":
            raise OptionError(
                f'dataset.toml: [vectors.{name}] missing = {told["missing"]!r}; expected "zero", or nothing: '
                "then a vector in which a number is missing is set aside"
            )
        files[name] = _inside(folder, told_file, f"[vectors.{name}] file")
    told_files = {file.resolve() for file in files.values()}
    if (folder / "vectors").is_dir():
        for file in sorted((folder / "vectors").iterdir()):
            if file.suffix.lower() in (".npy", ".parquet") and file.resolve() not in told_files:
                inside = _inside(folder, f"vectors/{file.name}", f"[vectors.{file.stem}] file")
                files.setdefault(file.stem, inside)
    result: dict[str, Embeddings] = {}
    for name, file in files.items():
        if file.suffix.lower() == ".parquet":
            table, rows_of = _vector_table(file, catalog.ids, aside)
        else:
            table, rows_of = read_array(file), rows
            n_rows = len(rows) + sum(entry.what == "item" for entry in aside)
            if len(table) != n_rows:
                raise DataError(
                    f"{file.name} has the shape {table.shape}; expected ({n_rows}, dim): "
                    "one row for each row of the table of items, in its order"
                )
            table = table[rows]
        column, told = catalog.columns.get(name), settings.vectors.get(name, {})
        modality = told.get("modality") or (name if name in MODALITIES else column.modality if column else "vector")
        result[name] = given(table, file.name, modality, rows_of, aside, fill="missing" in told)
    return result


def read_array(file: Path) -> NDArray[np.float32]:
    """.npy file → float32 (n, dim); a `DataError` for pickles, other shapes and what is not numbers."""
    try:
        table = np.load(file, allow_pickle=False)
    except Exception as error:  # a damaged header raises ValueError, SyntaxError, TokenError and more
        raise DataError(
            f"{file.name} cannot be read as an array of numbers ({error}); save it with numpy.save"
        ) from None
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.dtype.kind not in "fiu" or table.shape[1] == 0:
        found = f"{table.shape} of {table.dtype}" if isinstance(table, np.ndarray) else "an archive of arrays"
        raise DataError(f"{file.name} holds {found}; expected numbers of the shape (n_items, dim)")
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, which is told with its row
        return table.astype(np.float32)


def _vector_table(file: Path, ids: Ids, aside: list[SetAside]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    try:
        frame = pl.read_parquet(file, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"{file.name} cannot be read as Parquet ({str(error).splitlines()[0]})") from None
    kind = frame.schema.get("vector")
    if "item_id" not in frame.columns or not (isinstance(kind, pl.List | pl.Array) and kind.inner.is_numeric()):
        raise DataError(
            f"{file.name} has the columns {', '.join(frame.columns)}; expected item_id, and vector as lists of numbers"
        )
    vectors = frame["vector"].cast(pl.List(pl.Float32), strict=False)
    lengths = vectors.list.len().drop_nulls().unique()
    if len(lengths) != 1 or not lengths[0]:
        raise DataError(f"{file.name}: vectors of the lengths {lengths.sort().to_list()}; expected one length for all")
    table = np.full((len(ids), lengths[0]), np.nan, dtype=np.float32)
    names = as_text(frame["item_id"]).str.strip_chars()
    rows = ids.rows(names)
    again = (~names.is_first_distinct()).to_numpy()
    for bad, reason in ((rows < 0, "unknown item"), (again & (rows >= 0), "duplicate item id")):
        aside += [
            SetAside("read", "vector", f"{file.name} row {row + 1}", reason, names[row] or "")
            for row in np.flatnonzero(bad).tolist()
        ]
    kept = (rows >= 0) & ~again & vectors.is_not_null().to_numpy()
    if kept.any():
        numbers = vectors.filter(pl.Series(kept)).explode().cast(pl.Float32).fill_null(np.nan)
        table[rows[kept]] = numbers.to_numpy().reshape(-1, lengths[0])
    rows_of = np.zeros(len(ids), dtype=np.int64)  # of each item that has one, in the file
    rows_of[rows[kept]] = np.flatnonzero(kept)
    return table, rows_of


def given(
    table: NDArray[np.float32],
    file: str,
    modality: str,
    rows: NDArray[np.int64],
    aside: list[SetAside],
    *,
    fill: bool = False,
) -> Embeddings:
    """Numbers from a file, float32 (n_items, dim), and each item's row there → Embeddings.

    An item whose numbers are all NaN has no vector. One of whose numbers some are NaN, or infinite, is set aside: it
    goes on without this vector. With `fill`, NaN in a part of a row counts as 0.
    Raises `DataError` where no vector is left then.
    """
    absent = np.array(np.isnan(table).all(axis=1), dtype=bool)
    if fill:
        table = np.where(np.isnan(table), np.float32(0), table)
    finite = np.isfinite(table)
    bad = np.array(~finite.all(axis=1) & ~absent, dtype=bool)
    for row in np.flatnonzero(bad).tolist():
        place = int((~finite[row]).argmax())
        found = f"{table[row, place]} in place {place + 1}"
        aside.append(SetAside("read", "vector", f"{file} row {rows[row] + 1}", "a number that is not finite", found))
    present = ~(absent | bad)
    if bad.any() and not present.any():
        raise DataError(
            f"{file}: no vector can be used; row {rows[bad.argmax()] + 1} has {aside[-int(bad.sum())].found}; expected "
            "finite numbers, or a whole row of NaN where an item has no vector"
        )
    return Embeddings(np.where(present[:, None], table, np.float32(0)), present, f"given: {file}", modality)
