"""The service without HTTP: new events and new items change what is recommended, at once and for good."""

import io
import shutil

import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec import load_model, make, save_model
from fuserec.data.media import Limits
from fuserec.errors import ArtifactError, ConflictError, DataError, MediaError, OptionError, UnknownIdError
from fuserec.fusion.fuser import fuse
from fuserec.interest import interest_profile
from fuserec.serving.media import MediaFolder
from fuserec.serving.service import Service
from fuserec.serving.stores.store import Event, open_store


def event(user, item, number=0, **more):
    return Event(event_id=f"{user}-{item}-{number}", user_id=user, item_id=item, time=1_700_000_000 + number, **more)


def upload(service, column, row):
    catalog = service.loaded.base.catalog_
    path = catalog.path(column, row)
    return io.BytesIO(path.read_bytes()), path.name


@pytest.fixture
def planted(tmp_path):
    """Makes a service of a named model of the checkerboard: users and items are even or odd."""

    def made(name, **options):
        save_model(make("recommender", name, options).fit(fuse(checkerboard())), tmp_path / name)
        stores.append(open_store(f"sqlite:///{tmp_path}/planted.sqlite"))
        return Service(tmp_path / name, stores[-1], MediaFolder(tmp_path / "media"))

    stores = []
    yield made
    for store in stores:
        store.close()


def test_a_known_user_without_events_gets_what_the_model_recommends(service):
    expected = load_model(service.folder).recommend("user-1", 5)
    answer = service.recommend("user-1", 5, explain=True)
    assert answer.items.ids == expected.ids and answer.basis == "history"
    assert [item.why for item in answer.items] == [item.why for item in expected]
    assert all(not item.why for item in service.recommend("user-1", 5).items)


@pytest.mark.parametrize("name", ["ContentWalk", "EASE", "ContentNeighbors", "LateFusion"])
def test_a_new_user_is_recommended_for_after_one_event(name, planted):
    service = planted(name)
    assert service.loaded.folds_events and service.about()["folds_events"]
    assert service.recommend("new").basis == "popularity"
    service.add_events([event("new", "i4")])
    answer = service.recommend("new", 5)
    assert answer.basis == "history" and "i4" not in answer.items.ids
    assert all(int(item[1:]) % 2 == 0 for item in answer.items.ids)
    service.add_events([event("new", item) for item in ("i1", "i3", "i5", "i7")])
    assert service.recommend("new", 5).items.ids != answer.items.ids


@pytest.mark.parametrize("name", ["BPR", "Popular"])
def test_a_model_that_knows_users_by_training_says_so_and_leaves_out_what_was_chosen_since(name, planted):
    service = planted(name, **({"epochs": 2} if name == "BPR" else {}))
    assert not service.about()["folds_events"]
    first, second = service.recommend("u2", 2).items.ids
    service.add_events([event("u2", first)])
    answer = service.recommend("u2", 1)
    assert answer.items.ids == [second] and answer.basis == "training"
    service.add_events([event("new", "i4")])
    answer = service.recommend("new", 40)
    popularity = service.loaded.model.popularity_
    rows = service.loaded.model.catalog_.ids.rows(answer.items.ids)
    assert answer.basis == "popularity" and len(rows) == 19 and "i4" not in answer.items.ids
    assert (np.diff(popularity[rows]) <= 0).all()
    assert "i4" not in service.recommend_session(["i4"]).items.ids


def test_a_model_without_vectors_of_users_for_sessions_says_so(planted):
    service = planted("NeuMF", epochs=2)
    assert not service.about()["folds_events"]
    with pytest.raises(OptionError, match="knows users by training"):
        service.recommend_session(["i4"])


