"""What the first requests would wait for: made in the background, kept for the next start; only who must waits."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastapi.testclient import TestClient

from fuserec import make, save_model
from fuserec.encoders.image import ColorTexture
from fuserec.serving import service as service_module
from fuserec.serving.http.app import make_app
from fuserec.serving.http.security import Rules
from fuserec.serving.kept import FOLDER
from fuserec.serving.preparing import Background, warm_up
from fuserec.serving.service import Service
from fuserec.serving.site import views
from fuserec.serving.site.views import Site


def unexpected(model):
    raise AssertionError("made again")


def files(service):
    return sorted(path.name for path in (service.media.root / FOLDER).iterdir())


def test_groups_and_places_are_kept_for_the_next_start(service, monkeypatch, caplog):
    first = Site(service)
    groups, places = service.aspects(service.loaded.base), first.map()
    names = files(service)
    assert [name.split("-")[0] for name in names] == ["aspects", "atlas"]
    with monkeypatch.context() as patched:
        patched.setattr(service_module, "aspects_of", unexpected)
        patched.setattr(views, "atlas_of", unexpected)
        again = Service(service.folder, service.store, service.media)
        assert Site(again).map() == places
        for one, other in zip(groups, again.aspects(again.loaded.base), strict=True):
            assert (one.column, one.kind, one.names, one.typical) == (
                other.column,
                other.kind,
                other.names,
                other.typical,
            )
            assert (one.members != other.members).nnz == 0 and one.members.dtype == other.members.dtype
            assert np.array_equal(one.known, other.known)
        assert again.interests("user-7").to_dict() == service.interests("user-7").to_dict()
    for name in names:  # damaged: made anew
        (service.media.root / FOLDER / name).write_bytes(b"not what it was")
    broken = Service(service.folder, service.store, service.media)
    assert Site(broken).map() == places and len(broken.aspects(broken.loaded.base)) == len(groups)
    assert "made anew" in caplog.text and files(service) == names


def test_another_model_has_its_own_and_those_of_the_old_are_removed(service, shop, tmp_path):
    Site(service).map()
    before = files(service)
    save_model(make("recommender", "ContentWalk", {"hops": 3}).fit(shop), tmp_path / "other")
    service.folder = tmp_path / "other"
    service.reload()
    Site(service).map()
    assert len(files(service)) == 1 and files(service) != before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; run the tests as another user")
def test_a_folder_that_cannot_be_written_is_told_and_nothing_else(service, caplog):
    service.media.root.mkdir()
    service.media.root.chmod(0o500)
    assert Site(service).map()["item_ids"] and "cannot be kept" in caplog.text


def test_a_file_in_the_way_is_told_and_nothing_else(service, caplog):
    service.media.root.mkdir()
    (service.media.root / FOLDER).write_text("in the way")
    assert Site(service).map()["item_ids"] and "cannot be kept" in caplog.text


def test_nobody_waits_for_groups_but_who_must(service, monkeypatch):
    go, really = threading.Event(), service_module.aspects_of

    def slowly(model):
        assert go.wait(30)
        return really(model)

    monkeypatch.setattr(service_module, "aspects_of", slowly)
    rules = Rules(rate="100000/second", heavy_rate="1000/second")
    with TestClient(make_app(service, rules)) as client, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(client.get, f"/v1/users/user-{n}/interests") for n in range(5)]
        twin = pool.submit(client.get, "/users.json/user-7")
        time.sleep(0.2)
        assert client.get("/readyz").json() == {"status": "ready"}  # lists are answered
        assert len(client.get("/v1/users/nobody/recommendations").json()["items"]) == 10
        user, item = client.get("/users/user-7").text, client.get("/items/item-7").text
        assert 'id="interest" data-making' in user and 'id="grouped" data-making' in item
        assert 'id="making"' in client.get("/map").text
        assert not twin.done() and not any(one.done() for one in asked)
        go.set()
        assert twin.result().json()["interests"] is not None
        assert all(one.result().status_code == 200 for one in asked)
        assert client.get("/map.json").status_code == 200
        assert not any("data-making" in client.get(page).text for page in ("/users/user-7", "/items/item-7"))
        assert 'id="making"' not in client.get("/map").text


def test_encoders_are_warm_before_anybody_asks(service, monkeypatch):
    sizes, really = [], ColorTexture.encode_batch

    def noted(self, *given, **more):
        made = really(self, *given, **more)
        sizes.append(len(made))
        return made

    monkeypatch.setattr(ColorTexture, "encode_batch", noted)
    model = service.loaded.base
    warm_up(model)
    assert sizes == [1] and service.loaded.base is model and model.catalog_.n_items == 40
    with TestClient(make_app(service)) as client:
        for _ in range(200):
            if len(sizes) > 1:
                break
            time.sleep(0.05)
        assert sizes == [1, 1]
        assert client.get("/v1/model").json()["n_items_added"] == 0


def test_a_step_that_fails_is_logged_and_the_next_one_done(caplog):
    done = threading.Event()
    background = Background()
    background.do(lambda: 1 / 0, done.set)
    assert done.wait(10) and "ZeroDivisionError" in caplog.text
    background.close()
    background._thread.join(10)
    assert not background._thread.is_alive()
