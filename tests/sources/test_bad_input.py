import numpy as np
import polars as pl
import pytest

from fuserec.data.dataset import SetAside
from fuserec.errors import DataError, OptionError
from fuserec.sources.folder import read

ACTIONS = "user_id,item_id\nu,a\nv,b\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\na,Apple\nb,Berry\n")
    (tmp_path / "interactions.csv").write_text(ACTIONS)
    return tmp_path


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("name,price\nx,1\n", r"items.csv has no column of item ids; columns found: name, price; expected item_id"),
        ("item_id,title\n,x\n", "items.csv: no row has an id in column 'item_id'"),
        ("item_id,title\n", "items.csv has no rows"),
        ("item_id,title\nz,x\n", r"interactions.csv: none of the 2 rows names a known item; found 'a' first; .*'z'"),
    ],
)
def test_items_that_cannot_be_used(folder, items, message):
    (folder / "items.csv").write_text(items)
    with pytest.raises(DataError, match=message):
        read(folder)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "item_id,x\na,1\n",
            'interactions.csv has no column of user ids; columns found: item_id, x; .*user = "COLUMN"',
        ),
        ("user_id,x\nu,1\n", "interactions.csv has no column of item ids; columns found: user_id, x"),
        ("user_id,item_id\n", "interactions.csv has no rows"),
        (
            "user,item,time\nu,a,1\nu,a,1400000000000\n",
            'interactions.csv row 2: time 1400000000000 looks like milliseconds; expected unix s.*time_unit = "ms"',
        ),
        ("user,item,time\nu,a,1400000000000000\n", "row 1: time .* looks like a smaller unit"),
        ("user,item,time\nu,a,yesterday\n", "row 1: time 'yesterday' cannot be read; expected unix seconds or an ISO"),
        (
            "user,item,split\nu,a,train\nu,a,holdout\n",
            "row 2: unknown split 'holdout' in column 'split'; expected train; validation, valid, val or dev; test",
        ),
        ("user,item,split\nu,a,train\nu,a,\n", "row 2: unknown split ''"),
        ("user,item,rating\nu,a,good\n", "interactions.csv: no row can be used; .*rating is not a finite number"),
    ],
)
def test_interactions_that_cannot_be_used(folder, rows, message):
    (folder / "interactions.csv").write_text(rows)
    with pytest.raises(DataError, match=message):
        read(folder)


def test_rows_are_set_aside_with_their_cause(folder):
    rows = [
        "u,a,5,1",
        "u,x9,5,2",
        ",a,5,3",
        "u, ,5,4",
        "u,a,NaN,5",
        "u,a,inf,6",
        "u,a,,7",
        "u,a,good,8",
        "u,a,1,",
        "v,b,1,no",
    ]
    (folder / "interactions.csv").write_text("user_id,item_id,rating,timestamp\n" + "\n".join(rows))
    shop = read(folder)
    assert len(shop.interactions) == 1 and list(shop.users) == ["u"]
    assert shop.set_aside[0] == SetAside("read", "interaction", "interactions.csv row 2", "unknown item", "x9")
    assert [(entry.where.split()[-1], entry.reason, entry.found) for entry in shop.set_aside[1:]] == [
        ("3", "empty user id", ""),
        ("4", "empty item id", ""),
        ("5", "rating is not a finite number", "NaN"),
        ("6", "rating is not a finite number", "inf"),
        ("7", "rating is not a finite number", ""),
        ("8", "rating is not a finite number", "good"),
        ("9", "missing time", ""),
        ("10", "time is neither unix seconds nor an ISO date", "no"),
    ]


def test_later_items_of_the_same_id_are_set_aside(folder):
    (folder / "items.csv").write_text("item_id,title\na,Apple\nb,Berry\na,Again\n,Nobody\n")
    shop = read(folder)
    assert shop.catalog.columns["title"].values == ("Apple", "Berry")
    assert shop.set_aside == (
        SetAside("read", "item", "items.csv row 4", "empty item id", ""),
        SetAside("read", "item", "items.csv row 3", "duplicate item id", "a"),
    )


