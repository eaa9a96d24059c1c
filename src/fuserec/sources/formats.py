"""Files → tables: CSV, TSV, JSON lines, JSON and Parquet. Every value becomes a string, so ids stay as written."""

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from fuserec.errors import DataError, OptionError

Note = Callable[[str], None]
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
LARGEST_WHOLE = 2.0**53  # beyond it a float no longer tells neighboring whole numbers apart
DECIMAL_COMMA = r"^\s*[-+]?\d+(,\d+)?\s*$"
csv.field_size_limit(2**31 - 1)  # the file is in memory already, so a long text needs no limit of its own


def silent(line: str) -> None:
    """Takes a note and does nothing with it."""


def read_table(path: Path, encoding: str | None = None, note: Note = silent) -> pl.DataFrame:
    """Table file → a frame of String columns; a missing or blank value is null, a list is joined by ", ".

    A line of a CSV file without any value is no row. One with ";" for "," is read as Excel writes it in much of Europe,
    with 4,5 for 4.5. Raises `DataError` for a file that is not there, is not a table, has no rows, or is not in UTF-8
    (or `encoding`).
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path.name}: unknown format {suffix!r}; expected one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise DataError(f"no file {path}; check the name")
    if suffix == ".parquet":
        frame = _read_parquet(path)
    else:
        data = read_utf8(path, encoding)
        if suffix in SEPARATORS:
            separator = _separator(data, suffix)
            frame = parse_csv(data, path.name, separator)
            if separator == ";":
                note(f'{path.name}: the separator is ";", and numbers like 4,5 are read as 4.5')
                numbers = [each.name for each in frame if each.drop_nulls().str.contains(DECIMAL_COMMA).all()]
                frame = frame.with_columns(pl.col(numbers).str.replace(",", ".", literal=True))
        else:
            frame = _columns_of(list(_objects(data.decode(), path.name, lines=suffix == ".jsonl")), path.name)
    if frame.height == 0:
        raise DataError(f"{path.name} has no rows; expected one row per item or per interaction")
    return frame


def _separator(data: bytes, suffix: str) -> str:
    header = next(io.BytesIO(data), b"")
    return ";" if suffix == ".csv" and b";" in header and b"," not in header else SEPARATORS[suffix]


def read_utf8(path: Path, encoding: str | None = None) -> bytes:
    """Text file → its bytes in UTF-8, without a byte order mark; `encoding` is what the file is in, when not UTF-8.

    Raises `DataError` that names the first bad row and what the file looks like.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror})") from None
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        where = _row_of(data[: error.start], path.suffix.lower())
        if encoding is not None:
            raise DataError(
                f"{path.name} {where} is not {encoding}, although dataset.toml says so; "
                "name the encoding that the file has been saved in"
            ) from None
        looks, codec = _looks_like(data)
        raise DataError(
            f"{path.name} {where} is not UTF-8; expected UTF-8; the file looks like {looks}: "
            f'save it as UTF-8, or write encoding = "{codec}" into dataset.toml'
        ) from None
    except LookupError:
        raise OptionError(
            f'dataset.toml: unknown encoding {encoding!r}; expected a name such as "utf-8", "gbk" or "latin-1"'
        ) from None
    if encoding is None:
        return data.removeprefix(codecs.BOM_UTF8)
    return text.removeprefix("\ufeff").encode()


def _row_of(before: bytes, suffix: str) -> str:
    if suffix in SEPARATORS:
        text = io.StringIO((before + b"?").decode("latin-1"), newline="")
        row = sum(1 for _ in csv.reader(text, delimiter=_separator(before, suffix))) - 1
        return f"row {row}" if row else "header"
    line = before.count(b"\n") + 1
    return f"line {line}"


def _looks_like(data: bytes) -> tuple[str, str]:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16", "utf-16"
    runs = re.findall(rb"[\x80-\xff]+", data[:1_000_000])
    in_pairs = sum(len(run) > 1 for run in runs) > len(runs) / 2  # Western letters with accents stand alone
    try:
        data.decode("gb18030")
    except UnicodeDecodeError:
        return "Latin-1 (Windows-1252)", "cp1252"
    return ("GBK", "gbk") if in_pairs else ("Latin-1 (Windows-1252)", "cp1252")


def parse_csv(
    data: bytes, name: str, separator: str, columns: list[str] | None = None, quote: str | None = '"'
) -> pl.DataFrame:
    """UTF-8 bytes of a CSV file → a frame of String columns; `columns` are their names when there is no header.

    Raises `DataError` that names the first row whose number of fields differs from the first one's.
    """
    names = columns or _header(data, name, separator, quote)
    try:
        frame = pl.read_csv(
            data,
            separator=separator,
            has_header=columns is None,
            new_columns=names,
            quote_char=quote,
            infer_schema=False,
        )
    except pl.exceptions.NoDataError:
        raise DataError(f"{name} is empty; expected a header and rows") from None
    except pl.exceptions.PolarsError:  # ragged, or with a quote inside a field, which the slower reader below allows
        rows = list(_rows(data, name, separator, columns, quote))[0 if columns else 1 :]
        frame = pl.DataFrame(rows, schema=[(column, pl.String) for column in names], orient="row")
    if frame.width != len(names):
        raise DataError(f"{name} has {frame.width} columns; expected {len(names)}: {', '.join(names)}")
    if frame.width > 1 and frame[frame.columns[-1]].null_count():  # perhaps rows that end too early
        for _ in _rows(data, name, separator, columns, quote):
            pass
    frame = _blank_to_null(frame)
    return frame.filter(~pl.all_horizontal(pl.all().is_null()))


