"""Roles: which column of a table is what, as `dataset.toml` says, or guessed from names and contents."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from fuserec.data.catalog import MEDIA
from fuserec.errors import DataError, OptionError, did_you_mean

TEXTS, TEXT = "texts", "text"
KEYS: dict[str, dict[str, str]] = {
    "": {"name": TEXT, "encoding": TEXT},
    "items": {"file": TEXT, "id": TEXT, "text": TEXTS, "image": TEXTS, "audio": TEXTS, "video": TEXTS, "media": TEXT},
    "interactions": dict.fromkeys(("file", "user", "item", "rating", "time", "time_unit", "split"), TEXT),
    "users": {"file": TEXT},
    "vectors": {"file": TEXT, "modality": TEXT, "missing": TEXT},
}
NAMES = {  # compared in lower case, without "_" and other signs
    "item": ("itemid", "item", "asin", "sku", "productid", "movieid"),
    "id": ("itemid", "id", "asin", "sku"),
    "user": ("userid", "user", "uid", "reviewerid", "customerid", "memberid", "visitorid"),
    "rating": ("rating", "score", "stars"),
    "time": ("timestamp", "time", "datetime", "date", "ts", "unixreviewtime", "createdat"),
    "split": ("split", "xlabel"),
}
ENDINGS = {
    "image": r"\.(png|jpe?g|webp|gif|bmp)$",
    "audio": r"\.(wav|mp3|ogg|flac|m4a|opus)$",
    "video": r"\.(mp4|webm|mov|mkv)$",
}
NUMBERS = r"^[-+.,:/\s\deETZ]*\d[-+.,:/\s\deETZ]*$|^(?i:nan|[-+]?inf|true|false)$"


@dataclass(frozen=True)
class Settings:
    """What a `dataset.toml` says; what it does not say is absent."""

    top: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, Any] = field(default_factory=dict)
    interactions: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    vectors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def encoding(self) -> str | None:
        """What the text tables are in, when not UTF-8."""
        return self.top.get("encoding")


def read_settings(folder: Path) -> Settings:
    """Folder → what its `dataset.toml` says, nothing when there is none; an unknown key is an `OptionError`."""
    file = folder / "dataset.toml"
    if not file.is_file():
        return Settings()
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise DataError("dataset.toml is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"dataset.toml is not TOML: {error}") from None
    sections = {section: told.pop(section, {}) for section in KEYS if section}
    for section, values in sections.items():
        if not isinstance(values, dict):
            raise OptionError(f"dataset.toml: {section} = {values!r}; expected a section [{section}]")
    known = [*KEYS[""], *sections]
    vectors: dict[str, dict[str, Any]] = {}
    for name, values in sections["vectors"].items():
        if not isinstance(values, dict):
            raise OptionError(f"dataset.toml: [vectors] {name} = {values!r}; expected a section [vectors.{name}]")
        vectors[name] = _checked(values, "vectors", f"[vectors.{name}] ")
    return Settings(
        _checked(told, "", "", known),
        _checked(sections["items"], "items", "[items] "),
        _checked(sections["interactions"], "interactions", "[interactions] "),
        _checked(sections["users"], "users", "[users] "),
        vectors,
    )


def _checked(values: dict[str, Any], section: str, where: str, known: Sequence[str] = ()) -> dict[str, Any]:
    keys = KEYS[section]
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key not in keys:
            names = known or list(keys)
            raise OptionError(
                f"dataset.toml: {where}unknown key {key!r}{did_you_mean(key, names)} Known: {', '.join(names)}."
            )
        if isinstance(value, str):
            checked[key] = value if keys[key] == TEXT else [value]
        elif keys[key] == TEXTS and isinstance(value, list) and all(isinstance(each, str) for each in value):
            checked[key] = value
        else:
            expected = "a string" if keys[key] == TEXT else "a list of column names"
            raise OptionError(f"dataset.toml: {where}{key} = {value!r}; expected {expected}")
    if checked.get("time_unit", "s") not in ("s", "ms"):
        raise OptionError(f'dataset.toml: {where}time_unit = "{checked["time_unit"]}"; expected "s" or "ms"')
    return checked


def plain(name: str) -> str:
    """A column name in lower case without signs: "Item_ID" → "itemid"."""
    return re.sub(r"[\W_]+", "", name.lower())


def find_column(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """The first column whose plain name is one of these, tried in their order."""
    by_name: dict[str, str] = {}
    for column in columns:
        by_name.setdefault(plain(column), column)
    return next((by_name[name] for name in names if name in by_name), None)


def is_id(name: str) -> bool:
    """Whether a column is called like an id: team_id, teamId, TeamID."""
    return bool(re.search(r"[_ -](id|Id|ID)$|[a-z]I[dD]$", name))


def named(columns: Sequence[str], column: str, where: str, key: str) -> str:
    """The column that `dataset.toml` names; a `DataError` when the table has none of that name."""
    if column not in columns:
        raise DataError(
            f"{where} has no column {column!r}, which dataset.toml names as {key}{did_you_mean(column, columns)} "
            f"Columns found: {', '.join(columns)}."
        )
    return column


@dataclass(frozen=True)
class ActionRoles:
    """Which columns of a table of interactions are what."""

    user: str
    item: str
    rating: str | None = None
    time: str | None = None
    split: str | None = None
    time_unit: str = "s"

    @property
    def columns(self) -> dict[str, str]:
        """Column → its role."""
        roles = {"user": self.user, "item": self.item, "rating": self.rating, "time": self.time, "split": self.split}
        return {column: role for role, column in roles.items() if column is not None}


def action_roles(columns: Sequence[str], told: Mapping[str, str], file: str, item: str = "itemid") -> ActionRoles:
    """Column names, and what `dataset.toml` says → roles; `item` is what the table of items calls its ids."""
    unused = [key for key in ("rating", "time", "split") if told.get(key) == ""]  # the owner says that there is none
    said = {
        key: named(columns, told[key], file, f"[interactions] {key}")
        for key in NAMES
        if key in told and key not in unused
    }
    free = [column for column in columns if column not in said.values()]
    own = () if plain(item) == "id" else (plain(item),)
    found = {key: said.get(key) or find_column(free, names) for key, names in NAMES.items() if key != "id"}
    if "item" not in said:
        found["item"] = find_column(free, (*own, *NAMES["item"]))
    if found["user"] is None:
        ids = [column for column in free if is_id(column) and column != found["item"]]
        found["user"] = ids[0] if len(ids) == 1 else None  # of several, only the owner knows
    for key in ("user", "item"):
        if found[key] is None:
            raise DataError(
                f"{file} has no column of {key} ids; columns found: {', '.join(columns)}; expected {key}_id, "
                f'or a dataset.toml with [interactions] {key} = "COLUMN"'
            )
    rest = {key: None if key in unused else found[key] for key in ("rating", "time", "split")}
    return ActionRoles(str(found["user"]), str(found["item"]), **rest, time_unit=told.get("time_unit", "s"))


def item_id(columns: Sequence[str], told: Mapping[str, Any], file: str) -> str:
    """Column names, and what `dataset.toml` says → the column of item ids."""
    if "id" in told:
        return named(columns, told["id"], file, "[items] id")
    ids = [column for column in columns if is_id(column)]
    found = find_column(columns, NAMES["id"]) or (ids[0] if len(ids) == 1 else None)
    if found is None:
        raise DataError(
            f"{file} has no column of item ids; columns found: {', '.join(columns)}; expected item_id, "
            'or a dataset.toml with [items] id = "COLUMN"'
        )
    return found


def modalities(
    frame: pl.DataFrame, told: Mapping[str, Any], file: str, taken: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Table, what `dataset.toml` says, columns that are not an item's → column → modality, column → why left out."""
    said: dict[str, str] = {}
    for modality in ("text", *MEDIA):
        for column in told.get(modality, ()):
            before = said.setdefault(named(frame.columns, column, file, f"[items] {modality}"), modality)
            if before != modality:
                raise OptionError(
                    f"dataset.toml: [items] {before} and {modality} both list the column {column!r}; "
                    "expected one modality a column; delete it from the other"
                )
    found: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for column in frame.columns:
        if column in said:
            found[column] = said[column]
        elif column not in taken:
            modality = _guess(frame[column])
            if modality in ("text", *MEDIA):
                if modality not in told:
                    found[column] = modality
            else:
                left_out[column] = modality
    return found, left_out


def _guess(series: pl.Series) -> str:
    values = series.drop_nulls()
    if values.is_empty():
        return "empty"
    lower = values.str.to_lowercase()
    for modality, ending in ENDINGS.items():
        if (lower.str.contains(ending).mean() or 0) > 0.5:  # type: ignore[operator]
            return modality
    if values.str.contains(NUMBERS).all():
        return "numbers"
    return "links" if lower.str.contains(r"^https?://\S+$").all() else "text"


def guessed(roles: Mapping[str, str], left_out: Mapping[str, str]) -> str:
    """Column → role, column → why left out → "item_id = id; name, text = text; left out: price (numbers)"."""
    by_role: dict[str, list[str]] = {}
    for column, role in roles.items():
        by_role.setdefault(role, []).append(column)
    parts = [f"{', '.join(columns)} = {role}" for role, columns in by_role.items()]
    if left_out:
        parts.append(
            "left out: " + ", ".join(f"{column} ({why})" if why else column for column, why in left_out.items())
        )
    return "; ".join(parts)
