"""`encode_views`: the vectors of variants, in their rows, whatever the number of threads."""

import media
import numpy as np
import pytest

from fuserec.augmentation.audio import SoundNoise
from fuserec.augmentation.image import PictureNoise, Rotation
from fuserec.augmentation.text import TokenDropout
from fuserec.data.media import Limits
from fuserec.encoders.encoder import encode
from fuserec.encoders.image import ColorTexture
from fuserec.encoders.text import TfidfText
from fuserec.encoders.views import encode_views
from fuserec.errors import DataError, OptionError
from fuserec.registry import make


@pytest.fixture
def shop(tmp_path):
    return media.columns(tmp_path, "image")


def test_each_view_is_the_encoded_variant_of_its_item(shop):
    encoder, rotation = ColorTexture(), Rotation(degrees=20)
    found = encode_views(shop, "image", encoder, rotation, n_views=3, seed=5)
    assert found.shape == (3, shop.n_items, 541) and found.dtype == np.float32
    for row in range(shop.n_items - 1):
        picture = encoder.decode(shop.catalog.path("image", row), Limits())
        for view in range(3):
            slow = encoder.encode_batch([rotation(picture, np.random.default_rng([5, view, row]))])[0]
            assert np.abs(found[view, row] - slow).max() < 1e-5
    assert not found[:, -1].any()  # this item has no picture
    assert len({found[view, row].tobytes() for view in range(3) for row in range(shop.n_items - 1)}) == 15


@pytest.mark.parametrize(("name", "augmentation"), [("ColorTexture", PictureNoise()), ("MFCC", SoundNoise())])
def test_threads_change_nothing(tmp_path, name, augmentation):
    shop = media.columns(tmp_path, augmentation.modality)
    one, three = (
        encode_views(shop, augmentation.modality, make("encoder", name), augmentation, n_views=2, workers=workers)
        for workers in (1, 3)
    )
    assert np.abs(one - three).max() < 1e-6
    other = encode_views(shop, augmentation.modality, make("encoder", name), augmentation, n_views=2, seed=1)
    assert np.abs(one - other).max() > 1e-4


def test_texts_are_encoded_by_the_fitted_encoder():
    texts = ["a red summer dress", "blue running shoes for men", None, "a red shoe"]
    shop = media.dataset(texts, "text")
    encoder = TfidfText().fit([text for text in texts if text])
    found = encode_views(shop, "text", encoder, TokenDropout(rate=0), n_views=2)
    assert np.array_equal(found[0], found[1]) and found[0, 0].any()
    whole = encode(shop, {"text": TfidfText()}).embeddings["text"]
    assert found[0] == pytest.approx(whole.vectors, abs=1e-6)


def test_only_the_rows_asked_for_are_encoded_and_each_as_before(shop):
    everything = encode_views(shop, "image", ColorTexture(), PictureNoise(), n_views=2)
    some = encode_views(shop, "image", ColorTexture(), PictureNoise(), n_views=2, rows=np.array([3, 1]))
    assert np.abs(some[:, [1, 3]] - everything[:, [1, 3]]).max() < 1e-6
    assert not some[:, [0, 2, 4, 5]].any()


def test_a_file_that_cannot_be_decoded_is_a_row_of_zeros(tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    shop = media.dataset(["bad.png", media.picture(tmp_path / "good.png", 1)], "image", tmp_path)
    found = encode_views(shop, "image", ColorTexture(), PictureNoise())
    assert not found[:, 0].any() and found[:, 1].any(axis=1).all() and len(found) == 4


def test_what_does_not_belong_together_is_refused(shop, tmp_path):
    with pytest.raises(OptionError, match="column 'image' is for image, ColorTexture is for image, SoundNoise is for"):
        encode_views(shop, "image", ColorTexture(), SoundNoise())
    with pytest.raises(OptionError, match="no column 'imag'; did you mean 'image'"):
        encode_views(shop, "imag", ColorTexture(), Rotation())
    with pytest.raises(OptionError, match="n_views = 0; expected one modality and 1 view or more"):
        encode_views(shop, "image", ColorTexture(), Rotation(), n_views=0)
    empty = media.dataset(["missing.png", None], "image", tmp_path)
    with pytest.raises(DataError, match="none of the 1 values asked for can be encoded"):
        encode_views(empty, "image", ColorTexture(), Rotation())
