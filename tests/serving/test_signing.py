"""Signing in where reading needs a key: the cookie opens pages and nothing else, and only for whom signed in here."""

import pytest
from fastapi.testclient import TestClient

from fuserec.serving.http import security, signing
from fuserec.serving.http.app import make_app
from fuserec.serving.http.security import COOKIE, Rules
from fuserec.serving.keys import add_key, revoke_key

PERSON = {"Accept": "text/html,*/*"}
OWN = {**PERSON, "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def client(service):
    with TestClient(make_app(service, Rules(read_keys=True)), follow_redirects=False) as opened:
        yield opened


@pytest.fixture
def secret(service):
    return add_key(service.store, ["read", "write"])[0]


def test_a_person_is_sent_to_the_form_and_from_there_to_the_page(client, secret, service, monkeypatch):
    sent = client.get("/users/a%2Fb?diversity=0.5", headers=PERSON)
    assert sent.status_code == 303
    form = client.get(sent.headers["location"], headers=PERSON)
    assert form.status_code == 200 and 'name="next" value="/users/a%2Fb?diversity=0.5"' in form.text
    assert (
        form.headers["cache-control"] == "no-store" and "form-action 'self'" in form.headers["content-security-policy"]
    )
    entered = client.post("/sign-in", data={"next": "/users/user-7?diversity=0.5", "key": f" {secret} "}, headers=OWN)
    assert (entered.status_code, entered.headers["location"]) == (303, "/users/user-7?diversity=0.5")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "max-age" not in cookie and "path=/" in cookie
    page = client.get("/users/user-7", headers=PERSON)
    assert page.status_code == 200 and 'id="sign-out"' in page.text and secret not in page.text
    for address in ("/map.json", "/home.json", "/thumbs/item-7?column=photo"):
        assert client.get(address).status_code == 200, address
    left = client.post("/sign-out", headers=OWN)
    assert left.status_code == 303 and client.get("/", headers=PERSON).status_code == 303
    client.cookies.set(COOKIE, secret)
    revoke_key(service.store, secret.split("_")[1])
    monkeypatch.setattr(security, "BELIEVED", 0.0)
    assert client.get("/home.json").status_code == 401
    assert client.get("/", headers=PERSON).headers["location"] == "/sign-in?next=%2F"


def test_the_cookie_neither_writes_nor_asks_the_interface(client, secret):
    client.cookies.set(COOKIE, secret)
    event = {"user_id": "user-7", "item_id": "item-3"}
    assert client.get("/", headers=PERSON).status_code == 200
    assert client.post("/v1/interactions", json=event).status_code == 401
    assert client.post("/v1/model/reload").status_code == 401
    for _ in range(2):  # made, and kept
        assert client.get("/v1/users/user-7/recommendations").status_code == 401
    header = {"Authorization": f"Bearer {secret}"}
    assert client.get("/v1/users/user-7/recommendations", headers=header).status_code == 200
    assert client.get("/v1/users/user-7/recommendations").status_code == 401  # a kept list, too


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://elsewhere"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://testserver"}, 303),
        ({}, 303),
    ],
)
def test_a_form_of_another_site_signs_nobody_in_or_out(client, secret, headers, status):
    answer = client.post("/sign-in", data={"key": secret}, headers=headers)
    assert answer.status_code == status and ("set-cookie" in answer.headers) == (status == 303)
    assert client.post("/sign-out", headers=headers).status_code == status


def test_wrong_keys_are_told_without_a_cookie_and_slowed_down(service):
    writer, _ = add_key(service.store, ["write"])
    rules = Rules(read_keys=True, heavy_rate="3/minute")
    with TestClient(make_app(service, rules)) as client:
        given = ({"key": "fuserec_x_y"}, {}, {"key": writer}, {"key": "a"}, {"key": "b"})
        answers = [client.post("/sign-in", data=one, headers={"Accept-Language": "zh"}) for one in given]
        assert [one.status_code for one in answers] == [401, 401, 403, 401, 429]
        assert all("set-cookie" not in one.headers for one in answers) and writer not in answers[2].text
        assert "密钥无效" in answers[0].text and "尝试次数过多" in answers[-1].text


def test_after_signing_in_one_stays_here(client, secret):
    for place in ("//evil", "https://evil", "/\\evil", "javascript:alert(1)", "/a\r\nSet-Cookie: x=1", ""):
        assert signing.inside(place) == "/"
        assert client.post("/sign-in", data={"key": secret, "next": place}).headers["location"] == "/"
    assert 'name="next" value="/"' in client.get("/sign-in", params={"next": "//evil"}).text
    hostile = client.get("/sign-in", params={"next": '/"><script>alert(1)</script>'})
    assert "<script>alert" not in hostile.text


def test_over_tls_the_cookie_goes_nowhere_else_and_without_read_keys_nobody_signs_in(service, secret):
    with TestClient(
        make_app(service, Rules(read_keys=True)), base_url="https://shop", follow_redirects=False
    ) as client:
        assert "secure" in client.post("/sign-in", data={"key": secret}).headers["set-cookie"].lower()
    with TestClient(make_app(service, Rules()), follow_redirects=False) as client:
        client.cookies.set(COOKIE, "of a key that was revoked")
        assert client.get("/", headers=PERSON).status_code == 200
        assert client.get("/sign-in").headers["location"] == "/"
