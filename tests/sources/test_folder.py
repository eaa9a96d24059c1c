import json
from collections import Counter

import numpy as np
import polars as pl
import pytest

from fuserec.data.dataset import SetAside
from fuserec.errors import DataError, OptionError
from fuserec.sources.folder import read

ITEMS = (
    "item_id,title,photo,jingle,clip,price,site\na,Apple,a.png,a.mp3,a.mp4,1.5,https://x.org/a\nb,Berry,b.PNG,,,2,\n"
)
ACTIONS = "user_id,item_id,rating,timestamp,split\nu,a,5,10,train\nv,b,3.5,20,valid\nu,b,1,30,test\n"


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "shop"
    place.mkdir()
    (place / "items.csv").write_text(ITEMS)
    (place / "interactions.csv").write_text(ACTIONS)
    return place


def said(folder, text):
    (folder / "dataset.toml").write_text(text, encoding="utf-8")
    return folder


def test_everything_is_guessed_and_told(folder):
    notes = []
    shop = read(folder, on_note=notes.append)
    assert notes == [
        "guessed items.csv: item_id = id; title = text; photo = image; jingle = audio; clip = video; "
        "left out: price (numbers), site (links)",
        "guessed interactions.csv: user_id = user; item_id = item; rating = rating; timestamp = time; split = split",
    ]
    assert shop.name == "shop" and shop.catalog.root == folder
    assert {name: column.modality for name, column in shop.catalog.columns.items()} == {
        "title": "text",
        "photo": "image",
        "jingle": "audio",
        "clip": "video",
    }
    assert shop.catalog.columns["jingle"].values == ("a.mp3", None)
    assert list(shop.catalog.ids) == ["a", "b"] and list(shop.users) == ["u", "v"]
    rows = shop.interactions
    assert rows.users.tolist() == [0, 1, 0] and rows.items.tolist() == [0, 1, 1]
    assert rows.ratings.tolist() == [5, 3.5, 1] and rows.times.tolist() == [10, 20, 30]
    assert rows.splits.tolist() == [0, 1, 2] and shop.set_aside == ()


def test_nothing_is_printed_or_asked_without_a_listener(folder, capsys):
    read(str(folder))
    assert capsys.readouterr() == ("", "")


def test_dataset_toml_is_followed_and_the_rest_guessed(folder):
    (folder / "things.jsonl").write_text('{"code": 1, "word": "one", "price": 3}\n{"code": 2, "word": "two"}\n')
    (folder / "acts.tsv").write_text("who\twhat\twhen\tstars\nx\t1\t5000\t2\n")
    said(
        folder,
        'name = "Things"\n[items]\nfile = "things.jsonl"\nid = "code"\ntext = ["price"]\n'
        '[interactions]\nfile = "acts.tsv"\nuser = "who"\nitem = "what"\ntime = "when"\ntime_unit = "ms"\n',
    )
    notes = []
    shop = read(folder / "dataset.toml", on_note=notes.append)
    assert shop.name == "Things" and list(shop.catalog.columns) == ["price"]
    assert shop.catalog.columns["price"].values == ("3", None)
    assert shop.interactions.times.tolist() == [5] and shop.interactions.ratings.tolist() == [2]
    assert notes == ["guessed acts.tsv: stars = rating"]


def test_a_column_can_be_declared_unused(folder):
    shop = read(said(folder, '[interactions]\nrating = ""\ntime = ""\nsplit = ""\n'))
    assert shop.interactions.ratings is shop.interactions.times is shop.interactions.splits is None


def test_names_of_ids_are_guessed(folder):
    (folder / "interactions.csv").write_text("team_id,sku,is_paid\nt,a,1\n")
    (folder / "items.csv").write_text("SKU,name\na,Apple\n")
    shop = read(folder)
    assert list(shop.users) == ["t"] and list(shop.catalog.ids) == ["a"]


def test_ids_stay_strings(folder):
    (folder / "items.csv").write_text("id,name\n007,Bond\n 8 ,M\n")
    (folder / "interactions.csv").write_text("user_id,item_id\n1,007\n1,8\n")
    assert list(read(folder).catalog.ids) == ["007", "8"]
    (folder / "items.csv").unlink()
    pl.DataFrame({"id": [1.0, 2.0], "name": ["x", "y"]}).write_parquet(folder / "items.parquet")
    (folder / "interactions.csv").write_text("user_id,item_id\n1,2.0\n1,1.0\n")
    notes = []
    shop = read(folder, on_note=notes.append)
    assert list(shop.catalog.ids) == ["1", "2"] and shop.interactions.items.tolist() == [1, 0]
    assert "interactions.csv: the ids in item_id all end in .0, which is left out" in notes


