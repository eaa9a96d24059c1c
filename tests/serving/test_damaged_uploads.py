"""Damaged media sent over HTTP: each is answered as a problem of the client's, and the next request as ever."""

import io
import random

import pytest
from PIL import Image
from starlette.testclient import TestClient

from fuserec.serving.http.app import make_app
from fuserec.serving.http.security import Rules
from fuserec.serving.keys import add_key


def damaged(data, rng):
    """Bytes → the same, cut, or with some bytes changed, most often near the head."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 3, 20))):
        place = int(len(made) * rng.random() ** 3)
        if rng.random() < 0.3:
            del made[place:]
        else:
            made[place : place + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", rng.randbytes(3)))
    return bytes(made)


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_damaged_media_are_the_clients_problem(service, modality):
    rng = random.Random(6)
    column = {"image": "photo", "audio": "jingle"}[modality]
    catalog = service.loaded.base.catalog_
    whole = catalog.path(column, 3).read_bytes()
    files = [(catalog.path(column, 3).name, whole)]
    if modality == "image":
        Image.open(io.BytesIO(whole)).convert("RGB").save(made := io.BytesIO(), "jpeg")
        files.append(("a.jpg", made.getvalue()))
    statuses = set()
    with TestClient(make_app(service, Rules(rate="100000/second", heavy_rate="100000/second"))) as client:
        key = {"Authorization": f"Bearer {add_key(service.store, ['read', 'write'])[0]}"}
        for number in range(60):
            name, data = rng.choice(files)
            upload = (name, damaged(data, rng))
            if number % 3:
                answer = client.post("/v1/search", files={modality: upload})
            else:
                answer = client.put("/v1/items/damaged", files={column: upload}, headers=key)
            statuses.add(answer.status_code)
            assert answer.status_code in (200, 422), (number, answer.text)
            if answer.status_code == 422:
                assert answer.json()["type"] in ("urn:fuserec:media", "urn:fuserec:data") and "/tmp" not in answer.text
        assert 422 in statuses
        assert client.post("/v1/search", files={modality: files[0]}).status_code == 200
