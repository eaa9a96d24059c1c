"""The service over HTTP: what is answered, what is refused, and how."""

import io
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient
from tests.planted import checkerboard

from fuserec import make, save_model
from fuserec.errors import StoreError
from fuserec.fusion.fuser import fuse
from fuserec.serving.http import security
from fuserec.serving.http.app import make_app
from fuserec.serving.http.security import Rules
from fuserec.serving.http.traffic import JsonLines
from fuserec.serving.keys import add_key, revoke_key
from fuserec.serving.media import MediaFolder
from fuserec.serving.service import Service
from fuserec.serving.stores.store import open_store

JSON = "application/json"
LOOSE = {"rate": "100000/second", "heavy_rate": "100000/second"}


@pytest.fixture
def client(service):
    with TestClient(make_app(service, Rules(**LOOSE)), raise_server_exceptions=False) as made:
        made.headers["Authorization"] = f"Bearer {add_key(service.store, ['read', 'write'])[0]}"
        yield made


def picture(service, row=7):
    catalog = service.loaded.base.catalog_
    return catalog.path("photo", row).read_bytes()


def is_problem(answer, status, kind, word=""):
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, told["status"], told["type"]) == (status, status, f"urn:fuserec:{kind}"), told
    assert set(told) - {"errors"} == {"type", "title", "status", "detail"} and word in told["detail"]
    return True


def test_recommendations_have_the_documented_fields(client, service):
    answer = client.get("/v1/users/user-1/recommendations", params={"k": 3, "explain": True})
    told = answer.json()
    assert answer.status_code == 200 and set(told) == {"query", "items", "basis", "unknown_items"}
    assert [set(item) for item in told["items"]] == [{"item_id", "score", "title", "why"}] * 3
    assert all(abs(sum(item["why"].values()) - 1) < 0.02 for item in told["items"])
    exclude = [item["item_id"] for item in told["items"][:2]]
    again = client.get("/v1/users/user-1/recommendations", params={"k": 3, "exclude": exclude}).json()
    assert again["items"][0]["item_id"] == told["items"][2]["item_id"] and again["items"][0]["why"] == {}
    diverse = client.get("/v1/users/user-1/recommendations", params={"k": 8, "diversity": 0.9}).json()
    plain = client.get("/v1/users/user-1/recommendations", params={"k": 8}).json()
    assert client.get("/v1/users/user-1/recommendations", params={"diversity": 0.9999}).status_code == 200
    assert [item["item_id"] for item in diverse["items"]] != [item["item_id"] for item in plain["items"]]
    assert client.get("/v1/users/a/b%20ü%2F/recommendations").json()["query"]["user"] == "a/b ü/"


def test_an_event_changes_the_next_recommendation_and_counts_once(client):
    def ids():
        return [item["item_id"] for item in client.get("/v1/users/new/recommendations").json()["items"]]

    before = ids()
    event = {"event_id": "e-1", "user_id": "new", "item_id": before[0], "kind": "like"}
    answer = client.post("/v1/interactions", json=event)
    assert answer.status_code == 200
    assert answer.json() == {"event_ids": ["e-1"], "new": [True], "unknown_items": []}
    after = ids()
    assert before[0] not in after and after != before[1:] + after[-1:]
    assert client.post("/v1/interactions", json=event).json()["new"] == [False]
    many = {"events": [{"user_id": "new", "item_id": "not-there"}, {"user_id": "new", "item_id": after[0], "time": 5}]}
    told = client.post("/v1/interactions", json=many).json()
    assert told["new"] == [True, True] and told["unknown_items"] == ["not-there"] and len(set(told["event_ids"])) == 2


