import importlib.util
import os
import shutil
import socket
import subprocess
import time
import uuid

import pytest

from fuserec.serving.stores.store import open_store

NEEDED = {
    "redis": "needs redis-server (apt-get install redis-server) and pip install 'fuserec[redis]'",
    "mongodb": "needs a server of MongoDB's protocol: FUSEREC_TEST_MONGODB=mongodb://127.0.0.1:27017 (mongod, or "
    "pip install nx-27017), and pip install 'fuserec[mongo]'",
}


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory):
    """A Redis server of our own, which ends with the tests."""
    if not shutil.which("redis-server") or not importlib.util.find_spec("redis"):
        pytest.skip(NEEDED["redis"])
    folder = tmp_path_factory.mktemp("redis")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes"]
    with (folder / "log").open("w") as file:
        server = subprocess.Popen(["redis-server", *options, "--appendfsync", "always"], stdout=file)
    for _ in range(300):
        with socket.socket() as tried:
            if not tried.connect_ex(("127.0.0.1", port)):
                break
        time.sleep(0.1)
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait(30)


@pytest.fixture(params=["sqlite", "redis", "mongodb"])
def store_address(request, tmp_path):
    if request.param == "redis":
        import redis

        address = request.getfixturevalue("redis_address")
        with redis.Redis.from_url(address) as client:
            client.flushall()
        return address
    if request.param == "mongodb":
        given = os.environ.get("FUSEREC_TEST_MONGODB")
        if not given or not importlib.util.find_spec("pymongo"):
            pytest.skip(NEEDED["mongodb"])
        return f"{given.rstrip('/')}/test_{uuid.uuid4().hex}"
    return f"sqlite:///{tmp_path}/shop.sqlite"


@pytest.fixture
def store(store_address):
    opened = open_store(store_address)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A toy shop of 40 items in a text, a picture and a sound column, with vectors made without weights."""
    from fuserec import align, encode, fuse, toy_shop
    from fuserec.encoders.audio import MFCC
    from fuserec.encoders.image import ColorTexture
    from fuserec.encoders.text import TfidfText

    made = toy_shop(40, 30, seed=3, folder=tmp_path_factory.mktemp("shop") / "toyshop")
    encoders = {"title": TfidfText(dim=16), "photo": ColorTexture(), "jingle": MFCC()}
    return fuse(align(encode(made, encoders)))


@pytest.fixture(scope="session")
def shop_model(shop, tmp_path_factory):
    """The folder of a ContentWalk of that shop."""
    from fuserec import make, save_model

    folder = tmp_path_factory.mktemp("models") / "shop"
    save_model(make("recommender", "ContentWalk").fit(shop), folder, about={"dataset": "toyshop"})
    return folder


@pytest.fixture
def service(shop_model, tmp_path):
    from fuserec.serving.media import MediaFolder
    from fuserec.serving.service import Service

    store = open_store(f"sqlite:///{tmp_path}/service.sqlite")
    yield Service(shop_model, store, MediaFolder(tmp_path / "media"))
    store.close()
