import pytest

from fuserec.data.dataset import SetAside
from fuserec.errors import DataError
from fuserec.sources.folder import read


def single(tmp_path, text, name="shop.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_row_per_action_tells_of_users_and_items(tmp_path):
    notes = []
    path = single(
        tmp_path,
        "user_id,item_id,text,image,sound,rating,timestamp\n"
        "u,b,,b.jpg,b.wav,4,100\nv,a,Apple,a.jpg,,5,50\nu,b,Berry,b.jpg,b.wav,3,200\nv,b,Other,x.jpg,,x,300\n",
    )
    shop = read(path, on_note=notes.append)
    assert notes == [
        "guessed shop.csv: user_id = user; item_id = item; rating = rating; timestamp = time; "
        "text = text; image = image; sound = audio"
    ]
    assert shop.name == "shop" and shop.catalog.root == tmp_path
    assert list(shop.catalog.ids) == ["b", "a"] and list(shop.users) == ["u", "v"]
    columns = shop.catalog.columns
    assert columns["text"].values == ("Berry", "Apple") and columns["image"].values == ("b.jpg", "a.jpg")
    assert columns["sound"].values == ("b.wav", None) and columns["sound"].modality == "audio"
    assert shop.interactions.ratings.tolist() == [4, 5, 3] and shop.interactions.times.tolist() == [100, 50, 200]
    assert shop.set_aside == (
        SetAside("read", "item", "shop.csv row 4", "differs from the item's first row", "Other"),
        SetAside("read", "interaction", "shop.csv row 4", "rating is not a finite number", "x"),
    )


def test_time_is_optional_and_numbers_are_left_out(tmp_path):
    notes = []
    shop = read(single(tmp_path, "user_id,item_id,text,price\nu,1.0,one,3\nu,2.0,two,4\n"), on_note=notes.append)
    assert shop.interactions.times is None and shop.interactions.ratings is None
    assert list(shop.catalog.ids) == ["1", "2"] and list(shop.catalog.columns) == ["text"]
    assert notes[-1] == "guessed shop.csv: user_id = user; item_id = item; text = text; left out: price"


def test_dataset_toml_beside_the_table_is_heeded(tmp_path):
    path = tmp_path / "shop.csv"
    path.write_bytes("谁,什么,说明\n甲,乙,推荐系统\n".encode("gbk"))
    (tmp_path / "dataset.toml").write_text(
        'name = "店"\nencoding = "gbk"\n[interactions]\nuser = "谁"\nitem = "什么"\n[items]\ntext = "说明"\n', "utf-8"
    )
    notes = []
    shop = read(path, on_note=notes.append)
    assert shop.name == "店" and list(shop.users) == ["甲"] and notes == []
    assert shop.catalog.columns["说明"].values == ("推荐系统",)


def test_paths_of_a_single_table_stay_inside(tmp_path):
    shop = read(single(tmp_path, "user_id,item_id,image\nu,a,\nu,a,../x.png\nu,b,b.png\n"))
    assert shop.catalog.columns["image"].values == (None, "b.png")
    assert [str(entry) for entry in shop.set_aside] == [
        "shop.csv row 1: image set aside: the path leaves the dataset folder (found '../x.png')"
    ]


def test_empty_ids_are_set_aside(tmp_path):
    shop = read(single(tmp_path, "user_id,item_id,text\n,a,Apple\nu,,Nothing\nu,a,Apple\n"))
    assert [(entry.where, entry.reason) for entry in shop.set_aside] == [
        ("shop.csv row 1", "empty user id"),
        ("shop.csv row 2", "empty item id"),
    ]
    with pytest.raises(DataError, match="no row has an item id in column 'item_id'"):
        read(single(tmp_path, "user_id,item_id,text\nu,,Apple\n"))