def test_a_kept_list_is_the_same_answer_under_the_same_checks(service):
    reader, _ = add_key(service.store, ["read"])
    writer, _ = add_key(service.store, ["write"])
    path = "/v1/users/a/b%20ü/recommendations?k=3&exclude=x&exclude=y"
    with TestClient(make_app(service, Rules(read_keys=True, rate="4/hour"))) as client:

        def ask(secret="", path=path):
            return client.get(path, headers={"Authorization": f"bearer {secret}"} if secret else {})

        made, kept = ask(reader), ask(reader)
        assert service.kept("a/b ü", 3, False, None, ["x", "y"]) is not None
        assert made.status_code == kept.status_code == 200 and made.json() == kept.json()
        assert set(made.headers) == set(kept.headers) and kept.headers["content-type"] == "application/json"
        assert is_problem(ask(), 401, "key") and is_problem(ask("x"), 401, "key", "not known")
        assert is_problem(ask(writer), 403, "key", "no scope")
        assert is_problem(ask(reader, path.replace("k=3", "k=0")), 422, "request", "query.k")
        assert ask(reader).status_code == 200 and is_problem(ask(reader), 429, "rate")
        assert client.head(path).status_code == 405
        metrics = client.get("/metrics", headers={"Authorization": f"Bearer {add_key(service.store, ['read'])[0]}"})
        route = 'method="GET",route="/v1/users/{user_id}/recommendations"'
        assert f'{route},status="200"}} 3.0' in metrics.text and f'{route},status="401"}} 2.0' in metrics.text


@pytest.fixture
def quick(tmp_path):
    """A service of a model that reaches its best items without looking at all, and a client of it."""
    model = make("recommender", "ContentNeighbors").fit(fuse(checkerboard()))
    save_model(model, tmp_path / "model")
    store = open_store(f"sqlite:///{tmp_path}/store.sqlite")
    service = Service(tmp_path / "model", store, MediaFolder(tmp_path / "media"))
    with TestClient(make_app(service, Rules(**LOOSE)), raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {add_key(store, ['read', 'write'])[0]}"
        yield service, client


def test_lists_quickly_made_for_many_at_a_time_are_those_made_one_by_one(quick, monkeypatch):
    service, client = quick
    monkeypatch.setattr(service, "_recommend", slowly := Slowly(service._recommend))
    paths = [f"/v1/users/u{user}/recommendations?k=3" for user in range(24)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(client.get, paths))
    assert slowly.most == 1 and all(answer.status_code == 200 for answer in answers)
    service.reload()
    monkeypatch.setattr(type(service.loaded.model), "reach", lambda self, user, history, k: None)
    for path, answer in zip(paths, answers, strict=True):
        assert client.get(path).content == answer.content, path  # by the framework, from the scores of all items


class Slowly:
    """Calls something slowly; most: how many calls there were at a time."""

    def __init__(self, done):
        self.done, self.now, self.most = done, 0, 0

    def __call__(self, *arguments):
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.002)
        made = self.done(*arguments)
        self.now -= 1
        return made


def test_an_event_acknowledged_is_seen_by_the_next_quick_list_and_errors_are_for_those_who_asked(quick, monkeypatch):
    service, client = quick
    path = "/v1/users/u2/recommendations"
    for _ in range(4):
        first = client.get(path).json()["items"][0]["item_id"]
        assert client.post("/v1/interactions", json={"user_id": "u2", "item_id": first}).status_code == 200
        assert first not in [item["item_id"] for item in client.get(path).json()["items"]]
    whole = service.store.history

    def down(user):
        if user == "u4":
            raise StoreError("the store is down")
        return whole(user)

    monkeypatch.setattr(service.store, "history", down)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(client.get, [f"/v1/users/u{user}/recommendations?k=2" for user in range(8)]))
    assert is_problem(answers.pop(4), 503, "store", "down") and all(one.status_code == 200 for one in answers)
    assert client.get(f"/v1/users/{'x' * 2_000}/recommendations").status_code == 422