def test_what_a_user_dislikes_is_not_shown_and_the_last_word_counts(service):
    first = service.recommend("user-1", 1).items.ids[0]
    service.add_events([event("user-1", first, 1, kind="dislike")])
    answer = service.recommend("user-1", 40)
    assert first not in answer.items.ids
    liked = service.loaded.base.catalog_.ids[int(service.loaded.base.seen_[[1]].indices[0])]
    service.add_events([event("user-1", liked, 2, kind="hide")])
    assert liked not in service.recommend("user-1", 40).items.ids
    service.add_events([event("user-1", liked, 3, kind="like")])
    assert service.recommend("user-1", 40).items.ids == answer.items.ids


def test_what_is_taken_back_counts_no_more(service):
    before = service.recommend("user-7", 8).items.ids
    liked = service.recommend("user-7", 3).items.ids[1]
    service.add_events([event("user-7", before[0], 1, kind="hide"), event("user-7", liked, 2, kind="view")])
    service.add_events([event("user-7", liked, 3, kind="dislike"), event("user-7", liked, 4, kind="undo")])
    changed = service.recommend("user-7", 8).items.ids
    assert before[0] not in changed and liked not in changed  # it was seen, all the same
    back = [event("user-7", before[0], 5, kind="undo"), event("user-7", liked, 6, kind="undo")]
    service.add_events(back)
    assert service.recommend("user-7", 8).items.ids == before
    service.add_events([*back, event("user-7", before[0], 7, kind="undo")])  # sent again; nothing left to take back
    assert service.recommend("user-7", 8).items.ids == before
    service.add_events([event("user-7", before[0], 8, kind="hide")])
    assert before[0] not in service.recommend("user-7", 8).items.ids


def test_lists_are_kept_until_something_changes(service):
    answer = service.recommend("user-1", 5)
    assert service.recommend("user-1", 5) is answer is service.kept("user-1", 5, False, None, ())
    assert service.recommend("user-1", 5, exclude=answer.items.ids[:1]).items.ids[0] == answer.items.ids[1]
    service.add_events([event("user-2", answer.items.ids[0])])
    assert service.recommend("user-1", 5) is answer
    service.add_events([event("user-1", answer.items.ids[0])])
    assert service.kept("user-1", 5, False, None, ()) is None
    service.recommend("user-1", 5)
    service.remove_item(answer.items.ids[1])
    assert service.kept("user-1", 5, False, None, ()) is None


def test_an_event_that_comes_while_a_list_is_made_is_not_lost(service, monkeypatch):
    whole = service._recommend

    def slow(*arguments):
        made = whole(*arguments)
        service.add_events([event("user-1", made.items.ids[0])])
        return made

    monkeypatch.setattr(service, "_recommend", slow)
    stale = service.recommend("user-1", 5)
    monkeypatch.setattr(service, "_recommend", whole)
    assert stale.items.ids[0] not in service.recommend("user-1", 5).items.ids


@pytest.mark.parametrize("name", ["ContentWalk", "BPR"])
def test_interests_follow_the_history_and_new_events(name, planted):
    service = planted(name, **({"epochs": 2} if name == "BPR" else {}))
    model = service.loaded.base
    trained = service.interests("u2")
    assert trained.to_dict() == interest_profile(model, "u2").to_dict()
    assert service.interests("new").to_dict() == {"query": {"user": "new"}, "n_items": 0, "interests": []}
    service.add_events([event("new", item, place) for place, item in enumerate(("i2", "i4", "i6", "i8", "nothing"))])
    told = service.interests("new", 1)
    assert told.n_items == 4 and told.query == {"user": "new"}
    assert told.likings == interest_profile(model, items=["i2", "i4", "i6", "i8"], n=1).likings
    more = next(item for item in model.catalog_.ids if item not in model.recommend("u2", 1).ids)
    service.add_events([event("u2", item, 9, kind="dislike") for item in model.catalog_.ids])
    assert service.interests("u2").n_items == 0
    service.add_events([event("u2", more, 10)])
    assert service.interests("u2").n_items == 1


