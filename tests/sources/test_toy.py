"""The toy shop: it can be decoded, it is the same every time, and its planted tastes reward more than one modality."""

import csv
from pathlib import Path

import numpy as np
import pytest

from fuserec.data.catalog import MEDIA
from fuserec.data.dataset import Dataset
from fuserec.data.media import Limits, read_audio, read_frames, read_image
from fuserec.errors import DataError, MediaError, OptionError
from fuserec.sources import toy
from fuserec.sources.toy import toy_shop

LIMITS = Limits()
SEEN_IN = {
    "text": ("theme", "material"),
    "picture": ("theme", "pattern"),
    "sound": ("theme", "timbre"),
    "all": ("theme", "material", "pattern", "timbre"),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Dataset:
    return toy_shop(90, 40, seed=3, folder=tmp_path_factory.mktemp("toy") / "shop")


def decode(path: Path, modality: str) -> np.ndarray:
    match modality:
        case "image":
            return read_image(path, LIMITS)
        case "audio":
            return read_audio(path, LIMITS, 16_000)
        case _:
            return read_frames(path, LIMITS, 2, 96)


def media_paths(shop: Dataset) -> list[tuple[Path, str]]:
    columns = [column for column in shop.catalog.columns.values() if column.modality in MEDIA]
    return [
        (shop.catalog.path(column.name, row), column.modality)
        for column in columns
        for row in np.flatnonzero(column.present)
    ]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ------------------------------------------------------------------------------------------------ the planted tastes


def ndcg_at_10(scores: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Full ranking with seen items left out (Järvelin and Kekäläinen 2002): mean over users with a test item."""
    values = []
    discount = 1 / np.log2(np.arange(2, 12))
    for user in np.flatnonzero(test.any(axis=1)):
        ranked = np.argsort(-np.where(train[user], -np.inf, scores[user]), kind="stable")[:10]
        values.append((test[user][ranked] * discount).sum() / discount[: test[user].sum()].sum())
    return float(np.mean(values))


def oracle_results(seed: int, n_items: int = 300, n_users: int = 200) -> dict[str, float]:
    attributes = toy._attributes(n_items, seed)
    done = toy._shopping(attributes, n_users, seed)
    late = done.times >= np.quantile(done.times, 0.85)
    train, test = np.zeros((2, n_users, n_items), bool)
    train[done.users[~late], done.items[~late]] = True
    test[done.users[late], done.items[late]] = True
    assert (test.any(axis=0) & ~train.any(axis=0)).sum() >= 5, "a split by time should meet cold items"
    results = {"popularity": ndcg_at_10(np.tile(train.sum(axis=0), (n_users, 1)).astype(float), train, test)}
    for name, seen in SEEN_IN.items():
        vectors = np.hstack([np.eye(6)[attributes[attribute]] for attribute in seen])
        vectors -= vectors.mean(axis=0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        results[name] = ndcg_at_10(train.astype(float) @ vectors @ vectors.T, train, test)
    return results


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_modalities_beat_each_one_and_each_beats_popularity(seed):
    results = oracle_results(seed)
    singles = [results[name] for name in ("text", "picture", "sound")]
    assert results["all"] > 1.3 * max(singles), results
    assert min(singles) > 2.0 * results["popularity"], results


def test_attributes_are_even_and_independent():
    attributes = toy._attributes(300, 0)
    assert tuple(attributes) == toy.ATTRIBUTES
    for values in attributes.values():
        assert np.bincount(values, minlength=6).tolist() == [50] * 6
    table = np.zeros((6, 6))
    np.add.at(table, (attributes["theme"], attributes["pattern"]), 1)
    assert table.max() < 20  # 8.3 expected


# ---------------------------------------------------------------------------------------------------------- the files


def test_every_file_can_be_decoded(shop):
    for path, modality in media_paths(shop):
        decoded = decode(path, modality)
        assert decoded.std() > 0.01, path
        match modality:
            case "image":
                assert decoded.shape == (96, 96, 3)
            case "audio":
                assert decoded.shape == (16_000,) and np.abs(decoded).max() <= 1.0
            case _:
                assert decoded.shape[1:] == (96, 96, 3)


def test_a_clip_moves(shop):
    import av

    row = int(np.flatnonzero(shop.catalog.columns["clip"].present)[0])
    with av.open(str(shop.catalog.path("clip", row))) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]
    assert len(frames) == 12
    assert np.abs(frames[0] - frames[6]).mean() > 2.0


def test_no_modality_is_complete_but_the_title(shop):
    missing = {name: int((~column.present).sum()) for name, column in shop.catalog.columns.items()}
    assert missing == {"title": 0, "description": 3, "photo": 4, "jingle": 4, "clip": 81}
    assert {name: column.modality for name, column in shop.catalog.columns.items()} == {
        "title": "text",
        "description": "text",
        "photo": "image",
        "jingle": "audio",
        "clip": "video",
    }


def test_tables_agree_with_the_dataset(shop):
    root = shop.catalog.root
    items, actions = read_csv(root / "items.csv"), read_csv(root / "interactions.csv")
    assert [item["item_id"] for item in items] == list(shop.catalog.ids) == [f"item-{row}" for row in range(90)]
    assert list(shop.users) == [f"user-{row}" for row in range(40)]
    for name, column in shop.catalog.columns.items():
        assert [item[name] or None for item in items] == list(column.values)
    done = shop.interactions
    assert [action["user_id"] for action in actions] == [shop.users[row] for row in done.users]
    assert [action["item_id"] for action in actions] == [shop.catalog.ids[row] for row in done.items]
    assert [float(action["rating"]) for action in actions] == done.ratings.tolist()
    assert [int(action["timestamp"]) for action in actions] == done.times.tolist()


def test_interactions_are_plausible(shop):
    done = shop.interactions
    assert set(done.ratings.tolist()) == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert (np.diff(done.times) >= 0).all()
    assert done.times.min() >= 1_735_689_600 and done.times.max() < 1_767_225_600  # the year 2025
    per_user = np.bincount(done.users, minlength=40)
    assert per_user.min() >= 15 and per_user.max() <= 35
    assert len(set(zip(done.users.tolist(), done.items.tolist(), strict=True))) == len(done)


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("one", 5), ("two", 5), ("other", 6)):
        toy_shop(30, 10, seed=seed, folder=tmp_path / name)
    files = sorted(
        path.relative_to(tmp_path / "one").as_posix() for path in (tmp_path / "one").rglob("*") if path.is_file()
    )
    assert {"items.csv", "interactions.csv", "dataset.toml"} < set(files)
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert (tmp_path / "one" / "items.csv").read_bytes() != (tmp_path / "other" / "items.csv").read_bytes()


# ------------------------------------------------------------------------------------------------------- broken files


@pytest.mark.parametrize("broken", [0, 7, 30])
def test_as_many_files_are_broken_as_asked(tmp_path, broken):
    shop = toy_shop(30, 10, folder=tmp_path / "shop", broken=broken)
    found = []
    for path, modality in media_paths(shop):
        try:
            decode(path, modality)
        except MediaError as error:
            found.append((modality, str(error)))
    assert len(found) == broken
    if broken:
        assert {modality for modality, _ in found} == {"image", "audio", "video"}
        assert {"no such file", "the file is empty (0 bytes)"} <= {reason for _, reason in found}


# ------------------------------------------------------------------------------------------------ folders and options


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(DataError, match="is not empty and holds no earlier toy shop.*name a new or empty folder"):
        toy_shop(20, 2, folder=tmp_path)
    (tmp_path / "dataset.toml").write_text('name = "mine"', encoding="utf-8")
    with pytest.raises(DataError, match="is not empty"):
        toy_shop(20, 2, folder=tmp_path)
    with pytest.raises(DataError, match="is a file; name a new or empty folder"):
        toy_shop(20, 2, folder=tmp_path / "letter.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset.toml", "letter.txt"]


def test_an_earlier_toy_shop_is_overwritten(tmp_path):
    toy_shop(40, 4, folder=str(tmp_path))
    shop = toy_shop(20, 2, folder=str(tmp_path))
    assert len(read_csv(tmp_path / "items.csv")) == 20
    rendered = {path for path in tmp_path.rglob("item-*")}
    assert rendered == {path for path, _ in media_paths(shop)}


def test_without_a_folder_calls_with_the_same_options_share_one(tmp_path, monkeypatch):
    monkeypatch.setattr("fuserec.sources.toy.user_cache_path", lambda name: tmp_path / "cache" / name)
    first = toy_shop(20, 2)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    again, other = toy_shop(20, 2), toy_shop(20, 2, seed=1)
    assert again.catalog.root == first.catalog.root != other.catalog.root
    assert again.sha256 == first.sha256 != other.sha256
    assert all(path.stat().st_mtime_ns == time for path, time in written.items() if path != first.catalog.root.parent)
    assert all(path.is_file() for path, _ in media_paths(again))
    assert len(list((tmp_path / "cache" / "fuserec").iterdir())) == 2  # nothing half made is left beside them


def test_two_that_render_the_same_shop_at_once_do_not_meet(tmp_path, monkeypatch):
    monkeypatch.setattr("fuserec.sources.toy.user_cache_path", lambda name: tmp_path)
    rename = toy.os.rename

    def slower(source, target):
        monkeypatch.setattr(toy.os, "rename", rename)
        toy_shop(20, 2)  # the other one is done first
        rename(source, target)

    monkeypatch.setattr(toy.os, "rename", slower)
    shop = toy_shop(20, 2)
    assert [path for path in tmp_path.iterdir()] == [shop.catalog.root]
    assert all(path.is_file() for path, _ in media_paths(shop))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_items": 19}, "n_items is 19; expected 20 or more"),
        ({"n_users": 1}, "n_users is 1; expected 2 or more"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"n_items": 20, "broken": 21}, "broken is 21; expected 0 to 20, the number of items"),
        ({"broken": -1}, "broken is -1; expected 0 to 300"),
    ],
)
def test_impossible_options_are_refused(tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        toy_shop(**options, folder=tmp_path / "shop")
    assert not (tmp_path / "shop").exists()


def test_a_shop_of_the_users_own_with_the_same_name_is_not_overwritten(tmp_path):
    (tmp_path / "dataset.toml").write_text('name = "toyshop"\n', encoding="utf-8")
    (tmp_path / "items.csv").write_text("item_id\nmine\n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no earlier toy shop"):
        toy_shop(20, 5, folder=tmp_path)
    assert (tmp_path / "items.csv").read_text(encoding="utf-8") == "item_id\nmine\n"