def test_interests_have_the_documented_fields(client, service):
    told = client.get("/v1/users/user-1/interests", params={"n": 1})
    assert told.status_code == 200 and told.json() == service.interests("user-1", 1).to_dict()
    document = client.get("/openapi.json").json()["components"]["schemas"]["Interest"]["properties"]
    assert {"column", "kind", "name", "share", "base", "lift", "recommended", "because", "typical"} == set(document)
    assert client.get("/v1/users/a/b/interests").json() == {"query": {"user": "a/b"}, "n_items": 0, "interests": []}
    assert is_problem(client.get("/v1/users/u/interests?n=0"), 422, "request")


def test_sessions_and_similar_items(client, service):
    first, second = service.loaded.base.catalog_.ids[:2]
    told = client.post("/v1/recommendations", json={"items": [first, "?"], "k": 4}).json()
    assert len(told["items"]) == 4 and told["basis"] == "history" and told["unknown_items"] == ["?"]
    by_photo = client.get(f"/v1/items/{first}/similar", params={"by": "photo", "k": 2}).json()
    assert by_photo["items"][0]["item_id"] == service.similar(first, 1, by="photo").ids[0]
    assert is_problem(client.get(f"/v1/items/{first}/similar", params={"by": "foto"}), 422, "option", "did you mean")
    assert is_problem(client.get("/v1/items/itm-1/similar"), 404, "unknown-id", "did you mean")


def test_search_by_text_and_by_an_uploaded_picture(client, service):
    title = service.loaded.base.catalog_.title(7)
    told = client.post("/v1/search", json={"text": title, "k": 3, "by": "title"}).json()
    assert told["query"] == {"text": title, "by": "title", "k": 3} and told["items"][0]["title"] == title
    files = {"image": ("../../x.png", picture(service))}
    answer = client.post("/v1/search", files=files, data={"k": "3", "by": "photo"})
    assert answer.json()["items"][0]["item_id"] == service.loaded.base.catalog_.ids[7], answer.text
    assert answer.json()["query"] == {"image": "uploaded", "by": "photo", "k": 3}
    broken = client.post("/v1/search", files={"image": ("x.png", picture(service)[:300])})
    assert is_problem(broken, 422, "media") and "/tmp" not in broken.text
    assert is_problem(client.post("/v1/search", files={"x": b"1"}), 422, "request", "expected text, k and by")
    assert is_problem(client.post("/v1/search", files={"image": b"1"}, data={"k": "no"}), 422, "request", "body.k")
    assert is_problem(client.post("/v1/search", content=b"x", headers={"content-type": "text/plain"}), 415, "request")
    no_url = client.post("/v1/search", json={"image": "http://169.254.169.254/"})
    assert is_problem(no_url, 422, "request")


def test_a_new_item_is_recommended_found_replaced_and_removed(client, service):
    catalog = service.loaded.base.catalog_
    title = catalog.title(7)
    form = {"item_id": "new", "title": title}
    answer = client.post("/v1/items", data=form, files={"photo": ("kite.png", picture(service))})
    assert answer.status_code == 201 and answer.json()["columns"]["title"] == title, answer.text
    assert answer.json()["columns"]["photo"].endswith(".png") and "media" not in answer.json()["columns"]["photo"]

    def shown():
        similar = client.get(f"/v1/items/{catalog.ids[7]}/similar", params={"by": "photo", "k": 3}).json()["items"]
        session = client.post("/v1/recommendations", json={"items": [catalog.ids[7]], "k": 5}).json()["items"]
        found = client.post("/v1/search", json={"text": title, "k": 3, "by": "title"}).json()["items"]
        return all("new" in [item["item_id"] for item in items] for items in (similar, session, found))

    assert shown()
    assert is_problem(client.post("/v1/items", json={"item_id": "new", "columns": {"title": title}}), 409, "conflict")
    assert client.put("/v1/items/new", json={"columns": {"title": catalog.title(8)}}).status_code == 200
    assert not shown()
    assert client.put("/v1/items/new", data={"title": title}, files={"photo": picture(service)}).status_code == 200
    assert shown()
    assert client.delete("/v1/items/new").status_code == 204
    assert not shown() and is_problem(client.delete("/v1/items/new"), 404, "unknown-id", "removed")
    assert is_problem(client.put(f"/v1/items/{catalog.ids[3]}", json={"columns": {"title": "x"}}), 409, "conflict")
    assert is_problem(client.post("/v1/items", json={"item_id": "b", "columns": {}}), 422, "data", "no column")
    twice = client.post("/v1/items", files=[("photo", b"1"), ("photo", b"2")], data={"item_id": "b"})
    assert is_problem(twice, 422, "request", "more than once")
    assert is_problem(
        client.post("/v1/items", data={"item_id": "b", "vectors": "["}, files={"photo": b"1"}), 422, "request"
    )