def test_missing_folders_and_files(folder, tmp_path):
    with pytest.raises(DataError, match="no folder and no file .*nowhere; expected a dataset folder or a table"):
        read(tmp_path / "nowhere")
    (folder / "interactions.csv").rename(folder / "acts.csv")
    with pytest.raises(DataError, match="no table of interactions; tables found: acts.csv, items.csv; expected inter"):
        read(folder)
    (folder / "items.csv").unlink()
    with pytest.raises(DataError, match="no table of items; tables found: acts.csv; .*a row per user action"):
        read(folder)
    (folder / "items.csv").write_text("item_id\na\n")
    (folder / "items.json").write_text("[]")
    with pytest.raises(DataError, match='holds items.csv and items.json; expected one .*file = "items.csv"'):
        read(folder)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("nmae = 'x'", OptionError, "dataset.toml: unknown key 'nmae'; did you mean 'name'"),
        ("[itmes]\nid = 'x'", OptionError, "unknown key 'itmes'; did you mean 'items'"),
        ("[items]\nimages = ['x']", OptionError, r"\[items\] unknown key 'images'; did you mean 'image'"),
        ("[vectors.v]\nfiel = 'x'", OptionError, r"\[vectors.v\] unknown key 'fiel'; did you mean 'file'"),
        ("[items]\nid = 3", OptionError, r"\[items\] id = 3; expected a string"),
        ("[items]\ntext = [3]", OptionError, r"\[items\] text = \[3\]; expected a list of column names"),
        ("items = 3", OptionError, r"items = 3; expected a section \[items\]"),
        ("[interactions]\ntime_unit = 'us'", OptionError, 'time_unit = "us"; expected "s" or "ms"'),
        ("[vectors.v]\nfile = 'v.npy'\nmodality = 'audio'", DataError, "no such file"),
        (
            "[vectors.v]\nmodality = 'audio'",
            DataError,
            r"\[vectors.v\] names no file, and there is no vectors/v.npy or vectors/v.parquet; .*write file = \"FILE\"",
        ),
        (
            "[items]\nmedia = 'pics'",
            DataError,
            r"\[items\] media = 'pics', but there is no such folder in .*; expected",
        ),
        ("[items]\nmedia = '..'", DataError, r"\[items\] media = '..', but there is no such folder"),
        (
            "[items]\ntext = ['title']\nimage = ['title']",
            OptionError,
            r"\[items\] text and image both list the column 'title'; expected one modality",
        ),
        ("[users]\nfile = 'items.csv'", DataError, "items.csv has no user_id; columns found: item_id, title; rename"),
        ("name = ", DataError, "dataset.toml is not TOML"),
        ("[items]\nid = 'titel'", DataError, r"items.csv has no column 'titel'.*\[items\] id; did you mean 'title'"),
        ("[items]\nimage = 'photo'", DataError, "no column 'photo'.*Columns found: item_id, title"),
        ("[interactions]\nuser = 'usr_id'", DataError, "no column 'usr_id'.*did you mean 'user_id'"),
        ("[items]\nfile = '../x.csv'", DataError, "leaves the dataset folder"),
        ("[items]\nfile = 'x.csv'", DataError, "there is no such file"),
    ],
)
def test_a_wrong_dataset_toml(folder, text, error, message):
    (folder / "dataset.toml").write_text(text)
    with pytest.raises(error, match=message):
        read(folder)


def test_a_wrong_modality(folder):
    np.save(folder / "v.npy", np.ones((2, 2)))
    (folder / "dataset.toml").write_text("[vectors.v]\nfile = 'v.npy'\nmodality = 'audoi'")
    with pytest.raises(OptionError, match="modality = 'audoi'; did you mean 'audio'"):
        read(folder)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 2)), r"v.npy has the shape \(3, 2\); expected \(2, dim\)"),
        (np.ones(2), r"v.npy holds \(2,\) of float64; expected numbers of the shape"),
        (np.array([["x"], ["y"]]), "v.npy holds .*<U1"),
        (
            np.array([[np.nan, 2], [1, np.inf]]),
            "v.npy: no vector can be used; row 1 has nan in place 1; expected finite",
        ),
        (np.array([[np.nan, np.nan], [1e300, 2]]), "no vector can be used; row 2 has inf in place 1"),
        (np.array([[1], [{}]], dtype=object), "v.npy cannot be read as an array of numbers .*allow_pickle"),
    ],
)
def test_wrong_vectors(folder, array, message):
    (folder / "vectors").mkdir()
    np.save(folder / "vectors" / "v.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        read(folder)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"item_id": ["a", "b"], "vector": [[1.0], [1.0, 2.0]]}, r"v.parquet: vectors of the lengths \[1, 2\]"),
        ({"item_id": ["a"], "vector": [1.0]}, "expected item_id, and vector as lists of numbers"),
        ({"id": ["a"], "vector": [[1.0]]}, "v.parquet has the columns id, vector"),
        (
            {"item_id": ["x", "b"], "vector": [[1.0, 1.0], [1.0, None]]},
            "no vector can be used; row 2 has nan in place 2",
        ),
    ],
)
def test_wrong_tables_of_vectors(folder, table, message):
    (folder / "vectors").mkdir()
    pl.DataFrame(table).write_parquet(folder / "vectors" / "v.parquet")
    with pytest.raises(DataError, match=message):
        read(folder)


def test_broken_vector_files(folder):
    (folder / "vectors").mkdir()
    (folder / "vectors" / "v.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match="v.npy cannot be read as an array of numbers"):
        read(folder)
    (folder / "vectors" / "v.npy").unlink()
    (folder / "vectors" / "v.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="v.parquet cannot be read as Parquet"):
        read(folder)