def _header(data: bytes, name: str, separator: str, quote: str | None) -> list[str]:
    fields = next(_rows(data, name, separator, None, quote), [])
    names = [field.strip() or f"column {place}" for place, field in enumerate(fields, start=1)]
    twice = next((column for column, n in Counter(names).items() if n > 1), None)
    if twice is not None:
        raise DataError(f"{name} has more than one column {twice!r}; expected each name once; rename or delete one")
    return names


def _rows(data: bytes, name: str, separator: str, columns: list[str] | None, quote: str | None) -> Iterator[list[str]]:
    lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")
    if quote is None:
        rows = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE, strict=True)
    else:
        rows = csv.reader(lines, delimiter=separator, quotechar=quote, strict=True)
    expected = len(columns) if columns else 0
    row = 0 if columns else -1
    try:
        for fields in rows:
            if not fields or (row >= 0 and not any(map(str.strip, fields))):  # a header may be blank, a row may not
                continue
            row += 1
            expected = expected or len(fields)
            if len(fields) != expected:
                raise DataError(
                    f"{name} row {row} has {len(fields)} fields; expected {expected}, as in the first line; "
                    f"put text that holds {separator!r} or a line break between quotes"
                )
            yield fields
    except csv.Error as error:
        raise DataError(
            f"{name} row {row + 1} cannot be read ({error}); "
            'expected a closing quote, and quotes inside of quoted text written twice ("")'
        ) from None


def _blank_to_null(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(pl.col(column).str.strip_chars() != "").then(pl.col(column)).alias(column) for column in frame.columns
    )


def _objects(text: str, name: str, lines: bool) -> Iterator[dict[str, Any]]:
    if lines:
        numbered = ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
        for number, line in numbered:
            value = _parse_json(line, f"{name} line {number}", "one JSON object a line")
            if not isinstance(value, dict):
                raise DataError(f"{name} line {number} holds {_kind(value)}; expected one JSON object a line")
            yield value
        return
    rows = _parse_json(text, name, "a list of objects")
    if not isinstance(rows, list):
        raise DataError(f"{name} holds {_kind(rows)}; expected a list of objects, one per row")
    for row, value in enumerate(rows, start=1):
        if not isinstance(value, dict):
            raise DataError(f"{name} row {row} is {_kind(value)}; expected an object with one key per column")
        yield value


def _parse_json(text: str, where: str, expected: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = "" if " line " in where else f" line {error.lineno}"
        raise DataError(
            f"{where}{place} is broken JSON ({error.msg} at column {error.colno}); expected {expected}; "
            "mend or delete it"
        ) from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"{where} cannot be read as JSON ({error}); expected {expected}") from None


def _kind(value: Any) -> str:
    names = {"dict": "an object", "list": "a list", "str": "a string", "bool": "true or false", "NoneType": "null"}
    return names.get(type(value).__name__, "a number")


def _columns_of(rows: list[dict[str, Any]], name: str) -> pl.DataFrame:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    if rows and not keys:
        raise DataError(f"{name} holds only empty objects; expected one key per column")
    try:
        texts = {key: pl.Series([value_text(row.get(key)) for row in rows], dtype=pl.String) for key in keys}
    except UnicodeEncodeError as error:
        raise DataError(
            f"{name} holds {ascii(error.object)[:60]}, with half of a character in it; write the file again as UTF-8"
        ) from None
    return _blank_to_null(pl.DataFrame(texts))


def value_text(value: Any) -> str | None:
    """A JSON or Parquet value → its text: 1.0 → "1", a list → "Grass, Poison", bytes and null → None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < LARGEST_WHOLE else str(value)
    if isinstance(value, bytes):
        return None
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return ", ".join(text for text in map(value_text, value) if text)
    return str(value)


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"{path.name} cannot be read as Parquet ({str(error).splitlines()[0]})") from None
    return _blank_to_null(pl.DataFrame([as_text(series) for series in frame.get_columns()]))


def as_text(series: pl.Series) -> pl.Series:
    """A column of any type → String (n,), null where empty: 1.0 → "1", a time → unix seconds."""
    dtype, value = series.dtype, pl.col(series.name)
    if dtype.is_nested() or dtype == pl.Binary or dtype == pl.Object:
        return pl.Series(series.name, [value_text(each) for each in series.to_list()], dtype=pl.String)
    if dtype.is_float():
        whole = value.is_finite() & (value == value.floor()) & (value.abs() < LARGEST_WHOLE)
        text = (
            pl.when(whole)
            .then(value.cast(pl.Int64, strict=False).cast(pl.String))
            .when(value.is_not_nan())
            .then(value.cast(pl.String))
        )
        return series.to_frame().select(text.alias(series.name)).to_series()
    if isinstance(dtype, pl.Datetime) or dtype == pl.Date:
        return series.dt.epoch("s").cast(pl.String)  # of a time with a zone, the epoch is UTC already
    return series.cast(pl.String)
