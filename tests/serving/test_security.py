"""What a hostile client may try: each is refused in a line of its own, and the next request is answered as ever."""

import re
import socket
import threading
import time

import pytest
from fastapi.testclient import TestClient

from fuserec.serving.http import protocol, security, traffic
from fuserec.serving.http.app import make_app
from fuserec.serving.http.security import Rules
from fuserec.serving.keys import add_key

LOOSE = Rules(rate="100000/second", heavy_rate="100000/second")
HOT = b"GET /v1/users/user-7/recommendations HTTP/1.1\r\nHost: x\r\n"
INNER = b"GET /v1/model HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def send(service, monkeypatch):
    """Bytes → all that a server sends back until it ends the connection, or says nothing for ten seconds."""
    import uvicorn

    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(traffic, "BODY_SECONDS", 0.5)
    app = make_app(service, LOOSE)
    config = uvicorn.Config(
        app, port=0, log_level="critical", lifespan="off", http=protocol.Careful, timeout_keep_alive=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]

    def sent(*pieces, every=0.0):
        got = b""
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.settimeout(10.0)
            try:
                for piece in pieces:
                    client.sendall(piece)
                    time.sleep(every)
                while block := client.recv(65536):
                    got += block
                ended = True
            except TimeoutError:
                ended = False
            except OSError:
                ended = True
        return re.findall(rb"HTTP/1\.1 (\d+)", got), ended

    yield sent
    server.should_exit = True
    thread.join(20)


def test_a_request_inside_a_request_is_not_answered(send):
    assert send(HOT + b"\r\n" + INNER)[0] == [b"200", b"200"]  # two of them are two
    length = b"Content-Length: %d\r\n" % len(INNER)
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(INNER), INNER)
    for _ in range(2):  # made by the framework, then kept
        assert send(HOT + length + b"\r\n" + INNER)[0] == [b"200"]
        assert send(HOT + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)[0] == [b"200"]
    for odd in (
        length + b"Content-Length: 0\r\n",
        length + b"Transfer-Encoding: xchunked\r\n",
        length.replace(b":", b" :"),
    ):
        assert send(HOT + odd + b"\r\n" + INNER) == ([b"400"], True), odd
    both = b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert send(both + INNER) == ([b"400"], True)


def test_who_is_slow_or_sends_too_much_is_not_waited_for(send):
    assert send() == ([], True)  # says nothing
    assert send(b"GET /healthz HT", *[b"T"] * 20, every=0.1) == ([], True)
    assert send(b"GET /healthz HTTP/1.1\r\nX-A: ", *[b"a"] * 20, every=0.1) == ([], True)
    assert send(HOT + b"\r\nGET ") == ([b"200"], True)  # the second of two
    body = b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    assert send(body, *[b" "] * 3, every=0.1) == ([b"408"], True)
    for many in (b"X-A: " + b"a" * 70_000, b"X-A: a\r\n" * 9_000 + b"X-B: b", b"X-A: " + b"a" * 2_000_000):
        assert send(b"GET /healthz HTTP/1.1\r\n" + many + b"\r\n\r\n") in (([b"400"], True), ([], True))
    assert send(b"GET /healthz HTTP/1.1\r\nX-A: " + b"a" * 60_000 + b"\r\n\r\n")[0] == [b"200"]


def test_brackets_within_brackets_are_not_as_documented(service):
    key = {"Authorization": f"Bearer {add_key(service.store, ['read', 'write'])[0]}"}
    deep = "[" * 200_000
    with TestClient(make_app(service, LOOSE), headers=key, raise_server_exceptions=False) as client:
        form = {"item_id": (None, "a"), "vectors": (None, deep)}
        assert client.post("/v1/items", files=form).status_code == 422
        json = {"Content-Type": "application/json"}
        for path in ("/v1/items", "/v1/search", "/v1/interactions", "/v1/recommendations"):
            assert client.post(path, content=deep, headers=json).status_code in (400, 422), path


def test_who_guesses_keys_is_stopped_before_the_store_is_asked(service, monkeypatch):
    asked, really = [], type(service.store).key
    monkeypatch.setattr(type(service.store), "key", lambda self, key_id: asked.append(key_id) or really(self, key_id))
    secret, _ = add_key(service.store, ["read"])
    mine = {"Authorization": f"Bearer {secret}"}
    with TestClient(make_app(service, Rules(heavy_rate="3/hour"))) as client:
        assert client.get("/v1/model", headers=mine).status_code == 200
        wrong = [client.get("/v1/model", headers={"Authorization": f"Bearer fuserec_{n}_x"}) for n in range(6)]
        assert [one.status_code for one in wrong] == [401, 401, 401, 429, 429, 429] and len(asked) == 1 + 3
        assert client.get("/v1/model", headers=mine).status_code == 200  # known for five seconds
        assert client.get("/v1/model").status_code == 200
        monkeypatch.setattr(security, "BELIEVED", 0.0)
        assert client.get("/v1/model", headers=mine).status_code == 429  # until the guessing ends


def test_nothing_is_fetched_and_no_file_read_for_a_client(service):
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.3)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/a"
        files = {
            "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}.ts\n#EXT-X-ENDLIST\n",
            "a.mpd": f"<MPD><Period><BaseURL>{address}</BaseURL></Period></MPD>",
            "a.ffconcat": "ffconcat version 1.0\nfile /etc/passwd\n",
            "a.svg": f"<svg xmlns='http://www.w3.org/2000/svg'><image href='{address}'/></svg>",
            "a.eps": "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) run\n",
            "a.sdp": "v=0\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
        }
        with TestClient(make_app(service, LOOSE)) as client:
            for name, content in files.items():
                for modality in ("image", "audio", "video"):
                    answer = client.post("/v1/search", files={modality: (name, content.encode())})
                    assert answer.status_code == 422 and "root:" not in answer.text, (name, modality)
        try:
            heard.append(listening.accept())
        except TimeoutError:
            pass
    assert not heard


def test_a_picture_that_is_also_a_page_is_sent_to_be_saved(service):
    catalog = service.loaded.base.catalog_
    both = catalog.path("photo", 7).read_bytes() + b"<script>alert(1)</script>"
    key = {"Authorization": f"Bearer {add_key(service.store, ['write'])[0]}"}
    with TestClient(make_app(service, LOOSE)) as client:
        files = {"photo": ("../../a.html", both, "text/html")}
        added = client.post("/v1/items", data={"item_id": "both"}, files=files, headers=key)
        assert added.status_code == 201 and ".." not in added.json()["columns"]["photo"]
        served = client.get("/media/both?column=photo")
        assert served.headers["content-type"] == "application/octet-stream"
        assert (
            served.headers["content-disposition"] == "attachment"
            and "sandbox" in served.headers["content-security-policy"]
        )
        hostile = {"user_id": "user-7", "item_id": "both", "kind": "<script>alert(1)</script>"}
        assert client.post("/v1/interactions", json=hostile, headers=key).status_code == 200
        page = client.get("/users/user-7").text
        assert "<script>alert" not in page and "&lt;script&gt;alert" in page