def test_writing_needs_a_key_with_the_scope_and_reading_where_the_rules_say_so(service, monkeypatch):
    monkeypatch.setattr(security, "BELIEVED", 0.0)
    app = make_app(service, Rules(read_keys=True, **LOOSE))
    reader, key = add_key(service.store, ["read"])
    writer, _ = add_key(service.store, ["write"])
    event = {"user_id": "u", "item_id": "i"}

    def using(secret):
        return {"Authorization": f"Bearer {secret}"} if secret else {}

    with TestClient(app) as client:
        writes = [("POST", "/v1/interactions", event), ("POST", "/v1/items", {}), ("PUT", "/v1/items/x", {})]
        writes += [("DELETE", "/v1/items/x", None), ("POST", "/v1/model/reload", None)]
        for method, path, body in writes:
            assert is_problem(client.request(method, path, json=body), 401, "key"), path
            assert is_problem(client.request(method, path, json=body, headers=using(reader)), 403, "key", "no scope")
        for path in ("/v1/users/u/recommendations", "/v1/items/i/similar", "/v1/model", "/metrics"):
            answer = client.get(path)
            assert is_problem(answer, 401, "key") and answer.headers["www-authenticate"] == "Bearer"
            assert is_problem(client.get(path, headers=using(writer)), 403, "key")
        assert client.get("/v1/model", headers=using(reader)).status_code == 200
        assert is_problem(client.get("/v1/model", headers=using(reader[:-1])), 401, "key", "not known")
        revoke_key(service.store, key.key_id)
        assert is_problem(client.get("/v1/model", headers=using(reader)), 401, "key")
        assert client.get("/healthz").json() == {"status": "alive"}
    assert not list(type(service.store)(f"sqlite:///{service.store._path}").events())


def test_a_key_has_its_rate_and_so_has_an_address(service):
    secret, _ = add_key(service.store, ["read"])
    with TestClient(make_app(service, Rules(rate="3/hour", heavy_rate="1/hour"))) as client:
        assert [client.get("/v1/model").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
        answer = client.get("/v1/model")
        assert is_problem(answer, 429, "rate", "3 per 1 hour") and 0 < int(answer.headers["retry-after"]) <= 3600
        mine = {"Authorization": f"Bearer {secret}"}
        assert client.get("/v1/model", headers=mine).status_code == 200
        assert client.post("/v1/search", json={"text": "x"}, headers=mine).status_code == 422
        assert client.post("/v1/search", json={"text": "x"}, headers=mine).status_code == 429


def test_changes_that_wait_keep_nobody_from_asking(client, service, monkeypatch):
    go_on, changing = threading.Event(), []

    def slow():
        changing.append(1)
        assert go_on.wait(60)

    monkeypatch.setattr(service, "reload", slow)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(client.post, "/v1/model/reload") for _ in range(8)]
        while not changing:
            time.sleep(0.01)
        assert client.get("/v1/users/u/interests").status_code == 200 and len(changing) == 1
        go_on.set()
        assert [one.result().status_code for one in waiting] == [200] * 8


