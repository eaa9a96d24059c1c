"""Multimodal models of sentence-transformers: one space for several columns; on small random models.

The package takes 15 s to import, so these tests run where it is installed and stay few.
"""

from importlib.util import find_spec

import hub_models
import numpy as np
import pytest

from fuserec.encoders import shared_space as module
from fuserec.encoders.shared_space import SharedAudio, SharedImage, SharedText, shared_space
from fuserec.encoders.weights import loaded, quiet_transformers
from fuserec.errors import DataError, MissingExtraError

pytest.importorskip(
    "transformers", reason='needs the extra [pretrained]: pip install -e ".[pretrained]" (make test does)'
)
needs_package = pytest.mark.skipif(
    find_spec("sentence_transformers") is None,
    reason='needs the extra [multimodal]: pip install -e ".[multimodal]" (make test does)',
)
PICTURES = [np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8) for seed in range(3)]


def test_the_absence_of_the_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'SharedText needs .*sentence-transformers.*"fuserec\[multimodal\]"'):
        SharedText(model="some/model").encode_batch(["a"])


def sentence_folder(folder, name):
    """A small model in a folder as sentence-transformers saves it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer

    with quiet_transformers():
        part = Transformer(getattr(hub_models, name)(folder / name))
        SentenceTransformer(modules=[part], device="cpu").save(str(folder / "model"), create_model_card=False)
    return str(folder / "model")


@needs_package
def test_texts_and_pictures_in_one_space(tmp_path):
    from sentence_transformers import SentenceTransformer

    clip = sentence_folder(tmp_path, "clip")
    encoders = shared_space(clip)
    assert {modality: type(encoder) for modality, encoder in encoders.items()} == {
        "text": SharedText,
        "image": SharedImage,
    }
    assert encoders["text"].space() == encoders["image"].space()
    slow = SentenceTransformer(clip, device="cpu")
    texts = ["a b c", "hello", ""]
    made = encoders["text"].encode_batch(texts)
    for text, vector in zip(texts, made, strict=True):
        assert np.abs(vector - slow.encode([text], normalize_embeddings=True)[0]).max() < 1e-5
    long = " ".join(hub_models.LETTERS)
    windows = encoders["text"]._windows(long)
    assert [len(window.split()) for window in windows] == [9, 9, 8] and "".join(windows) == long
    made = encoders["text"].encode_batch([long])[0]
    mean = slow.encode(windows, normalize_embeddings=True).mean(axis=0)
    assert np.abs(made - mean / np.linalg.norm(mean)).max() < 1e-5
    from PIL import Image

    made = encoders["image"].encode_batch(PICTURES)
    direct = slow.encode([Image.fromarray(picture) for picture in PICTURES], normalize_embeddings=True)
    assert np.abs(made - direct).max() < 1e-5
    with pytest.raises(DataError, match=r"embeds image, text, not audio"):
        SharedAudio(model=clip).encode_batch([np.zeros(16_000, np.float32)])


@needs_package
def test_texts_and_sounds_in_one_space(tmp_path):
    from sentence_transformers import SentenceTransformer

    clap = sentence_folder(tmp_path, "clap")
    encoders = {**shared_space(clap), "audio": SharedAudio(model=clap, seconds=1.0)}
    assert list(encoders) == ["text", "audio"] and encoders["audio"].rate == 8_000
    slow = SentenceTransformer(clap, device="cpu")
    sounds = [np.random.default_rng(seed).standard_normal(6_000).astype(np.float32) for seed in range(2)]
    long = np.concatenate(sounds)
    made = encoders["audio"].encode_batch([*sounds, long])
    given = [{"array": sound, "sampling_rate": 8_000} for sound in sounds]
    direct = slow.encode(given, normalize_embeddings=True)
    assert np.abs(made[:2] - direct).max() < 1e-5
    mean = direct.mean(axis=0)
    assert np.abs(made[2] - mean / np.linalg.norm(mean)).max() < 1e-5
    assert encoders["text"].encode_batch(["a b"]).shape == (1, made.shape[1])


@needs_package
def test_pickled_parts_are_not_read(tmp_path):
    clip = sentence_folder(tmp_path, "clip")
    loaded.clear()  # a model of the same content, which another test has read
    (tmp_path / "model" / "2_Dense").mkdir()
    (tmp_path / "model" / "2_Dense" / "pytorch_model.bin").touch()
    with pytest.raises(DataError, match=r"pytorch_model\.bin: these weights are a pickle"):
        SharedText(model=clip).encode_batch(["a"])
