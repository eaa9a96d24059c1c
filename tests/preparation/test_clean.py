from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.data.media import Limits
from fuserec.errors import DataError
from fuserec.preparation.clean import clean, normal_text


@pytest.fixture
def shop(tmp_path):
    for name, color in (("red", "red"), ("red2", "red"), ("blue", "blue")):
        Image.new("RGB", (8, 8), color).save(tmp_path / f"{name}.png")
    Image.new("RGB", (90, 90)).save(tmp_path / "large.png")
    (tmp_path / "text.png").write_text("I am no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    pictures = ("red.png", "red2.png", "blue.png", "text.png", "empty.png", "gone.png", "large.png", None)
    titles = ("Cup", "Cup", "Cup", "a &amp;\x07 b", "ＦＵＬＬ  width", "   ", "g", None)
    columns = {"title": Column("title", "text", titles), "photo": Column("photo", "image", pictures)}
    catalog = Catalog(Ids("abcdefgh"), columns, tmp_path)
    users, items, times = [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 0, 3], [30, 20, 10, 9, 8, 7]
    return Dataset("shop", catalog, Ids(["u", "v"], "user"), Interactions(users, items, None, times))


def test_texts_get_a_normal_form():
    assert normal_text("  Caf\u0065\u0301\t&lt;b&gt; ") == "Café <b>"
    assert normal_text("１２３ ﬁ") == "123 fi"
    assert normal_text(" \x00\u200b ".replace("\u200b", "")) is None


def test_broken_media_are_set_aside_with_a_reason_a_file(shop):
    cleaned = clean(shop, limits=Limits(pixels=1000))
    reasons = {entry.found: entry.reason for entry in cleaned.set_aside if entry.what == "image"}
    assert reasons.keys() == {"text.png", "empty.png", "gone.png", "large.png"}
    assert "cannot be decoded as a picture" in reasons["text.png"]
    assert reasons["empty.png"] == "the file is empty (0 bytes)"
    assert reasons["gone.png"] == "no such file"
    assert "more pixels than the limit of 1,000" in reasons["large.png"]
    photo = cleaned.catalog.columns["photo"]
    assert [value for value in photo.values if value] == ["red.png", "blue.png"]


def test_equal_items_become_one_and_keep_their_users(shop):
    cleaned = clean(shop)
    assert "b" not in cleaned.catalog.ids and "c" in cleaned.catalog.ids  # the blue cup is another item
    gone = [entry for entry in cleaned.set_aside if entry.what == "item"]
    assert [(entry.where, entry.found) for entry in gone] == [("item b", "a")]
    kept = {
        (cleaned.users[u], cleaned.catalog.ids[i]): t
        for u, i, t in zip(
            cleaned.interactions.users, cleaned.interactions.items, cleaned.interactions.times, strict=True
        )
    }
    assert kept == {("u", "a"): 20, ("u", "c"): 10, ("v", "a"): 8, ("v", "d"): 7}
    assert sum((entry.what, entry.reason) == ("interaction", "repeated") for entry in cleaned.set_aside) == 2
    assert len(clean(shop, merge_duplicates=False).catalog.ids) == 8


def test_nothing_is_lost_without_a_record(shop):
    cleaned = clean(shop)
    n_gone = sum(entry.what == "interaction" for entry in cleaned.set_aside)
    assert len(cleaned.interactions) + n_gone == len(shop.interactions)
    assert shop.catalog.columns["photo"].values[3] == "text.png"  # the given dataset is as it was


def test_k_core_holds_for_users_and_items():
    rng = np.random.default_rng(0)
    n_users, n_items = 40, 30
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.22)
    catalog = Catalog(Ids(f"i{row}" for row in range(n_items)), {})
    data = Dataset("d", catalog, Ids((f"u{row}" for row in range(n_users)), "user"), Interactions(users, items))
    core = clean(data, core=4)
    assert np.bincount(core.interactions.users, minlength=core.n_users).min() >= 4
    assert np.bincount(core.interactions.items, minlength=core.n_items).min() >= 4
    assert core.n_users + sum(entry.what == "user" for entry in core.set_aside) == n_users
    with pytest.raises(DataError, match="use a smaller core than 25"):
        clean(data, core=25)


def test_items_without_anything_to_show_are_nobodys_duplicates():
    catalog = Catalog(Ids("ab"), {"title": Column("title", "text", (None, None))})
    data = Dataset("d", catalog, Ids(["u"], "user"), Interactions([0, 0], [0, 1]))
    assert clean(data).n_items == 2
    assert clean(replace(data)).set_aside == ()
