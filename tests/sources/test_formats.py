import json
from datetime import UTC, date, datetime

import polars as pl
import pytest

from fuserec.errors import DataError
from fuserec.sources.formats import read_table, value_text

ROWS = [
    {"item_id": "007", "title": 'The "Best", of\nall', "tags": ["Grass", "Poison"]},
    {"item_id": "8", "title": None},
]
COLUMNS = {"item_id": ["007", "8"], "title": ['The "Best", of\nall', None], "tags": ["Grass, Poison", None]}


def table(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def columns(path, encoding=None):
    return read_table(path, encoding).to_dict(as_series=False)


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl"])
def test_every_text_format_gives_the_same_strings(tmp_path, suffix, bom):
    separator = {".csv": ",", ".tsv": "\t"}.get(suffix)
    if separator:
        lines = ["item_id,title,tags", '007,"The ""Best"", of\nall","Grass, Poison"', "8,,"]
        text = "\n".join(
            [lines[0].replace(",", separator), lines[1].replace(',"', separator + '"'), separator.join("8  ")]
        )
    else:
        text = json.dumps(ROWS) if suffix == ".json" else "\n\n".join(map(json.dumps, ROWS)) + "\n"
    assert columns(table(tmp_path, f"items{suffix}", bom + text.encode())) == COLUMNS


def test_parquet_gives_strings(tmp_path):
    frame = pl.DataFrame(
        {
            "id": [1, 2],
            "whole": [1.0, None],
            "part": [0.5, float("nan")],
            "tags": [["a", "b"], []],
            "day": [date(1970, 1, 2), None],
            "moment": [datetime(1970, 1, 1, 1, tzinfo=UTC), None],
            "blob": [b"x", None],
            "yes": [True, False],
        },
        schema_overrides={"moment": pl.Datetime("us", "Europe/Berlin")},
    )
    frame.write_parquet(tmp_path / "t.parquet")
    assert columns(tmp_path / "t.parquet") == {
        "id": ["1", "2"],
        "whole": ["1", None],
        "part": ["0.5", None],
        "tags": ["a, b", None],
        "day": ["86400", None],
        "moment": ["3600", None],
        "blob": [None, None],
        "yes": ["true", "false"],
    }


def test_quotes_inside_of_fields_and_blank_lines(tmp_path):
    path = table(tmp_path, "t.csv", 'a,b\r\n1,5" disk\r\n\r\n3,say "hi"\r\n4,\r\n')
    assert columns(path) == {"a": ["1", "3", "4"], "b": ['5" disk', 'say "hi"', None]}


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (1.0, "1"), (0.25, "0.25"), (True, "true"), (None, None), ([1, None, "b"], "1, b"), ({"x": "y"}, "y")],
)
def test_value_text(value, text):
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "a,b\n1,2\n3\n4,5\n", "t.csv row 2 has 1 fields; expected 2"),
        ("t.csv", "a,b\n1,2\n3,4,5\n", "t.csv row 2 has 3 fields; expected 2"),
        ("t.csv", 'a,b\n1,"two\nlines"\n3,4,5\n', "t.csv row 2 has 3 fields"),
        ("t.csv", 'a,b\n1,2\n3,"4\n5,6\n', "t.csv row 2 cannot be read .*expected a closing quote"),
        ("t.csv", "a,b, a\n1,2,3\n", "t.csv has more than one column 'a'"),
        ("t.csv", "name,b,name\n1,2,3\n", "t.csv has more than one column 'name'; expected each name once; rename"),
        ("t.csv", 'a,a\n1,5" x\n', "t.csv has more than one column 'a'"),
        ("t.jsonl", '{"a": "x\\ud83d"}', r"t.jsonl holds 'x\\ud83d', with half of a character"),
        ("t.csv", "", "t.csv is empty; expected a header and rows"),
        ("t.csv", "a,b\n", "t.csv has no rows; expected one row per"),
        ("t.jsonl", '{"a": 1}\n\n{"a": \n', "t.jsonl line 3 is broken JSON .*expected one JSON object a line"),
        ("t.jsonl", '{"a": 1}\n[1]\n', "t.jsonl line 2 holds a list"),
        ("t.json", '[{"a": 1},\n{"a" 2}]', "t.json line 2 is broken JSON"),
        ("t.json", '{"a": 1}', "t.json holds an object; expected a list of objects"),
        ("t.json", '[{"a": 1}, 3]', "t.json row 2 is a number"),
        ("t.json", "[]", "t.json has no rows"),
        ("t.json", "[{}]", "t.json holds only empty objects"),
        ("t.json", "[" * 100_000, "t.json cannot be read as JSON"),
        ("t.parquet", "not parquet", "t.parquet cannot be read as Parquet"),
        ("t.xlsx", "", r"unknown format '.xlsx'; expected one of .csv, .tsv"),
    ],
)
def test_what_is_not_a_table(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        read_table(table(tmp_path, name, content))


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match="no file .*t.csv; check the name"):
        read_table(tmp_path / "t.csv")