def test_interests_name_what_a_user_goes_for(service):
    title = service.loaded.base.catalog_.columns["title"].values
    word = "lantern"
    alike = [service.loaded.base.catalog_.ids[row] for row, told in enumerate(title) if word in told.lower()]
    service.add_events([event("new", item, place) for place, item in enumerate(alike)])
    service.add_item("fresh", {"title": title[7]})
    service.add_events([event("new", "fresh", 50)])
    told = service.interests("new")
    assert told.n_items == len(alike) > 2
    assert word in [one.name for one in told.likings if one.column == "title"]


def test_a_session_is_recommended_for(service):
    items = service.recommend("user-1", 3).items.ids
    answer = service.recommend_session([*items, "nothing"], 5, explain=True)
    assert not set(items) & set(answer.items.ids) and answer.unknown_items == ("nothing",)
    assert any("community" in item.why or "photo" in item.why for item in answer.items)
    assert service.recommend_session([], 5).basis == "popularity"


def test_a_diverse_list_is_another_list(service):
    plain = service.recommend("user-1", 8).items.ids
    diverse = service.recommend("user-1", 8, diversity=0.9).items.ids
    assert plain[0] == diverse[0] and plain != diverse


def test_a_new_item_with_media_is_recommended_similar_and_found_at_once_and_after_a_restart(service):
    catalog = service.loaded.base.catalog_
    title = catalog.columns["title"].values[7]
    media = {name: upload(service, name, 7) for name in ("photo", "jingle")}
    service.add_item("new", {"title": title, "description": " "}, media)

    def shown(served):
        similar = served.similar(catalog.ids[7], 3, by="photo").ids
        found = served.search({"text": title}, 5, by="title").ids
        return "new" in similar and "new" in found and "new" in served.recommend_session([catalog.ids[7]], 5).items.ids

    assert shown(service)
    again = Service(service.folder, service.store, service.media)
    assert shown(again) and again.about()["n_items_added"] == 1
    with pytest.raises(ConflictError, match="use PUT"):
        service.add_item("new", {"title": title})
    service.add_item("new", {"title": catalog.columns["title"].values[8]}, replacing=True)
    assert "new" not in service.similar(catalog.ids[7], 40, by="photo").ids
    service.remove_item("new")
    assert not shown(service) and not shown(Service(service.folder, service.store, service.media))
    with pytest.raises(UnknownIdError, match="removed"):
        service.similar("new")
    service.add_item("new", {"title": title}, {"photo": upload(service, "photo", 7)})
    assert shown(service) and service.about()["n_items_added"] == 1


def test_an_item_of_the_training_catalog_is_removed_but_not_changed(service):
    first = service.recommend("user-1", 1).items.ids[0]
    with pytest.raises(ConflictError, match="training catalog"):
        service.add_item(first, {"title": "other"}, replacing=True)
    service.remove_item(first)
    assert first not in service.recommend("user-1", 40).items.ids
    assert first not in service.similar(service.recommend("user-1", 1).items.ids[0], 40).ids
    assert first not in service.search({"text": service.loaded.base.catalog_.title(7)}, 40).ids
    again = Service(service.folder, service.store, service.media)
    assert first not in again.recommend("user-1", 40).items.ids and again.about()["n_items_removed"] == 1


@pytest.mark.parametrize(
    ("texts", "vectors", "error", "message"),
    [
        ({"titel": "x"}, {}, OptionError, "did you mean 'title'"),
        ({"photo": "/etc/passwd"}, {}, OptionError, "expected a file of image"),
        ({}, {}, DataError, "no column and no vectors"),
        ({"title": " "}, {}, DataError, "no column and no vectors"),
        ({}, {"photo": [1.0]}, OptionError, "no vectors 'photo'"),
    ],
)
def test_an_item_that_does_not_fit_is_refused_and_nothing_is_kept(service, texts, vectors, error, message):
    with pytest.raises(error, match=message):
        service.add_item("new", texts, {}, vectors)
    assert not service.store.items()


