import numpy as np
import pytest

from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.errors import ArtifactError, DataError
from fuserec.sources.folder import read
from fuserec.sources.write import write


def made(root, photos=("pics/1.png", None, "pics/gone.png")):
    (root / "pics").mkdir(parents=True)
    (root / "pics" / "1.png").write_bytes(b"one")
    (root / "2.wav").write_bytes(b"two")
    columns = [
        Column("title", "text", ('The "Best", of\r\nall\rhere', None, "https://x.org/a.png")),
        Column("year", "text", ("1999", "2000", None)),
        Column("item_id", "text", ("x", "y", "z")),
        Column("photo", "image", photos),
        Column("jingle 声", "audio", (None, "2.wav", None)),
    ]
    given = Embeddings(np.array([[1, 2], [3, 4], [0, 0]]), np.array([True, True, False]), "given: x.npy", "image")
    ones, all_items = np.ones((3, 4)), np.ones(3, bool)
    vectors = {
        "photo/x": given,
        "photo": Embeddings(ones, all_items, '{"model": "of my own"}', "image"),
        "clip": Embeddings(ones, all_items, '{"encoder": "of a column that is not here"}'),
        "title": Embeddings(ones, all_items, '{"encoder": "TfidfText"}'),
        "fused": Embeddings(ones, all_items, '{"fuser": "Sum"}', parts={"photo": all_items}),
    }
    rows = {"users": [1, 0, 1], "items": [2, 0, 1], "ratings": [0.1, 2, 3.5], "times": [5, 6, 7], "splits": [0, 2, 1]}
    return Dataset(
        "The shop: 店",
        Catalog(Ids(["007", "1.0", "c"]), {column.name: column for column in columns}, root),
        Ids(["v", "u", "lurker"], "user"),
        Interactions(**{name: np.array(values) for name, values in rows.items()}),
        vectors,
    )


def pairs(shop):
    rows = shop.interactions
    return [(shop.users[user], shop.catalog.ids[item]) for user, item in zip(rows.users, rows.items, strict=True)]


def same(one, two):
    assert one.name == two.name and list(one.catalog.ids) == list(two.catalog.ids)
    assert list(one.users) == list(two.users)
    assert list(one.catalog.columns) == list(two.catalog.columns)
    for name, column in one.catalog.columns.items():
        assert column.modality == two.catalog.columns[name].modality
        if column.modality == "text":
            assert column.values == two.catalog.columns[name].values
    assert pairs(one) == pairs(two)
    for name in ("ratings", "times", "splits"):
        assert np.array_equal(getattr(one.interactions, name), getattr(two.interactions, name))


def test_what_is_written_is_read_back(tmp_path):
    shop = made(tmp_path / "from")
    write(shop, tmp_path / "to")
    notes = []
    back = read(tmp_path / "to", on_note=notes.append)
    same(shop, back)
    assert notes == [] and back.set_aside == ()
    assert back.catalog.columns["photo"].values == ("photo/1.png", None, "photo/gone.png")
    assert back.catalog.columns["jingle 声"].values == (None, "jingle_声/2.wav", None)
    assert back.catalog.path("photo", 0).read_bytes() == b"one"
    assert back.catalog.path("jingle 声", 1).read_bytes() == b"two"
    assert list(back.embeddings) == ["photo/x", "photo", "clip"]
    vectors = back.embeddings["photo/x"]
    assert vectors.modality == "image" and vectors.present.tolist() == [True, True, False]
    assert vectors.vectors.tolist() == [[1, 2], [3, 4], [0, 0]]
    stored = np.load(tmp_path / "to" / "vectors" / "photo_x.npy")
    assert np.isnan(stored[2]).all()
    write(back, tmp_path / "again")
    again = read(tmp_path / "again")
    same(back, again)
    assert again.sha256 == back.sha256


def test_files_of_the_same_name_are_kept_apart(tmp_path):
    shop = made(tmp_path / "from", ("pics/1.png", "1.png", None))
    (tmp_path / "from" / "1.png").write_bytes(b"another")
    write(shop, tmp_path / "to")
    back = read(tmp_path / "to")
    assert back.catalog.columns["photo"].values == ("photo/pics/1.png", "photo/1.png", None)
    assert back.catalog.path("photo", 1).read_bytes() == b"another"


def test_implicit_interactions_without_columns(tmp_path):
    rows = Interactions(np.array([0, 0]), np.array([1, 0]))
    shop = Dataset("plain", Catalog(Ids(["a", "b"]), {}), Ids(["u"], "user"), rows)
    write(shop, str(tmp_path / "to"))
    assert not (tmp_path / "to" / "users.csv").exists()  # interactions.csv tells them all, in their order
    back = read(tmp_path / "to")
    assert back.interactions.ratings is back.interactions.times is back.interactions.splits is None
    assert back.sha256 == shop.sha256


def test_all_or_nothing(tmp_path):
    shop = made(tmp_path / "from", ("../../etc/passwd", None, None))
    with pytest.raises(DataError, match="item '007': photo = .* cannot be copied: the path leaves the dataset folder"):
        write(shop, tmp_path / "to")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["from"]
    with pytest.raises(ArtifactError, match="exists and holds something else"):
        write(shop, tmp_path / "from")
    shop = made(tmp_path / "other")
    odd = Dataset("x", shop.catalog.with_column(Column("v", "vector", (None,) * 3)), shop.users, shop.interactions)
    with pytest.raises(DataError, match="column 'v' holds vector; expected text or media"):
        write(odd, tmp_path / "to")