def test_bodies_beyond_the_limit_are_refused_also_without_a_length(client, service):
    def endless():
        for _ in range(60):
            yield b"x" * 100_000

    large = {"content": endless(), "headers": {"content-type": "application/json"}}
    assert is_problem(client.post("/v1/interactions", **large), 413, "too-large", "2,000,000 bytes")
    assert is_problem(client.post("/v1/interactions", content=b"x" * 3_000_000), 413, "too-large")
    service.media.limits = type(service.media.limits)(megabytes=0.1)
    told = client.post("/v1/items", data={"item_id": "b"}, files={"photo": ("x.png", io.BytesIO(b"x" * 200_000))})
    assert is_problem(told, 422, "media", "0.1 MB")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/users/u/recommendations?k=0", None),
        ("GET", "/v1/users/u/recommendations?k=1001", None),
        ("GET", "/v1/users/u/recommendations?diversity=1", None),
        ("GET", "/v1/users/u/recommendations?diversity=nan", None),
        ("GET", f"/v1/users/{'u' * 300}/recommendations", None),
        ("POST", "/v1/recommendations", {"items": "item-1"}),
        ("POST", "/v1/recommendations", {"items": [], "kk": 1}),
        ("POST", "/v1/interactions", {"user_id": "", "item_id": "i"}),
        ("POST", "/v1/interactions", {"user_id": "u"}),
        ("POST", "/v1/interactions", {"user_id": "u", "item_id": "i", "time": 1_700_000_000_000}),
        ("POST", "/v1/interactions", {"events": []}),
        ("POST", "/v1/interactions", [1]),
        ("POST", "/v1/search", {"text": ""}),
        ("POST", "/v1/items", {"columns": {"title": "x"}}),
        ("POST", "/v1/items", {"item_id": "x", "columns": {"title": 3}}),
        ("POST", "/v1/items", {"item_id": "x", "vectors": {"title": [True]}}),
        ("POST", "/v1/interactions", {"user_id": "u", "item_id": "i", "value": False}),
        ("POST", "/v1/interactions", {"user_id": "u", "item_id": "i", "value": "4"}),
        ("POST", "/v1/interactions", {"events": [{"user_id": "u", "item_id": "i", "time": True}]}),
        ("POST", "/v1/recommendations", {"items": [], "k": "5"}),
        ("POST", "/v1/recommendations", {"items": [], "explain": "yes"}),
        ("POST", "/v1/recommendations", {"items": [], "diversity": False}),
        ("POST", "/v1/search", {"text": "kite", "k": True}),
        ("PUT", f"/v1/items/{'i' * 300}", {"columns": {"title": "x"}}),
    ],
)
def test_what_is_not_as_documented_is_told(client, method, path, body):
    assert is_problem(client.request(method, path, json=body), 422, "request")


def test_other_addresses_and_damaged_json_are_problems_too(client):
    assert is_problem(client.get("/nothing"), 404, "request")
    assert is_problem(client.delete("/v1/model"), 405, "request")
    answer = client.post("/v1/interactions", content=b'{"user_id": ', headers={"content-type": "application/json"})
    assert is_problem(answer, 422, "request")
    surrogate = b'{"user_id": "\\ud800", "item_id": "i"}'
    answer = client.post("/v1/interactions", content=surrogate, headers={"content-type": "application/json"})
    assert is_problem(answer, 422, "request")
    assert client.get("/docs").status_code == 404


def test_every_answer_has_an_id_and_headers_that_protect(client):
    answer = client.get("/v1/model", headers={"X-Request-ID": "shop-17"})
    assert answer.headers["x-request-id"] == "shop-17"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
    forged = client.get("/nothing", headers={"X-Request-ID": "a b"}).headers["x-request-id"]
    assert forged != "a b" and len(forged) == 32