def test_ids_that_were_floats_are_whole_numbers(folder):
    (folder / "items.csv").write_text("code,name\n1.0,x\n,nobody\n2.0,y\n")
    (folder / "interactions.csv").write_text("user_id,item_id\n7.0,2\n,1\n8.0,1\n")
    shop = read(said(folder, '[items]\nid = "code"\n[interactions]\nuser = "user_id"\nitem = "item_id"\n'))
    assert list(shop.catalog.ids) == ["1", "2"] and list(shop.users) == ["7", "8"]
    (folder / "items.csv").write_text("code,name\n1.0,x\n2.5,y\n")  # not whole numbers, so written as they are
    (folder / "interactions.csv").write_text("user_id,item_id\nu,1.0\n")
    assert read(folder).interactions.items.tolist() == [0]


def test_users_can_be_listed(folder):
    (folder / "people.csv").write_text("user_id,age\nw,3\nv,2\nw,4\n,5\n")
    shop = read(said(folder, '[users]\nfile = "people.csv"\n'))
    assert list(shop.users) == ["w", "v", "u"] and shop.interactions.users.tolist() == [2, 1, 2]
    assert [(entry.where, entry.reason) for entry in shop.set_aside] == [
        ("people.csv row 4", "empty user id"),
        ("people.csv row 3", "duplicate user id"),
    ]


def test_dates_of_parquet_have_a_unit_of_their_own(folder):
    (folder / "interactions.csv").unlink()
    said(folder, '[interactions]\ntime = "time"\ntime_unit = "ms"\n')
    moments = pl.Series([5_000_000, 6_000_000]).cast(pl.Datetime("ms"))
    frame = pl.DataFrame({"user": ["u", "v"], "item": ["a", "b"], "time": moments})
    frame.write_parquet(folder / "interactions.parquet")
    notes = []
    assert read(folder, on_note=notes.append).interactions.times.tolist() == [5000, 6000]
    assert "interactions.parquet: time holds dates, which have a unit of their own; time_unit is not used" in notes
    frame.with_columns(pl.col("time").cast(pl.Int64)).write_parquet(folder / "interactions.parquet")
    assert read(folder).interactions.times.tolist() == [5000, 6000]


def test_gbk_is_read_when_only_the_encoding_is_said(folder):
    (folder / "items.csv").write_bytes("item_id,标题\na,苹果手机\nb,草莓蛋糕\n".encode("gbk"))
    with pytest.raises(DataError, match="items.csv header is not UTF-8.*GBK"):
        read(folder)
    shop = read(said(folder, 'encoding = "gbk"\n'))
    assert shop.catalog.columns["标题"].values == ("苹果手机", "草莓蛋糕") and len(shop.interactions) == 3
    with pytest.raises(OptionError, match="unknown encoding 'gkb-9'"):
        read(said(folder, 'encoding = "gkb-9"\n'))


def test_times_are_read_from_dates(folder):
    dates = ["1970-01-01", "1970-01-01 00:01:00", "1970-01-01T02:00:00+01:00", "1970-01-01T00:00:01.9Z", "12.7"]
    (folder / "interactions.csv").write_text("user,item,time\n" + "".join(f"u,a,{date}\n" for date in dates))
    assert read(folder).interactions.times.tolist() == [0, 60, 3600, 1, 12]


def test_media_are_found_in_a_subfolder(folder):
    (folder / "photos").mkdir()
    (folder / "photos" / "a.png").write_bytes(b"")
    notes = []
    shop = read(folder, on_note=notes.append)
    assert shop.catalog.columns["photo"].values == ("photos/a.png", "photos/b.PNG")
    assert shop.catalog.columns["clip"].values == ("a.mp4", None)
    assert "items.csv: the files of photo are in photos/" in notes
    (folder / "deep" / "media").mkdir(parents=True)
    shop = read(said(folder, '[items]\nmedia = "deep/media"\n'))
    assert shop.catalog.columns["photo"].values == ("deep/media/a.png", "deep/media/b.PNG")


def test_paths_cannot_leave_the_folder(folder):
    (folder.parent / "secret.png").write_bytes(b"secret")
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "out").symlink_to(folder.parent, target_is_directory=True)
    (folder / "in").mkdir()
    (folder / "in" / "x.png").write_bytes(b"")
    (folder / "ok.png").symlink_to(folder / "in" / "x.png")
    leaving = [
        "../../etc/passwd.png",
        "/etc/x.png",
        "C:\\x.png",
        "..\\x.png",
        "link.png",
        "out/secret.png",
        "in/../../x.png",
    ]
    kept = {"in\\x.png": "in/x.png", "./in/x.png": "in/x.png", "ok.png": "ok.png", "gone.png": "gone.png"}
    urls = ["https://x.org/a.png", "file:///etc/x.png"]
    values = [*leaving, *kept, *urls]
    rows = [{"item_id": row, "photo": value} for row, value in enumerate(values)]
    (folder / "items.csv").unlink()
    (folder / "items.json").write_text(json.dumps(rows))
    (folder / "interactions.csv").write_text("user,item\nu,0\n")
    shop = read(folder)
    assert shop.catalog.columns["photo"].values == (*[None] * len(leaving), *kept.values(), None, None)
    assert shop.set_aside[0] == SetAside(
        "read", "image", "items.json row 1", "the path leaves the dataset folder", "../../etc/passwd.png"
    )
    assert Counter((entry.what, entry.reason) for entry in shop.set_aside) == {
        ("image", "the path leaves the dataset folder"): len(leaving),
        ("image", "a URL; download the file first"): 2,
    }


