"""MovieLens: the ratings of GroupLens in their three forms, with plots and posters where somebody added them."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset, SetAside
from fuserec.data.ids import Ids
from fuserec.errors import DataError
from fuserec.sources.actions import first_rows, interactions_of, item_columns
from fuserec.sources.formats import parse_csv, read_table, read_utf8, silent
from fuserec.sources.roles import ActionRoles

RATINGS = ["user_id", "item_id", "rating", "timestamp"]
MOVIES = ["item_id", "title", "genres"]
MORE = ("plot", "cast", "director", "image")
ROLES = ActionRoles("user_id", "item_id", "rating", "timestamp")


def read_movielens(path: str | Path, *, on_note: Callable[[str], None] | None = None) -> Dataset:
    """Folder of ml-100k, ml-1m or ml-latest → the dataset: title and genres, with ratings and times.

    An `items.csv` beside the ratings (item_id, and any of title, genres, plot, cast, director, image) adds to it.
    """
    folder, note = Path(path), on_note or silent
    if (folder / "u.data").is_file():
        file, movies, source, name = folder / "u.data", _u_item(folder), "u.item", "movielens-100k"
        ratings = parse_csv(read_utf8(file), file.name, "\t", RATINGS, quote=None)
    elif (folder / "ratings.dat").is_file():
        file, source, name = folder / "ratings.dat", "movies.dat", folder.resolve().name
        ratings, movies = _double_colons(file, RATINGS), _double_colons(folder / "movies.dat", MOVIES)
    elif (folder / "ratings.csv").is_file():
        file, source, name = folder / "ratings.csv", "movies.csv", folder.resolve().name
        ratings = _renamed(read_table(file), RATINGS, file.name)
        movies = _renamed(read_table(folder / source), MOVIES, source)
    else:
        raise DataError(
            f"{folder} holds no MovieLens ratings; expected u.data with u.item (100k), "
            "ratings.dat with movies.dat (1m), or ratings.csv with movies.csv (latest, 20m)"
        )
    aside: list[SetAside] = []
    movies = movies.with_row_index("row").filter(first_rows(movies["item_id"], "item", source, aside))
    if (folder / "items.csv").is_file():
        source, movies = "items.csv", _with_more(movies, read_table(folder / "items.csv"), aside)
    lists = [column for column in ("genres", "cast", "director") if column in movies.columns]
    movies = movies.with_columns(pl.col(lists).str.replace_all("|", ", ", literal=True)).with_columns(
        pl.col("genres").replace("(no genres listed)", None)
    )
    movies = movies.rename({"image": "poster"}, strict=False)
    texts = [column for column in movies.columns if column not in ("item_id", "row", "poster")]
    roles = dict.fromkeys(texts, "text") | ({"poster": "image"} if "poster" in movies.columns else {})
    columns, bad_paths = item_columns(movies, roles, folder, source, movies["row"].to_list(), "", note)
    items = Ids(movies["item_id"].to_list())
    users, interactions, more = interactions_of(ratings, ROLES, items, file.name)
    note(f"{file.name}: {len(interactions):,} ratings of {len(items):,} movies")
    return Dataset(
        name, Catalog(items, columns, folder.absolute()), users, interactions, set_aside=(*aside, *bad_paths, *more)
    )


def _u_item(folder: Path) -> pl.DataFrame:
    for file in (folder / "u.item", folder / "u.genre"):
        if not file.is_file():
            raise DataError(f"no file {file}; expected u.data, u.item and u.genre side by side")
    genre_lines = read_utf8(folder / "u.genre", "latin-1").decode().split("\n")
    genres = [line.rsplit("|", 1)[0] for line in genre_lines if "|" in line]
    flags = [f"genre {genre}" for genre in genres]
    names = ["item_id", "title", "release", "video", "url", *flags]
    frame = parse_csv(read_utf8(folder / "u.item", "latin-1"), "u.item", "|", names, quote=None)
    each = [pl.when(pl.col(flag) == "1").then(pl.lit(genre)) for flag, genre in zip(flags, genres, strict=True)]
    return frame.select(
        "item_id", "title", pl.concat_str(each, separator="|", ignore_nulls=True).replace("", None).alias("genres")
    )


def _double_colons(file: Path, columns: list[str]) -> pl.DataFrame:
    if not file.is_file():
        raise DataError(f"no file {file}; expected ratings.dat and movies.dat side by side")
    data = read_utf8(file, "latin-1").replace(b"::", b"\t")
    return parse_csv(data, file.name, "\t", columns, quote=None)


def _renamed(frame: pl.DataFrame, columns: list[str], file: str) -> pl.DataFrame:
    frame = frame.rename({"userId": "user_id", "movieId": "item_id"}, strict=False)
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise DataError(f"{file} has no {', '.join(missing)}; columns found: {', '.join(frame.columns)}")
    return frame.select(columns)


def _with_more(movies: pl.DataFrame, more: pl.DataFrame, aside: list[SetAside]) -> pl.DataFrame:
    if "item_id" not in more.columns:
        raise DataError(f"items.csv has no item_id; columns found: {', '.join(more.columns)}")
    more = more.rename({"poster": "image"}, strict=False) if "image" not in more.columns else more
    wanted = [column for column in ("title", "genres", *MORE) if column in more.columns]
    kept = first_rows(more["item_id"], "item", "items.csv", aside)
    more = more.with_row_index("row").select("row", "item_id", *wanted).filter(kept)
    aside += [
        SetAside("read", "item", f"items.csv row {row + 1}", "unknown item", item)
        for row, item in more.join(movies, on="item_id", how="anti", maintain_order="left")
        .select("row", "item_id")
        .rows()
    ]
    joined = movies.join(more, on="item_id", how="left", suffix=" more", maintain_order="left")
    both = ["row", *(column for column in ("title", "genres") if column in wanted)]
    return joined.with_columns(pl.coalesce(f"{column} more", column).alias(column) for column in both).drop(
        f"{column} more" for column in both
    )