def test_other_encodings_are_told_and_can_be_named(tmp_path):
    gbk = table(tmp_path, "gbk.csv", "a,b\n1,x\n2,推荐系统\n".encode("gbk"))
    with pytest.raises(
        DataError, match='gbk.csv row 2 is not UTF-8.*looks like GBK.*encoding = "gbk" into dataset.toml'
    ):
        read_table(gbk)
    assert columns(gbk, "gbk")["b"] == ["x", "推荐系统"]
    latin = table(tmp_path, "latin.csv", "a,b\n1,café au lait\n".encode("latin-1"))
    with pytest.raises(DataError, match='row 1 is not UTF-8.*looks like Latin-1.*encoding = "cp1252"'):
        read_table(latin)
    utf16 = table(tmp_path, "wide.csv", "a,b\n1,x\n".encode("utf-16"))
    with pytest.raises(DataError, match='header is not UTF-8.*looks like UTF-16.*encoding = "utf-16"'):
        read_table(utf16)
    assert columns(utf16, "utf-16") == {"a": ["1"], "b": ["x"]}
    with pytest.raises(DataError, match="latin.csv row 1 is not gbk, although dataset.toml says so"):
        read_table(table(tmp_path, "latin.csv", b"a,b\n1,\xff\n"), "gbk")
    with pytest.raises(DataError, match="lines.jsonl line 2 is not UTF-8"):
        read_table(table(tmp_path, "lines.jsonl", b'{"a": 1}\n{"a": "\xcd\xc6\xbc\xf6"}\n'))


@pytest.mark.parametrize("more", ["", '3,5" disk\n'])  # the quote inside of a field is for the slower reader
def test_long_texts(tmp_path, more):
    path = table(tmp_path, "t.csv", "a,b\n1," + "x" * 300_000 + "\n2,\n" + more)
    assert [value and len(value) for value in columns(path)["b"]][:2] == [300_000, None]
    with pytest.raises(DataError, match="t.csv row 2 has 1 fields"):
        read_table(table(tmp_path, "t.csv", "a,b\n1," + "x" * 300_000 + "\n2\n" + more))


def test_a_csv_as_excel_writes_it_in_europe(tmp_path):
    notes = []
    path = table(tmp_path, "t.csv", 'id;title;price;id2\n1;"Salt; 1,5 kg";4,5;1,2,3\n2;Pepper, black;;4\n3;x;3;5\n')
    assert read_table(path, note=notes.append).to_dict(as_series=False) == {
        "id": ["1", "2", "3"],
        "title": ["Salt; 1,5 kg", "Pepper, black", "x"],
        "price": ["4.5", None, "3"],
        "id2": ["1,2,3", "4", "5"],
    }
    assert notes == ['t.csv: the separator is ";", and numbers like 4,5 are read as 4.5']
    assert columns(table(tmp_path, "t.csv", "id,a;b\n1,2\n")) == {"id": ["1"], "a;b": ["2"]}
    with pytest.raises(DataError, match="t.csv row 2 is not UTF-8"):
        read_table(table(tmp_path, "t.csv", b'id;title\n1;"two\nlines"\n2;\xff\n'))


@pytest.mark.parametrize("more", ["", '4,5" disk\n'])
def test_a_csv_line_without_any_value_is_no_row(tmp_path, more):
    path = table(tmp_path, "t.csv", 'a,b\n1,2\n\n,\n , \n"",\n3,\n' + more + ",\n")
    assert [values[:2] for values in columns(path).values()] == [["1", "3"], ["2", None]]
    assert len(columns(path)["a"]) == 2 + bool(more)
    with pytest.raises(DataError, match="t.csv row 2 has 3 fields"):
        read_table(table(tmp_path, "t.csv", "a,b\n1,2\n,\n\n3,4,5\n"))
    assert columns(table(tmp_path, "t.csv", "a\n1\n\n2\n")) == {"a": ["1", "2"]}


def test_columns_without_a_name_get_one(tmp_path):
    path = table(tmp_path, "t.csv", "a,,\n1,2,\n")
    assert columns(path) == {"a": ["1"], "column 2": ["2"], "column 3": [None]}