def test_vectors_are_read(folder):
    (folder / "vectors").mkdir()
    table = np.array([[1, 2], [np.nan, np.nan]], dtype=np.float16)
    np.save(folder / "vectors" / "photo.npy", table)
    frame = pl.DataFrame({"item_id": ["b", "x", "b", "a"], "vector": [[1.0, 2.0, 3.0], [0.0] * 3, [9.0] * 3, None]})
    frame.write_parquet(folder / "vectors" / "other.parquet")
    (folder / "deep.npy").write_bytes((folder / "vectors" / "photo.npy").read_bytes())
    shop = read(said(folder, '[vectors.deep]\nfile = "deep.npy"\nmodality = "audio"\n'))
    said(folder, '[vectors.photo]\nmodality = "video"\n')
    assert read(folder).embeddings["photo"].modality == "video"  # the file is found by the name
    photo, other, deep = (shop.embeddings[name] for name in ("photo", "other", "deep"))
    assert photo.modality == "image" and photo.made_by == "given: photo.npy" and photo.vectors.dtype == np.float32
    assert photo.present.tolist() == [True, False] and photo.vectors.tolist() == [[1, 2], [0, 0]]
    assert other.modality == "vector" and other.present.tolist() == [False, True]
    assert other.vectors[1].tolist() == [1, 2, 3] and deep.modality == "audio"
    assert [str(entry) for entry in shop.set_aside] == [
        "other.parquet row 2: vector set aside: unknown item (found 'x')",
        "other.parquet row 3: vector set aside: duplicate item id (found 'b')",
    ]


NUMBERS = np.array([[1, 2], [np.nan, 2], [np.nan, np.nan], [3, np.inf]])


def with_numbers(folder, config=""):
    """Items a, b and so on, a row of `NUMBERS` each, as an array and as a table in the opposite order."""
    names = list("abcd")
    (folder / "items.csv").write_text("item_id,title\n" + "".join(f"{name},Item {name}\n" for name in names))
    (folder / "vectors").mkdir()
    np.save(folder / "vectors" / "lab.npy", NUMBERS)
    frame = pl.DataFrame({"item_id": names[::-1], "vector": NUMBERS[::-1].tolist()})
    frame.write_parquet(folder / "vectors" / "table.parquet")
    return read(said(folder, config))


def test_a_vector_with_a_number_that_is_missing_is_set_aside(folder):
    shop = with_numbers(folder)
    for name, file, rows in (("lab", "lab.npy", (2, 4)), ("table", "table.parquet", (3, 1))):
        found = shop.embeddings[name]
        assert found.present.tolist() == [True, False, False, False]  # a whole row of NaN is missing on purpose
        assert found.vectors[0].tolist() == [1, 2] and not found.vectors[1:].any()
        assert [str(entry) for entry in shop.set_aside if file in entry.where] == [
            f"{file} row {rows[0]}: vector set aside: a number that is not finite (found 'nan in place 1')",
            f"{file} row {rows[1]}: vector set aside: a number that is not finite (found 'inf in place 2')",
        ]
    assert len(shop.set_aside) == 4


def test_a_missing_number_can_count_as_zero(folder):
    shop = with_numbers(folder, '[vectors.lab]\nmissing = "zero"\n')
    assert shop.embeddings["lab"].present.tolist() == [True, True, False, False]
    assert shop.embeddings["lab"].vectors[:2].tolist() == [[1, 2], [0, 2]]
    assert shop.embeddings["table"].present.tolist() == [True, False, False, False]
    with pytest.raises(OptionError, match=r"\[vectors.lab\] missing = 'mean'; expected \"zero\", or nothing"):
        read(said(folder, '[vectors.lab]\nmissing = "mean"\n'))


def test_vectors_follow_the_rows_of_the_file_when_items_are_set_aside(folder):
    (folder / "items.csv").write_text("item_id,title\na,Apple\na,Again\n,None\nb,Berry\n")
    (folder / "vectors").mkdir()
    np.save(folder / "vectors" / "text.npy", np.arange(8.0).reshape(4, 2))
    shop = read(folder)
    assert shop.embeddings["text"].vectors.tolist() == [[0, 1], [6, 7]] and shop.embeddings["text"].modality == "text"
