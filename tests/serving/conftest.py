import pytest

from fuserec.serving.stores.store import open_store


@pytest.fixture(params=["sqlite"])
def store_address(request, tmp_path):
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
def service(shop_model, store, tmp_path):
    from fuserec.serving.media import MediaFolder
    from fuserec.serving.service import Service

    return Service(shop_model, store, MediaFolder(tmp_path / "media"))