def test_a_failure_is_told_without_its_reason_and_logged_with_it(client, service, monkeypatch, caplog):
    def broken(*arguments, **options):
        raise RuntimeError("inner secret")

    monkeypatch.setattr(service, "recommend", broken)
    answer = client.get("/v1/users/u/recommendations")
    assert is_problem(answer, 500, "internal", answer.headers["x-request-id"]) and "inner" not in answer.text
    assert "inner secret" in caplog.text and answer.headers["x-request-id"] in caplog.text

    def down(*arguments):
        raise StoreError("the store is down")

    monkeypatch.setattr(service.store, "ping", down)
    monkeypatch.setattr(service.store, "add_events", down)
    assert is_problem(client.get("/readyz"), 503, "store") and client.get("/healthz").status_code == 200
    assert is_problem(client.post("/v1/interactions", json={"user_id": "u", "item_id": "i"}), 503, "store")


def test_the_log_has_a_line_a_request_and_no_secret(client, caplog):
    secret = client.headers["authorization"].removeprefix("Bearer ")
    with caplog.at_level(logging.INFO, "fuserec"):
        client.get("/v1/users/somebody/recommendations", params={"exclude": "private"})
        client.get("/v1/model", headers={"Authorization": f"Bearer {secret}x"})
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records if record.name == "fuserec.access"]
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/v1/users/{user_id}/recommendations", 200),
        ("/v1/model", 401),
    ]
    assert lines[0]["key"] == secret.split("_")[1] and lines[0]["request_id"] and lines[0]["ms"] > 0
    whole = json.dumps(lines)
    assert not any(word in whole for word in (secret.split("_", 2)[2], "somebody", "private"))


def test_metrics_count_by_route(client):
    client.get("/v1/users/u/recommendations")
    client.get("/v1/users/v/recommendations")
    client.post("/v1/interactions", json={"user_id": "u", "item_id": "i"})
    text = client.get("/metrics").text
    assert 'fuserec_requests_total{method="GET",route="/v1/users/{user_id}/recommendations",status="200"} 2.0' in text
    assert "fuserec_events_total 1.0" in text and "fuserec_items 40.0" in text


def test_the_model_says_what_it_can_and_is_reloaded(client, service):
    told = client.get("/v1/model").json()
    assert told["name"] == "ContentWalk" and told["folds_events"] and told["takes_items"]
    assert told["columns"]["photo"] == "image" and told["about"] == {"dataset": "toyshop"}
    again = client.post("/v1/model/reload").json()
    assert again["loaded"] > told["loaded"] and {**again, "loaded": 0} == {**told, "loaded": 0}