def test_media_beyond_the_limits_or_broken_are_refused_and_names_cannot_leave_the_folder(service, tmp_path):
    folder = MediaFolder(tmp_path / "media", Limits(megabytes=0.5, pixels=10_000, seconds=1.0))
    service = Service(service.folder, service.store, folder)
    picture, _ = upload(service, "photo", 3)
    kept = folder.keep(picture, "../../../etc/cron.d/x.png", "image")
    assert (folder.root / kept).read_bytes() == picture.getvalue()
    assert (folder.root / kept).resolve().is_relative_to(folder.root) and kept.endswith(".png")
    for content, message in ((b"not a picture", "cannot be decoded"), (b"", "empty"), (b"x" * 600_000, "0.5 MB")):
        with pytest.raises(MediaError, match=message):
            service.add_item("new", {}, {"photo": (io.BytesIO(content), "x.png")})
    tight = MediaFolder(tmp_path / "media", Limits(pixels=10))
    with pytest.raises(MediaError, match="pixels"):
        tight.keep(upload(service, "photo", 3)[0], "x.png", "image")
    short = MediaFolder(tmp_path / "media", Limits(seconds=0.01))
    with pytest.raises(MediaError, match="longer"):
        short.keep(*upload(service, "jingle", 3), "audio")
    assert not service.store.items() and len([path for path in folder.root.rglob("*") if path.is_file()]) == 1


def test_given_vectors_are_given_for_new_items_too(planted):
    service = planted("ContentWalk")
    assert service.about()["vectors_to_give"] == ["title", "photo"]
    service.add_item("new", {"title": "An even one"}, {}, {"title": [1.0, 0.0, 0.0]})
    assert all(int(i[1:]) % 2 == 0 for i in service.similar("new", 5, by="title").ids)
    with pytest.raises(DataError, match="have 2 numbers; expected 3"):
        service.add_item("newer", {}, {}, {"title": [1.0, 0.0]})


def test_a_model_of_behavior_refuses_new_items_and_says_so(planted):
    service = planted("EASE")
    assert not service.about()["takes_items"]
    with pytest.raises(OptionError, match="fitted again"):
        service.add_item("new", {"title": "x"})
    assert not service.store.items()


def test_reload_serves_the_new_model_and_a_broken_one_leaves_the_old(service, shop, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(service.folder, folder)
    service = Service(folder, service.store, service.media)
    service.add_item("new", {"title": shop.catalog.columns["title"].values[7]})
    before = service.recommend("user-1", 5)
    arrays = folder / "arrays.safetensors"
    whole = arrays.read_bytes()
    arrays.write_bytes(whole[:-100])
    with pytest.raises(ArtifactError, match="changed since"):
        service.reload()
    assert service.recommend("user-1", 5) is before
    save_model(make("recommender", "Popular").fit(shop), folder)
    service.reload()
    assert service.about()["name"] == "Popular" and service.about()["n_items_added"] == 1
    save_model(make("recommender", "EASE").fit(shop), folder)
    service.reload()
    assert "fitted again" in service.about()["items_skipped"]["new"]


def test_errors_of_a_search_do_not_tell_paths(service, tmp_path):
    (tmp_path / "secret-place.png").write_bytes(b"no picture")
    with pytest.raises(DataError) as caught:
        service.search({"image": tmp_path / "secret-place.png"})
    assert "secret-place" not in str(caught.value) and "the uploaded file" in str(caught.value)


def test_a_store_that_was_closed_and_opened_has_everything(service, store, store_address):
    service = Service(service.folder, store, service.media)
    service.add_events([event("new", "item-4")])
    listed = service.recommend("new", 5).items.ids
    service.close()
    store = open_store(store_address)
    assert Service(service.folder, store, service.media).recommend("new", 5).items.ids == listed
    store.close()
