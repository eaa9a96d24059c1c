"""Multimodal models of sentence-transformers: one space for several columns; on small random models.

The package takes 15 s to import, so these tests run where it is installed and stay few.
"""

import json
from importlib.util import find_spec

import hub_models
import numpy as np
import pytest

from fuserec.encoders import shared_space as module
from fuserec.encoders.shared_space import SharedAudio, SharedImage, SharedText, shared_space
from fuserec.errors import DataError, MissingExtraError

pytest.importorskip("transformers", reason="transformers is not installed")
needs_package = pytest.mark.skipif(
    find_spec("sentence_transformers") is None, reason="sentence-transformers is missing"
)
PICTURES = [np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8) for seed in range(3)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A small CLIP in a folder as sentence-transformers saves it."""
    folder = tmp_path_factory.mktemp("sentence") / "0_Transformer"
    hub_models.clip(folder)
    modules = [{"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]
    (folder.parent / "modules.json").write_text(json.dumps(modules))
    return folder.parent


def test_the_absence_of_the_package_names_the_extra(clip, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'SharedText needs .*sentence-transformers.*"fuserec\[multimodal\]"'):
        SharedText(model=str(clip)).encode_batch(["a"])


@needs_package
def test_texts_and_pictures_in_one_space(clip):
    from sentence_transformers import SentenceTransformer

    encoders = shared_space(str(clip))
    assert {modality: type(encoder) for modality, encoder in encoders.items()} == {
        "text": SharedText,
        "image": SharedImage,
    }
    assert encoders["text"].space() == encoders["image"].space()
    slow = SentenceTransformer(str(clip), device="cpu")
    texts = ["a b c", "hello", ""]
    made = encoders["text"].encode_batch(texts)
    for text, vector in zip(texts, made, strict=True):
        assert np.abs(vector - slow.encode([text], normalize_embeddings=True)[0]).max() < 1e-5
    long = " ".join(hub_models.LETTERS)
    windows = encoders["text"]._windows(long)
    assert len(windows) > 1 and "".join(windows) == long
    made = encoders["text"].encode_batch([long])[0]
    mean = slow.encode(windows, normalize_embeddings=True).mean(axis=0)
    assert np.abs(made - mean / np.linalg.norm(mean)).max() < 1e-5
    from PIL import Image

    made = encoders["image"].encode_batch(PICTURES)
    direct = slow.encode([Image.fromarray(picture) for picture in PICTURES], normalize_embeddings=True)
    assert np.abs(made - direct).max() < 1e-5
    with pytest.raises(DataError, match=r"embeds image, text, not audio"):
        SharedAudio(model=str(clip)).encode_batch([np.zeros(16_000, np.float32)])