def test_the_openapi_document_names_every_address_with_examples(client):
    told = client.get("/openapi.json").json()
    assert set(told["paths"]) == {
        "/v1/users/{user_id}/recommendations", "/v1/users/{user_id}/interests", "/v1/recommendations",
        "/v1/items/{item_id}/similar", "/v1/search",
        "/v1/interactions", "/v1/items", "/v1/items/{item_id}", "/v1/model", "/v1/model/reload",
        "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    text = json.dumps(told)
    assert "a blue wooden kite" in text and "HTTPValidationError" not in text
    search = told["paths"]["/v1/search"]["post"]["requestBody"]["content"]
    assert set(search) == {"application/json", "multipart/form-data"}
    assert told["paths"]["/v1/items"]["post"]["security"]
    assert {"400", "401", "413", "415", "422", "429", "503"} < set(told["paths"]["/v1/items"]["post"]["responses"])


def test_numbers_of_json_are_taken_as_json_has_them(client):
    told = client.post("/v1/recommendations", json={"items": [], "k": 5.0, "diversity": None})
    assert told.status_code == 200 and len(told.json()["items"]) == 5
    event = {"user_id": "u", "item_id": "i", "time": 1e9, "value": 4}
    assert client.post("/v1/interactions", json=event).status_code == 200
    endless = {"content": b'{"user_id": "u", "item_id": "i", "value": 1e999}', "headers": {"content-type": JSON}}
    assert is_problem(client.post("/v1/interactions", **endless), 422, "request", "finite")


def test_what_is_similar_to_an_item_is_no_item(client, service):
    title = {"columns": {"title": service.loaded.base.catalog_.title(7)}}
    for method, body in (("PUT", title), ("DELETE", None), ("PATCH", None), ("OPTIONS", None)):
        answer = client.request(method, "/v1/items/x/similar", json=body)
        assert is_problem(answer, 405, "request") and answer.headers["allow"] == "GET", method
    assert client.put("/v1/items/x%2Fsimilar", json=title).json()["item_id"] == "x/similar"
    assert client.put("/v1/items/a/b", json=title).json()["item_id"] == "a/b"
    assert client.get("/v1/items/x/similar/similar").status_code == 200
    assert client.delete("/v1/items/x%2Fsimilar").status_code == client.delete("/v1/items/a/b").status_code == 204


def test_allow_names_every_method_of_an_address(client):
    for path, allowed in {"/v1/items/x": "DELETE, PUT", "/v1/items": "POST", "/search": "GET, POST"}.items():
        answer = client.patch(path)
        assert is_problem(answer, 405, "request") and answer.headers["allow"] == allowed, path


@pytest.mark.parametrize("read_keys", [False, True])
def test_the_document_says_where_a_key_is_needed(service, read_keys):
    with TestClient(make_app(service, Rules(read_keys=read_keys, **LOOSE))) as client:
        told = client.get("/openapi.json").json()["paths"]
    needed = {
        f"{method} {path}": [] if "security" not in one else {} not in one["security"]
        for path, methods in told.items()
        for method, one in methods.items()
    }
    assert needed == {
        "get /v1/users/{user_id}/recommendations": read_keys, "get /v1/users/{user_id}/interests": read_keys,
        "post /v1/recommendations": read_keys, "get /v1/items/{item_id}/similar": read_keys,
        "post /v1/search": read_keys, "get /v1/model": read_keys, "get /metrics": read_keys,
        "post /v1/interactions": True, "post /v1/items": True, "put /v1/items/{item_id}": True,
        "delete /v1/items/{item_id}": True, "post /v1/model/reload": True, "get /healthz": [], "get /readyz": [],
    }  # fmt: skip
    assert all({"HTTPBearer": []} in one["security"] for one in told["/v1/search"].values())


def test_the_document_names_the_fields_and_limits_of_bodies(client):
    told = client.get("/openapi.json").json()
    assert told == client.get("/openapi.json").json()

    def body(path, method):
        content = told["paths"][path][method]["requestBody"]["content"]
        return content[JSON]["schema"], content["multipart/form-data"]

    new, form = body("/v1/items", "post")
    assert form["encoding"] == {"vectors": {"contentType": JSON}} and form["schema"]["required"] == ["item_id"]
    columns = {"title", "photo", "jingle"}
    assert columns < set(form["schema"]["properties"]) and not form["schema"]["additionalProperties"]
    assert form["schema"]["properties"]["photo"] == {"type": "string", "format": "binary"}
    assert form["schema"]["properties"]["title"] == new["properties"]["columns"]["properties"]["title"]
    assert not new["properties"]["columns"]["additionalProperties"]
    _, form = body("/v1/items/{item_id}", "put")
    assert "item_id" not in form["schema"]["properties"] and form["schema"]["minProperties"] == 1
    asked, form = body("/v1/search", "post")
    assert asked["properties"]["k"] == {
        "type": "integer", "minimum": 1, "maximum": 1000, "default": 10, "title": "K", "description": "how many items",
    }  # fmt: skip
    assert not form["schema"]["additionalProperties"] and len(form["schema"]["anyOf"]) == 4
    time = told["components"]["schemas"]["EventBody"]["properties"]["time"]["anyOf"][0]
    assert (time["minimum"], time["exclusiveMaximum"]) == (0, 100_000_000_000)
