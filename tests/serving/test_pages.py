"""Pages without a browser: every page and its twin, words, media that cannot be left, escaping, languages."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from fuserec import evaluate, make
from fuserec.errors import ArtifactError, UnknownIdError
from fuserec.modalities import modality_report
from fuserec.pages.evaluation import EVALUATION, keep_evaluation
from fuserec.preparation.split import split_random
from fuserec.serving.http.app import make_app
from fuserec.serving.http.security import Rules
from fuserec.serving.keys import add_key
from fuserec.serving.site import views, words
from fuserec.serving.site.atlas import atlas_of
from fuserec.serving.site.views import Site, media_path

SITE = Path(views.__file__).parent
PLAIN = {"/": "/home.json", "/map": "/map.json", "/report": "/report.json", "/add": "/add.json"}


@pytest.fixture
def client(service):
    with TestClient(make_app(service, Rules(heavy_rate="1000/second"))) as opened:
        yield opened


@pytest.fixture
def writing(service):
    return {"Authorization": f"Bearer {add_key(service.store, ['write'])[0]}"}


def test_every_page_and_its_twin_answer_with_a_policy_that_lets_no_foreign_or_inline_script_in(client):
    pages = PLAIN | {
        "/items/item-7": "/items.json/item-7",
        "/users/user-7": "/users.json/user-7",
        "/users/nobody at all": "/users.json/nobody at all",
        "/search?text=lantern": "/search.json?text=lantern",
        "/search": "/search.json",
    }
    for page, twin in pages.items():
        shown = client.get(page)
        assert shown.status_code == 200 and shown.headers["content-type"].startswith("text/html"), (page, shown.text)
        policy = shown.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy and "http" not in policy
        assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:|https?://", shown.text), page
        assert client.get(twin).status_code == 200 and client.get(twin).headers["content-type"] == "application/json"


def test_twins_tell_what_the_service_says(client, service):
    home = client.get("/home.json").json()
    assert home["n_items"] == 40 and home["n_users"] == 30 and home["quality"] is None
    assert {one["name"]: one["n_items"] for one in home["columns"]}["title"] == 40
    item = client.get("/items.json/item-7").json()
    by = {one["by"]: [card["item_id"] for card in one["items"]] for one in item["similar"]}
    assert by["photo"] == service.similar("item-7", 6, by="photo").ids and set(by) >= {"", "title", "photo", "fused"}
    base = service.loaded.base
    chose = {base.users_[row] for row in range(30) if base.seen_[row, base.catalog_.ids.row("item-7")]}
    assert set(item["liked_by"]) == chose and item["n_liked_by"] == len(chose)
    user = client.get("/users.json/user-7?diversity=0.5&k=5").json()
    expected = service.recommend("user-7", 5, explain=True, diversity=0.5).items.ids
    assert [card["item_id"] for card in user["recommended"]] == expected
    for card in user["recommended"]:
        assert sum(reason["share"] for reason in card["why"]) == pytest.approx(1.0, abs=0.011)
    found = client.get("/search.json", params={"text": base.catalog_.title(3), "by": "title"}).json()
    assert base.catalog_.title(found["items"] and base.catalog_.ids.row(found["items"][0]["item_id"])) == (
        base.catalog_.title(3)
    )


def test_a_picture_is_searched_for_and_an_unknown_item_is_told_on_a_page(client, service):
    place = service.loaded.base.catalog_
    row = next(row for row in range(40) if place.path("photo", row))
    sent = {"file": ("a.png", place.path("photo", row).read_bytes(), "image/png")}
    found = client.post("/search.json", data={"text": "", "by": "photo"}, files=sent).json()
    assert place.ids[row] in [card["item_id"] for card in found["items"][:3]] and found["query"]["image"] == "uploaded"
    assert client.post("/search", data={"text": ""}, files=sent).status_code == 200
    assert client.post("/search", files={"file": ("a.png", b"no picture", "image/png")}).status_code == 422
    assert client.post("/search", files={"file": ("a.txt", b"x", "text/plain")}).status_code == 415
    missing = client.get("/items/item-77")
    assert missing.status_code == 404 and "did you mean" in missing.text and "<main" in missing.text
    assert client.get("/items.json/item-77").headers["content-type"] == "application/problem+json"
    sought = client.get("/users", params={"id": "a/b c"}, follow_redirects=False)
    assert sought.status_code == 303 and sought.headers["location"] == "/users/a%2Fb%20c"


def test_ids_and_titles_of_any_kind_are_addressed_and_inert(client, writing):
    for item_id in ("a/b.json", "ü?#&", "<script>alert(1)</script>"):
        body = {"item_id": item_id, "columns": {"title": "<script>alert('x')</script> silver lantern"}}
        assert client.post("/v1/items", json=body, headers=writing).status_code == 201
        address = quote(item_id, safe="")
        page = client.get(f"/items/{address}")
        assert page.status_code == 200 and "<script>alert" not in page.text and "&lt;script&gt;alert" in page.text
        assert client.get(f"/items.json/{address}").json()["item_id"] == item_id
        assert item_id in client.get("/map.json").json()["item_ids"]
    hostile = client.get("/search", params={"text": '"><script>alert(1)</script>'})
    assert "<script>alert" not in hostile.text
    assert "<script>alert" not in client.get("/users/<script>alert(1)<%2Fscript>").text


def test_feedback_changes_history_and_list(client, writing, service):
    before = client.get("/users.json/user-7").json()
    liked, hidden = (card["item_id"] for card in before["recommended"][:2])
    for kind, item in (("like", liked), ("hide", hidden)):
        body = {"user_id": "user-7", "item_id": item, "kind": kind}
        assert client.post("/v1/interactions", json=body, headers=writing).status_code == 200
    after = client.get("/users.json/user-7").json()
    assert not {liked, hidden} & {card["item_id"] for card in after["recommended"]}
    assert [(card["item_id"], card["kind"]) for card in after["history"][:2]] == [(hidden, "hide"), (liked, "like")]
    assert hidden not in {card["item_id"] for one in after["interests"] for card in one["because"]}


def test_media_stay_in_their_folders_and_have_ranges_and_tags(client, service, tmp_path, monkeypatch):
    catalog = service.loaded.base.catalog_
    row = next(row for row in range(40) if catalog.path("jingle", row) and catalog.path("photo", row))
    sound = f"/media/{catalog.ids[row]}?column=jingle"
    whole = client.get(sound)
    assert whole.content == catalog.path("jingle", row).read_bytes() and whole.headers["content-type"].startswith(
        "audio/"
    )
    part = client.get(sound, headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == whole.content[10:20]
    small = client.get(f"/thumbs/{catalog.ids[row]}?column=photo")
    assert small.content[:2] == b"\xff\xd8"
    tag = {"If-None-Match": small.headers["etag"]}
    assert client.get(f"/thumbs/{catalog.ids[row]}?column=photo", headers=tag).status_code == 304
    for address in ("/media/..%2F..%2Fetc%2Fpasswd?column=photo", f"/media/{catalog.ids[row]}?column=title"):
        assert client.get(address).status_code == 404
    monkeypatch.setattr(
        type(catalog), "path", lambda self, column, row: Path("/etc/passwd")
    )  # a catalog that leads out
    with pytest.raises(UnknownIdError, match="not in the media folder"):
        media_path(service, "photo", catalog.ids[row])
    assert client.get(f"/media/{catalog.ids[row]}?column=photo").status_code == 404


def test_static_files_are_kept_by_their_content(client):
    page = client.get("/").text
    address = re.search(r'"(/static/style\.css\?v=[0-9a-f]+)"', page)[1]
    answer = client.get(address)
    assert "immutable" in answer.headers["cache-control"]
    assert client.get("/static/style.css", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert "no-cache" in client.get("/static/style.css").headers["cache-control"]
    assert client.get("/static/views.py").status_code == 404


def test_reading_keys_count_for_pages_too(service):
    secret, _ = add_key(service.store, ["read"])
    with TestClient(make_app(service, Rules(read_keys=True))) as client:
        for address in (*PLAIN, *PLAIN.values(), "/items/item-7", "/users/user-7", "/media/item-7?column=photo"):
            assert client.get(address).status_code == 401, address
            assert client.get(address, headers={"Authorization": f"Bearer {secret}"}).status_code == 200, address


def test_languages_are_complete_and_every_string_is_used(client):
    assert all(len(both) == 2 and all(both) for both in words.WORDS.values())
    holes = {key: [sorted(re.findall(r"{\w*}", text)) for text in both] for key, both in words.WORDS.items()}
    assert all(english == chinese for english, chinese in holes.values())
    sources = "".join(
        p.read_text(encoding="utf-8") for p in sorted(SITE.glob("templates/*")) + sorted(SITE.glob("static/*.js"))
    )
    begun = ("nav.", "kind.", "user.basis.", "why.", "event.")  # the rest of these comes from the data
    unused = [
        key
        for key in words.WORDS
        if not key.startswith(begun) and f'"{key}"' not in sources and f"'{key}'" not in sources
    ]
    assert not unused
    used = set(re.findall(r"""t\[["']([a-z.]+)["']\]""", sources)) | set(re.findall(r'word\("([a-z.]+)"\)', sources))
    assert used <= set(words.WORDS)
    chinese = client.get("/", headers={"Accept-Language": "fr;q=0.9, zh-CN;q=0.8, en;q=0.3"})
    assert "目录" in chinese.text and 'lang="zh-CN"' in chinese.text
    assert words.preferred("fr, de") == "en" == words.preferred("") == words.preferred("zh;q=nonsense")
    switched = client.get("/?lang=zh", headers={"Accept-Language": "en"})
    assert "目录" in switched.text and "目录" in client.get("/add", headers={"Accept-Language": "en"}).text


def test_no_page_says_an_english_sentence_in_chinese(client):
    for page in (*PLAIN, "/items/item-7", "/users/user-7", "/search?text=lantern"):
        text = client.get(page, headers={"Accept-Language": "zh"}).text
        for key in (
            "user.recommended",
            "nav.home",
            "item.similar",
            "add.go",
            "map.clusters",
            "home.coverage",
            "key.use",
        ):
            assert f">{words.WORDS[key][0]}<" not in text, (page, key)


def test_new_items_lie_among_those_they_are_like_on_the_map(service):
    place = atlas_of(service.loaded.base)
    assert place.positions.shape == (40, 2) and abs(place.positions).max() == pytest.approx(1.0, abs=1e-5)
    title = service.loaded.base.catalog_.title(5)
    service.add_item("twin", {"title": title})
    told = Site(service).map()
    assert told["item_ids"][-1] == "twin" and told["n_left_out"] == 40 - len(told["item_ids"]) + 1
    near = service.similar("twin", 3, by="fused").ids
    at = [told["item_ids"].index(item) for item in near]
    assert told["x"][-1] == pytest.approx(sum(told["x"][i] for i in at) / 3, abs=2e-3)
    service.remove_item("twin")
    assert "twin" not in Site(service).map()["item_ids"]


@pytest.mark.parametrize("modalities", [False, True])
def test_the_report_page_shows_what_evaluate_keeps(client, service, shop, tmp_path, modalities):
    models = {name: make("recommender", name) for name in ("Popular", "ContentWalk")}
    parts = split_random(shop)
    report = evaluate(models, parts, k=5)
    worth = modality_report(models, parts, report, seeds=1) if modalities else None
    service.folder = tmp_path
    keep_evaluation(tmp_path, report, worth)
    page = client.get("/report")
    assert page.status_code == 200, page.text
    assert all(model.label in page.text for model in report.models) and report.caption() in unescape(page.text)
    assert ("photo" in page.text) == modalities
    assert client.get("/report.json").json()["serves"] == "ContentWalk"
    assert "ndcg@5" in client.get("/").text


def test_the_evaluation_of_the_model_folder_is_shown(service, tmp_path):
    told = {"mean": 0.1, "low": 0.05, "high": 0.2, "n": 20}
    options = service.loaded.manifest["model"]["options"]
    rows = [("Popular", {}), ("ContentWalk", {**options, "hops": 9}), ("ContentWalk", options)]
    import json

    evaluation = {
        "selected_by": "ndcg@10",
        "split": "random",
        "models": [
            {
                "label": f"{name}-{place}",
                "name": name,
                "options": own,
                "metrics": {"ndcg@10": {**told, "mean": 0.1 * place}},
            }
            for place, (name, own) in enumerate(rows)
        ],
    }
    service.folder = tmp_path
    (tmp_path / EVALUATION).write_text(json.dumps(evaluation))
    site = Site(service)
    quality = site.home()["quality"]
    assert quality["own"]["label"] == "ContentWalk-2" and quality["floor"]["mean"] == 0.0
    assert site.report()["serves"] == "ContentWalk-2"
    (tmp_path / EVALUATION).write_text("{")
    assert site.home()["quality"] is None
    with pytest.raises(ArtifactError, match="evaluate --keep"):
        site.report()
