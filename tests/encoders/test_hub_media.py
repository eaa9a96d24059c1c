"""Picture and sound models by folder, and models with one space for several modalities; on small random models."""

import hub_models
import media
import numpy as np
import pytest

pytest.importorskip(
    "transformers", reason='needs the extra [pretrained]: pip install -e ".[pretrained]" (make test does)'
)

from PIL import Image

from fuserec.data.media import Limits
from fuserec.encoders.cache import VectorCache
from fuserec.encoders.encoder import encode
from fuserec.encoders.hub_audio import TransformersAudio
from fuserec.encoders.hub_image import TransformersImage
from fuserec.encoders.hub_text import TransformersText
from fuserec.encoders.shared_space import shared_space
from fuserec.errors import DataError

VISION = ["resnet", "convnext", "vit", "dinov2", "clip", "siglip2"]
SOUND = ["clap", "wav2vec2", "whisper"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Name of a small model → its folder, made when it is first asked for."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = getattr(hub_models, name)(tmp_path_factory.mktemp(name))
        return made[name]

    return folder


def pictures():
    rng = np.random.default_rng(0)
    sizes = [(40, 60), (33, 33), (80, 20), (3, 3), (1, 1), (200, 300)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def sounds(rate=16_000):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(int(seconds * rate)).astype(np.float32) / 10 for seconds in (0.7, 0.3, 2.3, 0.001, 0.7)]


def unit(vector):
    return vector / np.linalg.norm(vector)


# Pictures


@pytest.mark.parametrize("name", VISION)
def test_pictures_are_those_of_transformers_one_by_one(folders, name):
    import torch
    from transformers import AutoImageProcessor, AutoModel

    vectors = TransformersImage(model=folders(name)).encode_batch(pictures())
    model = AutoModel.from_pretrained(folders(name)).eval()
    settings = AutoImageProcessor.from_pretrained(folders(name))
    for picture, vector in zip(pictures(), vectors, strict=True):
        inputs = settings(Image.fromarray(picture), return_tensors="pt")
        with torch.inference_mode():
            dual = name in ("clip", "siglip2")
            output = model.get_image_features(**inputs) if dual else model(**inputs)
        slow = output.pooler_output.numpy().ravel()
        assert np.abs(vector - (unit(slow) if dual else slow)).max() < 1e-4
    assert vectors.dtype == np.float32 and np.ptp(vectors, axis=0).max() > 1e-2  # pictures do differ


def test_a_pooler_without_weights_is_not_used(folders):
    import torch
    from transformers import AutoImageProcessor, ViTForImageClassification

    encoder = TransformersImage(model=folders("vit_without_pooler"))
    vector = encoder.encode_batch(pictures()[:1])[0]
    model = ViTForImageClassification.from_pretrained(encoder.model).eval()
    inputs = AutoImageProcessor.from_pretrained(encoder.model)(Image.fromarray(pictures()[0]), return_tensors="pt")
    with torch.inference_mode():
        states = model.vit(**inputs).last_hidden_state[0].numpy()
    assert np.abs(vector - states.mean(axis=0)).max() < 1e-5


@pytest.mark.parametrize("name", VISION)
def test_pictures_together_are_as_alone(folders, name):
    encoder = TransformersImage(model=folders(name))
    alone = np.concatenate([encoder.encode_batch([picture]) for picture in pictures()])
    assert np.abs(encoder.encode_batch(pictures()) - alone).max() < 1e-5


@pytest.mark.parametrize("name", VISION)
def test_half_precision_is_near(folders, name):
    exact = TransformersImage(model=folders(name)).encode_batch(pictures())
    half = TransformersImage(model=folders(name), precision="float16").encode_batch(pictures())
    assert half.dtype == np.float32 and 0 < np.abs(exact - half).max() < 1e-2


# Sounds


@pytest.mark.parametrize("name", SOUND)
def test_sounds_are_those_of_transformers_window_by_window(folders, name):
    import torch
    from transformers import AutoFeatureExtractor, AutoModel

    encoder = TransformersAudio(model=folders(name), seconds=1.0)
    rate = {"clap": 8_000}.get(name, 16_000)
    assert encoder.rate == rate
    vectors = encoder.encode_batch(sounds(rate))
    model = AutoModel.from_pretrained(folders(name)).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folders(name))
    for sound, vector in zip(sounds(rate), vectors, strict=True):
        sound = np.pad(sound, (0, max(0, rate // 10 - len(sound))))
        means = []
        for window in np.array_split(sound, -(-len(sound) // rate)):  # one second each, at most
            inputs = extractor(window, sampling_rate=rate, return_tensors="pt")
            with torch.inference_mode():
                if name == "clap":
                    means.append(model.get_audio_features(**inputs).pooler_output[0].numpy())
                elif name == "whisper":  # 50 frames a second; the silence that fills the second is not the sound's
                    states = model.encoder(**inputs).last_hidden_state[0].numpy()
                    means.append(states[: int(np.ceil(len(window) / rate * 50))].mean(axis=0))
                else:
                    means.append(model(**inputs).last_hidden_state[0].numpy().mean(axis=0))
        mean = np.mean(means, axis=0)
        assert np.abs(vector - (unit(mean) if name == "clap" else mean)).max() < 1e-4
    assert np.ptp(vectors, axis=0).max() > 1e-2  # sounds do differ


@pytest.mark.parametrize("name", SOUND)
def test_sounds_together_are_as_alone(folders, name):
    encoder = TransformersAudio(model=folders(name))
    alone = np.concatenate([encoder.encode_batch([sound]) for sound in sounds()])
    together = encoder.encode_batch(sounds())
    assert np.abs(together - alone).max() < 1e-5 and np.isfinite(together).all()
    assert np.array_equal(encoder.encode_batch(sounds()), together)  # nothing is drawn at random


# Through `encode`, and one space


@pytest.mark.parametrize(("name", "modality"), [("bert", "text"), ("vit", "image"), ("wav2vec2", "audio")])
def test_columns_are_encoded_and_cached(folders, name, modality, tmp_path):
    kind = {"text": TransformersText, "image": TransformersImage, "audio": TransformersAudio}[modality]
    shop = media.columns(tmp_path, modality)
    with VectorCache(tmp_path / "cache") as cache:
        found = encode(shop, {modality: kind(model=folders(name))}, cache=cache, workers=2).embeddings[modality]
        again = encode(shop, {modality: kind(model=folders(name), allow_download=True)}, cache=cache)
    assert np.array_equal(again.embeddings[modality].vectors, found.vectors)
    assert np.array_equal(found.present, shop.catalog.columns[modality].present)
    assert np.array_equal(found.vectors[0], found.vectors[len(found.present) - 2])  # the same content twice
    assert str(tmp_path) not in found.made_by


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("clip", {"text": TransformersText, "image": TransformersImage}),
        ("siglip2", {"text": TransformersText, "image": TransformersImage}),
        ("clap", {"text": TransformersText, "audio": TransformersAudio}),
    ],
)
def test_one_model_for_two_columns(folders, name, kinds):
    import torch
    from transformers import AutoModel, AutoTokenizer

    encoders = shared_space(folders(name), precision="float32")
    assert {modality: type(encoder) for modality, encoder in encoders.items()} == kinds
    assert len({encoder.space() for encoder in encoders.values()}) == 1
    vectors = encoders["text"].encode_batch(["a b c", "hello"])
    model, tokenizer = AutoModel.from_pretrained(folders(name)).eval(), AutoTokenizer.from_pretrained(folders(name))
    padding = {"padding": "max_length", "max_length": 12} if name == "siglip2" else {}
    for text, vector in zip(["a b c", "hello"], vectors, strict=True):
        inputs = tokenizer(text, return_tensors="pt", **padding)
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            slow = model.get_text_features(**inputs).pooler_output[0].numpy()
        assert np.abs(vector - unit(slow)).max() < 1e-5
    other = next(encoder for modality, encoder in encoders.items() if modality != "text")
    given = pictures() if other.modality == "image" else sounds(other.rate)
    assert other.encode_batch(given).shape[1] == vectors.shape[1]


def test_a_model_of_one_modality_has_no_space_to_share(folders):
    with pytest.raises(DataError, match=r"embeds one modality only; expected one such as CLIP, SigLIP 2 or CLAP"):
        shared_space(folders("bert"))


def test_files_become_what_the_model_takes(folders, tmp_path):
    media.picture(tmp_path / "a.png", 0)
    media.sound(tmp_path / "a.wav", 0)
    assert TransformersImage(model=folders("vit")).decode(tmp_path / "a.png", Limits()).shape == (80, 60, 3)
    assert TransformersAudio(model=folders("clap")).decode(tmp_path / "a.wav", Limits()).shape == (2_400,)
